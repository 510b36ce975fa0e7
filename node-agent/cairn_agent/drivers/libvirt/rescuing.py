"""Rescue: booting a machine from another disk, with its own as the second one.

Nova API: POST /servers/{id}/action rescue, unrescue. Like Nova's, the rescue disk is as large as its image.
One that boots from a volume has that as its first disk still, and the rescue disk behind all others.
"""

from __future__ import annotations

from pathlib import Path

from cairn_agent.drivers.api_operations import MachineOperation
from cairn_agent.drivers.libvirt import storage
from cairn_agent.drivers.libvirt.records import RescueRecord
from cairn_agent.drivers.libvirt.storage import MachineFiles
from cairn_agent.drivers.libvirt.workshop import Machine, Workshop
from cairn_crds.guest import GuestSpec
from cairn_crds.image_source import GuestImage


async def rescue(workshop: Workshop, operation: MachineOperation, image: GuestImage) -> None:
    """As `Reshaping.rescue`.

    The record says that the machine is rescued before its definition does, so that whoever defines it anew,
    a spawn after somebody undefined it too, keeps it so.
    """
    machine = Machine(workshop, operation.node, operation.instance_id)
    record = await machine.require()
    if operation.id in record.done:
        return
    machine.xml(operation.spec, rescue=image)  # what cannot be had is said before it is stopped
    cached = await workshop.images.fetch(image)
    await machine.pull_plug()
    if record.rescue is None or record.rescue.operation_id != operation.id:
        await machine.remove_files(*_files(machine.files))
        record = record.updated(rescue=RescueRecord(operation_id=operation.id, image=image))
        await machine.write(record)
    files = machine.files
    base = files.rescue_base(image.disk_format)
    await machine.in_thread(lambda: storage.keep_image(cached, base))
    if not await machine.in_thread(files.rescue.exists):
        size = await machine.in_thread(lambda: storage.disk_size(base))
        await storage.make_overlay(files.rescue, base, size)
    if operation.spec.config.config_drive:
        build, drive, told = workshop.build_config_drive, files.rescue_config_drive, _told(operation)
        await machine.in_thread(lambda: build(drive, operation.instance_id, told))
    await machine.define(operation.spec)
    await machine.start()
    await machine.write(record.finished(operation.id))


async def unrescue(workshop: Workshop, operation: MachineOperation) -> None:
    """As `Reshaping.unrescue`."""
    machine = Machine(workshop, operation.node, operation.instance_id)
    record = await machine.require()
    if operation.id in record.done:
        return
    await machine.pull_plug()
    record = record.updated(rescue=None)
    await machine.write(record)
    await machine.define(operation.spec)
    await machine.remove_files(*_files(machine.files))
    await machine.write(record.finished(operation.id))


def _told(operation: MachineOperation) -> GuestSpec:
    """What the rescue system reads about itself: the password is that of the rescue."""
    spec = operation.spec
    if spec.operation is None or spec.operation.password is None:
        return spec
    config = spec.config.model_copy(update={"admin_password_hash": spec.operation.password.hash})
    return spec.model_copy(update={"config": config})


def _files(files: MachineFiles) -> list[Path]:
    """All that a rescue makes."""
    bases = [files.rescue_base(disk_format) for disk_format in ("raw", "qcow2")]
    return [files.rescue, files.rescue_config_drive, *bases]
