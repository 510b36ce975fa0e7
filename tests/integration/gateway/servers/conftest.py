"""A gateway over SQLite and a real API server, with what a server needs: a project, a flavor, a network, an
image."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from cairn_crds.flavor import FlavorSpec
from cairn_crds.image import ImageSpec
from cairn_crds.network import NetworkSpec
from cairn_database import Database, InstanceRecord, catalog
from cairn_database.images import rows, snapshots
from cairn_gateway.app import create_app
from cairn_gateway.http.call import Call
from cairn_gateway.services import ImageToBoot
from cairn_local.control_plane.running import RunningControlPlane
from cairn_local.install import install_manifests
from cairn_local.stack import CRDS, RBAC
from cairn_runtime.health import Health
from support.gateway import GatewayUnderTest, gateway_app

IMAGE = "11111111-2222-4333-8444-555555555555"


class OneImage:
    """An image back end that has one image, for everybody, and takes others from hosts."""

    def __init__(self, db: Database) -> None:
        self.db = db

    async def find(self, _call: Call, image_id: str) -> ImageToBoot | None:
        """As `services.Images` says."""
        if image_id != IMAGE:
            return None
        spec = ImageSpec(url="http://127.0.0.1:9/x", sha256="0" * 64, min_memory_mib=64)
        return ImageToBoot(id=IMAGE, name="Demo", resource="demo", spec=spec, size=1, status="active")

    async def reserve(
        self, _call: Call, instance: InstanceRecord, *, name: str, properties: Any, backup: Any = None
    ) -> tuple[str, str]:
        """As the built-in store does."""
        return await snapshots.reserve(
            self.db,
            "http://gateway.test",
            name=name,
            instance=instance,
            properties=properties,
            backup=backup,
        )

    async def abandon(self, image_id: str) -> None:
        """As the built-in store does."""
        await rows.remove(self.db, image_id)

    async def close(self) -> None:
        """Nothing is open."""


@dataclass
class Room:
    """One gateway and who uses it."""

    gateway: GatewayUnderTest
    member: httpx.AsyncClient
    reader: httpx.AsyncClient
    admin: httpx.AsyncClient
    stranger: httpx.AsyncClient
    """A member of another project."""
    project: str

    async def server(self, name: str = "web", **fields: Any) -> dict[str, Any]:
        """Make one; as GET shows it."""
        body = {"name": name, "flavorRef": "small", "imageRef": IMAGE, "networks": "auto", **fields}
        answer = await self.member.post("/compute/v2.1/servers", json={"server": body})
        assert answer.status_code == 202, answer.text
        return await self.show(answer.json()["server"]["id"])

    async def show(self, server_id: str) -> dict[str, Any]:
        """GET /servers/{id}, for the member."""
        answer = await self.member.get(f"/compute/v2.1/servers/{server_id}")
        assert answer.status_code == 200, answer.text
        server: dict[str, Any] = answer.json()["server"]
        return server

    async def act(self, server_id: str, **action: Any) -> httpx.Response:
        """POST /servers/{id}/action, by the member."""
        return await self.member.post(f"/compute/v2.1/servers/{server_id}/action", json=action)


@pytest.fixture(scope="package")
def plane(control_plane: RunningControlPlane) -> RunningControlPlane:
    """The API server, knowing Cairn's kinds."""
    install_manifests(control_plane.kubeconfig, CRDS, [RBAC])
    return control_plane


@pytest_asyncio.fixture
async def room(plane: RunningControlPlane, tmp_path: Path) -> AsyncIterator[Room]:
    """No conductor runs: what is asked for stays asked for."""
    control_plane = plane
    project, other = f"green-{uuid.uuid4().hex[:8]}", f"blue-{uuid.uuid4().hex[:8]}"
    for name in (project, other):
        control_plane.kubectl("create", "namespace", name)
    async with gateway_app(f"sqlite+aiosqlite:///{tmp_path}/cairn.db", control_plane) as gateway:
        services = replace(gateway.services, images=OneImage(gateway.services.db))
        gateway.services, gateway.app = services, create_app(services, Health())
        db = services.db
        await gateway.project(project)
        await gateway.project(other)
        await catalog.flavors.upsert(db, "small", FlavorSpec(vcpus=1, memory_mib=128, disk_gib=1))
        await catalog.flavors.upsert(db, "tiny", FlavorSpec(vcpus=1, memory_mib=32))
        network = NetworkSpec(cidr="10.9.0.0/24", default=True)
        await catalog.networks.take_in(db, "net", network, str(uuid.uuid4()))

        async def client(name: str, role: str) -> httpx.AsyncClient:
            return gateway.client(await gateway.caller(name, role))

        yield Room(
            gateway,
            member=await client(project, "member"),
            reader=await client(project, "reader"),
            admin=await client(other, "admin"),
            stranger=await client(other, "member"),
            project=project,
        )
