"""A cloud with the built-in identity: the real application, a real database, a real API server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from cairn_local.control_plane.running import RunningControlPlane
from cairn_local.install import install_manifests
from cairn_local.stack import CRDS
from integration.gateway.identity.people import IdentityCloud, identity_cloud


@pytest.fixture(scope="package")
def plane(control_plane: RunningControlPlane) -> RunningControlPlane:
    """A control plane with Cairn's resource definitions."""
    install_manifests(control_plane.kubeconfig, CRDS, [])
    return control_plane


@pytest_asyncio.fixture
async def cloud(plane: RunningControlPlane, tmp_path: Path) -> AsyncIterator[IdentityCloud]:
    """One gateway, and its first administrator."""
    async with identity_cloud(f"sqlite+aiosqlite:///{tmp_path}/cairn.db", plane) as running:
        yield running
