"""One whole Cairn with three hosts of the fake driver and a gateway, for every action from request to end."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cairn_local.control_plane.running import RunningControlPlane
from integration.actions.world import Actor
from integration.conftest import control_plane, control_plane_binaries
from support.openstack_cloud import OpenStackCloud, running_openstack

__all__ = ["control_plane", "control_plane_binaries"]
# A control plane of their own: other tests make hosts and images that this Cairn would take for its own.
RECLAIM_SECONDS = 4
SETTINGS = {
    "conductor": {
        "conductor__sweep_seconds": 1,
        "conductor__reclaim_seconds": RECLAIM_SECONDS,
        "conductor__run_keep_count": 2,
    },
    "gateway": {"compute__reclaim_seconds": RECLAIM_SECONDS, "images__sweep_seconds": 1},
}


@pytest.fixture(scope="package")
def openstack(
    control_plane: RunningControlPlane, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[OpenStackCloud]:
    """The cloud."""
    directory = tmp_path_factory.mktemp("actions")
    with running_openstack(control_plane, directory, nodes=3, settings=SETTINGS) as cloud:
        yield cloud


@pytest.fixture
def ann(openstack: OpenStackCloud) -> Iterator[Actor]:
    """A member of project demo, whose servers go when the test ends."""
    actor = Actor.sign_in(openstack, "ann", "demo")
    yield actor
    actor.leave()
