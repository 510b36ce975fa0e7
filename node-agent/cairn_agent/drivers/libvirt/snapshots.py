"""Images of machines, of stopped and of running ones.

A stopped machine's disk is copied. A running one's is backed up by QEMU itself: the copy has the disk as it
was when the backup began, the guest goes on writing to the very same file, and nothing about the machine
changes, whoever dies in between. Either way the image is made under another name and renamed.

Nova API: POST /servers/{id}/action createImage.
"""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, SubElement, fromstring, tostring

import libvirt

from cairn_agent.drivers.api import DriverError, NoSpace
from cairn_agent.drivers.api_operations import MachineImage, MachineOperation
from cairn_agent.drivers.libvirt import domains, storage
from cairn_agent.drivers.libvirt.errors import FULL, is_code
from cairn_agent.drivers.libvirt.workshop import Machine, Workshop
from cairn_crds.instance import PowerState

POLL_SECONDS = (0.05, 1.0)
"""First and longest pause between two looks at a backup."""
LIVE = (PowerState.RUNNING, PowerState.PAUSED)


async def snapshot(workshop: Workshop, operation: MachineOperation) -> MachineImage:
    """As `Snapshots.snapshot`."""
    machine = Machine(workshop, operation.node, operation.instance_id)
    power = await machine.power_state()
    image = machine.files.snapshot(operation.id)
    scratch = image.with_name(f"{image.name}.new")
    if not await machine.in_thread(image.exists):
        await drop_backup(machine, scratch)
        try:
            await _copy(machine, power, _root(machine, operation), scratch)
        except BaseException:
            await drop_backup(machine, scratch)
            raise
        await machine.in_thread(lambda: storage.publish(scratch, image))
    return MachineImage(image, "qcow2")


async def drop_snapshot(workshop: Workshop, operation: MachineOperation) -> None:
    """As `Snapshots.drop_snapshot`."""
    machine = Machine(workshop, operation.node, operation.instance_id)
    image = machine.files.snapshot(operation.id)
    await drop_backup(machine, image.with_name(f"{image.name}.new"))
    await machine.remove_files(image)


async def drop_backup(machine: Machine, target: Path) -> None:
    """Give up a backup into that file, and remove the file."""

    def stop(connection: Any) -> bool:
        domain = domains.find_owned(connection, machine.node, machine.instance_id)
        if domain is None or _backup_target(domain) != str(target):
            return False
        with _nothing_under_way():
            domain.abortJob()
        return True

    stopping = True
    while stopping:
        if stopping := await machine.workshop.connection.run(stop):
            await asyncio.sleep(POLL_SECONDS[0])
    await machine.remove_files(target)


def _root(machine: Machine, operation: MachineOperation) -> Path:
    """The file of what it boots from, its own disk or a volume."""
    volume = operation.spec.root_volume
    if volume is None:
        return machine.files.root
    return machine.workshop.volumes.path(volume.id, volume.backend)


async def _copy(machine: Machine, power: PowerState, root: Path, target: Path) -> None:
    """A machine that goes off meanwhile takes its backup along: then its disk is copied as it is."""
    if power in LIVE and await _back_up(machine, root, target):
        return
    await machine.remove_files(target)
    await storage.checked("qemu-img", "convert", "-f", "qcow2", "-O", "qcow2",
                          str(root), str(target))  # fmt: skip


async def _back_up(machine: Machine, root: Path, target: Path) -> bool:
    """Let QEMU copy the root disk; False where the machine went off before it was through."""

    def begin(domain: Any) -> bool:
        try:
            domain.backupBegin(_backup_xml(domain, str(root), target), None, 0)
        except libvirt.libvirtError as error:
            if is_code(error, libvirt.VIR_ERR_OPERATION_INVALID) and not domain.isActive():
                return False
            raise
        return True

    if not await machine.with_domain(begin):
        return False
    pause, longest = POLL_SECONDS
    while await machine.with_domain(_backup_target) == str(target):
        await asyncio.sleep(pause)
        pause = min(longest, pause * 1.5)
    succeeded, message = await machine.with_domain(_outcome)
    if succeeded:
        await storage.until_closed(target)
        return True
    if await machine.power_state() not in LIVE:
        return False
    kind = NoSpace if any(text in message.lower() for text in FULL) else DriverError
    raise kind(f"the backup of machine {machine.instance_id} failed: {message}")


def _backup_xml(domain: Any, root: str, target: Path) -> str:
    """libvirt's description of a backup of the root disk alone."""
    backup = Element("domainbackup", mode="push")
    disks = SubElement(backup, "disks")
    for disk in fromstring(domain.XMLDesc()).iterfind("devices/disk"):  # noqa: S314 - written by libvirt
        name = disk.find("target")
        source = disk.find("source")
        wanted = source is not None and source.get("file") == root
        entry = SubElement(disks, "disk", name="" if name is None else name.get("dev", ""))
        entry.set("backup", "yes" if wanted else "no")
        if wanted:
            entry.set("type", "file")
            SubElement(entry, "target", file=str(target))
            SubElement(entry, "driver", type="qcow2")
    return tostring(backup, encoding="unicode")


def _backup_target(domain: Any) -> str | None:
    """The file of the backup that is under way."""
    try:
        description = fromstring(domain.backupGetXMLDesc())  # noqa: S314 - written by libvirt
    except libvirt.libvirtError as error:
        if is_code(
            error,
            libvirt.VIR_ERR_NO_DOMAIN_BACKUP,
            libvirt.VIR_ERR_OPERATION_INVALID,
            libvirt.VIR_ERR_NO_DOMAIN,
            libvirt.VIR_ERR_NO_SUPPORT,
        ):
            return None
        raise
    target = description.find("disks/disk[@backup='yes']/target")
    return None if target is None else target.get("file")


def _outcome(domain: Any) -> tuple[bool, str]:
    """Whether the last backup was whole, and else why not."""
    with _nothing_under_way():
        stats = domain.jobStats(libvirt.VIR_DOMAIN_JOB_STATS_COMPLETED)
        message = stats.get(libvirt.VIR_DOMAIN_JOB_ERRMSG) or "no reason given"
        return stats.get("type") == libvirt.VIR_DOMAIN_JOB_COMPLETED, message
    return False, "the machine is off"


@contextlib.contextmanager
def _nothing_under_way() -> Any:
    """Lets errors pass that say that there is no job, no domain or that it is off."""
    try:
        yield
    except libvirt.libvirtError as error:
        if not is_code(error, libvirt.VIR_ERR_OPERATION_INVALID, libvirt.VIR_ERR_NO_DOMAIN):
            raise
