"""The devices of a guest, as libvirt's XML elements. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.etree.ElementTree import Element, SubElement

from cairn_agent.drivers.api import Unsupported
from cairn_agent.drivers.libvirt.anti_spoof import FILTER
from cairn_agent.drivers.libvirt.network import libvirt_name
from cairn_crds.guest import GuestNetwork

DISK_BUSES = {"virtio": "vd", "scsi": "sd", "sata": "sd", "ide": "hd", "usb": "sd"}
"""Nova's `hw_disk_bus` and `hw_cdrom_bus`: how the guest names disks on that bus."""
VIF_MODELS = frozenset({"virtio", "e1000", "e1000e", "rtl8139", "ne2k_pci", "pcnet", "vmxnet3"})
"""Nova's `hw_vif_model`."""
VIDEO_MODELS = frozenset({"vga", "cirrus", "qxl", "virtio", "none"})
"""Nova's `hw_video_model`."""


@dataclass(frozen=True)
class Disk:
    """One disk of the guest."""

    path: Path
    format: str
    bus: str
    cdrom: bool = False


class DiskNames:
    """Gives out vda, vdb, sda … per bus prefix."""

    def __init__(self) -> None:
        self._used: dict[str, int] = {}

    def next(self, bus: str) -> str:
        prefix = DISK_BUSES[bus]
        number = self._used.get(prefix, 0)
        self._used[prefix] = number + 1
        return prefix + chr(ord("a") + number)


def chosen(properties: Mapping[str, str], name: str, allowed: frozenset[str], default: str) -> str:
    """The image property `name`. Raises Unsupported for a value that no guest here can have."""
    value = properties.get(name, default)
    if value not in allowed:
        raise Unsupported(f"image property {name}={value}: use one of {', '.join(sorted(allowed))}")
    return value


def vif_model(properties: Mapping[str, str]) -> str:
    """Of an instance's network cards. Raises Unsupported."""
    return chosen(properties, "hw_vif_model", VIF_MODELS, "virtio")


def disk(spec: Disk, names: DiskNames) -> Element:
    """A disk; what the guest discards is given back to the host."""
    element = Element("disk", type="file", device="cdrom" if spec.cdrom else "disk")
    driver = SubElement(element, "driver", name="qemu", type=spec.format)
    if not spec.cdrom:
        driver.set("discard", "unmap")
    SubElement(element, "source", file=str(spec.path))
    SubElement(element, "target", dev=names.next(spec.bus), bus=spec.bus)
    if spec.cdrom:
        SubElement(element, "readonly")
    return element


def interface(network: GuestNetwork, model: str, *, anti_spoof: bool) -> Element:
    """A network card; where libvirt can, it only sends from its own MAC and IP address."""
    if network.bridge is not None:
        element = Element("interface", type="bridge")
        SubElement(element, "source", bridge=network.bridge)
    else:
        element = Element("interface", type="network")
        SubElement(element, "source", network=libvirt_name(network.network))
    SubElement(element, "mac", address=network.mac)
    SubElement(element, "model", type=model)
    SubElement(element, "mtu", size=str(network.mtu))
    if anti_spoof:
        filter_ = SubElement(element, "filterref", filter=FILTER)
        SubElement(filter_, "parameter", name="IP", value=network.address)
    return element


def serial_console(socket: Path, log: Path) -> Element:
    """A serial port on a unix socket; all it writes also goes to a log that outlives reboots."""
    element = Element("serial", type="unix")
    SubElement(element, "source", mode="bind", path=str(socket))
    SubElement(element, "log", file=str(log), append="on")
    SubElement(element, "target", port="0")
    return element


def vnc(socket: Path, video_model: str) -> list[Element]:
    """A screen, reached over a unix socket only, with a pointer that follows the viewer's."""
    graphics = Element("graphics", type="vnc")
    SubElement(graphics, "listen", type="socket", socket=str(socket))
    video = Element("video")
    SubElement(video, "model", type=video_model)
    return [
        graphics,
        video,
        Element("controller", type="usb", model="qemu-xhci"),
        Element("input", type="tablet", bus="usb"),
    ]


def agent_channel() -> Element:
    """What the QEMU guest agent in the guest talks to the host over."""
    element = Element("channel", type="unix")
    SubElement(element, "target", type="virtio", name="org.qemu.guest_agent.0")
    return element


def pcie_ports(count: int) -> list[Element]:
    """Places for PCIe cards; a card that is plugged into a running guest needs one that is free."""
    models = ["pcie-root", *["pcie-root-port"] * count]
    return [
        Element("controller", type="pci", index=str(index), model=model) for index, model in enumerate(models)
    ]


def random_generator() -> Element:
    """The host's random numbers for the guest."""
    element = Element("rng", model="virtio")
    SubElement(element, "backend", model="random").text = "/dev/urandom"
    return element
