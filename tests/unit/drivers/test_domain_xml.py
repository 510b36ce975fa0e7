"""The domain that libvirt is given for a GuestSpec."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any
from xml.etree.ElementTree import Element

import libvirt
import pytest

from cairn_agent.drivers.api import Unsupported
from cairn_agent.drivers.libvirt.anti_spoof import FILTER
from cairn_agent.drivers.libvirt.domain_xml import MACHINE_NAMESPACE, Ownership, domain_xml
from cairn_crds.guest import GuestConfig, GuestSpec, GuestVolume, InstanceReference
from unit.drivers.specs import FILES, HOST, INSTANCE_ID, NETWORK, guest, image, tree


def _domain(spec: GuestSpec, **host: Any) -> Element:
    return tree(_xml(spec, **host))


def _xml(spec: GuestSpec, **host: Any) -> str:
    return domain_xml("node-1", INSTANCE_ID, spec, dataclasses.replace(HOST, **host), FILES)


def _attribute(domain: Element, path: str, name: str) -> str | None:
    element = domain.find(path)
    assert element is not None, path
    return element.get(name)


@pytest.fixture
def libvirt_test() -> Iterator[Any]:
    connection = libvirt.open("test:///default")
    yield connection
    connection.close()


FULL = guest(root_disk_gib=1, ephemeral_disk_gib=2, swap_mib=64)


@pytest.mark.parametrize(
    "spec",
    [
        FULL,
        guest(networks=[]),
        guest(networks=[NETWORK.model_copy(update={"bridge": "br0"})]),
        guest(image=image(hw_disk_bus="scsi", hw_vif_model="e1000", hw_video_model="none")),
    ],
)
def test_libvirt_finds_it_valid(libvirt_test: Any, spec: GuestSpec) -> None:
    xml = _xml(spec, virt_type="test", architecture="i686", cpu_mode=None, machine_type=None)
    domain = libvirt_test.defineXMLFlags(xml, libvirt.VIR_DOMAIN_DEFINE_VALIDATE)
    kept = domain.metadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, MACHINE_NAMESPACE)
    assert Ownership.parse(kept) == Ownership(node="node-1", fencing_epoch=7, complete=True)


def test_the_instance_id_is_the_uuid() -> None:
    domain = _domain(guest())
    assert domain.findtext("uuid") == INSTANCE_ID
    assert domain.findtext("sysinfo/system/entry[@name='uuid']") == INSTANCE_ID
    assert domain.findtext("title") == "team-a/web"


def test_it_has_the_flavors_size() -> None:
    domain = _domain(guest(vcpus=3, memory_mib=768))
    assert domain.findtext("vcpu") == "3"
    assert (domain.findtext("memory"), _attribute(domain, "memory", "unit")) == ("768", "MiB")


def test_what_users_wrote_cannot_become_markup() -> None:
    evil = "x'\"><devices><disk/></devices>"
    reference = InstanceReference(namespace=evil, name=evil, project=evil)
    network = NETWORK.model_copy(update={"network": evil})
    domain = _domain(guest(instance=reference, networks=[network], image=image(hw_machine_type=evil)))
    assert len(domain.findall("devices")) == 1
    assert domain.findtext("title") == f"{evil}/{evil}"
    assert _attribute(domain, "devices/interface/source", "network") == f"cairn-{evil}"
    assert _attribute(domain, "os/type", "machine") == evil


def test_disks_come_in_the_order_that_the_guest_expects() -> None:
    disks = [
        (disk.get("device"), disk.find("target").attrib, disk.find("source").get("file"))  # type: ignore[union-attr]
        for disk in _domain(FULL).iterfind("devices/disk")
    ]
    assert disks == [
        ("disk", {"dev": "vda", "bus": "virtio"}, str(FILES.root)),
        ("disk", {"dev": "vdb", "bus": "virtio"}, str(FILES.ephemeral)),
        ("disk", {"dev": "vdc", "bus": "virtio"}, str(FILES.swap)),
        ("disk", {"dev": "vdd", "bus": "virtio"}, str(FILES.config_drive)),
    ]


def test_a_config_drive_is_a_cdrom_where_its_bus_has_such_a_thing() -> None:
    config_drive = _domain(guest(image=image(hw_cdrom_bus="sata"))).findall("devices/disk")[1]
    assert config_drive.get("device") == "cdrom"


def test_without_a_config_drive_there_is_no_cdrom() -> None:
    spec = guest(config=GuestConfig(hostname="web", config_drive=False))
    assert _domain(spec).find("devices/disk[@device='cdrom']") is None


def test_image_properties_choose_the_hardware() -> None:
    properties = image(
        hw_disk_bus="sata", hw_vif_model="e1000e", hw_video_model="virtio", hw_machine_type="pc"
    )
    domain = _domain(guest(image=properties))
    assert [disk.get("dev") for disk in domain.iterfind("devices/disk/target")] == ["sda", "sdb"]
    assert _attribute(domain, "devices/interface/model", "type") == "e1000e"
    assert _attribute(domain, "devices/video/model", "type") == "virtio"
    assert _attribute(domain, "os/type", "machine") == "pc"


@pytest.mark.parametrize("name", ["hw_disk_bus", "hw_cdrom_bus", "hw_vif_model", "hw_video_model"])
def test_hardware_that_does_not_exist_is_refused_for_good(name: str) -> None:
    with pytest.raises(Unsupported, match=f"{name}=punchcard") as caught:
        _domain(guest(image=image(**{name: "punchcard"})))
    assert caught.value.permanent


def test_an_interface_may_only_use_its_own_address() -> None:
    domain = _domain(guest())
    assert _attribute(domain, "devices/interface/filterref", "filter") == FILTER
    assert _attribute(domain, "devices/interface/filterref/parameter", "value") == NETWORK.address
    assert _domain(guest(), anti_spoof=False).find("devices/interface/filterref") is None


def test_a_bridge_of_the_host_is_plugged_into() -> None:
    domain = _domain(guest(networks=[NETWORK.model_copy(update={"bridge": "br-lan"})]))
    assert _attribute(domain, "devices/interface", "type") == "bridge"
    assert _attribute(domain, "devices/interface/source", "bridge") == "br-lan"


def test_the_screen_has_no_tcp_port() -> None:
    graphics = _domain(guest()).find("devices/graphics")
    assert graphics is not None
    assert graphics.get("port") is None
    assert [listen.get("type") for listen in graphics.iterfind("listen")] == ["socket"]


def test_the_console_log_is_appended_to() -> None:
    assert _attribute(_domain(guest()), "devices/serial/log", "append") == "on"


@pytest.mark.parametrize("mode", ["host-passthrough", "maximum", None])
def test_the_cpu_is_what_the_host_can_give(mode: str | None) -> None:
    cpu = _domain(guest(), cpu_mode=mode).find("cpu")
    assert (None if cpu is None else cpu.get("mode")) == mode


def test_cloud_init_takes_it_for_openstack() -> None:
    domain = _domain(guest())
    assert domain.findtext("sysinfo/system/entry[@name='product']") == "OpenStack Nova"
    assert _attribute(domain, "os/smbios", "mode") == "sysinfo"


def _rescued(**properties: str) -> Element:
    spec = guest(volumes=[GuestVolume(id=INSTANCE_ID, size_gib=1, device="/dev/vda", boot_index=0)])
    return tree(domain_xml("node-1", INSTANCE_ID, spec, HOST, FILES, rescue=image(**properties)))


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        ({"hw_rescue_bus": "virtio", "hw_rescue_device": "disk"}, ("disk", "vdaa", "virtio")),
        ({"hw_rescue_bus": "scsi", "hw_rescue_device": "cdrom"}, ("cdrom", "sdaa", "scsi")),
        ({"hw_rescue_device": "cdrom"}, ("cdrom", "sdaa", "sata")),
    ],
)
def test_the_rescue_disk_of_one_that_boots_from_a_volume_is_the_last(
    properties: dict[str, str], expected: tuple[str, str, str]
) -> None:
    domain = _rescued(**properties)
    assert domain.find("os/boot") is None, "the disk itself says that it is booted from"
    *_, last = domain.findall("devices/disk")
    target = last.find("target")
    assert target is not None
    assert (last.get("device"), target.get("dev"), target.get("bus")) == expected
    assert _attribute(last, "boot", "order") == "1"
    assert _attribute(last, "source", "file") == str(FILES.rescue)


@pytest.mark.parametrize(
    "properties", [{"hw_rescue_device": "floppy"}, {"hw_rescue_bus": "virtio", "hw_rescue_device": "cdrom"}]
)
def test_a_rescue_disk_that_cannot_be_had_is_refused(properties: dict[str, str]) -> None:
    with pytest.raises(Unsupported):
        _rescued(**properties)
