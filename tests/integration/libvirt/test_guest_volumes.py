"""Volumes as guests see them: real Linux writes to a disk that comes and goes while it runs."""

from __future__ import annotations

import asyncio
import uuid

import pytest

from cairn_crds.guest import GuestSpec, GuestSuccessor, GuestVolume
from cairn_crds.host_volume import HostVolumeSpec, VolumeReference
from cairn_local.images import BuiltImage
from contract.backends import NODE
from contract.libvirt_backends import LibvirtQemuBackend
from integration.libvirt.demo import DemoGuest

pytestmark = pytest.mark.qemu


async def make_volume(qemu: LibvirtQemuBackend, size_gib: int = 1) -> str:
    """A new, empty one; its id."""
    volume_id = str(uuid.uuid4())
    made_for = VolumeReference(namespace="blue", name="data")
    await qemu.driver.make_volume(NODE, volume_id, HostVolumeSpec(volume=made_for, size_gib=size_gib))
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


WRITE = "while [ ! -e /stop ]; do n=$((n+1)); echo $n | dd of=/dev/{0} bs=512 seek=$n conv=notrunc,fsync"


async def test_a_guest_writes_on_while_its_volume_is_replaced(
    qemu: LibvirtQemuBackend, demo_image: BuiltImage
) -> None:
    guest = await DemoGuest.boot(qemu, str(uuid.uuid4()), demo_image)
    old, new = await make_volume(qemu), await make_volume(qemu, 2)
    await qemu.driver.reconfigure(NODE, guest.instance_id, having(guest, old))
    disk = await guest.until_disk(old)
    await guest.run(f"(n=0; {WRITE.format(disk)} 2>/dev/null; done; echo $n > /count) & true")
    successor = GuestSuccessor(id=str(uuid.uuid4()), volume=new, size_gib=2)
    volume = GuestVolume(id=old, size_gib=1, successor=successor)
    while await qemu.driver.swap_volume(NODE, guest.instance_id, volume) < 100:  # noqa: ASYNC110
        await asyncio.sleep(0.05)
    await qemu.driver.reconfigure(NODE, guest.instance_id, having(guest, new))
    assert qemu.volumes(guest.instance_id, live=True) == {new: False}
    await guest.run("touch /stop; while [ ! -e /count ]; do sleep 0.1; done")
    written = int(await guest.run("cat /count"))
    assert written > 2
    await guest.run("echo 3 > /proc/sys/vm/drop_caches")
    lines = await guest.run(f"head -c {512 * (written + 1)} /dev/{disk} | tr -d '\\0' | wc -l")
    assert int(lines) == written, "nothing that was written is lost"
    assert await guest.run(f"cat /sys/block/{disk}/size") == str(2 * 1024**3 // 512)
