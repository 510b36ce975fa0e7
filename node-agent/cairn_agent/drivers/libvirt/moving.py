"""Cold migration: a machine that is off, from another host's disks.

The root disk comes as the overlay that it is and is put on this host's own copy of the image. Where the image
is no longer to be had the other host's copy is taken, which its checksum proves.

Nova API: POST /servers/{id}/action migrate, resize.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cairn_agent.drivers.api import ImageCorrupt, ImageUnavailable, Step, StepReporter, WrongPowerState
from cairn_agent.drivers.api_operations import DiskSource, MachineDisk, MachineOperation, OperationFailed
from cairn_agent.drivers.libvirt import domains, storage
from cairn_agent.drivers.libvirt.resizing import check_size
from cairn_agent.drivers.libvirt.spawning import Spawn
from cairn_agent.drivers.libvirt.storage import GIB, MIB
from cairn_agent.drivers.libvirt.workshop import Machine, Workshop
from cairn_agent.images import check_overlay
from cairn_crds.instance import PowerState

BLOCK = 1024**2


async def export_disks(workshop: Workshop, node: str, instance_id: str) -> Sequence[MachineDisk]:
    """As `Moving.export_disks`: its disks, its config drive, and its image for when nobody else has it."""
    machine = Machine(workshop, node, instance_id)
    power = await machine.power_state()
    if power is not PowerState.SHUTDOWN:
        raise WrongPowerState(f"machine {instance_id} is {power}: shut it down first")

    def found() -> list[MachineDisk]:
        files = machine.files
        paths = [*files.disks, files.base("qcow2"), files.base("raw")]
        return [MachineDisk(path.name, path, path.stat().st_size) for path in paths if path.exists()]

    return await machine.in_thread(found)


async def import_disks(
    workshop: Workshop, operation: MachineOperation, source: DiskSource, report: StepReporter
) -> None:
    """As `Moving.import_disks`."""
    node, instance_id = operation.node, operation.instance_id
    found = await workshop.connection.run(lambda c: domains.machine_state(c, node, instance_id))
    if found is None or not found.complete:
        await Import(workshop, node, instance_id, operation.spec, report, source).run()


@dataclass(frozen=True)
class Import(Spawn):
    """A spawn with disks that another host has."""

    source: DiskSource

    async def fetch_image(self, base: Path) -> None:
        try:
            await super().fetch_image(base)
        except ImageUnavailable:
            if base.name not in self.source.names:
                raise
            await self.record()
            fetched = await self._fetch(base)
            await self.in_thread(lambda: _check_image(fetched, self.spec.image.sha256))
            await self.in_thread(lambda: storage.publish(fetched, base))

    async def config_drive(self) -> None:
        path = self.files.config_drive
        if not self.spec.config.config_drive or path.name not in self.source.names:
            await super().config_drive()
        elif not await self.in_thread(path.exists):
            await self.report(Step.CONFIG_DRIVE)
            await self.publish(await self._fetch(path), path)

    async def disk(self) -> None:
        if not await self.in_thread(lambda: storage.disks_missing(self.files, self.spec)):
            return
        await self.report(Step.DISK)
        files = self.files
        # The root disk last: with it there is nothing missing.
        if files.ephemeral.name in self.source.names and not await self.in_thread(files.ephemeral.exists):
            await self._ephemeral()
        if (
            self.spec.swap_mib
            and files.swap.name in self.source.names
            and not await self.in_thread(files.swap.exists)
        ):
            await self._swap()
        if not self.spec.boots_from_volume and not await self.in_thread(files.root.exists):
            await self._root()
        await storage.make_other_disks(files, self.spec)

    async def publish(self, scratch: Path, path: Path) -> None:
        """Give it its own name."""
        await self.in_thread(lambda: storage.publish(scratch, path))

    async def _root(self) -> None:
        """The overlay, on this host's copy of its image, at least as large as the spec says."""
        root, base = self.files.root, self.files.base(self.spec.image.disk_format)
        if root.name not in self.source.names:
            raise OperationFailed(f"the other host has no root disk of machine {self.instance_id}")
        fetched = await self._fetch(root)
        await self.in_thread(lambda: check_overlay(fetched))
        backing = ("-u", "-F", base.suffix[1:], "-b", base.name)
        await storage.checked("qemu-img", "rebase", "-q", "-f", "qcow2", *backing, str(fetched))
        size = await storage.virtual_disk_size(fetched, "qcow2")
        if self.spec.root_disk_gib:
            check_size("root", size, self.spec.root_disk_gib)
        if size < self.spec.root_disk_gib * GIB:
            wanted = str(self.spec.root_disk_gib * GIB)
            await storage.checked("qemu-img", "resize", "-q", "-f", "qcow2", str(fetched), wanted)
        await self.publish(fetched, root)

    async def _ephemeral(self) -> None:
        path, gib = self.files.ephemeral, self.spec.ephemeral_disk_gib
        fetched = await self._fetch(path)
        check_size("ephemeral", fetched.stat().st_size, gib)
        os.truncate(fetched, gib * GIB)
        await self.publish(fetched, path)

    async def _swap(self) -> None:
        """One of another size is made anew, as by a resize."""
        fetched = await self._fetch(self.files.swap)
        if fetched.stat().st_size == self.spec.swap_mib * MIB:
            await self.publish(fetched, self.files.swap)
        else:
            fetched.unlink()

    async def _fetch(self, path: Path) -> Path:
        """The other host's file, whole, under a name of its own.

        While it comes it has yet another: what is made of it must not be taken for a part of what comes.
        """
        whole = path.with_name(f"{path.name}.fetched")
        if not await self.in_thread(whole.exists):
            part = path.with_name(f"{path.name}.part")
            await self.source.fetch(path.name, part)
            await self.in_thread(lambda: part.replace(whole))
        return whole


def _check_image(path: Path, sha256: str) -> None:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    if digest.hexdigest() != sha256:
        path.unlink()
        raise ImageCorrupt("the other host's copy of the image is not what it should be")
