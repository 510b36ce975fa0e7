"""The libvirt networks behind Cairn's, their DHCP entries, and what a guest may send."""

from __future__ import annotations

import asyncio
import json
import uuid

import libvirt
import pytest

from cairn_agent.drivers.libvirt.anti_spoof import FILTER
from cairn_agent.drivers.libvirt.network import bridge_name, libvirt_name
from contract.backends import NODE
from contract.libvirt_backends import LibvirtQemuBackend
from contract.machines import spawn

pytestmark = pytest.mark.qemu

NETWORK = "contract"


def _entries(backend: LibvirtQemuBackend, *, stored: bool) -> str:
    network = backend.connection.networkLookupByName(libvirt_name(NETWORK))
    text = network.XMLDesc(libvirt.VIR_NETWORK_XML_INACTIVE if stored else 0)
    assert isinstance(text, str)
    return text


@pytest.mark.parametrize("stored", [False, True], ids=["live", "stored"])
async def test_each_guest_has_its_address(qemu: LibvirtQemuBackend, stored: bool) -> None:
    specs = {str(uuid.uuid4()): qemu.spec() for _ in range(4)}
    await asyncio.gather(*(spawn(qemu, instance_id, spec) for instance_id, spec in specs.items()))
    entries = _entries(qemu, stored=stored)
    for spec in specs.values():
        assert entries.count(spec.networks[0].mac) == 1
        assert f"ip='{spec.networks[0].address}'" in entries


async def test_an_address_that_changed_hands_has_one_owner(
    qemu: LibvirtQemuBackend, instance_id: str
) -> None:
    before = await spawn(qemu, instance_id)
    after = qemu.spec()
    taken = after.networks[0].model_copy(update={"address": before.networks[0].address})
    await spawn(qemu, str(uuid.uuid4()), after.model_copy(update={"networks": [taken]}))
    entries = _entries(qemu, stored=False)
    assert taken.mac in entries
    assert before.networks[0].mac not in entries


async def test_a_network_that_somebody_stopped_is_up_again_when_a_guest_starts(
    qemu: LibvirtQemuBackend, instance_id: str
) -> None:
    await spawn(qemu, instance_id)
    qemu.room.virsh("net-destroy", libvirt_name(NETWORK))
    await qemu.driver.power_on(NODE, instance_id)
    assert bridge_name(NETWORK) in qemu.room.run("ip", "-o", "link")


async def test_a_network_goes_once_no_machine_needs_it(qemu: LibvirtQemuBackend, instance_id: str) -> None:
    await spawn(qemu, instance_id)
    await qemu.driver.sweep(NODE, keep=[])
    assert _entries(qemu, stored=True)
    await qemu.driver.destroy(NODE, instance_id)
    await qemu.driver.sweep(NODE, keep=[])
    assert libvirt_name(NETWORK) not in qemu.room.virsh("net-list", "--all")
    assert bridge_name(NETWORK) not in qemu.room.run("ip", "-o", "link")


GUEST_MAC, OTHER_MAC = "52:54:00:77:ff:01", "52:54:00:77:ff:02"
NO_IP, EVERYBODY = "0.0.0.0", "255.255.255.255"  # noqa: S104
GUEST_IP, OTHER_IP = "10.78.0.5", "10.78.0.6"
BINDING = f"""
<filterbinding>
  <owner><name>probe</name><uuid>6f5b7a0e-5a5d-4a0e-9a57-0c5b1c1f2a11</uuid></owner>
  <portdev name='probe-host'/>
  <mac address='{GUEST_MAC}'/>
  <filterref filter='{FILTER}'><parameter name='IP' value='{GUEST_IP}'/></filterref>
</filterbinding>
"""
LINKS = """
ip link add probe-bridge type bridge
ip link add probe-guest type veth peer name probe-host
ip link set probe-host master probe-bridge
for link in probe-bridge probe-host probe-guest; do
    echo 1 > /proc/sys/net/ipv6/conf/$link/disable_ipv6
    ip link set $link up
done
"""
# Sends the frames as the guest would, again until the last of them, which is allowed, comes through the
# bridge (a new link takes a moment); prints which came. The bridge cuts off the padding.
PROBE = """
import json, socket, sys, time
frames = [bytes.fromhex(frame).rstrip(b"\\0") for frame in json.load(sys.stdin)]
guest, bridge = (socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)) for _ in range(2))
guest.bind(("probe-guest", 0))
bridge.bind(("probe-bridge", 0))
bridge.settimeout(0.5)
came = set()
deadline = time.monotonic() + 60
while frames[-1] not in came and time.monotonic() < deadline:
    for frame in frames:
        guest.send(frame.ljust(60, b"\\0"))
    try:
        while frames[-1] not in came:
            came.add(bridge.recv(2048).rstrip(b"\\0"))
    except TimeoutError:
        pass
print(json.dumps([frame in came for frame in frames]))
"""


