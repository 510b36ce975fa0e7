"""Volumes as guests see them: real Linux writes to a disk that comes and goes while it runs."""

from __future__ import annotations

import asyncio
import uuid

import pytest

from cairn_crds.guest import GuestSpec, GuestVolume
from cairn_crds.host_volume import HostVolumeSpec, VolumeReference
from cairn_local.images import BuiltImage
from contract.backends import NODE, LibvirtQemuBackend
from integration.libvirt.demo import DemoGuest

pytestmark = pytest.mark.qemu


async def make_volume(qemu: LibvirtQemuBackend) -> str:
    """A new, empty one; its id."""
    volume_id = str(uuid.uuid4())
    made_for = VolumeReference(namespace="blue", name="data")
    await qemu.driver.make_volume(NODE, volume_id, HostVolumeSpec(volume=made_for, size_gib=1))
    return volume_id


def having(guest: DemoGuest, *volume_ids: str) -> GuestSpec:
    """The guest's spec with these volumes."""
    volumes = [GuestVolume(id=volume_id, size_gib=1) for volume_id in volume_ids]
    return guest.spec.model_copy(update={"volumes": volumes})


async def test_what_one_guest_writes_the_next_one_reads(
    qemu: LibvirtQemuBackend, demo_image: BuiltImage
) -> None:
    first, second = await asyncio.gather(
        *(DemoGuest.boot(qemu, str(uuid.uuid4()), demo_image) for _ in range(2))
    )
    volume_id = await make_volume(qemu)
    await qemu.driver.reconfigure(NODE, first.instance_id, having(first, volume_id))
    disk = await first.until_disk(volume_id)
    await first.run(f"echo from the first | dd of=/dev/{disk} conv=fsync 2>/dev/null")

    await qemu.driver.reconfigure(NODE, first.instance_id, having(first))
    assert await first.disk(volume_id) == "", "the guest has let go of it"
    assert qemu.volumes(first.instance_id, live=True) == {}

    await qemu.driver.reconfigure(NODE, second.instance_id, having(second, volume_id))
    disk = await second.until_disk(volume_id)
    assert await second.run(f"head -n 1 /dev/{disk}") == "from the first"
