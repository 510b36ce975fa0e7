"""Two real hypervisor hosts, each with an agent's driver."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterator

import pytest

from contract.backends import LibvirtQemuBackend
from contract.pairs import Pair
from contract.room import missing_programs
from support.two_hosts import Hosts, open_hosts


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
