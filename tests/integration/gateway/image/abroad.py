"""A gateway whose images are in a real Glance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import httpx

from cairn_crds import Image
from cairn_gateway.http.call import Call
from cairn_gateway.image.glance import GlanceImages
from cairn_runtime.kubernetes import NotFound
from support.gateway import GatewayUnderTest
from support.openstack_services import RunningGlance

DATA = b"a disk in glance" * 100_000


@dataclass
class Abroad:
    """A gateway whose images are in Glance, and people of Keystone."""

    gateway: GatewayUnderTest
    glance: RunningGlance
    tokens: dict[str, str]
    """Project to the token of a member."""

    @property
    def images(self) -> GlanceImages:
        images = self.gateway.services.images
        assert isinstance(images, GlanceImages)
        return images

    def call(self, project: str) -> Call:
        """A request of a member of that project."""

        async def receive() -> dict[str, Any]:
            return {"type": "http.request"}

        made = Call(
            services=self.gateway.services,
            method="GET",
            path="/",
            headers={"x-auth-token": self.tokens[project]},
            query_string="",
            receive=receive,
            request_id="req-test",
            max_body=1000,
            body_timeout=1.0,
            base_url="http://cloud.test",
        )
        made.caller_or_none = self.gateway.badges._callers[self.tokens[project]]
        return made

    def upload(self, project: str, data: bytes = DATA, **fields: Any) -> dict[str, Any]:
        """An image with data."""
        body = {"name": "demo", "disk_format": "raw", "container_format": "bare", **fields}
        token = self.tokens[project]
        made = self.glance.request("POST", "/v2/images", body, token)
        answer = httpx.put(
            f"{self.glance.url}/v2/images/{made['id']}/file",
            content=data,
            timeout=120,
            headers={"X-Auth-Token": token, "Content-Type": "application/octet-stream"},
        )
        assert answer.status_code == 204, answer.text
        shown: dict[str, Any] = self.glance.request("GET", f"/v2/images/{made['id']}", token=token)
        return shown

    def shown(self, image_id: str) -> dict[str, Any]:
        """The image as Glance's administrator sees it. Raises ServiceRefused."""
        found: dict[str, Any] = self.glance.request("GET", f"/v2/images/{image_id}")
        return found

    async def put(self, image_id: str, content: Any, **headers: str) -> httpx.Response:
        """What a host sends; `headers` with underscores."""
        signature = (await self.images.keys()).sign_upload(image_id)
        path = f"/image/internal/blobs/{image_id}?signature={signature}"
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.gateway.client(None).put(path, content=content, headers=named)

    async def resource(self, name: str) -> Image | None:
        """The Image resource of that name."""
        try:
            image: Image = Image.from_api(await self.gateway.services.cluster.kubernetes.get(Image, name))
        except NotFound:
            return None
        return image
