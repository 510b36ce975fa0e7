"""Keeping guests to their own addresses: Cairn's own libvirt traffic filter.

libvirt's `clean-traffic` does the same with a chain per protocol, which costs a start of a guest over a
hundred runs of ebtables; this one has its rules in one chain and costs a tenth. A guest may send IPv4 and ARP
from its own MAC and address, ask for its address by DHCP, and nothing else (no IPv6 either: it has no such
address). What it receives is not filtered.
"""

from __future__ import annotations

from typing import Any
from xml.etree.ElementTree import Element, SubElement, tostring

import libvirt

from cairn_agent.drivers.libvirt.errors import is_code

FILTER = "cairn-clean-traffic"
"""Takes the parameter IP; libvirt itself gives MAC."""
_UUID = "5f0c4f8e-2f0e-5b0a-8d7b-5e2f7c9b1a4d"

_RULES: tuple[tuple[str, str, dict[str, str]], ...] = (
    ("drop", "mac", {"match": "no", "srcmacaddr": "$MAC"}),
    (
        "accept",
        "ip",
        {
            "srcipaddr": "0.0.0.0",  # noqa: S104 - a guest that has no address yet
            "dstipaddr": "255.255.255.255",
            "protocol": "udp",
            "srcportstart": "68",
            "dstportstart": "67",
        },
    ),
    ("accept", "ip", {"srcipaddr": "$IP"}),
    ("accept", "arp", {"arpsrcmacaddr": "$MAC", "arpsrcipaddr": "$IP"}),
    ("accept", "arp", {"arpsrcmacaddr": "$MAC", "arpsrcipaddr": "0.0.0.0"}),  # noqa: S104 - is it taken?
    ("drop", "mac", {}),
)
"""What becomes of a frame that the guest sends: action, protocol, what must match; the first match counts."""


def filter_xml() -> str:
    """libvirt's definition of the filter."""
    root = Element("filter", name=FILTER, chain="root")
    SubElement(root, "uuid").text = _UUID
    for number, (action, protocol, match) in enumerate(_RULES):
        rule = SubElement(root, "rule", action=action, direction="out", priority=str(100 + number))
        SubElement(rule, protocol, match)
    return tostring(root, encoding="unicode")


def install(connection: Any) -> bool:
    """Define the filter; False where libvirt has no filters. Blocking.

    Defining it again as it was changes nothing; a changed one takes effect on running guests at once.
    """
    try:
        connection.nwfilterDefineXML(filter_xml())
    except libvirt.libvirtError as error:
        if is_code(error, libvirt.VIR_ERR_NO_SUPPORT):
            return False
        raise
    return True
