"""The files of volumes: qcow2 images that refer to no other file, named by the volume's id."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import fromstring

import libvirt

from cairn_agent.drivers.api import DiskTooSmall, DriverError, Unsupported
from cairn_agent.drivers.api_operations import VolumeMissing
from cairn_agent.drivers.libvirt import storage
from cairn_agent.drivers.libvirt.storage import GIB, ImageSource
from cairn_agent.drivers.libvirt.threads import Workers
from cairn_agent.drivers.libvirt.volume_xml import VolumeFiles
from cairn_agent.drivers.libvirt.workshop import Machine
from cairn_crds.guest import GuestSpec
from cairn_crds.host_volume import HostVolumeSpec
from cairn_crds.image_source import GuestImage
from cairn_crds.volume import VolumeBackend


async def make(
    files: VolumeFiles, images: ImageSource, workers: Workers, volume_id: str, spec: HostVolumeSpec
) -> int:
    """As `Volumes.make_volume`."""
    path = files.path(volume_id, spec.backend)
    if not await workers.run(path.exists):
        if spec.made:
            raise VolumeMissing(f"the file of volume {volume_id} is gone: {path}")
        await workers.run(lambda: path.parent.mkdir(mode=0o711, parents=True, exist_ok=True))
        await _create(path, images, workers, spec)
    size = await storage.virtual_disk_size(path, "qcow2")
    if size < spec.size_gib * GIB:
        await grow(path, spec.size_gib)
        size = await storage.virtual_disk_size(path, "qcow2")
    return size // GIB


async def _create(path: Path, images: ImageSource, workers: Workers, spec: HostVolumeSpec) -> None:
    if spec.image is None:
        scratch, size = _scratch(path), str(spec.size_gib * GIB)
        await storage.checked("qemu-img", "create", "-q", "-f", "qcow2", str(scratch), size)
    else:
        scratch = await prepare(path, images, workers, spec.image, spec.size_gib)
    await workers.run(lambda: storage.publish(scratch, path))


async def prepare(
    path: Path, images: ImageSource, workers: Workers, image: GuestImage, size_gib: int
) -> Path:
    """A file beside that of a volume, with the image on it, which `storage.publish` puts in its place. Raises
    DiskTooSmall, ImageUnavailable, ImageCorrupt, NoSpace."""
    scratch, size = _scratch(path), size_gib * GIB
    cached = await images.fetch(image)
    needed = await workers.run(lambda: storage.disk_size(cached))
    if needed > size:
        raise DiskTooSmall(
            f"the volume has {size_gib} GiB, and image {image.name} needs {-(-needed // GIB)} GiB"
        )
    convert = ("convert", "-f", image.disk_format, "-O", "qcow2")
    await storage.checked("qemu-img", *convert, str(cached), str(scratch))
    await storage.checked("qemu-img", "resize", "-q", "-f", "qcow2", str(scratch), str(size))
    return scratch


def _scratch(path: Path) -> Path:
    return path.with_name(f"{path.name}.new")


async def grow(path: Path, size_gib: int) -> None:
    """Raises DriverError while a machine has it open: there `reconfigure` makes it grow."""
    await storage.checked("qemu-img", "resize", "-q", "-f", "qcow2", str(path), str(size_gib * GIB))


async def remove(files: VolumeFiles, workers: Workers, volume_id: str, backend: VolumeBackend) -> None:
    """As `Volumes.remove_volume`."""
    try:
        path = files.path(volume_id, backend)
    except Unsupported:
        return

    def unlink() -> None:
        for one in (path, path.with_name(f"{path.name}.new")):
            one.unlink(missing_ok=True)

    await workers.run(unlink)


async def require(machine: Machine, spec: GuestSpec) -> None:
    """Raise VolumeMissing where the file of one of its volumes is not there."""
    files = machine.workshop.volumes
    for volume in spec.volumes:
        path = files.path(volume.id, volume.backend)
        if not await machine.in_thread(path.exists):
            raise VolumeMissing(f"the file of volume {volume.id} is not on this host: {path}")


async def grow_plugged(machine: Machine, spec: GuestSpec) -> None:
    """Make its volumes as large as the spec says, and tell the guest."""
    files = machine.workshop.volumes
    for volume in spec.volumes:
        path = files.path(volume.id, volume.backend)
        size = volume.size_gib * GIB
        if await storage.virtual_disk_size(path, "qcow2") >= size:
            continue
        if not await machine.with_domain(partial(_grow_live, path=path, size=size)):
            await grow(path, volume.size_gib)


def _grow_live(domain: Any, *, path: Path, size: int) -> bool:
    """Whether the machine runs, and has made it that large."""
    if not domain.isActive():
        return False
    root = fromstring(domain.XMLDesc(0))  # noqa: S314 - written by libvirt
    for disk in root.iterfind("devices/disk"):
        source, target = disk.find("source"), disk.find("target")
        if source is not None and target is not None and source.get("file") == str(path):
            domain.blockResize(target.get("dev"), size, libvirt.VIR_DOMAIN_BLOCK_RESIZE_BYTES)
            return True
    raise DriverError(f"the machine does not have {path}")
