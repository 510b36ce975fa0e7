"""Guest networks: one libvirt NAT network per Cairn Network, with an address handed out per interface.

An interface on one of the host's own bridges needs nothing from here. Changes to one network are made one
at a time; each is idempotent, so an agent that was killed half-way simply does it again.
"""

from __future__ import annotations

import asyncio
import hashlib
import uuid
from collections import defaultdict
from collections.abc import Collection, Iterable
from functools import partial
from ipaddress import IPv4Network
from typing import Any
from xml.etree import ElementTree

import libvirt

from cairn_agent.drivers.api import DriverError, NetworkFailed
from cairn_agent.drivers.libvirt.connection import Connection
from cairn_agent.drivers.libvirt.errors import Unreachable, is_code
from cairn_crds.guest import GuestNetwork

PREFIX = "cairn-"
PLACEHOLDER_MAC = "02:00:00:00:00:00"
LEASE_SECONDS = 120
"""dnsmasq's shortest. A guest whose plug is pulled gives nothing back, and libvirt has no way to do it for
the guest: until its lease ends, the next owner of its address is refused it."""
DNSMASQ = "http://libvirt.org/schemas/network/dnsmasq/1.0"
_NAMESPACE = uuid.UUID("9d3f5a2e-6f0b-5c53-9a57-2f3f6f1c8f10")
_LIVE = libvirt.VIR_NETWORK_UPDATE_AFFECT_LIVE
_CONFIG = libvirt.VIR_NETWORK_UPDATE_AFFECT_CONFIG


def libvirt_name(network: str) -> str:
    """The libvirt network of a Cairn Network."""
    return PREFIX + network


def bridge_name(network: str) -> str:
    """Its bridge, always the same for the same name; interface names have at most 15 characters."""
    return "cn" + hashlib.sha256(network.encode()).hexdigest()[:12]


def network_xml(network: GuestNetwork) -> str:
    """libvirt's definition: NAT behind the gateway's address, or isolated where there is no gateway."""
    cidr = IPv4Network(network.cidr, strict=False)
    root = ElementTree.Element("network")
    name = libvirt_name(network.network)
    ElementTree.SubElement(root, "name").text = name
    ElementTree.SubElement(root, "uuid").text = str(uuid.uuid5(_NAMESPACE, name))
    if network.gateway is not None:
        ElementTree.SubElement(root, "forward", mode="nat")
    ElementTree.SubElement(root, "bridge", name=bridge_name(network.network), stp="off", delay="0")
    ElementTree.SubElement(root, "mtu", size=str(network.mtu))
    address = network.gateway or str(next(cidr.hosts()))
    ip = ElementTree.SubElement(root, "ip", address=address, netmask=str(cidr.netmask))
    dhcp = ElementTree.SubElement(ip, "dhcp")
    # With one entry that nobody can ask for, DHCP is on from the start: else libvirt restarts dnsmasq for
    # the first guest and after the last one.
    ElementTree.SubElement(dhcp, "host", mac=PLACEHOLDER_MAC, ip=address)
    if network.dns and network.dns != [address]:
        options = ElementTree.SubElement(root, f"{{{DNSMASQ}}}options")
        value = "dhcp-option=option:dns-server," + ",".join(network.dns)
        ElementTree.SubElement(options, f"{{{DNSMASQ}}}option", value=value)
    return ElementTree.tostring(root, encoding="unicode")


class Networks:
    """The networks of one hypervisor."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def unplugged(self, networks: Iterable[GuestNetwork]) -> list[GuestNetwork]:
        """Those that `plug` would have work for."""
        mine = [network for network in networks if network.bridge is None]
        if not mine:
            return []
        return await self._connection.run(lambda c: [n for n in mine if not _is_plugged(c, n)])

    async def plug(self, networks: Iterable[GuestNetwork]) -> None:
        """Make the networks and the interfaces' DHCP entries. Raises NetworkFailed."""
        for network in networks:
            if network.bridge is not None:
                continue
            async with self._locks[network.network]:
                try:
                    await self._connection.run(partial(_plug, network=network))
                except Unreachable:
                    raise
                except DriverError as error:
                    raise NetworkFailed(f"network {network.network}: {error}") from error

    async def unplug(self, networks: Iterable[GuestNetwork]) -> None:
        """Remove the interfaces' DHCP entries; the networks stay for others."""
        for network in networks:
            if network.bridge is None:
                async with self._locks[network.network]:
                    await self._connection.run(partial(_unplug, network=network))

    async def sweep(self, in_use: Collection[str]) -> None:
        """Remove Cairn's networks that hand out no address any more and that no machine refers to."""
        for name in await self._connection.run(_names):
            if name in in_use:
                continue
            async with self._locks[name]:
                await self._connection.run(partial(_remove_if_empty, name=name))


