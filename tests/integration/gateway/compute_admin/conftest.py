"""A gateway with the rights of its own service account, over SQLite and a real API server.

`Cloud.host` plays the conductor's mirror: what it makes in the API server it takes into SQL at once.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import httpx
import pytest
import pytest_asyncio

from cairn_crds import ComputeNode, HostAggregate, Resource
from cairn_crds.base import Metadata
from cairn_database import Database, migrations, nodes
from cairn_local.control_plane.running import RunningControlPlane
from cairn_local.install import install_manifests
from cairn_runtime.kubernetes import Kubernetes
from cairn_runtime.settings import KubernetesSettings
from support.gateway import GatewayUnderTest, gateway_app
from support.tree import ROOT

LEASES = "/apis/coordination.k8s.io/v1/namespaces/cairn-system/leases"
BOOTED = datetime.now(UTC) - timedelta(days=3, hours=2, minutes=5)
INVENTORY: dict[str, Any] = {
    "hypervisorType": "QEMU",
    "hypervisorVersion": "7.2.0",
    "architecture": "x86_64",
    "vcpus": 8,
    "memoryMiB": 16384,
    "diskGiB": 100,
    "address": "192.0.2.10",
    "bootTime": BOOTED.isoformat(),
    "capabilities": {"cpu_info:model": "EPYC", "cpu_info:vendor": "AMD", "cpu_info:features": "avx aes"},
}


@dataclass
class Cloud:
    """What the tests work with."""

    gateway: GatewayUnderTest
    cluster: Kubernetes
    """The API server, as its administrator."""
    admin: httpx.AsyncClient
    """An administrator at the newest version."""
    anybody: httpx.AsyncClient
    """A member of some project."""

    @property
    def db(self) -> Database:
        return self.gateway.services.db

    async def at(self, version: str, role: str = "admin") -> httpx.AsyncClient:
        """Somebody with that role, at that version."""
        return self.gateway.client(await self.gateway.caller("blue", role), version)

    async def host(self, name: str, *, up: bool = True, **inventory: Any) -> None:
        """A ComputeNode that has reported, in the API server and in SQL."""
        await self.cluster.create(ComputeNode, ComputeNode(metadata=Metadata(name=name)).manifest())
        state = "True" if up else "False"
        condition = {"type": "Up", "status": state, "reason": "Test", "message": "Tested."}
        status = {**INVENTORY, "hostname": f"{name}.example", **inventory, "conditions": [condition]}
        node = ComputeNode.from_api(
            await self.cluster.patch(ComputeNode, name, None, {"status": status}, "status")
        )
        await nodes.upsert_compute_node(self.db, name, node.spec, node.status, node.metadata.uid)

    async def node(self, name: str) -> Any:
        """The ComputeNode as the API server has it."""
        return ComputeNode.from_api(await self.cluster.get(ComputeNode, name))

    async def aggregate(self, name: str) -> Any:
        """The HostAggregate as the API server has it."""
        return HostAggregate.from_api(await self.cluster.get(HostAggregate, name))

    async def names(self, kind: type[Resource]) -> list[str]:
        """Of all resources of that kind."""
        return [body["metadata"]["name"] for body in (await self.cluster.list_all(kind))[0]]

    async def clear(self) -> None:
        """Remove every host, aggregate and Lease."""
        for path in (ComputeNode.kind_info.path(), HostAggregate.kind_info.path(), LEASES):
            await self.cluster.request("DELETE", path)


@pytest.fixture(scope="module")
def plane(control_plane: RunningControlPlane) -> RunningControlPlane:
    """An API server with Cairn's kinds and the processes' rights."""
    rights = ROOT / "charts/cairn/files/rbac.yaml"
    install_manifests(control_plane.kubeconfig, ROOT / "crds/manifests", [rights])
    return control_plane


@pytest.fixture(scope="module")
def own_kubeconfig(plane: RunningControlPlane) -> Path:
    """The gateway's own rights."""
    return plane.service_account_kubeconfig("cairn-system", "cairn-gateway")


@pytest.fixture(scope="package")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with tables and no rows, to be copied."""
    path = tmp_path_factory.mktemp("empty") / "cairn.db"
    asyncio.run(migrations.upgrade(f"sqlite+aiosqlite:///{path}"))
    return path


@pytest_asyncio.fixture
async def cloud(
    plane: RunningControlPlane, own_kubeconfig: Path, empty_database: Path, tmp_path: Path
) -> AsyncIterator[Cloud]:
    """A cloud without hosts."""
    shutil.copy(empty_database, tmp_path / "cairn.db")
    url = f"sqlite+aiosqlite:///{tmp_path}/cairn.db"
    own = cast(RunningControlPlane, SimpleNamespace(kubeconfig=own_kubeconfig))
    cluster = Kubernetes(KubernetesSettings(kubeconfig=plane.kubeconfig))
    await cluster.open()
    async with gateway_app(url, own, directory=tmp_path) as gateway:
        await gateway.project("blue")
        admin = gateway.client(await gateway.caller("blue", "admin"))
        anybody = gateway.client(await gateway.caller("blue", "member"))
        found = Cloud(gateway, cluster, admin, anybody)
        await found.clear()
        yield found
        await found.clear()
    await cluster.close()
