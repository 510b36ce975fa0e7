"""A boot on this host, top to bottom: image, network, config drive, disk, definition.

Each step looks whether it has work to do, says so, and does it; so a spawn that was cut off anywhere is
simply done again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from cairn_agent.drivers.api import DriverError, Step, StepReporter
from cairn_agent.drivers.libvirt import domains, storage, volume_files
from cairn_agent.drivers.libvirt.records import MachineRecord
from cairn_agent.drivers.libvirt.storage import MachineFiles
from cairn_agent.drivers.libvirt.workshop import Machine, Workshop
from cairn_crds.guest import GuestSpec

T = TypeVar("T")


@dataclass(frozen=True)
class Spawn:
    """The making of one machine."""

    workshop: Workshop
    node: str
    instance_id: str
    spec: GuestSpec
    report: StepReporter

    @property
    def files(self) -> MachineFiles:
        return self.workshop.files(self.instance_id)

    async def run(self) -> None:
        """All steps, in order."""
        for step in (self.image, self.network, self.config_drive, self.disk, self.define):
            await step()

    async def image(self) -> None:
        """The image in the machine's directory, and the record before it."""
        base = self.files.base(self.spec.image.disk_format)
        if self.spec.boots_from_volume:
            await self.record()
        elif not await self.in_thread(base.exists):
            await self.report(Step.IMAGE)
            await self.fetch_image(base)
        else:
            await self.record()

    async def fetch_image(self, base: Path) -> None:
        """The image from the cache; the record between, so an image that is not to be had leaves none."""
        cached = await self.workshop.images.fetch(self.spec.image)
        await self.record()
        await self.in_thread(lambda: storage.keep_image(cached, base))

    async def record(self) -> None:
        """Write down what will be made, before it is; give back what an earlier try had differently."""
        records, networks = self.workshop.records, self.workshop.networks
        found = await self.in_thread(lambda: records.read(self.node, self.instance_id))
        wanted = MachineRecord.of(self.node, self.spec) if found is None else found.after(self.spec)
        if found == wanted:
            return
        if found is not None:
            await networks.unplug(network for network in found.networks if network not in wanted.networks)
        else:
            await self.refuse_others()
        await self.in_thread(lambda: records.write(self.instance_id, wanted))

    async def refuse_others(self) -> None:
        """Raise DriverError where another node has a part in the machine, unless of an earlier epoch.

        Then that node has lost it: on files that hosts share, it is made with the disks that it had there.
        """
        others = await self.in_thread(lambda: self.workshop.records.of_machine(self.instance_id))
        if not others:
            return
        domain = await self.workshop.connection.run(lambda c: domains.find(c, self.instance_id))
        for other in others:
            if domain is not None or other.fencing_epoch >= self.spec.fencing_epoch:
                raise DriverError(f"machine {self.instance_id} is on {other.node}, not on {self.node}")

    async def network(self) -> None:
        """Addresses for its interfaces."""
        missing = await self.workshop.networks.unplugged(self.spec.networks)
        if missing:
            await self.report(Step.NETWORK)
            await self.workshop.networks.plug(missing)

    async def config_drive(self) -> None:
        """The config drive, where it is to have one."""
        path = self.files.config_drive
        if self.spec.config.config_drive and not await self.in_thread(path.exists):
            await self.report(Step.CONFIG_DRIVE)
            build = self.workshop.build_config_drive
            await self.in_thread(lambda: build(path, self.instance_id, self.spec))

    async def disk(self) -> None:
        """Its disks."""
        if await self.in_thread(lambda: storage.disks_missing(self.files, self.spec)):
            await self.report(Step.DISK)
            await storage.make_disks(self.files, self.spec)

    async def define(self) -> None:
        """The domain."""
        machine = Machine(self.workshop, self.node, self.instance_id)
        await volume_files.require(machine, self.spec)
        await self.report(Step.DEFINE)
        await machine.define(self.spec)

    async def in_thread(self, work: Callable[[], T]) -> T:
        return await self.workshop.workers.run(work)
