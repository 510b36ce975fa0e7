"""The receiving end of a live migration: what has to be there before a machine arrives.

libvirtd on the two hosts moves the machine; here are the files and networks that it finds, and the address
that tells the other host's agent where it goes and what it is to be called there.

Nova: `pre_live_migration`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict

from cairn_agent.drivers import this_host
from cairn_agent.drivers.api import DriverError, Step, StepReporter
from cairn_agent.drivers.api_operations import MachineOperation
from cairn_agent.drivers.libvirt import domains, storage, volume_files
from cairn_agent.drivers.libvirt.spawning import Spawn
from cairn_agent.drivers.libvirt.storage import GIB, MIB
from cairn_agent.drivers.libvirt.workshop import Machine, Workshop


class LiveAddress(BaseModel):
    """What the sending end has to know; `LiveDestination.address` is its JSON."""

    model_config = ConfigDict(frozen=True)

    uri: str
    """Of the destination's libvirtd."""
    host: str
    """Where its QEMU listens."""
    node: str
    epoch: int
    directory: str
    """The machine's files there."""
    run: str
    """Its sockets' directory there."""
    bridges: dict[str, str] = {}
    """By MAC, where the interface is on a bridge of the host."""
    shared: bool = False
    """Whether the files that were found there are the sending host's own."""


async def prepare_incoming(workshop: Workshop, operation: MachineOperation, report: StepReporter) -> str:
    """As `Moving.prepare_incoming`. A machine that is on its way or has arrived is left alone."""
    node, instance_id, spec = operation.node, operation.instance_id, operation.spec
    shared = await _is_shared(workshop, node, instance_id)
    if await workshop.connection.run(lambda c: domains.find_owned(c, node, instance_id)) is None:
        await Prepare(workshop, node, instance_id, spec, report, shared).run()
    files = workshop.files(instance_id)
    uri = _uri(workshop.settings.migration_uri)
    return LiveAddress(
        uri=uri,
        host=urlsplit(uri).hostname or "",
        node=node,
        epoch=spec.fencing_epoch,
        directory=str(files.directory),
        run=str(files.run_directory),
        bridges={network.mac: network.bridge for network in spec.networks if network.bridge},
        shared=shared,
    ).model_dump_json(exclude_defaults=True)


@dataclass(frozen=True)
class Prepare(Spawn):
    """A spawn without a domain, and with disks that are filled by the machine's arrival."""

    shared: bool

    async def run(self) -> None:
        await volume_files.require(Machine(self.workshop, self.node, self.instance_id), self.spec)
        for step in (self.image, self.network, self.config_drive, self.disk):
            await step()

    async def refuse_others(self) -> None:
        """Others may well have a part in it: it comes from one of them."""

    async def disk(self) -> None:
        """Empty disks of the right sizes, each time: an earlier arrival may have got half-way."""
        if self.shared:
            return
        await self.report(Step.DISK)
        files, spec = self.files, self.spec
        if not spec.boots_from_volume:
            base = files.base(spec.image.disk_format)
            size = await self.in_thread(lambda: storage.wanted_size(spec, base))
            await storage.make_overlay(files.root, base, size)
        await self.in_thread(lambda: _empty(files.ephemeral, spec.ephemeral_disk_gib * GIB))
        await self.in_thread(lambda: _empty(files.swap, spec.swap_mib * MIB))


def _empty(path: Path, size: int) -> None:
    """A raw disk of that size in bytes, of which nothing is written; none for 0. Blocking."""
    path.unlink(missing_ok=True)
    if size:
        path.touch(mode=0o600)
        os.truncate(path, size)


async def _is_shared(workshop: Workshop, node: str, instance_id: str) -> bool:
    """Whether another host's record is in this host's directory of the machine: then it is one directory."""
    records = await workshop.workers.run(lambda: workshop.records.of_machine(instance_id))
    return any(record.node != node for record in records)


def _uri(template: str) -> str:
    if "{address}" not in template:
        return template
    address = this_host.address()
    if address is None:
        raise DriverError("this host has no address for others: set libvirt.migration_uri")
    return template.replace("{address}", f"[{address}]" if ":" in address else address)
