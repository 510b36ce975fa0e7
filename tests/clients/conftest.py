"""What tests with real clients share: a whole Cairn, and the clients' interpreter."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cairn_local.control_plane.running import RunningControlPlane
from clients.play import Player
from clients.programs import Clients
from clients.session_world import variables, write_files
from integration.conftest import control_plane, control_plane_binaries
from support.openstack_cloud import OpenStackCloud, running_openstack
from support.openstack_fixtures import real_glance, real_keystone

__all__ = ["control_plane", "control_plane_binaries", "real_glance", "real_keystone"]


@pytest.fixture(scope="package")
def openstack(
    control_plane: RunningControlPlane, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[OpenStackCloud]:
    """Two hosts with the fake driver, a gateway, and people."""
    with running_openstack(control_plane, tmp_path_factory.mktemp("openstack")) as cloud:
        yield cloud


@pytest.fixture(scope="package")
def player(openstack: OpenStackCloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Player]:
    """Plays steps as the cloud's people."""
    directory = tmp_path_factory.mktemp("session")
    write_files(directory)
    with Clients(directory) as clients:
        yield Player(clients, openstack.users, variables(openstack))
