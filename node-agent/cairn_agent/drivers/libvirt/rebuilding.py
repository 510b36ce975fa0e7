"""Rebuild: the disks of a machine made anew (Nova API: POST /servers/{id}/action rebuild)."""

from __future__ import annotations

from pathlib import Path

from cairn_agent.drivers.api import StepReporter
from cairn_agent.drivers.api_operations import MachineOperation
from cairn_agent.drivers.libvirt import storage, volume_files
from cairn_agent.drivers.libvirt.spawning import Spawn
from cairn_agent.drivers.libvirt.workshop import Machine, Workshop


async def rebuild(workshop: Workshop, operation: MachineOperation, report: StepReporter) -> None:
    """As `Reshaping.rebuild`.

    An image that cannot be had or does not fit is found out before anything is removed. Once the old disks
    are gone the record says so, and what follows is a spawn. A volume that the machine boots from is made
    anew beside its file, which it replaces in one step while the machine is off.
    """
    machine = Machine(workshop, operation.node, operation.instance_id)
    record = await machine.require()
    if operation.id in record.done:
        return
    spec = operation.spec
    if record.wiped != operation.id:
        machine.xml(spec)
        cached = await workshop.images.fetch(spec.image)
        root = spec.root_volume
        if root is None:
            await machine.in_thread(lambda: storage.wanted_size(spec, cached))
            await machine.pull_plug()
        else:
            await volume_files.require(machine, spec)
            path = workshop.volumes.path(root.id, root.backend)
            tools = (workshop.images, workshop.workers)
            scratch = await volume_files.prepare(path, *tools, spec.image, root.size_gib)
            await machine.pull_plug()
            await machine.in_thread(lambda: storage.publish(scratch, path))
        await machine.in_thread(lambda: _wipe(machine.files.directory))
        await machine.write(record.updated(wiped=operation.id, rescue=None, kept=None))
    await machine.pull_plug()
    await Spawn(workshop, operation.node, operation.instance_id, spec, report).run()
    await machine.write((await machine.record()).finished(operation.id, wiped=None))


def _wipe(directory: Path) -> None:
    """Remove disks, images and config drives; records and console log stay."""
    for pattern in ("disk*", "base.*", "snapshot.*"):
        for path in directory.glob(pattern):
            path.unlink()
