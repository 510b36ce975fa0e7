"""A GuestSpec to vary."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, fromstring

from cairn_agent.drivers.libvirt.host import Host
from cairn_agent.drivers.libvirt.storage import MachineFiles
from cairn_crds.guest import GuestConfig, GuestNetwork, GuestSpec, InstanceReference
from cairn_crds.image_source import GuestImage

INSTANCE_ID = "0a6e5a0e-4c1f-4bb2-9a53-3b9f7e1d2c11"
FILES = MachineFiles(Path("/srv/instances") / INSTANCE_ID, Path("/run/guests"))
HOST = Host(
    virt_type="qemu",
    architecture="x86_64",
    machine_type="q35",
    cpu_mode="maximum",
    emulates=True,
    anti_spoof=True,
    hypervisor_owner=None,
)
NETWORK = GuestNetwork(
    network="demo",
    cidr="10.9.0.0/24",
    gateway="10.9.0.1",
    mac="52:54:00:00:00:05",
    address="10.9.0.5",
)


def tree(xml: str) -> Element:
    """The root of XML that the drivers wrote."""
    return fromstring(xml)  # noqa: S314


def image(**properties: str) -> GuestImage:
    return GuestImage(
        name="demo", url="file:///images/demo", sha256="0" * 64, disk_format="raw", properties=properties
    )


def guest(**changes: Any) -> GuestSpec:
    values: dict[str, Any] = {
        "instance": InstanceReference(namespace="team-a", name="web", project="a"),
        "fencing_epoch": 7,
        "vcpus": 2,
        "memory_mib": 512,
        "image": image(),
        "networks": [NETWORK],
        "config": GuestConfig(hostname="web"),
    }
    return GuestSpec(**(values | changes))
