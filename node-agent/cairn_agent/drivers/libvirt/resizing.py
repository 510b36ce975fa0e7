"""Resize on the same host: larger disks, other vCPUs and memory; what was there is kept until it is decided.

Nova API: POST /servers/{id}/action resize, confirmResize, revertResize. Like Nova's, a resize makes the swap
disk anew where its size changes, and grows no file system.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from cairn_agent.drivers.api import DiskTooSmall, DriverError, WrongPowerState
from cairn_agent.drivers.api_operations import MachineOperation
from cairn_agent.drivers.libvirt import storage
from cairn_agent.drivers.libvirt.records import KeptRecord, MachineRecord
from cairn_agent.drivers.libvirt.storage import GIB, MIB, MachineFiles
from cairn_agent.drivers.libvirt.workshop import Machine, Workshop
from cairn_crds.guest import GuestSpec
from cairn_crds.instance import PowerState


async def resize(workshop: Workshop, operation: MachineOperation) -> None:
    """As `Reshaping.resize`. Copies come first, so that every later step can be taken back."""
    machine = Machine(workshop, operation.node, operation.instance_id)
    power = await machine.power_state()
    record = await machine.record()
    if operation.id in record.done:
        return
    if power is not PowerState.SHUTDOWN:
        raise WrongPowerState(f"machine {operation.instance_id} is {power}: shut it down first")
    if record.kept is None or record.kept.operation_id != operation.id:
        await check_sizes(machine.files, operation.spec)
        record = await _begin(machine, record, operation.id)
    try:
        await _keep(machine, record)
        await grow_disks(machine.files, operation.spec)
        await machine.define(operation.spec)
    except DriverError:
        await _put_back(machine, record)
        await machine.write(record.updated(kept=None))
        raise
    await machine.write(record.finished(operation.id))


async def confirm_resize(workshop: Workshop, operation: MachineOperation) -> None:
    """As `Reshaping.confirm_resize`."""
    machine = Machine(workshop, operation.node, operation.instance_id)
    record = await machine.require()
    if record.kept is not None:
        await machine.remove_files(*(machine.files.kept(name) for name in record.kept.names))
        await machine.write(record.updated(kept=None))


async def revert_resize(workshop: Workshop, operation: MachineOperation) -> None:
    """As `Reshaping.revert_resize`."""
    machine = Machine(workshop, operation.node, operation.instance_id)
    record = await machine.require()
    if record.kept is None:
        return
    await machine.pull_plug()
    await _put_back(machine, record)
    await machine.define(operation.spec)
    await machine.write(record.updated(kept=None))


async def check_sizes(files: MachineFiles, spec: GuestSpec) -> None:
    """Raise DiskTooSmall where a disk would have to shrink."""
    if spec.root_disk_gib and files.root.exists():
        check_size("root", await storage.virtual_disk_size(files.root, "qcow2"), spec.root_disk_gib)
    if files.ephemeral.exists():
        check_size("ephemeral", files.ephemeral.stat().st_size, spec.ephemeral_disk_gib)


def check_size(name: str, size: int, gib: int) -> None:
    """Raise DiskTooSmall where a disk of `size` bytes is larger than `gib`."""
    if size > gib * GIB:
        raise DiskTooSmall(
            f"the {name} disk has {-(-size // GIB)} GiB, and the flavor {gib} GiB; disks do not shrink"
        )


async def grow_disks(files: MachineFiles, spec: GuestSpec) -> None:
    """Make the disks as large as the spec says, and those that are missing. Raises NoSpace."""
    size = spec.root_disk_gib * GIB
    if not spec.boots_from_volume and size > await storage.virtual_disk_size(files.root, "qcow2"):
        await storage.checked("qemu-img", "resize", "-q", "-f", "qcow2", str(files.root), str(size))
    if files.ephemeral.exists():
        os.truncate(files.ephemeral, max(files.ephemeral.stat().st_size, spec.ephemeral_disk_gib * GIB))
    if files.swap.exists() and files.swap.stat().st_size != spec.swap_mib * MIB:
        files.swap.unlink()
    await storage.make_other_disks(files, spec)


async def _begin(machine: Machine, record: MachineRecord, operation_id: str) -> MachineRecord:
    """Say what will be kept, once nothing is left of what an earlier resize kept."""
    files = machine.files

    def names() -> tuple[str, ...]:
        for stale in files.directory.glob(f"*{storage.KEPT}*"):
            stale.unlink()
        return tuple(path.name for path in files.disks if path.exists() and path != files.config_drive)

    kept = KeptRecord(operation_id=operation_id, names=await machine.in_thread(names))
    record = record.updated(kept=kept)
    await machine.write(record)
    return record


async def _keep(machine: Machine, record: MachineRecord) -> None:
    """Copy the disks that are to be kept and are not yet."""
    files = machine.files
    for name in record.kept.names if record.kept else ():
        if not files.kept(name).exists():
            await _copy(files.directory / name, files.kept(name))


async def _copy(source: Path, target: Path) -> None:
    """A copy that takes no space where the file system can share it."""
    scratch = target.with_name(f"{target.name}.new")
    scratch.unlink(missing_ok=True)
    try:
        await storage.checked("cp", "--reflink=auto", "--sparse=always", str(source), str(scratch))
    except DriverError:
        scratch.unlink(missing_ok=True)
        raise
    storage.publish(scratch, target)


async def _put_back(machine: Machine, record: MachineRecord) -> None:
    """The kept disks in place of what became of them; those that there were none of before go."""
    files = machine.files
    names = record.kept.names if record.kept else ()

    def put_back() -> None:
        for path in (files.root, files.ephemeral, files.swap):
            if path.name not in names:
                path.unlink(missing_ok=True)
                continue
            with contextlib.suppress(FileNotFoundError):  # put back before, or never copied
                files.kept(path.name).replace(path)

    await machine.in_thread(put_back)
