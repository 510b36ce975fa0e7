"""What machines are made and changed with, and one machine that is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from xml.etree.ElementTree import Element

from cairn_agent.drivers.api import MachineNotFound
from cairn_agent.drivers.libvirt import domains, power
from cairn_agent.drivers.libvirt.connection import Connection
from cairn_agent.drivers.libvirt.domain_xml import domain_xml, own_disks
from cairn_agent.drivers.libvirt.host import Host
from cairn_agent.drivers.libvirt.network import Networks
from cairn_agent.drivers.libvirt.records import MachineRecord, Records
from cairn_agent.drivers.libvirt.storage import ConfigDriveBuilder, ImageSource, MachineFiles
from cairn_agent.drivers.libvirt.threads import Workers
from cairn_agent.drivers.libvirt.volume_xml import VolumeFiles, volume_elements
from cairn_agent.drivers.settings import LibvirtSettings
from cairn_crds.guest import GuestSpec
from cairn_crds.image_source import GuestImage
from cairn_crds.instance import PowerState

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
    settings: LibvirtSettings
    volumes: VolumeFiles

    def files(self, instance_id: str) -> MachineFiles:
        """The machine's paths."""
        return MachineFiles(self.records.path(instance_id), self.settings.run_directory.absolute())


@dataclass(frozen=True)
class Machine:
    """One machine on one node. What needs it complete raises MachineNotFound where it is not."""

    workshop: Workshop
    node: str
    instance_id: str

    @property
    def files(self) -> MachineFiles:
        return self.workshop.files(self.instance_id)

    async def in_thread(self, work: Callable[[], T]) -> T:
        """Blocking work on its files."""
        return await self.workshop.workers.run(work)

    async def record(self) -> MachineRecord:
        """What is written down of it. Raises MachineNotFound where nothing is."""
        records = self.workshop.records
        record = await self.in_thread(lambda: records.read(self.node, self.instance_id))
        if record is None:
            raise MachineNotFound(f"no machine {self.instance_id} on {self.node}")
        return record

    async def require(self) -> MachineRecord:
        """Its record, where it is complete."""
        await self.power_state()
        return await self.record()

    async def write(self, record: MachineRecord) -> None:
        """Write it down."""
        records = self.workshop.records
        await self.in_thread(lambda: records.write(self.instance_id, record))

    async def with_domain(self, work: Callable[[Any], T]) -> T:
        """What blocking `work` makes of its libvirt domain, which is complete."""
        return await self.workshop.connection.run(
            lambda c: work(domains.require(c, self.node, self.instance_id))
        )

    async def power_state(self) -> PowerState:
        """Now."""
        return await self.with_domain(domains.power_state)

    def xml(self, spec: GuestSpec, *, rescue: GuestImage | None = None) -> str:
        """Its definition; `rescue`: as in `domain_xml`. Raises Unsupported for image properties that cannot
        be had."""
        host, files = self.workshop.host, self.files
        volumes = list(self.volume_elements(spec).values())
        return domain_xml(self.node, self.instance_id, spec, host, files, volumes=volumes, rescue=rescue)

    def volume_elements(self, spec: GuestSpec) -> dict[str, Element]:
        """Its volumes as libvirt's XML, by id. Raises Unsupported."""
        bus, taken = own_disks(spec, self.files)
        found = volume_elements(spec, self.workshop.volumes, bus, taken)
        return {volume.id: element for volume, element in found}

    async def define(self, spec: GuestSpec) -> None:
        """Define it as `spec` and its record say, anew or in place of what it was; a running one runs on."""
        rescue = (await self.record()).rescue
        xml = self.xml(spec, rescue=None if rescue is None else rescue.image)
        await self.workshop.connection.run(lambda c: c.defineXML(xml))

    async def pull_plug(self) -> None:
        """SHUTDOWN afterwards, at once."""
        await self.workshop.connection.run(lambda c: power.pull_plug(c, self.node, self.instance_id))

    async def start(self) -> None:
        """RUNNING afterwards."""
        record = await self.record()
        networks = self.workshop.networks
        # A host that was restarted has lost what it did not keep on disk.
        await networks.plug(await networks.unplugged(record.networks))
        await self.workshop.connection.run(lambda c: power.start(c, self.node, self.instance_id))

    async def remove_files(self, *paths: Path) -> None:
        """Those that are there."""

        def remove() -> None:
            for path in paths:
                path.unlink(missing_ok=True)

        await self.in_thread(remove)
