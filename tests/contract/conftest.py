"""The hypervisors that every test of the contract runs on."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from cairn_agent.drivers.driver import Driver
from contract.backends import Backend
from contract.fake_backend import FakeBackend
from contract.libvirt_backends import LibvirtQemuBackend, LibvirtTestBackend, SecretTestBackend
from contract.pairs import Pair
from contract.room import Room, missing_programs, open_room
from support.two_hosts import Hosts, open_hosts


@pytest.fixture(scope="package")
def room() -> Iterator[Room]:
    """A libvirtd of our own with real QEMU."""
    if missing := missing_programs():
        pytest.skip(f"not installed: {', '.join(missing)}")
    with open_room() as room:
        yield room


@pytest.fixture(params=["fake", "libvirt-test", pytest.param("libvirt-qemu", marks=pytest.mark.qemu)])
async def backend(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Backend]:
    backend: Backend
    match request.param:
        case "fake":
            backend = FakeBackend(tmp_path)
        case "libvirt-test":
            backend = LibvirtTestBackend(tmp_path)
        case _:
            backend = LibvirtQemuBackend(request.getfixturevalue("room"))
    await backend.open()
    yield backend
    await backend.close()


@pytest.fixture(scope="package")
def hosts() -> Iterator[Hosts]:
    """Two hosts with real QEMU that reach each other."""
    if missing := missing_programs():
        pytest.skip(f"not installed: {', '.join(missing)}")
    with open_hosts() as hosts:
        yield hosts


@pytest.fixture(params=["fake", "libvirt-test", pytest.param("libvirt-qemu", marks=pytest.mark.qemu)])
async def pair(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Pair]:
    """Two hypervisors of one kind: a machine's host, and where it is to go."""
    here = tmp_path / "here"
    here.mkdir()
    there = tmp_path / "there"
    match request.param:
        case "fake":
            there.mkdir()
            pair = Pair(FakeBackend(here), FakeBackend(there))
        case "libvirt-test":
            pair = Pair(LibvirtTestBackend(here), SecretTestBackend(there))
        case _:
            rooms = request.getfixturevalue("hosts").rooms
            pair = Pair(LibvirtQemuBackend(rooms[0]), LibvirtQemuBackend(rooms[1]))
    async with pair:
        yield pair


@pytest.fixture
def driver(backend: Backend) -> Driver:
    return backend.driver


@pytest.fixture
def instance_id() -> str:
    return str(uuid.uuid4())
