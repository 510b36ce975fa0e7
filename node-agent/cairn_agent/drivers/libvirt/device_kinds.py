"""The kinds of devices that come and go, and how two of one kind are told apart. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from xml.etree.ElementTree import Element

from cairn_agent.drivers.libvirt import devices
from cairn_agent.drivers.libvirt.host import Host
from cairn_crds.guest import GuestSpec


@dataclass(frozen=True)
class DeviceKind:
    """One kind, with what a machine is to have of it."""

    name: str
    """For messages."""
    tag: str
    """libvirt's element."""
    identity: Callable[[Element], str | None]
    """What tells one from another; None: it is none of those that come and go."""
    facts: Callable[[Element], tuple[str | None, ...]]
    """What else has to be right."""
    wanted: Mapping[str, Element]

    def found(self, domain: Element) -> dict[str, Element]:
        """Those that a domain's definition has."""
        elements = domain.iterfind(f"devices/{self.tag}")
        named = ((self.identity(element), element) for element in elements)
        return {name: element for name, element in named if name is not None}

    def same(self, one: Element, other: Element) -> bool:
        """Whether there is nothing to change."""
        return self.facts(one) == self.facts(other)


def device_kinds(spec: GuestSpec, host: Host, volumes: Mapping[str, Element]) -> Iterator[DeviceKind]:
    """All of them; `volumes`: by id. Raises Unsupported for image properties that cannot be had."""
    model = devices.vif_model(spec.image.properties)
    cards = {n.mac.lower(): devices.interface(n, model, anti_spoof=host.anti_spoof) for n in spec.networks}
    yield DeviceKind("interface", "interface", _mac, _connection, cards)
    yield DeviceKind("volume", "disk", _serial, _access, volumes)


def _mac(interface: Element) -> str | None:
    return _attribute(interface, "mac", "address")


def _serial(disk: Element) -> str | None:
    """The volume's id; None for the machine's own disks."""
    return disk.findtext("serial")


def _access(disk: Element) -> tuple[str | None, ...]:
    """Where its file is does not change under a running machine."""
    return ("readonly" if disk.find("readonly") is not None else None,)


def _connection(interface: Element) -> tuple[str | None, ...]:
    """Where it is plugged in, and what it may send from."""
    address = interface.find("filterref/parameter[@name='IP']")
    return (
        _attribute(interface, "source", "network") or _attribute(interface, "source", "bridge"),
        None if address is None else address.get("value"),
    )


def _attribute(element: Element, child: str, name: str) -> str | None:
    found = element.find(child)
    return None if found is None else found.get(name)