def _find(connection: Any, name: str) -> Any:
    try:
        return connection.networkLookupByName(libvirt_name(name))
    except libvirt.libvirtError as error:
        if is_code(error, libvirt.VIR_ERR_NO_NETWORK):
            return None
        raise


def _is_plugged(connection: Any, network: GuestNetwork) -> bool:
    found = _find(connection, network.network)
    if found is None or not found.isActive():
        return False
    return all(
        (network.mac, network.address) in _entries(definition) for definition in _definitions(found).values()
    )


def _plug(connection: Any, network: GuestNetwork) -> None:
    found = _find(connection, network.network)
    if found is None:
        found = connection.networkDefineXML(network_xml(network))
    if not found.autostart():
        found.setAutostart(1)
    if not found.isActive():
        found.create()
    wanted = (network.mac, network.address)
    missing = 0
    for flag, definition in _definitions(found).items():
        for entry in _entries(definition):
            # The address was given to this interface, so whoever had it before is gone.
            if entry != wanted and (entry[0] == wanted[0] or entry[1] == wanted[1]):
                _update(found, libvirt.VIR_NETWORK_UPDATE_COMMAND_DELETE, entry, flag)
        if wanted not in _entries(definition):
            missing |= flag
    if missing:
        _update(found, libvirt.VIR_NETWORK_UPDATE_COMMAND_ADD_LAST, wanted, missing)


def _unplug(connection: Any, network: GuestNetwork) -> None:
    found = _find(connection, network.network)
    if found is None:
        return
    entry = (network.mac, network.address)
    present = 0
    for flag, definition in _definitions(found).items():
        if entry in _entries(definition):
            present |= flag
    if present:
        _update(found, libvirt.VIR_NETWORK_UPDATE_COMMAND_DELETE, entry, present)


def _definitions(network: Any) -> dict[int, ElementTree.Element]:
    """What is in force now, and what will be after a restart, by the flag that changes it."""
    try:
        stored = network.XMLDesc(libvirt.VIR_NETWORK_XML_INACTIVE)
    except libvirt.libvirtError as error:
        if not is_code(error, libvirt.VIR_ERR_INVALID_ARG):
            raise
        return {_LIVE | _CONFIG: _parse(network.XMLDesc())}  # test:/// has one definition for both
    if not network.isActive():
        return {_CONFIG: _parse(stored)}
    return {_LIVE: _parse(network.XMLDesc()), _CONFIG: _parse(stored)}


def _parse(text: str) -> ElementTree.Element:
    return ElementTree.fromstring(text)  # noqa: S314 - written by libvirt


def _entries(definition: ElementTree.Element) -> list[tuple[str, str]]:
    """MAC and address of each DHCP entry."""
    entries = [(host.get("mac", ""), host.get("ip", "")) for host in definition.iterfind("ip/dhcp/host")]
    return [entry for entry in entries if entry[0] != PLACEHOLDER_MAC]


def _update(network: Any, command: int, entry: tuple[str, str], flags: int) -> None:
    host = ElementTree.Element("host", mac=entry[0], ip=entry[1])
    ElementTree.SubElement(host, "lease", expiry=str(LEASE_SECONDS), unit="seconds")
    text = ElementTree.tostring(host, encoding="unicode")
    network.update(command, libvirt.VIR_NETWORK_SECTION_IP_DHCP_HOST, -1, text, flags)


def _names(connection: Any) -> list[str]:
    names = [network.name() for network in connection.listAllNetworks()]
    return [name.removeprefix(PREFIX) for name in names if name.startswith(PREFIX)]


def _remove_if_empty(connection: Any, name: str) -> None:
    found = _find(connection, name)
    if found is None or any(_entries(definition) for definition in _definitions(found).values()):
        return
    if found.isActive():
        found.destroy()
    found.undefine()
