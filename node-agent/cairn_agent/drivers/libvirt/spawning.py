"""A boot on this host, top to bottom: image, network, config drive, disk, definition.

Each step looks whether it has work to do, says so, and does it; so a spawn that was cut off anywhere is
simply done again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from cairn_agent.drivers.api import DriverError, Step, StepReporter
from cairn_agent.drivers.libvirt import storage
from cairn_agent.drivers.libvirt.connection import Connection
from cairn_agent.drivers.libvirt.domain_xml import domain_xml
from cairn_agent.drivers.libvirt.host import Host
from cairn_agent.drivers.libvirt.network import Networks
from cairn_agent.drivers.libvirt.records import MachineRecord, Records
from cairn_agent.drivers.libvirt.storage import ConfigDriveBuilder, ImageSource, MachineFiles
from cairn_agent.drivers.libvirt.threads import Workers
from cairn_crds.guest import GuestSpec

T = TypeVar("T")


@dataclass(frozen=True)
class Workshop:
    """What machines are made with."""

    connection: Connection
    workers: Workers
    host: Host
    networks: Networks
    records: Records
    images: ImageSource
    build_config_drive: ConfigDriveBuilder


@dataclass(frozen=True)
class Spawn:
    """The making of one machine."""

    workshop: Workshop
    node: str
    instance_id: str
    spec: GuestSpec
    files: MachineFiles
    report: StepReporter

    async def run(self) -> None:
        """All steps, in order."""
        for step in (self._image, self._network, self._config_drive, self._disk, self._define):
            await step()

    async def _image(self) -> None:
        files, spec = self.files, self.spec
        base = files.base(spec.image.disk_format)
        if not await self._in_thread(base.exists):
            await self.report(Step.IMAGE)
            cached = await self.workshop.images.fetch(spec.image)
            await self._record()
            await self._in_thread(lambda: storage.keep_image(cached, base))
        else:
            await self._record()

    async def _record(self) -> None:
        """Write down what will be made, before it is; give back what an earlier try had differently."""
        records, networks = self.workshop.records, self.workshop.networks
        wanted = MachineRecord.of(self.node, self.spec)
        found = await self._in_thread(lambda: records.read(self.instance_id))
        if found == wanted:
            return
        if found is not None:
            if found.node != self.node:
                raise DriverError(f"machine {self.instance_id} is on {found.node}, not on {self.node}")
            await networks.unplug(network for network in found.networks if network not in wanted.networks)
        await self._in_thread(lambda: records.write(self.instance_id, wanted))

    async def _network(self) -> None:
        missing = await self.workshop.networks.unplugged(self.spec.networks)
        if missing:
            await self.report(Step.NETWORK)
            await self.workshop.networks.plug(missing)

    async def _config_drive(self) -> None:
        path = self.files.config_drive
        if self.spec.config.config_drive and not await self._in_thread(path.exists):
            await self.report(Step.CONFIG_DRIVE)
            build = self.workshop.build_config_drive
            await self._in_thread(lambda: build(path, self.instance_id, self.spec))

    async def _disk(self) -> None:
        if await self._in_thread(lambda: storage.disks_missing(self.files, self.spec)):
            await self.report(Step.DISK)
            await storage.make_disks(self.files, self.spec)

    async def _define(self) -> None:
        await self.report(Step.DEFINE)
        xml = domain_xml(self.node, self.instance_id, self.spec, self.workshop.host, self.files)
        await self.workshop.connection.run(lambda c: c.defineXML(xml))

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await self.workshop.workers.run(work)
