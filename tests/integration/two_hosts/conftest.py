"""Two real hypervisor hosts, each with an agent's driver, or with a whole Cairn."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import AsyncIterator, Iterator

import pytest

from cairn_local.control_plane.running import RunningControlPlane
from contract.libvirt_backends import LibvirtQemuBackend
from contract.pairs import Pair
from contract.room import missing_programs
from integration.cloud.cairn import Tenant
from integration.cloud.portal import Portal
from integration.conftest import control_plane, control_plane_binaries
from integration.two_hosts.cloud import TwoHosts, two_host_cloud
from support.two_hosts import Hosts, open_hosts

__all__ = ["control_plane", "control_plane_binaries"]
_tenants = itertools.count()


@pytest.fixture(scope="package")
def hosts() -> Iterator[Hosts]:
    """Two hosts that reach each other."""
    if missing := missing_programs():
        pytest.skip(f"not installed: {', '.join(missing)}")
    with open_hosts() as hosts:
        yield hosts


@pytest.fixture
async def pair(hosts: Hosts) -> AsyncIterator[Pair]:
    """Each host with files of its own."""
    here, there = hosts.rooms
    async with Pair(LibvirtQemuBackend(here), LibvirtQemuBackend(there)) as pair:
        yield pair


@pytest.fixture
async def sharing(hosts: Hosts) -> AsyncIterator[Pair]:
    """Both hosts with the same files."""
    here, there = hosts.rooms
    source = LibvirtQemuBackend(here)
    directory = source.settings.instances_directory
    async with Pair(source, LibvirtQemuBackend(there, instances_directory=directory)) as pair:
        yield pair


@pytest.fixture
def instance_id() -> str:
    return str(uuid.uuid4())


@pytest.fixture(scope="package")
def cloud(
    hosts: Hosts, control_plane: RunningControlPlane, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TwoHosts]:
    """One cloud for all tests."""
    with (
        Portal() as portal,
        two_host_cloud(hosts, control_plane, portal, tmp_path_factory.mktemp("two")) as cloud,
    ):
        yield cloud


@pytest.fixture
def tenant(cloud: TwoHosts) -> Iterator[Tenant]:
    """A project of its own, of which nothing is left."""
    made = Tenant(cloud.cairn, f"tenant-{next(_tenants)}")
    yield made
    made.clear()
