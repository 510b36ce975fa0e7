"""From a GuestSpec and what the host offers to libvirt's domain XML. Pure.

The XML is built as a tree, so nothing that a user chose can become markup.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element, SubElement, fromstring, tostring

from cairn_agent.drivers.libvirt import devices
from cairn_agent.drivers.libvirt.host import Host
from cairn_agent.drivers.libvirt.storage import MachineFiles
from cairn_agent.drivers.libvirt.virt_type import X86
from cairn_crds.guest import GuestSpec
from cairn_crds.image_source import GuestImage

MACHINE_NAMESPACE = "urn:cairn:machine:v1"
"""The namespace of Cairn's own element in a domain's metadata."""

SPARE_PORTS = 8
"""PCIe ports for what is plugged in while the guest runs (Nova: num_pcie_ports)."""
TRUE = frozenset({"yes", "true", "on", "1"})
"""Image properties that are switches, as Nova reads them."""


@dataclass(frozen=True)
class Ownership:
    """What a domain says of itself: that it is Cairn's, and whose."""

    node: str
    fencing_epoch: int
    complete: bool

    @classmethod
    def parse(cls, metadata: str) -> Ownership:
        """From the metadata element, as libvirt gives it back (without its namespace)."""
        element = fromstring(metadata)  # noqa: S314 - written by us, kept by libvirt
        return cls(
            node=element.get("node", ""),
            fencing_epoch=int(element.get("fencing-epoch", "0")),
            complete=element.get("complete") == "true",
        )


def domain_name(instance_id: str) -> str:
    """The domain's name, for people with virsh; Cairn itself goes by the UUID."""
    return f"cairn-{instance_id}"


def domain_xml(
    node: str,
    instance_id: str,
    spec: GuestSpec,
    host: Host,
    files: MachineFiles,
    *,
    volumes: Sequence[Element] = (),
    rescue: GuestImage | None = None,
) -> str:
    """The complete definition; `volumes`: as `volume_xml` makes them; `rescue`: what the rescue disk, from
    which it boots, is made of.

    Raises Unsupported for image properties that cannot be had.
    """
    root = Element("domain", type=host.virt_type)
    SubElement(root, "name").text = domain_name(instance_id)
    SubElement(root, "uuid").text = instance_id
    SubElement(root, "title").text = f"{spec.instance.namespace}/{spec.instance.name}"
    root.append(_metadata(node, spec))
    SubElement(root, "memory", unit="MiB").text = str(spec.memory_mib)
    SubElement(root, "vcpu").text = str(spec.vcpus)
    beside = rescue if spec.boots_from_volume else None
    root.extend(list(_platform(instance_id, spec, host, chooses_disk=beside is not None)))
    SubElement(root, "on_poweroff").text = "destroy"
    SubElement(root, "on_reboot").text = "restart"
    SubElement(root, "on_crash").text = "destroy"
    own = _devices(spec, host, files, volumes, rescued=rescue is not None)
    if beside is not None:
        own.append(_rescue_disk(spec, files, beside))
    root.append(own)
    return tostring(root, encoding="unicode")


def _metadata(node: str, spec: GuestSpec) -> Element:
    metadata = Element("metadata")
    SubElement(
        metadata,
        f"{{{MACHINE_NAMESPACE}}}machine",
        {
            "node": node,
            "namespace": spec.instance.namespace,
            "name": spec.instance.name,
            "project": spec.instance.project,
            "fencing-epoch": str(spec.fencing_epoch),
            "complete": "true",
        },
    )
    return metadata


def _platform(instance_id: str, spec: GuestSpec, host: Host, *, chooses_disk: bool) -> Iterator[Element]:
    """Firmware, CPU, clock and what the guest reads about its maker. `chooses_disk`: one of the disks says
    that it is booted from, instead of the first."""
    os = Element("os")
    type_ = SubElement(os, "type", arch=host.architecture)
    type_.text = "hvm"
    if machine := spec.image.properties.get("hw_machine_type", host.machine_type):
        type_.set("machine", machine)
    if not chooses_disk:
        SubElement(os, "boot", dev="hd")
    yield os
    if host.architecture in X86:
        SubElement(os, "smbios", mode="sysinfo")
        yield _sysinfo(instance_id)
        features = Element("features")
        SubElement(features, "acpi")
        SubElement(features, "apic")
        yield features
    if host.cpu_mode is not None:
        yield Element("cpu", mode=host.cpu_mode)
    yield _clock(host)
    power = Element("pm")
    SubElement(power, "suspend-to-mem", enabled="no")
    SubElement(power, "suspend-to-disk", enabled="no")
    yield power


def _sysinfo(instance_id: str) -> Element:
    """cloud-init takes the machine for an OpenStack one by this product name."""
    sysinfo = Element("sysinfo", type="smbios")
    system = SubElement(sysinfo, "system")
    for name, value in (
        ("manufacturer", "Cairn"),
        ("product", "OpenStack Nova"),
        ("serial", instance_id),
        ("uuid", instance_id),
        ("family", "Virtual Machine"),
    ):
        SubElement(system, "entry", name=name).text = value
    return sysinfo


