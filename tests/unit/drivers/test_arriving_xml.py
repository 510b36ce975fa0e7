"""What of a definition is different on the host that a machine moves to."""

from __future__ import annotations

from pathlib import Path
from xml.etree.ElementTree import Element

from cairn_agent.drivers.libvirt.arriving_xml import arriving_xml, copied_disks
from cairn_agent.drivers.libvirt.domain_xml import MACHINE_NAMESPACE, domain_xml
from cairn_agent.drivers.libvirt.incoming import LiveAddress
from cairn_crds.guest import GuestSpec
from unit.drivers.specs import FILES, HOST, INSTANCE_ID, NETWORK, guest, tree

THERE = Path("/data/vm") / INSTANCE_ID
ADDRESS = LiveAddress(
    uri="qemu+tls://192.0.2.2/system",
    host="192.0.2.2",
    node="node-2",
    epoch=9,
    directory=str(THERE),
    run="/run/there",
    bridges={NETWORK.mac: "br-there"},
)


def _arrived(spec: GuestSpec) -> Element:
    return tree(arriving_xml(domain_xml("node-1", INSTANCE_ID, spec, HOST, FILES), FILES, ADDRESS))


def test_every_path_is_the_other_hosts() -> None:
    root = _arrived(guest(ephemeral_disk_gib=1, swap_mib=1))
    values = [value for element in root.iter() for value in element.attrib.values()]
    assert not [value for value in values if value.startswith(("/srv/instances", "/run/guests"))]
    assert str(THERE / "disk") in values
    assert str(THERE / "console.log") in values
    assert f"/run/there/{INSTANCE_ID}.serial" in values
    assert f"/run/there/{INSTANCE_ID}.vnc" in values


def test_it_is_the_other_nodes_in_a_later_epoch() -> None:
    machine = _arrived(guest()).find(f"metadata/{{{MACHINE_NAMESPACE}}}machine")
    assert machine is not None
    assert (machine.get("node"), machine.get("fencing-epoch")) == ("node-2", "9")
    assert machine.get("namespace") == "team-a"


def test_a_card_is_on_the_other_hosts_bridge() -> None:
    root = _arrived(guest(networks=[NETWORK.model_copy(update={"bridge": "br-here"})]))
    source = root.find("devices/interface/source")
    assert source is not None
    assert source.get("bridge") == "br-there"


def test_a_card_on_a_network_of_its_own_stays_on_it() -> None:
    source = _arrived(guest()).find("devices/interface/source")
    assert source is not None
    assert source.get("network") == "cairn-demo"


def test_what_can_change_is_copied() -> None:
    xml = domain_xml("node-1", INSTANCE_ID, guest(ephemeral_disk_gib=1, swap_mib=1), HOST, FILES)
    names = copied_disks(xml, FILES)
    disks = tree(xml).iterfind("devices/disk")
    writable = [disk for disk in disks if disk.find("readonly") is None]
    assert len(names) == len(writable)
    assert names[0] == "vda"


def test_its_address_fits_where_it_is_kept() -> None:
    bridges = {f"52:54:00:00:00:{number:02x}": "a-long-bridge-1" for number in range(8)}
    long = ADDRESS.model_copy(update={"directory": "/d" * 100, "run": "/r" * 40, "bridges": bridges})
    assert len(long.model_dump_json(exclude_defaults=True)) <= 1024
