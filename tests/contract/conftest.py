"""The hypervisors that every test of the contract runs on."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from cairn_agent.drivers.driver import Driver
from contract.backends import Backend, FakeBackend, LibvirtQemuBackend, LibvirtTestBackend
from contract.room import Room, missing_programs, open_room


@pytest.fixture(scope="session")
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


@pytest.fixture
def driver(backend: Backend) -> Driver:
    return backend.driver


@pytest.fixture
def instance_id() -> str:
    return str(uuid.uuid4())
