"""A gateway over SQLite and the real API server, with the built-in image store in a folder."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from cairn_local.control_plane.running import RunningControlPlane
from cairn_local.install import install_manifests
from integration.gateway.image.world import World
from support.gateway import gateway_app
from support.tree import ROOT


@pytest.fixture(scope="package")
def cluster(control_plane: RunningControlPlane) -> RunningControlPlane:
    """The API server with Cairn's kinds."""
    install_manifests(control_plane.kubeconfig, ROOT / "crds/manifests", [])
    return control_plane


@pytest_asyncio.fixture
async def world(cluster: RunningControlPlane, tmp_path: Path) -> AsyncIterator[World]:
    """Projects green and blue with their members, and an administrator."""
    url = f"sqlite+aiosqlite:///{tmp_path}/cairn.db"
    async with gateway_app(url, cluster, directory=tmp_path) as gateway:
        made = await World.make(gateway, tmp_path)
        try:
            yield made
        finally:
            await made.delete_resources()
