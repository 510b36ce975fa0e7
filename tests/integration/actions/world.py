"""A person with servers, and short ways to do what they do."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from support.openstack_cloud import OpenStackCloud
from support.waiting import until

JSON = dict[str, Any]
PATIENCE = 40.0


@dataclass
class Answer:
    """What came back."""

    status: int
    body: Any
    headers: dict[str, str]


@dataclass
class Actor:
    """Somebody with a token, and beside them the administrator."""

    cloud: OpenStackCloud
    token: str
    admin_token: str
    servers: list[str] = field(default_factory=list)
    images: list[str] = field(default_factory=list)

    @classmethod
    def sign_in(cls, cloud: OpenStackCloud, name: str, project: str) -> Actor:
        """As one of the cloud's people."""
        token = cloud.identity.token(name, f"password-of-{name}", project)
        return cls(cloud, token, cloud.identity.token())

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        admin: bool = False,
        version: str = "2.95",
    ) -> Answer:
        """One request to the Compute API (or, with a leading //, to another one)."""
        url = self.cloud.url + (path[1:] if path.startswith("//") else f"/compute/v2.1{path}")
        headers = {
            "X-Auth-Token": self.admin_token if admin else self.token,
            "OpenStack-API-Version": f"compute {version}",
            "Content-Type": "application/json",
        }
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url, data=data, headers=headers, method=method)  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
                raw, status, told = answer.read(), answer.status, dict(answer.headers)
        except urllib.error.HTTPError as error:
            raw, status, told = error.read(), error.code, dict(error.headers)
        is_json = "json" in told.get("Content-Type", told.get("content-type", ""))
        return Answer(status, json.loads(raw) if raw and is_json else raw, told)

    def boot(self, name: str, **fields: Any) -> str:
        """A server that is active; its id."""
        image = self.image("demo")
        wanted = {"name": name, "flavorRef": "tiny", "imageRef": image, "networks": "auto", **fields}
        answer = self.call("POST", "/servers", {"server": wanted})
        assert answer.status == 202, answer.body
        server_id = str(answer.body["server"]["id"])
        self.servers.append(server_id)
        self.until(server_id, "ACTIVE")
        return server_id

    def image(self, name: str) -> str:
        """The id of the image of that name."""
        found = self.call("GET", f"//image/v2/images?name={name}").body["images"]
        return str(found[0]["id"])

    def act(
        self, server_id: str, *, admin: bool = False, status: int = 202, version: str = "2.95", **body: Any
    ) -> Any:
        """An action that is answered with `status`; the answer's body."""
        answer = self.call("POST", f"/servers/{server_id}/action", body, admin=admin, version=version)
        assert answer.status == status, answer.body
        return answer.body

    def show(self, server_id: str) -> JSON:
        """The server as the administrator sees it."""
        answer = self.call("GET", f"/servers/{server_id}", admin=True)
        assert answer.status == 200, answer.body
        shown: JSON = answer.body["server"]
        return shown

    def until(self, server_id: str, status: str) -> JSON:
        """Until it is that and nothing is under way."""

        def look() -> JSON | None:
            shown = self.show(server_id)
            idle = shown["OS-EXT-STS:task_state"] is None
            if shown["status"] == "ERROR" and status != "ERROR" and idle:
                raise AssertionError(f"it is in ERROR: {shown.get('fault')}")
            return shown if shown["status"] == status and idle else None

        found: JSON = self.wait(f"server {server_id} {status}", look)
        return found

    def until_gone(self, server_id: str) -> None:
        """Until there is no such server."""
        self.wait("to be gone", lambda: self.call("GET", f"/servers/{server_id}").status == 404)

    def until_image(self, image_id: str, status: str = "active") -> JSON:
        """Until the image is that."""

        def look() -> JSON | None:
            answer = self.call("GET", f"//image/v2/images/{image_id}")
            return answer.body if answer.status == 200 and answer.body["status"] == status else None

        found: JSON = self.wait(f"image {image_id} {status}", look)
        return found

    def action(self, server_id: str) -> JSON:
        """The newest action, with its events."""
        path = f"/servers/{server_id}/os-instance-actions"
        newest = self.call("GET", path, admin=True).body["instanceActions"][0]
        shown: JSON = self.call("GET", f"{path}/{newest['request_id']}", admin=True).body["instanceAction"]
        return shown

    def wait(self, what: str, look: Callable[[], Any]) -> Any:
        """Until it is true; its value."""
        return until(what, look, PATIENCE, self.cloud.cloud.tails)

    def leave(self) -> None:
        """Delete the servers."""
        for server_id in self.servers:
            self.call("POST", f"/servers/{server_id}/action", {"forceDelete": None}, admin=True)
        for server_id in self.servers:
            self.until_gone(server_id)
