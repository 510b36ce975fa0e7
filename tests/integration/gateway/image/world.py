"""People with images, and short ways to do what they do."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from cairn_crds import Image
from cairn_gateway.image.builtin import BuiltinImages
from cairn_operator.mirrors.controller import MirrorContext, Mirrored
from cairn_operator.mirrors.image import remove_image, take_in_image
from cairn_runtime.kubernetes import Kubernetes, NotFound
from support.gateway import GatewayUnderTest

OCTETS = {"Content-Type": "application/octet-stream"}
PATCH = {"Content-Type": "application/openstack-images-v2.1-json-patch"}
DATA = b"the disk of a guest" * 1000
SHA256 = hashlib.sha256(DATA).hexdigest()


@dataclass
class World:
    """The gateway and its clients, each at the Image API's root."""

    gateway: GatewayUnderTest
    directory: Path
    green: httpx.AsyncClient
    """A member of project green."""
    blue: httpx.AsyncClient
    reader: httpx.AsyncClient
    """Somebody who may only read in green."""
    admin: httpx.AsyncClient
    nobody: httpx.AsyncClient
    """Without a token."""
    projects: dict[str, str]
    """Name to id."""

    @classmethod
    async def make(cls, gateway: GatewayUnderTest, directory: Path) -> World:
        """Two projects and who is in them."""
        projects = {name: await gateway.project(name) for name in ("green", "blue", "control")}

        async def client(project: str | None, role: str = "member") -> httpx.AsyncClient:
            made = gateway.client(await gateway.caller(project, role) if project else None)
            made.base_url = httpx.URL("http://cloud.test/image")
            return made

        return cls(
            gateway,
            directory,
            green=await client("green"),
            blue=await client("blue"),
            reader=await client("green", "reader"),
            admin=await client("control", "admin"),
            nobody=await client(None),
            projects=projects,
        )

    @property
    def images(self) -> BuiltinImages:
        """The store itself."""
        images = self.gateway.services.images
        assert isinstance(images, BuiltinImages)
        return images

    @property
    def kubernetes(self) -> Kubernetes:
        """The API server, as an administrator of the cluster."""
        return self.gateway.services.cluster.kubernetes

    async def queued(self, client: httpx.AsyncClient | None = None, **fields: Any) -> dict[str, Any]:
        """An image without data."""
        body = {"name": "demo", "disk_format": "raw", "container_format": "bare", **fields}
        answer = await (client or self.green).post("/v2/images", json=body)
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    async def active(
        self, client: httpx.AsyncClient | None = None, data: bytes = DATA, **fields: Any
    ) -> dict[str, Any]:
        """An image with data."""
        client = client or self.green
        image = await self.queued(client, **fields)
        answer = await client.put(f"/v2/images/{image['id']}/file", content=data, headers=OCTETS)
        assert answer.status_code == 204, answer.text
        return await self.show(image["id"], client)

    async def show(self, image_id: str, client: httpx.AsyncClient | None = None) -> dict[str, Any]:
        """An image as `client` sees it."""
        answer = await (client or self.green).get(f"/v2/images/{image_id}")
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    async def names(self, client: httpx.AsyncClient, query: str = "") -> list[str]:
        """What the list of `client` has."""
        answer = await client.get(f"/v2/images?{query}")
        assert answer.status_code == 200, answer.text
        return [image["name"] for image in answer.json()["images"]]

    async def patch(
        self, client: httpx.AsyncClient, image_id: str, *operations: tuple[str, str, Any]
    ) -> httpx.Response:
        """A JSON patch of (operation, field, value)."""
        body = [{"op": op, "path": f"/{name}", "value": value} for op, name, value in operations]
        return await client.patch(f"/v2/images/{image_id}", json=body, headers=PATCH)

    def files(self) -> list[Path]:
        """Everything that is in the store's folder."""
        return [path for path in (self.directory / "images").rglob("*") if path.is_file()]

    # --- the other side ----------------------------------------------------------------------------------

    async def resource(self, image_id: str) -> Image | None:
        """The Image resource of an image."""
        record = [body for body in await self._resources() if body["spec"].get("id") == image_id]
        return Image.from_api(record[0]) if record else None

    async def _resources(self) -> list[dict[str, Any]]:
        answer = await self.kubernetes.request("GET", Image.kind_info.path())
        return list(answer["items"])

    async def apply(self, name: str, **spec: Any) -> Image:
        """What `kubectl apply` and then the conductor do."""
        body = {
            "apiVersion": "compute.cairn.dev/v1alpha1",
            "kind": "Image",
            "metadata": {"name": name},
            "spec": {"url": "http://127.0.0.1:9/x.qcow2", "sha256": "a" * 64, **spec},
        }
        image: Image = Image.from_api(await self.kubernetes.create(Image, body))
        await self.mirror(image)
        return image

    async def edit(self, name: str, **spec: Any) -> Mirrored:
        """What `kubectl edit` and then the conductor do."""
        return await self.mirror(
            Image.from_api(await self.kubernetes.patch(Image, name, None, {"spec": spec}))
        )

    async def mirror(self, image: Image) -> Mirrored:
        """What the conductor does when it sees the resource."""
        return await take_in_image(self._context(), image)

    async def forget(self, name: str) -> None:
        """What `kubectl delete` and then the conductor do."""
        await self.kubernetes.delete(Image, name)
        await remove_image(self._context(), "", name)

    def _context(self) -> MirrorContext:
        return MirrorContext(self.gateway.services.db, self.kubernetes)

    async def delete_resources(self) -> None:
        """Leave nothing to the next test."""
        for body in await self._resources():
            try:
                await self.kubernetes.delete(Image, body["metadata"]["name"])
            except NotFound:
                continue
