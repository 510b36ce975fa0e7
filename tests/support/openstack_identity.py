"""An administrator's few calls to an Identity v3 service: Keystone or Cairn's own."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

REGION = "RegionOne"


class ServiceRefused(Exception):
    """A service answered with an error; `status` is the code."""

    def __init__(self, status: int, body: str) -> None:
        super().__init__(f"{status}: {body[:500]}")
        self.status = status


@dataclass(frozen=True, kw_only=True)
class IdentityClient:
    """Signs in, and makes projects, users and endpoints, as the first administrator."""

    url: str
    """With the version: `http://127.0.0.1:PORT/v3`."""
    admin_user: str = "admin"
    admin_password: str = "admin-password"
    admin_project: str = "admin"

    def openrc(
        self, user: str = "", password: str = "", project: str = "", region: str = REGION
    ) -> dict[str, str]:
        """The OS_… variables of a user (of domain Default); the administrator's when left out."""
        return {
            "OS_AUTH_URL": self.url,
            "OS_IDENTITY_API_VERSION": "3",
            "OS_USERNAME": user or self.admin_user,
            "OS_PASSWORD": password or self.admin_password,
            "OS_PROJECT_NAME": project or self.admin_project,
            "OS_USER_DOMAIN_ID": "default",
            "OS_PROJECT_DOMAIN_ID": "default",
            "OS_REGION_NAME": region,
        }

    def token(self, user: str = "", password: str = "", project: str | None = None) -> str:
        """A fresh token; scoped to the project (the administrator's when left out, unscoped for "")."""
        project = self.admin_project if project is None else project
        auth: dict[str, Any] = {
            "identity": {
                "methods": ["password"],
                "password": {
                    "user": {
                        "name": user or self.admin_user,
                        "domain": {"id": "default"},
                        "password": password or self.admin_password,
                    }
                },
            }
        }
        if project:
            auth["scope"] = {"project": {"name": project, "domain": {"id": "default"}}}
        _status, headers, _body = call("POST", f"{self.url}/auth/tokens", {"auth": auth})
        return headers["X-Subject-Token"]

    def request(self, method: str, path: str, body: object = None, token: str = "") -> Any:
        """The JSON answer to `path` (as in `/users`), as the administrator unless `token` says otherwise.
        Raises ServiceRefused."""
        headers = {"X-Auth-Token": token or self.token()}
        return call(method, self.url + path, body, headers)[2]

    def create(self, kind: str, **values: Any) -> dict[str, Any]:
        """`create("user", name=…, password=…)`: the new object. `kind` in the singular."""
        answer: dict[str, Any] = self.request("POST", f"/{kind}s", {kind: values})[kind]
        return answer

    def find(self, kind: str, name: str) -> dict[str, Any]:
        """The object of that name. Raises LookupError."""
        for item in self.request("GET", f"/{kind}s?name={name}")[f"{kind}s"]:
            return dict(item)
        raise LookupError(f"no {kind} {name}")

    def grant(self, user_id: str, project_id: str, role: str) -> None:
        """Assign a role in a project."""
        role_id = self.find("role", role)["id"]
        self.request("PUT", f"/projects/{project_id}/users/{user_id}/roles/{role_id}")

    def register(self, kind: str, name: str, url: str) -> None:
        """A service and its endpoints into the catalog: `register("compute", "nova", "http://…/v2.1")`."""
        service = self.create("service", type=kind, name=name)
        for interface in ("public", "internal", "admin"):
            self.create("endpoint", service_id=service["id"], interface=interface, url=url, region_id=REGION)


def call(
    method: str, url: str, body: object = None, headers: Mapping[str, str] | None = None
) -> tuple[int, Mapping[str, str], Any]:
    """Status, headers and JSON (None when empty) of a request. Raises ServiceRefused from 400 on."""
    data = None if body is None else json.dumps(body).encode()
    own = {"Content-Type": "application/json", **(headers or {})}
    request = urllib.request.Request(url, data=data, headers=own, method=method)  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310
            text = response.read()
            return response.status, response.headers, json.loads(text) if text else None
    except urllib.error.HTTPError as error:
        raise ServiceRefused(error.code, error.read().decode(errors="replace")) from None
