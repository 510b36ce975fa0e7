"""The API server, as Cairn's processes use it.

Credentials are `credentials.py`'s; requests go through one aiohttp session with orjson, because a boot's cost
is the number and the price of its API writes. Bodies are plain dictionaries; the models of `cairn_crds` give
them meaning.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import kopf
import orjson

from cairn_crds import Resource
from cairn_runtime.credentials import load_credentials
from cairn_runtime.metrics import KUBERNETES_REQUESTS
from cairn_runtime.settings import KubernetesSettings

Body = dict[str, Any]
MERGE_PATCH = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
CONNECTIONS = 16
"""To the API server, at most. It answers no faster to more of them, and each one costs 300 KB as long as it
stays open, most of that asyncio's buffer for TLS."""
TOKEN_SECONDS = 60.0
"""A pod's token is replaced in its file long before it ends; the file is read this often."""


class KubernetesError(Exception):
    """The API server refused a request. `status` is the HTTP status, `reason` Kubernetes' own word."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(f"{message} ({status} {reason})")
        self.status = status
        self.reason = reason


class NotFound(KubernetesError):
    """There is no such object."""


class Conflict(KubernetesError):
    """Somebody else changed the object first: read it again and decide again."""


class AlreadyExists(KubernetesError):
    """An object of that name is there."""


class Invalid(KubernetesError):
    """The object breaks its schema; trying again cannot help."""


class Forbidden(KubernetesError):
    """The process' role does not allow it."""


class Unauthorized(Forbidden):
    """The API server does not know the credentials, or no longer."""


class ApiServerUnavailable(KubernetesError):
    """No answer, or "try later"; `delay` is how many seconds the server asks to wait."""

    def __init__(self, status: int, reason: str, message: str, delay: float | None = None) -> None:
        super().__init__(status, reason, message)
        self.delay = delay


