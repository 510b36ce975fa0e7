"""What the tests of the fault harness share: the API server in memory, and a real one to compare it with."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
import pytest_asyncio

from cairn_local.control_plane.running import RunningControlPlane
from cairn_local.install import install_manifests
from faults.api_servers import AnyApiServer, InMemory, Real
from faults.world.api import ApiServer
from integration.conftest import control_plane, control_plane_binaries
from support.tree import ROOT

__all__ = ["control_plane", "control_plane_binaries"]


@pytest.fixture(scope="package")
def plane_with_crds(control_plane: RunningControlPlane) -> RunningControlPlane:
    """A control plane that knows Cairn's kinds."""
    install_manifests(control_plane.kubeconfig, ROOT / "crds" / "manifests", [])
    return control_plane


@pytest.fixture(params=["in memory", "real"])
def real_server(request: pytest.FixtureRequest) -> RunningControlPlane | None:
    """None: the one in memory is meant."""
    if request.param == "in memory":
        return None
    plane: RunningControlPlane = request.getfixturevalue("plane_with_crds")
    return plane


@pytest_asyncio.fixture
async def api(real_server: RunningControlPlane | None) -> AsyncIterator[AnyApiServer]:
    """An API server, with a namespace of the test's own."""
    if real_server is not None:
        server: AnyApiServer = await Real.connected(real_server.kubeconfig)
    else:
        server = InMemory(ApiServer(lambda: datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")))
    await server.make_namespace()
    yield server
    await server.close()
