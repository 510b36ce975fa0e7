"""Volumes as libvirt's XML, and where their files are. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree.ElementTree import Element, SubElement

from cairn_agent.drivers.api import Unsupported
from cairn_agent.drivers.libvirt.devices import DISK_BUSES
from cairn_agent.drivers.settings import VolumeSettings
from cairn_crds.guest import GuestSpec, GuestVolume
from cairn_crds.volume import VolumeBackend


@dataclass(frozen=True)
class VolumeFiles:
    """Where they are. Raises Unsupported for shared ones where there is no shared directory."""

    settings: VolumeSettings

    def path(self, volume_id: str, backend: VolumeBackend) -> Path:
        """Of one volume."""
        directory = self.settings.local_directory
        if backend is VolumeBackend.SHARED:
            if self.settings.shared_directory is None:
                raise Unsupported(
                    "this host has no shared directory for volumes: set volumes.shared_directory"
                )
            directory = self.settings.shared_directory
        return directory.absolute() / f"{volume_id}.qcow2"


def volume_elements(
    spec: GuestSpec, files: VolumeFiles, bus: str, taken: frozenset[str]
) -> Iterator[tuple[GuestVolume, Element]]:
    """The machine's volumes as libvirt's XML. `taken`: the names of its own disks."""
    names = set(taken)
    for volume in spec.volumes:
        own_bus = volume.bus if volume.bus in DISK_BUSES else bus
        name = _name(volume, DISK_BUSES[own_bus], names)
        names.add(name)
        yield volume, _element(volume, files.path(volume.id, volume.backend), own_bus, name)


def _name(volume: GuestVolume, prefix: str, taken: set[str]) -> str:
    """What the row calls it; where the machine's own disks are called that, the last free name."""
    wanted = (volume.device or "").removeprefix("/dev/")
    if wanted.startswith(prefix) and wanted not in taken:
        return wanted
    return next(
        name for letter in reversed("bcdefghijklmnopqrstuvwxyz") if (name := prefix + letter) not in taken
    )


def _element(volume: GuestVolume, path: Path, bus: str, name: str) -> Element:
    element = Element("disk", type="file", device="disk")
    SubElement(element, "driver", name="qemu", type="qcow2", discard="unmap")
    SubElement(element, "source", file=str(path))
    SubElement(element, "target", dev=name, bus=bus)
    if volume.read_only:
        SubElement(element, "readonly")
    SubElement(element, "serial").text = volume.id
    return element
