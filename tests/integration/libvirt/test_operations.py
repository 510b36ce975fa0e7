"""What real guests see of operations, and what a killed agent leaves of a backup."""

from __future__ import annotations

import asyncio
import contextlib
import time

import pytest

from cairn_agent.drivers.api_operations import MachineOperation
from cairn_agent.drivers.libvirt import snapshots
from cairn_crds.guest_operation import GuestOperation, GuestPassword, OperationKind
from cairn_crds.instance import PowerState
from contract.backends import NODE, PATIENCE
from contract.disks import disk_content, run
from contract.guests import BOOT_SECTOR, COUNT_PLACE, GREETING, write_image
from contract.libvirt_backends import LibvirtQemuBackend
from contract.machines import operation, power, spawn
from integration.two_hosts.counting import Counts, until_it_counts_on, written_count

pytestmark = pytest.mark.qemu
FILLED_MIB = 48
"""Enough of a disk for its backup to take a while."""


def _fill(backend: LibvirtQemuBackend, instance_id: str) -> None:
    """Write to most of the root disk of a machine that is off."""
    disk = backend.files(instance_id).root
    run("qemu-io", "-f", "qcow2", "-c", f"write -P 7 1M {FILLED_MIB}M", disk)


async def test_an_image_has_one_moment_and_the_guest_writes_on(
    qemu: LibvirtQemuBackend, instance_id: str
) -> None:
    spec = await spawn(qemu, instance_id, qemu.spec(image=qemu.counting, root_disk_gib=1))
    _fill(qemu, instance_id)
    await qemu.driver.power_on(NODE, instance_id)
    await qemu.started(instance_id)
    counts = Counts(qemu, instance_id)
    await until_it_counts_on(counts)
    before = counts.highest
    began = time.monotonic()
    image = await qemu.driver.snapshot(operation(instance_id, spec))
    print(f"backup of {FILLED_MIB} MiB: {time.monotonic() - began:.1f} s")
    await until_it_counts_on(counts, more=30)
    assert sorted(counts.seen) == list(range(1, counts.highest + 1))

    taken = int(disk_content(image.path, "qcow2")[COUNT_PLACE : COUNT_PLACE + 8], 16)
    assert before - 16 <= taken <= counts.highest
    assert "backing" not in run("qemu-img", "info", image.path)
    run("qemu-img", "check", "-q", image.path)
    definition = qemu.definition(instance_id, live=True)
    disks = [source.get("file") for source in definition.iterfind("devices/disk/source")]
    assert str(qemu.files(instance_id).root) in disks

    await qemu.driver.power_off(NODE, instance_id, 0)
    assert written_count(qemu, instance_id) > taken
    run("qemu-img", "check", "-q", qemu.files(instance_id).root)


async def _cut_off(backend: LibvirtQemuBackend, snapshot: MachineOperation) -> None:
    """Begin a backup and kill the agent in the middle of it."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        begun = asyncio.Event()

        async def forgotten(*_: object) -> None:
            """The agent no longer gets to tidy up."""

        def outcome(_: object) -> str:
            begun.set()
            return str(backend.files(snapshot.instance_id).snapshot(snapshot.id)) + ".new"

        monkeypatch.setattr(snapshots, "drop_backup", forgotten)
        monkeypatch.setattr(snapshots, "_backup_target", outcome)
        task = asyncio.create_task(backend.driver.snapshot(snapshot))
        await asyncio.wait_for(begun.wait(), PATIENCE)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@pytest.mark.parametrize("same", [True, False], ids=["same-operation", "another-operation"])
async def test_a_backup_of_a_killed_agent_is_in_nobodys_way(
    qemu: LibvirtQemuBackend, instance_id: str, same: bool
) -> None:
    spec = await spawn(qemu, instance_id, qemu.spec(root_disk_gib=1))
    qemu.scribble(instance_id, "mine")
    _fill(qemu, instance_id)
    await qemu.driver.power_on(NODE, instance_id)
    lost = operation(instance_id, spec)
    await _cut_off(qemu, lost)
    driver = await qemu.restart()
    image = await driver.snapshot(lost if same else operation(instance_id, spec))
    assert qemu.image_text(image) == "listening mine"
    assert await power(driver, instance_id) is PowerState.RUNNING
    await driver.drop_snapshot(lost)
    if same:
        assert not list(qemu.files(instance_id).directory.glob("snapshot.*"))


async def test_a_rescued_guest_boots_the_rescue_disk_and_sees_its_own(
    qemu: LibvirtQemuBackend, instance_id: str
) -> None:
    greeting = b"rescue at your duty".ljust(len(GREETING) - 2, b"!") + b"\r\n"
    other = BOOT_SECTOR.replace(GREETING, greeting)
    image = write_image(qemu.settings.instances_directory.parent / "rescue.raw", other)
    spec = await spawn(qemu, instance_id)
    hashed = "$6$salt$" + "x" * 86
    spec = spec.model_copy(
        update={
            "operation": GuestOperation(
                id="0a6e5a0e-4c1f-4bb2-9a53-3b9f7e1d2c11",
                kind=OperationKind.RESCUE,
                password=GuestPassword(hash=hashed),
            )
        }
    )
    await qemu.driver.rescue(operation(instance_id, spec), image)
    async with asyncio.timeout(PATIENCE):
        log = b""
        while b"rescue at your duty" not in log:
            await asyncio.sleep(0.02)
            log = await qemu.driver.console_log(NODE, instance_id, 1024)
    files = qemu.files(instance_id)
    disks = {
        target.get("dev"): source.get("file")
        for disk in qemu.definition(instance_id, live=True).iterfind("devices/disk")
        if (target := disk.find("target")) is not None and (source := disk.find("source")) is not None
    }
    assert disks["vda"] == str(files.rescue)
    assert disks["vdb"] == str(files.root)
    assert hashed.encode() in files.rescue_config_drive.read_bytes()
    assert hashed.encode() not in files.config_drive.read_bytes()

    await qemu.driver.power_off(NODE, instance_id, 0)
    await qemu.driver.power_on(NODE, instance_id)
    definition = qemu.definition(instance_id, live=True)
    assert definition.find(f"devices/disk/source[@file='{files.rescue}']") is not None
    await qemu.driver.unrescue(operation(instance_id, spec))
    assert not files.rescue.exists()
    definition = qemu.definition(instance_id)
    assert definition.find(f"devices/disk/source[@file='{files.rescue}']") is None
