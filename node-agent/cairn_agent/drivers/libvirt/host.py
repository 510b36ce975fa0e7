"""What the connection offers: found by asking it, never by looking at its address."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

import libvirt

from cairn_agent.drivers.api import Capability
from cairn_agent.drivers.libvirt.errors import is_code
from cairn_agent.drivers.libvirt.virt_type import choose_virt_type, kvm_works
from cairn_agent.drivers.settings import VirtType

MACHINE_TYPES = {"x86_64": "q35", "aarch64": "virt"}
"""Where libvirt's own choice is dated."""

LIFECYCLE = frozenset(
    {
        Capability.PAUSE,
        Capability.SUSPEND,
        Capability.SOFT_REBOOT,
        Capability.CONFIG_DRIVE,
        Capability.IMAGE_QCOW2,
        Capability.IMAGE_RAW,
        Capability.REBUILD,
        Capability.RESCUE,
        Capability.RESIZE,
    }
)
EMULATION = frozenset(
    {
        Capability.CONSOLE_LOG,
        Capability.SERIAL_CONSOLE,
        Capability.SNAPSHOT,
        Capability.LIVE_MIGRATION,
        Capability.ATTACH_INTERFACE,
        Capability.ATTACH_VOLUME,
        Capability.EXTEND_VOLUME,
        Capability.SET_PASSWORD,
        Capability.CRASH_DUMP,
    }
)
"""Where guests really run."""


@dataclass(frozen=True)
class Host:
    """What guests can be made of here."""

    virt_type: str
    """libvirt's domain type: kvm, qemu, or test."""
    architecture: str
    machine_type: str | None
    """q35 …; None leaves it to libvirt."""
    cpu_mode: str | None
    """host-passthrough, maximum; None leaves it to libvirt."""
    emulates: bool
    """Whether there is an emulator behind it that really runs guests."""
    anti_spoof: bool
    """Whether libvirt can filter a guest's traffic by its addresses."""
    hypervisor_owner: tuple[int, int] | None
    """User and group id that guests' processes run under, where libvirt says it."""
    cpu_features: frozenset[str] = frozenset()
    """What the guests' CPU can do, by libvirt's names."""
    cpu_model: str = ""
    cpu_vendor: str = ""

    @property
    def capabilities(self) -> frozenset[Capability]:
        return LIFECYCLE | EMULATION if self.emulates else LIFECYCLE


def read_host(connection: Any, wanted: VirtType, *, anti_spoof: bool) -> Host:
    """Ask the connection. Raises Unsupported when it cannot do what was wanted; blocking."""
    root = ElementTree.fromstring(connection.getCapabilities())  # noqa: S314 - written by libvirt
    architecture, offered = _guests(root)
    virt_type = choose_virt_type(wanted, offered, kvm_works=kvm_works(architecture))
    machine_type = MACHINE_TYPES.get(architecture)
    described = _domain_capabilities(connection, architecture, machine_type, virt_type)
    model = described.find("cpu/mode[@name='host-model']") if described is not None else None
    return Host(
        virt_type=virt_type,
        architecture=architecture,
        machine_type=machine_type,
        cpu_mode=_cpu_mode(described, virt_type),
        emulates=described is not None,
        anti_spoof=anti_spoof,
        hypervisor_owner=_owner(root, virt_type),
        cpu_features=_features(connection, model),
        cpu_model=(model.findtext("model") or "") if model is not None else "",
        cpu_vendor=(model.findtext("vendor") or "") if model is not None else "",
    )


def _guests(root: ElementTree.Element) -> tuple[str, list[str]]:
    """The guests' architecture (the host's own where there is a choice) and its domain types."""
    by_architecture = {
        arch.get("name", ""): [domain.get("type", "") for domain in arch.iterfind("domain")]
        for arch in root.iterfind("guest[os_type='hvm']/arch")
    }
    own = root.findtext("host/cpu/arch") or ""
    architecture = own if own in by_architecture else next(iter(by_architecture), own)
    return architecture, by_architecture.get(architecture, [])


def _domain_capabilities(
    connection: Any, architecture: str, machine_type: str | None, virt_type: str
) -> ElementTree.Element | None:
    try:
        text = connection.getDomainCapabilities(None, architecture, machine_type, virt_type)
    except libvirt.libvirtError as error:
        if is_code(error, libvirt.VIR_ERR_NO_SUPPORT):
            return None
        raise
    return ElementTree.fromstring(text)  # noqa: S314 - written by libvirt


def _cpu_mode(described: ElementTree.Element | None, virt_type: str) -> str | None:
    """The most that the guest can be given: its host's CPU on KVM, all that is emulated elsewhere."""
    if described is None:
        return None
    mode = "host-passthrough" if virt_type == "kvm" else "maximum"
    supported = described.find(f"cpu/mode[@name='{mode}']")
    return mode if supported is not None and supported.get("supported") == "yes" else None


def _owner(root: ElementTree.Element, virt_type: str) -> tuple[int, int] | None:
    for model in root.iterfind("host/secmodel[model='dac']"):
        label = model.findtext(f"baselabel[@type='{virt_type}']")
        if label:
            user, _, group = label.partition(":")
            return int(user), int(group)
    return None


def _features(connection: Any, model: ElementTree.Element | None) -> frozenset[str]:
    """The features of the CPU model that guests get, written out one by one."""
    if model is None:
        return frozenset()
    cpu = ElementTree.Element("cpu")
    ElementTree.SubElement(cpu, "arch").text = "x86_64"
    for child in model:
        if child.tag in {"model", "vendor"} or (child.tag == "feature" and child.get("policy") == "require"):
            copy = ElementTree.SubElement(cpu, child.tag)
            copy.text = child.text
            if child.tag == "feature":
                copy.set("name", child.get("name", ""))
    text = ElementTree.tostring(cpu, encoding="unicode")
    try:
        expanded = connection.baselineCPU([text], libvirt.VIR_CONNECT_BASELINE_CPU_EXPAND_FEATURES)
    except libvirt.libvirtError as error:
        if is_code(error, libvirt.VIR_ERR_NO_SUPPORT, libvirt.VIR_ERR_CONFIG_UNSUPPORTED):
            return frozenset()
        raise
    features = ElementTree.fromstring(expanded).iterfind("feature")  # noqa: S314 - written by libvirt
    return frozenset(f.get("name", "") for f in features if f.get("policy") != "disable")
