"""The kinds of devices that come and go, and how two of one kind are told apart. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
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
    lasting: Callable[[Element], str | None]
    """What cannot change in a running machine, and is right from its next start on."""
    wanted: Mapping[str, Element]

    def found(self, domain: Element) -> dict[str, Element]:
        """Those that a domain's definition has."""
        elements = domain.iterfind(f"devices/{self.tag}")
        named = ((self.identity(element), element) for element in elements)
        return {name: element for name, element in named if name is not None}

    def same(self, one: Element, other: Element) -> bool:
        """Whether there is nothing to change in a running machine."""
        return self.facts(one) == self.facts(other)

    def same_at_start(self, one: Element, other: Element) -> bool:
        """Whether there is nothing to change in the definition."""
        return self.same(one, other) and self.lasting(one) == self.lasting(other)


def device_kinds(spec: GuestSpec, host: Host, volumes: Mapping[str, Element]) -> Iterator[DeviceKind]:
    """All of them; `volumes`: by id. Raises Unsupported for image properties that cannot be had."""
    model = devices.vif_model(spec.image.properties)
    cards = {n.mac.lower(): devices.interface(n, model, anti_spoof=host.anti_spoof) for n in spec.networks}
    yield DeviceKind("interface", "interface", _mac, _connection, _nothing, cards)
    yield DeviceKind("volume", "disk", _volume, _access, _serial, volumes)


def _mac(interface: Element) -> str | None:
    return _attribute(interface, "mac", "address")


def _volume(disk: Element) -> str | None:
    """The volume's id, which its file is named by; None for the machine's own disks, which have no serial
    number. That of a running disk may be another volume's, whose place this one has taken (`swapping.py`)."""
    file = _attribute(disk, "source", "file")
    return None if file is None or disk.find("serial") is None else Path(file).stem


def _serial(disk: Element) -> str | None:
    return disk.findtext("serial")


def _nothing(_device: Element) -> None:
    """Everything of it can change at any time."""


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
