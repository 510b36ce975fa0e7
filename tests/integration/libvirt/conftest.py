"""The libvirt driver on real QEMU, and on libvirt's in-memory connection."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from cairn_local.images import BuiltImage
from cairn_local.images.demo import ensure_demo_image
from contract.libvirt_backends import LibvirtQemuBackend, LibvirtTestBackend
from contract.room import Room, missing_programs, open_room


@pytest.fixture(scope="package")
def room() -> Iterator[Room]:
    if missing := missing_programs():
        pytest.skip(f"not installed: {', '.join(missing)}")
    with open_room() as room:
        yield room


@pytest.fixture
async def qemu(room: Room) -> AsyncIterator[LibvirtQemuBackend]:
    """Real guests."""
    backend = LibvirtQemuBackend(room)
    await backend.open()
    yield backend
    await backend.close()


@pytest.fixture
async def in_memory(tmp_path: Path) -> AsyncIterator[LibvirtTestBackend]:
    """Real disks, no guests."""
    backend = LibvirtTestBackend(tmp_path)
    await backend.open()
    yield backend
    await backend.close()


@pytest.fixture(scope="package")
def demo_image() -> BuiltImage:
    """The demo image, built unless it is there already."""
    return ensure_demo_image(print)


@pytest.fixture
def instance_id() -> str:
    return str(uuid.uuid4())
