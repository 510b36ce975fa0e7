"""People of two projects at the Network API, over a real API server."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest_asyncio

from cairn_crds import Metadata, Network, NetworkSpec
from cairn_database import audit, catalog
from cairn_local.control_plane.running import RunningControlPlane
from integration.gateway.catalog.conftest import Town, cluster, empty_database
from support.gateway import gateway_app

__all__ = ["cluster", "empty_database"]
Json = dict[str, Any]


class Person:
    """Somebody at the Network API."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client

    async def get(self, path: str, expect: int = 200, **query: Any) -> Json:
        return await self._send("GET", path, None, expect, params=query)

    async def post(self, path: str, body: Json, status: int = 201) -> Json:
        return await self._send("POST", path, body, status)

    async def put(self, path: str, body: Json, status: int = 200) -> Json:
        return await self._send("PUT", path, body, status)

    async def delete(self, path: str, status: int = 204) -> Json:
        return await self._send("DELETE", path, None, status)

    async def _send(self, method: str, path: str, body: Any, status: int, **more: Any) -> Json:
        answer = await self.client.request(method, f"/v2.0{path}", json=body, **more)
        assert answer.status_code == status, f"{method} {path}: {answer.status_code} {answer.text}"
        return dict(answer.json()) if answer.content else {}

    async def network(self, name: str = "n1", cidr: str | None = "10.5.0.0/24", **more: Any) -> Json:
        """A network, with a subnet unless `cidr` is None."""
        made = (await self.post("/networks", {"network": {"name": name, **more}}))["network"]
        if cidr is not None:
            await self.post("/subnets", {"subnet": {"network_id": made["id"], "cidr": cidr, "ip_version": 4}})
        return dict((await self.get(f"/networks/{made['id']}"))["network"])

    async def port(self, network: Json, **more: Any) -> Json:
        made = await self.post("/ports", {"port": {"network_id": network["id"], **more}})
        return dict(made["port"])


class City(Town):
    """Two projects and their people."""

    async def person(self, role: str = "member", project: str = "") -> Person:
        caller = await self.gateway.caller(project or self.project, role)
        client = self.gateway.client(caller)
        client.base_url = httpx.URL("http://cloud.test/network")
        return Person(client)

    async def operators_network(self, name: str, **spec: Any) -> Network:
        """A Network that somebody applied with kubectl, taken in."""
        wanted = Network(
            metadata=Metadata(name=f"{name}-{secrets.token_hex(3)}"), spec=NetworkSpec.model_validate(spec)
        )
        made = Network.from_api(await self.services.cluster.create(wanted))
        metadata = made.metadata
        await catalog.networks.take_in(self.services.db, metadata.name, made.spec, metadata.uid)
        return made

    async def assert_consistent(self) -> None:
        assert await audit.findings(self.services.db) == []


@pytest_asyncio.fixture
async def city(cluster: RunningControlPlane, empty_database: Path, tmp_path: Path) -> AsyncIterator[City]:
    """Two fresh projects, `city.project` and `city.other`."""
    suffix = secrets.token_hex(4)
    shutil.copy(empty_database, tmp_path / "cairn.db")
    url = f"sqlite+aiosqlite:///{tmp_path}/cairn.db"
    async with gateway_app(url, cluster, directory=tmp_path) as gateway:
        city = City(gateway, f"green-{suffix}", f"blue-{suffix}")
        await city.make_project(city.project)
        await city.make_project(city.other)
        yield city
        await city.assert_consistent()
        for network in await catalog.networks.list(city.services.db):
            await gateway.services.cluster.delete(Network, network)


@pytest_asyncio.fixture
async def me(city: City) -> Person:
    """A member of `city.project`."""
    return await city.person()


@pytest_asyncio.fixture
async def admin(city: City) -> Person:
    """An administrator, who works in a project of his own."""
    await city.make_project(f"admin-{city.project}")
    return await city.person("admin", f"admin-{city.project}")


@pytest_asyncio.fixture
async def stranger(city: City) -> Person:
    """A member of `city.other`."""
    return await city.person(project=city.other)