class Kubernetes:
    """A connection to one API server."""

    def __init__(self, settings: KubernetesSettings) -> None:
        self._settings = settings
        self._authorization: dict[str, str] = {}
        self._logged_in_at = 0.0
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        """Load the credentials and make the session. Raises NoCredentials."""
        info = await self.login()
        self._session = aiohttp.ClientSession(
            base_url=info.server.rstrip("/") + "/",
            timeout=aiohttp.ClientTimeout(total=self._settings.timeout_seconds),
            connector=aiohttp.TCPConnector(ssl=_ssl_context(info), limit=CONNECTIONS),
            # Lists are large, and packing them takes the API server longer than sending them.
            headers={"User-Agent": "cairn", "Accept-Encoding": "identity"},
        )

    async def login(self) -> kopf.ConnectionInfo:
        """The credentials as they are now; later requests use them. Raises NoCredentials."""
        info = await load_credentials(self._settings)
        self._authorization = info.as_http_headers()
        self._logged_in_at = time.monotonic()
        return info

    @property
    def is_open(self) -> bool:
        """Whether `open` has succeeded."""
        return self._session is not None

    async def close(self) -> None:
        """Close the session."""
        if self._session is not None:
            await self._session.close()

    async def get(self, kind: type[Resource], name: str, namespace: str | None = None) -> Body:
        """One object. Raises NotFound."""
        return await self.request("GET", kind.kind_info.path(namespace, name))

    async def list_all(
        self, kind: type[Resource], namespace: str | None = None, *, fresh: bool = False
    ) -> tuple[list[Body], str]:
        """All objects and the list's resourceVersion, from the server's watch cache (cheap, a moment old);
        `fresh`: from etcd."""
        return await self.list_path(kind.kind_info.path(namespace), fresh=fresh)

    async def list_path(self, path: str, *, fresh: bool = False) -> tuple[list[Body], str]:
        """As `list_all`, for kinds that are not Cairn's."""
        answer = await self.request("GET", path, params={} if fresh else {"resourceVersion": "0"})
        return answer.get("items") or [], answer["metadata"]["resourceVersion"]

    async def create(self, kind: type[Resource], body: Body) -> Body:
        """Make an object. Raises AlreadyExists, Invalid, NotFound (no such namespace)."""
        return await self.request("POST", kind.kind_info.path(body["metadata"].get("namespace")), body)

    async def patch(
        self,
        kind: type[Resource],
        name: str,
        namespace: str | None,
        patch: Body | list[Any],
        subresource: str = "",
    ) -> Body:
        """A merge patch (a dictionary) or a JSON patch (a list). Raises NotFound, Conflict, Invalid.

        A merge patch that holds `metadata.resourceVersion` applies to that version only.
        """
        form = JSON_PATCH if isinstance(patch, list) else MERGE_PATCH
        return await self.request(
            "PATCH", kind.kind_info.path(namespace, name, subresource), patch, form=form
        )

    async def delete(
        self, kind: type[Resource], name: str, namespace: str | None = None, uid: str | None = None
    ) -> Body:
        """Ask for an object's deletion; with `uid` only of that very object. Raises NotFound, Conflict."""
        options: Body = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
        if uid:
            options["preconditions"] = {"uid": uid}
        return await self.request("DELETE", kind.kind_info.path(namespace, name), options)

    async def version(self) -> Body:
        """The server's version; the cheapest way to see that it answers."""
        return await self.request("GET", "/version")

    @asynccontextmanager
    async def stream(self, path: str, params: dict[str, str]) -> AsyncIterator[aiohttp.StreamReader]:
        """An answer that goes on (a watch), line by line. For tools; the processes watch through kopf."""
        if self._session is None:
            raise RuntimeError("Kubernetes.open() has not been awaited")
        timeout = aiohttp.ClientTimeout(total=None)
        headers = await self._headers()
        async with self._session.get(
            path.lstrip("/"), params=params, headers=headers, timeout=timeout, read_bufsize=2**24
        ) as response:
            if response.status >= 400:
                raise _error(response, await response.read())
            yield response.content

    async def _headers(self) -> dict[str, str]:
        if time.monotonic() - self._logged_in_at > TOKEN_SECONDS:
            await self.login()
        return {"Accept": "application/json", **self._authorization}

    async def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        params: dict[str, str] | None = None,
        form: str = "application/json",
    ) -> Body:
        """One request; a typed error for every refusal. Credentials that have run out are read anew, once."""
        try:
            return await self._send(method, path, body, params, form)
        except Unauthorized:
            await self.login()
            return await self._send(method, path, body, params, form)

    async def _send(
        self, method: str, path: str, body: Any, params: dict[str, str] | None, form: str
    ) -> Body:
        if self._session is None:
            raise RuntimeError("Kubernetes.open() has not been awaited")
        headers = await self._headers()
        if body is not None:
            headers["Content-Type"] = form
        try:
            async with self._session.request(
                method,
                path.lstrip("/"),
                data=orjson.dumps(body) if body is not None else None,
                params=params,
                headers=headers,
            ) as response:
                raw = await response.read()
                KUBERNETES_REQUESTS.labels(method, response.status).inc()
                if response.status >= 400:
                    raise _error(response, raw)
                answer: Body = orjson.loads(raw)
                return answer
        except (aiohttp.ClientError, TimeoutError, asyncio.IncompleteReadError) as error:
            KUBERNETES_REQUESTS.labels(method, "none").inc()
            message = f"{method} {path}: {error or type(error).__name__}"
            raise ApiServerUnavailable(0, "NoAnswer", message) from error


def _error(response: aiohttp.ClientResponse, raw: bytes) -> KubernetesError:
    status = response.status
    try:
        answer = orjson.loads(raw)
        reason, message = answer.get("reason") or "Unknown", answer.get("message") or ""
    except (orjson.JSONDecodeError, AttributeError):
        reason, message = "Unknown", raw[:200].decode(errors="replace")
    if status == 404 and reason != "NotFound":
        # An API server that has just started does not serve custom resources yet: says nothing of the object.
        return ApiServerUnavailable(status, "NotServed", f"{message.strip()} (are the CRDs applied?)")
    if status == 409:
        return (AlreadyExists if reason == "AlreadyExists" else Conflict)(status, reason, message)
    if status == 429 or status >= 500:
        after = response.headers.get("Retry-After", "")
        return ApiServerUnavailable(status, reason, message, float(after) if after.isdigit() else None)
    known = {404: NotFound, 403: Forbidden, 401: Unauthorized, 422: Invalid, 400: Invalid}
    return known.get(status, KubernetesError)(status, reason, message)


def _ssl_context(info: kopf.ConnectionInfo) -> ssl.SSLContext:
    context = info.as_ssl_context()
    # Debian's kubernetes and older clusters make certificates without the extensions that
    # VERIFY_X509_STRICT (Python 3.13's default) wants.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


def merge_diff(before: Body, after: Body) -> Body:
    """The merge patch (RFC 7386) that turns `before` into `after`; empty where they are the same."""
    patch: Body = {name: None for name in before if name not in after}
    for name, value in after.items():
        old = before.get(name)
        if old == value:
            continue
        patch[name] = merge_diff(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return patch
