"""What integration tests share: a real Kubernetes API server.

Each pytest-xdist worker runs a control plane of its own, on free ports and in its own folder; its programs
come from the place `cairn up` would take them from (built once when there is none).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from cairn_local.control_plane.binaries import Binaries, find_binaries
from cairn_local.control_plane.running import RunningControlPlane, running_control_plane
from support.openstack_fixtures import real_glance, real_keystone

COLLECT_LESS = {"GOGC": "300"}
"""Of a control plane in tests: it may take a quarter more memory for a tenth less CPU."""

__all__ = ["control_plane", "control_plane_binaries", "real_glance", "real_keystone"]


@pytest.fixture(scope="package")
def control_plane_binaries() -> Binaries:
    """The control plane's programs; the first run on a machine builds them, which takes minutes."""
    return find_binaries(lambda line: print(line, file=sys.__stderr__, flush=True))


@pytest.fixture(scope="package")
def control_plane(
    control_plane_binaries: Binaries, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningControlPlane]:
    """A Kubernetes control plane for the whole session: `.kubeconfig`, `.kubectl()`, `.group["etcd"].kill()`.

    Tests share it: use a namespace of your own, and leave its processes running. Its audit log is on, see
    `.mark()` and `.writes_since()`.
    """
    directory = tmp_path_factory.mktemp("control-plane")
    with running_control_plane(
        directory, control_plane_binaries, audit=True, environment=COLLECT_LESS
    ) as running:
        yield running
