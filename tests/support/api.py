"""A small synchronous client of the API server: a look costs a millisecond, with kubectl it is fifty."""

from __future__ import annotations

import base64
import http.client
import json
import ssl
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from cairn_crds import Resource

Body = dict[str, Any]
MERGE_PATCH = "application/merge-patch+json"


class Refused(Exception):
    """The API server answered with an error."""

    def __init__(self, status: int, body: Body) -> None:
        super().__init__(f"{status} {body.get('reason')}: {body.get('message')}")
        self.status = status


class Api:
    """One connection, with the rights of a kubeconfig."""

    def __init__(self, kubeconfig: Path) -> None:
        content = yaml.safe_load(kubeconfig.read_text())
        cluster, user = content["clusters"][0]["cluster"], content["users"][0]["user"]
        self._address = urlsplit(cluster["server"])
        authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
        self._ssl = ssl.create_default_context(cadata=authority)
        self._headers = {"Accept": "application/json"}
        if token := user.get("token"):
            self._headers["Authorization"] = f"Bearer {token}"
        else:
            with tempfile.NamedTemporaryFile() as pair:
                pair.write(base64.b64decode(user["client-certificate-data"]))
                pair.write(base64.b64decode(user["client-key-data"]))
                pair.flush()
                self._ssl.load_cert_chain(pair.name)
        self._connection: http.client.HTTPSConnection | None = None

    def request(self, method: str, path: str, body: Any = None, form: str = "application/json") -> Body:
        """One request, once more where the kept connection had been closed. Raises Refused and OSError."""
        for last in (False, True):
            kept = self._connection is not None
            try:
                status, raw = self._send(method, path, body, form)
                break
            except (OSError, http.client.HTTPException) as error:
                self._connection = None
                if last or not kept:
                    raise ConnectionError(f"{method} {path}: {error!r}") from error
        answer: Body = json.loads(raw)
        if status >= 400:
            raise Refused(status, answer)
        return answer

    def _send(self, method: str, path: str, body: Any, form: str) -> tuple[int, bytes]:
        if self._connection is None:
            host, port = self._address.hostname or "", self._address.port
            self._connection = http.client.HTTPSConnection(host, port, timeout=20, context=self._ssl)
        headers = {**self._headers, "Content-Type": form}
        self._connection.request(method, path, None if body is None else json.dumps(body), headers)
        response = self._connection.getresponse()
        return response.status, response.read()

    def get(self, kind: type[Resource], name: str, namespace: str = "") -> Body | None:
        """The object, or None."""
        try:
            return self.request("GET", kind.kind_info.path(namespace, name))
        except Refused as error:
            if error.status == 404:
                return None
            raise

    def list(self, kind: type[Resource], namespace: str = "") -> list[Body]:
        """The objects of a namespace, or of all."""
        items: list[Body] = self.request("GET", kind.kind_info.path(namespace))["items"]
        return items

    def has_account(self, namespace: str, name: str) -> bool:
        """Whether there is that service account."""
        items = self.request("GET", f"/api/v1/namespaces/{namespace}/serviceaccounts")["items"]
        return any(item["metadata"]["name"] == name for item in items)

    def create(self, kind: type[Resource], body: Body) -> Body:
        """Make an object; `apiVersion` and `kind` are added."""
        whole = {"apiVersion": "compute.cairn.dev/v1alpha1", "kind": kind.kind_info.kind, **body}
        return self.request("POST", kind.kind_info.path(body["metadata"].get("namespace")), whole)

    def patch(self, kind: type[Resource], name: str, namespace: str, patch: Body, part: str = "") -> Body:
        """A merge patch."""
        return self.request("PATCH", kind.kind_info.path(namespace, name, part), patch, MERGE_PATCH)

    def delete(self, kind: type[Resource], name: str, namespace: str = "") -> None:
        """Ask for the object's deletion; nothing where it is not there."""
        try:
            self.request("DELETE", kind.kind_info.path(namespace, name))
        except Refused as error:
            if error.status != 404:
                raise