def _mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


def _ip(text: str) -> bytes:
    return bytes(int(part) for part in text.split("."))


def _frame(kind: int, payload: bytes, mac: str = GUEST_MAC) -> bytes:
    return b"\xff" * 6 + _mac(mac) + kind.to_bytes(2, "big") + payload.ljust(46, b"\0")


def _ipv4(source: str, target: str = "10.78.0.255", ports: tuple[int, int] = (1000, 1000)) -> bytes:
    """A UDP packet without content."""
    udp = ports[0].to_bytes(2, "big") + ports[1].to_bytes(2, "big") + (8).to_bytes(2, "big") + b"\0\0"
    head = bytearray(b"\x45\0" + (28).to_bytes(2, "big") + b"\0\0\0\0\x40\x11\0\0")
    head += _ip(source) + _ip(target)
    total = sum(int.from_bytes(head[i : i + 2], "big") for i in range(0, 20, 2))
    total = (total & 0xFFFF) + (total >> 16)
    head[10:12] = (~(total + (total >> 16)) & 0xFFFF).to_bytes(2, "big")
    return bytes(head) + udp


def _arp(mac: str, address: str) -> bytes:
    return b"\0\1\x08\0\6\4\0\1" + _mac(mac) + _ip(address) + b"\0" * 6 + _ip(OTHER_IP)


async def test_a_guest_sends_from_its_own_addresses_only(qemu: LibvirtQemuBackend) -> None:
    frames = {
        "another MAC": (_frame(0x0800, _ipv4(GUEST_IP), mac=OTHER_MAC), False),
        "another address": (_frame(0x0800, _ipv4(OTHER_IP)), False),
        "ARP for another address": (_frame(0x0806, _arp(GUEST_MAC, OTHER_IP)), False),
        "ARP with another MAC": (_frame(0x0806, _arp(OTHER_MAC, GUEST_IP)), False),
        "IPv6": (_frame(0x86DD, b"\x60".ljust(40, b"\0")), False),
        "to be a DHCP server": (
            _frame(0x0800, _ipv4(NO_IP, EVERYBODY, (67, 68))),
            False,
        ),
        "DHCP": (_frame(0x0800, _ipv4(NO_IP, EVERYBODY, (68, 67))), True),
        "ARP": (_frame(0x0806, _arp(GUEST_MAC, GUEST_IP)), True),
        "IPv4": (_frame(0x0800, _ipv4(GUEST_IP)), True),
    }
    qemu.room.run("sh", "-ec", LINKS)
    binding = qemu.connection.nwfilterBindingCreateXML(BINDING)
    try:
        sent = json.dumps([frame.hex() for frame, _ in frames.values()])
        came = json.loads(qemu.room.run("python3", "-c", PROBE, stdin=sent))
        assert dict(zip(frames, came, strict=True)) == {name: passes for name, (_, passes) in frames.items()}
    finally:
        binding.delete()
        qemu.room.run("ip", "link", "delete", "probe-bridge")
        qemu.room.run("ip", "link", "delete", "probe-guest")
