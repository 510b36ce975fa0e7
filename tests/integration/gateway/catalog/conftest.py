"""A gateway over a database of its own and the session's API server, with two projects."""

from __future__ import annotations

import asyncio
import secrets
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from cairn_crds import Project
from cairn_crds.base import Metadata
from cairn_crds.project import ProjectSpec, Quotas
from cairn_database import migrations, tenants
from cairn_gateway.services import Services
from cairn_local.control_plane.running import RunningControlPlane
from cairn_local.install import install_manifests
from support.gateway import GatewayUnderTest, gateway_app
from support.tree import ROOT


@pytest.fixture(scope="package")
def cluster(control_plane: RunningControlPlane) -> RunningControlPlane:
    """The API server with Cairn's kinds."""
    install_manifests(control_plane.kubeconfig, ROOT / "crds/manifests", [])
    return control_plane


class Town:
    """A gateway and the people of a project."""

    def __init__(self, gateway: GatewayUnderTest, project: str, other: str) -> None:
        self.gateway = gateway
        self.project = project
        self.other = other

    @property
    def services(self) -> Services:
        return self.gateway.services

    async def make_project(self, name: str, **quotas: int) -> str:
        """A project with its resource, namespace and row; its id."""
        spec = ProjectSpec(quotas=Quotas(**quotas))
        kubernetes = self.services.cluster.kubernetes
        await kubernetes.request("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
        made = Project.from_api(
            await kubernetes.create(Project, Project(metadata=Metadata(name=name), spec=spec).manifest())
        )
        await tenants.upsert_project(self.services.db, name, spec, uid=made.metadata.uid)
        return await self.project_id(name)

    async def project_id(self, name: str) -> str:
        record = await tenants.get_project(self.services.db, name)
        assert record is not None
        return record.id

    async def client(
        self, role: str = "member", *, project: str = "", user: str = "", version: str = "latest"
    ) -> httpx.AsyncClient:
        """Somebody's client, at the Compute API's root."""
        caller = await self.gateway.caller(project or self.project, role, user)
        client = self.gateway.client(caller, version)
        client.base_url = httpx.URL("http://cloud.test/compute/v2.1")
        return client


@pytest.fixture(scope="package")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with tables and no rows, to be copied."""
    path = tmp_path_factory.mktemp("database") / "empty.db"
    asyncio.run(migrations.upgrade(f"sqlite+aiosqlite:///{path}"))
    return path


@pytest_asyncio.fixture
async def town(cluster: RunningControlPlane, empty_database: Path, tmp_path: Path) -> AsyncIterator[Town]:
    """Two fresh projects, `town.project` and `town.other`."""
    suffix = secrets.token_hex(4)
    shutil.copy(empty_database, tmp_path / "cairn.db")
    async with gateway_app(
        f"sqlite+aiosqlite:///{tmp_path}/cairn.db", cluster, directory=tmp_path
    ) as gateway:
        town = Town(gateway, f"green-{suffix}", f"blue-{suffix}")
        await town.make_project(town.project)
        await town.make_project(town.other)
        yield town