def _clock(host: Host) -> Element:
    clock = Element("clock", offset="utc")
    if host.architecture in X86:
        SubElement(clock, "timer", name="rtc", tickpolicy="catchup")
        SubElement(clock, "timer", name="pit", tickpolicy="delay")
        SubElement(clock, "timer", name="hpet", present="no")
    return clock


def _devices(
    spec: GuestSpec, host: Host, files: MachineFiles, volumes: Sequence[Element], *, rescued: bool
) -> Element:
    properties = spec.image.properties
    root = Element("devices")
    names = _names(spec)
    root.extend([devices.disk(disk, names) for disk in _disks(spec, files, rescued=rescued)])
    root.extend(volumes)
    vif_model = devices.vif_model(properties)
    root.extend([devices.interface(n, vif_model, anti_spoof=host.anti_spoof) for n in spec.networks])
    root.append(devices.serial_console(files.serial_socket, files.console_log))
    video_model = devices.chosen(properties, "hw_video_model", devices.VIDEO_MODELS, "vga")
    root.extend(devices.vnc(files.vnc_socket, video_model))
    root.append(devices.random_generator())
    SubElement(root, "memballoon", model="virtio")
    if properties.get("hw_qemu_guest_agent", "").lower() in TRUE:
        root.append(devices.agent_channel())
    if _has_pcie(spec, host):
        root.extend(devices.pcie_ports(len(root) + SPARE_PORTS))
    return root


def _has_pcie(spec: GuestSpec, host: Host) -> bool:
    machine = spec.image.properties.get("hw_machine_type", host.machine_type) or ""
    return "q35" in machine or machine.startswith("virt")


def _disks(spec: GuestSpec, files: MachineFiles, *, rescued: bool) -> Iterator[devices.Disk]:
    """In the guest's order: the rescue disk where there is one, root, ephemeral, swap, config drive."""
    buses = frozenset(devices.DISK_BUSES)
    bus = devices.chosen(spec.image.properties, "hw_disk_bus", buses, "virtio")
    if rescued and not spec.boots_from_volume:
        yield devices.Disk(files.rescue, "qcow2", bus)
    if not spec.boots_from_volume:
        yield devices.Disk(files.root, "qcow2", bus)
    if spec.ephemeral_disk_gib:
        yield devices.Disk(files.ephemeral, "raw", bus)
    if spec.swap_mib:
        yield devices.Disk(files.swap, "raw", bus)
    if spec.config.config_drive:
        # Where the root disk is virtio, so is this: the kernels made for clouds have no driver for SATA. A
        # virtio CD-ROM does not exist, so it is a read-only disk, which cloud-init finds by its label.
        default = "virtio" if bus == "virtio" else "sata"
        bus = devices.chosen(spec.image.properties, "hw_cdrom_bus", buses, default)
        drive = files.rescue_config_drive if rescued else files.config_drive
        yield devices.Disk(drive, "raw", bus, cdrom=bus != "virtio")


def _rescue_disk(spec: GuestSpec, files: MachineFiles, image: GuestImage) -> Element:
    """Behind all other disks, which stay what they are to the guest, and booted from: Nova's stable device
    rescue, as the rescue image's properties want it. Its name is one that no volume is ever called."""
    device = devices.chosen(image.properties, "hw_rescue_device", frozenset({"disk", "cdrom"}), "disk")
    buses = frozenset(devices.DISK_BUSES) - ({"ide", "virtio"} if device == "cdrom" else {"ide"})
    own = spec.image.properties.get("hw_disk_bus", "virtio")
    bus = devices.chosen(image.properties, "hw_rescue_bus", buses, own if own in buses else "sata")
    disk = devices.Disk(files.rescue, "qcow2", bus, cdrom=device == "cdrom")
    element = devices.disk(disk, devices.DiskNames())
    target = element.find("target")
    assert target is not None  # noqa: S101 - every disk has one
    target.set("dev", f"{devices.DISK_BUSES[bus]}aa")
    SubElement(element, "boot", order="1")
    return element


def own_disks(spec: GuestSpec, files: MachineFiles) -> tuple[str, frozenset[str]]:
    """The bus of the machine's disks, and the names that its own have, rescued or not. Raises Unsupported."""
    bus = devices.chosen(spec.image.properties, "hw_disk_bus", frozenset(devices.DISK_BUSES), "virtio")
    names, disks = _names(spec), _disks(spec, files, rescued=not spec.boots_from_volume)
    return bus, frozenset(names.next(disk.bus) for disk in disks)


def _names(spec: GuestSpec) -> devices.DiskNames:
    """The first name of all is the boot volume's, where there is one: libvirt boots from that disk."""
    names = devices.DiskNames()
    if spec.boots_from_volume:
        names.next(spec.image.properties.get("hw_disk_bus", "virtio"))
    return names
