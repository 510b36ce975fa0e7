"""A domain's definition as it has to be on the host that it moves to. Pure."""

from __future__ import annotations

from xml.etree.ElementTree import fromstring, tostring

from cairn_agent.drivers.libvirt.domain_xml import MACHINE_NAMESPACE
from cairn_agent.drivers.libvirt.incoming import LiveAddress
from cairn_agent.drivers.libvirt.storage import MachineFiles


def arriving_xml(definition: str, files: MachineFiles, address: LiveAddress) -> str:
    """libvirt's XML with the other host's paths, bridges and node; nothing that the guest sees differs."""
    root = fromstring(definition)  # noqa: S314 - written by libvirt
    moved = {f"{files.directory}/": f"{address.directory}/", f"{files.run_directory}/": f"{address.run}/"}
    for element in root.iter():
        for name, value in element.items():
            for here, there in moved.items():
                if value.startswith(here):
                    element.set(name, there + value.removeprefix(here))
    machine = root.find(f"metadata/{{{MACHINE_NAMESPACE}}}machine")
    if machine is not None:
        machine.set("node", address.node)
        machine.set("fencing-epoch", str(address.epoch))
    for interface in root.iterfind("devices/interface[@type='bridge']"):
        mac, source = interface.find("mac"), interface.find("source")
        if mac is not None and source is not None:
            bridge = address.bridges.get(mac.get("address", ""))
            if bridge is not None:
                source.set("bridge", bridge)
    return tostring(root, encoding="unicode")


def copied_disks(definition: str, files: MachineFiles) -> list[str]:
    """The guest's names of the disks that go along: those in the machine's own directory that can change."""
    root = fromstring(definition)  # noqa: S314 - written by libvirt
    names = []
    for disk in root.iterfind("devices/disk"):
        source, target = disk.find("source"), disk.find("target")
        own = source is not None and (source.get("file") or "").startswith(f"{files.directory}/")
        if own and target is not None and disk.find("readonly") is None:
            names.append(target.get("dev", ""))
    return names
