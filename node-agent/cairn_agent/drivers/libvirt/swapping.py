"""One volume in another's place, with what is on it, while the machine runs or is off.

QEMU copies the old file into the new one and writes to both until they are the same; then it is told to go on
with the new one alone. The copy outlives the agent and libvirtd: libvirt's XML says how far it is (`mirror`),
and which file the disk is. For that time the new file is as large as the old one (QEMU changes over between
equals only); it grows afterwards. A machine that goes off takes the copy along; then the file is copied as it
is, beside, and renamed. The definition for the next start is changed by libvirt in the same step.

A running disk keeps the serial number that it began with; the next start has the new volume's.

Nova API: PUT /servers/{id}/os-volume_attachments/{volume_id} with another volumeId.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, SubElement, fromstring, tostring

import libvirt

from cairn_agent.drivers.api import DriverError
from cairn_agent.drivers.api_operations import Aborted, OperationFailed, VolumeMissing
from cairn_agent.drivers.libvirt import domains, storage
from cairn_agent.drivers.libvirt.errors import is_code
from cairn_agent.drivers.libvirt.storage import GIB
from cairn_agent.drivers.libvirt.workshop import Machine, Workshop
from cairn_crds.guest import GuestSuccessor, GuestVolume
from cairn_crds.instance import PowerState

ATTEMPTS = 3
"""Copies of a running machine's disk that may break off, for whatever reason, before it is given up."""
DONE = 100
POLL_SECONDS = 0.05
_COPY = (
    libvirt.VIR_DOMAIN_BLOCK_COPY_REUSE_EXT
    | libvirt.VIR_DOMAIN_BLOCK_COPY_TRANSIENT_JOB
    | libvirt.VIR_DOMAIN_BLOCK_COPY_SYNCHRONOUS_WRITES
)


async def swap_volume(workshop: Workshop, node: str, instance_id: str, volume: GuestVolume) -> int:
    """As `Volumes.swap_volume`."""
    successor = volume.successor
    assert successor is not None  # noqa: S101 - the caller looked
    files = workshop.volumes
    old = files.path(volume.id, volume.backend)
    new = files.path(successor.volume, successor.backend)
    return await _Swap(Machine(workshop, node, instance_id), successor, old, new).step()


@dataclass(frozen=True)
class _Look:
    """What there is of a swap."""

    power: PowerState
    device: str
    """The disk's name, `vdc`."""
    source: str
    """The file that the machine has, or will have when it is started."""
    mirror: str | None = None
    """The file that the disk is being copied to."""
    ready: str | None = None
    """What libvirt says of the copy: `yes` once both are the same, `pivot` while it changes over."""

    @property
    def is_off(self) -> bool:
        return self.power in (PowerState.SHUTDOWN, PowerState.CRASHED, PowerState.NO_STATE)


@dataclass(frozen=True)
class _Swap:
    machine: Machine
    successor: GuestSuccessor
    old: Path
    new: Path

    async def step(self) -> int:
        """Do what is next, and say how much has been copied, in percent; DONE at the end."""
        look = await self._look()
        if look.mirror is not None and look.mirror != str(self.new):
            await self._give_up(look)
            look = await self._look()
        if look.source == str(self.new) and look.mirror is None:
            await self._forget()
            return DONE
        if self.successor.cancel and look.ready != "pivot":
            await self._give_up(look)
            raise Aborted(f"volume {self.new.stem} has not taken the place of {self.old.stem} in time")
        if look.power is PowerState.SUSPENDED:
            raise OperationFailed(
                f"machine {self.machine.instance_id} is suspended, and its memory knows volume "
                f"{self.old.stem}: resume it first"
            )
        if look.is_off:
            await self._copy_file(look)
            return await self.step()
        if look.mirror is None:
            await self._begin(look)
            return 0
        if look.ready is None:
            return await self.machine.with_domain(lambda domain: _percent(domain, look.device))
        return await self._change_over(look)

    async def _change_over(self, look: _Look) -> int:
        """Until the machine has the new file alone."""
        if look.ready == "yes":
            pivot = libvirt.VIR_DOMAIN_BLOCK_JOB_ABORT_PIVOT
            await self.machine.with_domain(lambda domain: domain.blockJobAbort(look.device, pivot))
        while (look := await self._look()).ready == "pivot":  # noqa: ASYNC110 - libvirt tells nobody
            await asyncio.sleep(POLL_SECONDS)
        if look.source != str(self.new) or look.is_off:
            return DONE - 1  # the machine went off meanwhile, or QEMU refused: the next step sees to it
        await self.machine.with_domain(lambda domain: _resize(domain, look.device, self.successor.size_gib))
        return await self.step()

    async def _begin(self, look: _Look) -> None:
        """Start copying. Raises OperationFailed where that has broken off too often."""
        record = await self.machine.record()
        before = record.swaps.count(self.successor.id)
        if before >= ATTEMPTS:
            await self._give_up(look)
            raise OperationFailed(
                f"the copy of volume {self.old.stem} to {self.new.stem} broke off {before} times: see the "
                f"log of QEMU for machine {self.machine.instance_id}; is there room for it?"
            )
        await self.machine.write(record.updated(swaps=(*record.swaps, self.successor.id)))
        await self._require_file()
        await self._make_empty(await storage.virtual_disk_size(self.old, "qcow2"))
        target = _target(self.new)
        await self.machine.with_domain(lambda domain: domain.blockCopy(look.device, target, {}, _COPY))

    async def _require_file(self) -> None:
        if not await self.machine.in_thread(self.new.exists):
            raise VolumeMissing(f"the file of volume {self.new.stem} is not on this host: {self.new}")

    async def _make_empty(self, size: int) -> None:
        """The new volume's file as if nothing had ever been on it, that large in bytes."""
        scratch = self._scratch
        await storage.checked("qemu-img", "create", "-q", "-f", "qcow2", str(scratch), str(size))
        await self.machine.in_thread(lambda: storage.publish(scratch, self.new))

    async def _copy_file(self, look: _Look) -> None:
        """Of a machine that is off: beside, under its name, into the definition."""
        await self._require_file()
        scratch = self._scratch
        await storage.checked(
            "qemu-img", "convert", "-f", "qcow2", "-O", "qcow2", str(self.old), str(scratch)
        )
        size = str(self.successor.size_gib * GIB)
        await storage.checked("qemu-img", "resize", "-q", "-f", "qcow2", str(scratch), size)
        await self.machine.in_thread(lambda: storage.publish(scratch, self.new))
        await self.machine.workshop.connection.run(self._define)

    def _define(self, connection: Any) -> None:
        domain = domains.require(connection, self.machine.node, self.machine.instance_id)
        root = fromstring(domain.XMLDesc(_STORED))  # noqa: S314 - written by libvirt
        disk = _disk(root, {str(self.old)})
        if disk is None:
            return
        source = disk.find("source")
        assert source is not None  # noqa: S101 - it was found by it
        source.set("file", str(self.new))
        connection.defineXML(tostring(root, encoding="unicode"))

    async def _give_up(self, look: _Look) -> None:
        if look.mirror is not None:
            await self.machine.with_domain(lambda domain: _abort(domain, look.device))
        if self.successor.id in (await self.machine.record()).swaps:
            await self._make_empty(self.successor.size_gib * GIB)
            await self._forget()

    async def _forget(self) -> None:
        record = await self.machine.record()
        if self.successor.id in record.swaps:
            rest = tuple(one for one in record.swaps if one != self.successor.id)
            await self.machine.write(record.updated(swaps=rest))

    async def _look(self) -> _Look:
        return await self.machine.with_domain(self._read)

    def _read(self, domain: Any) -> _Look:
        power = domains.power_state(domain)
        root = fromstring(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_SECURE))  # noqa: S314 - written by libvirt
        disk = _disk(root, {str(self.old), str(self.new)})
        if disk is None:
            raise DriverError(f"machine {self.machine.instance_id} has neither {self.old} nor {self.new}")
        mirror, source, target = disk.find("mirror"), disk.find("source"), disk.find("target")
        assert source is not None  # noqa: S101 - every disk of Cairn's has both
        assert target is not None  # noqa: S101
        return _Look(
            power=power,
            device=target.get("dev", ""),
            source=source.get("file", ""),
            mirror=None if mirror is None else _file_of(mirror),
            ready=None if mirror is None else mirror.get("ready"),
        )

    @property
    def _scratch(self) -> Path:
        return self.new.with_name(f"{self.new.name}.new")


_STORED = libvirt.VIR_DOMAIN_XML_INACTIVE | libvirt.VIR_DOMAIN_XML_SECURE


def _disk(root: Element, files: set[str]) -> Element | None:
    """The disk whose file is one of these."""
    for disk in root.iterfind("devices/disk"):
        source = disk.find("source")
        if source is not None and source.get("file") in files:
            return disk
    return None


def _file_of(mirror: Element) -> str:
    source = mirror.find("source")
    return (mirror.get("file") if source is None else source.get("file")) or ""


def _target(path: Path) -> str:
    disk = Element("disk", type="file")
    SubElement(disk, "source", file=str(path))
    SubElement(disk, "driver", type="qcow2")
    return tostring(disk, encoding="unicode")


def _percent(domain: Any, device: str) -> int:
    info = domain.blockJobInfo(device, 0) or {}
    end = info.get("end", 0)
    return 0 if not end else min(DONE - 1, 100 * info.get("cur", 0) // end)


def _resize(domain: Any, device: str, size_gib: int) -> None:
    """Tell the guest how large its disk is now."""
    domain.blockResize(device, size_gib * GIB, libvirt.VIR_DOMAIN_BLOCK_RESIZE_BYTES)


def _abort(domain: Any, device: str) -> None:
    try:
        domain.blockJobAbort(device, 0)
    except libvirt.libvirtError as error:
        if not is_code(error, libvirt.VIR_ERR_OPERATION_INVALID, libvirt.VIR_ERR_INVALID_ARG):
            raise
