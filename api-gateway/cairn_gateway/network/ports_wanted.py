"""What a request says of a port: its fields, the rules that they need, and what is refused."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv4Network
from typing import Annotated, Any, ClassVar

from pydantic import Field

from cairn_database.networking.networks import NetworkRecord
from cairn_database.networking.ports import PortRecord
from cairn_gateway.http.faults import NotImplementedYet
from cairn_gateway.http.models import Text255
from cairn_gateway.network.bodies import Attributes, Flag, Id, Ignored, Name, Owned
from cairn_gateway.network.faults import Bad, Clash

Json = dict[str, Any]
MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
NORMAL = "normal"


class FixedIp(Attributes):
    """One address that the port is to have."""

    subnet_id: Id | None = None
    ip_address: Annotated[str, Field(max_length=45)] | None = None


class _Common(Attributes):
    unsupported: ClassVar[tuple[str, ...]] = (
        "allowed_address_pairs",
        "extra_dhcp_opts",
        "qos_policy_id",
        "numa_affinity_policy",
        "hints",
    )

    name: Name = ""
    description: Text255 | None = None
    admin_state_up: Flag = True
    mac_address: Annotated[str, Field(max_length=32)] | None = None
    fixed_ips: Annotated[list[FixedIp], Field(max_length=16)] | None = None
    device_id: Name = ""
    device_owner: Name = ""
    security_groups: Annotated[list[Id], Field(max_length=64)] | None = None
    host_id: Annotated[Name, Field(alias="binding:host_id")] = ""
    profile: Annotated[dict[str, Any] | None, Field(alias="binding:profile", max_length=32)] = None
    vnic_type: Annotated[Text255, Field(alias="binding:vnic_type")] = NORMAL
    port_security_enabled: Flag = True
    dns_name: Name = ""
    dns_domain: Ignored = None
    allowed_address_pairs: Ignored = None
    extra_dhcp_opts: Ignored = None
    qos_policy_id: Ignored = None
    numa_affinity_policy: Ignored = None
    hints: Ignored = None


class PortCreate(_Common, Owned):
    """A new port."""

    network_id: Id
    propagate_uplink_status: Ignored = None


class PortUpdate(_Common):
    """What may change."""

    propagate_uplink_status: Ignored = None


ATTRIBUTE_RULES = {
    "device_owner": "device_owner",
    "mac_address": "mac_address",
    "port_security_enabled": "port_security_enabled",
    "host_id": "binding:host_id",
    "profile": "binding:profile",
    "vnic_type": "binding:vnic_type",
    "allowed_address_pairs": "allowed_address_pairs",
}


def rules(verb: str, item: _Common) -> list[str]:
    """The policy's rules about what is said: `create_port:mac_address` and the like, each once."""
    found = []
    for name, rule in ATTRIBUTE_RULES.items():
        value = getattr(item, name)
        default = type(item).model_fields[name].default
        if name in item.model_fields_set and value not in (default, None, "", [], {}):
            found.append(f"{verb}:{rule}")
    for entry in item.fixed_ips or ():
        found += [f"{verb}:fixed_ips:ip_address"] if entry.ip_address else []
        found += [f"{verb}:fixed_ips:subnet_id"] if entry.subnet_id else []
    if item.fixed_ips:
        found.append(f"{verb}:fixed_ips")
    return list(dict.fromkeys(found))


def refuse_uncommon(item: _Common) -> None:
    """Raises NotImplementedYet for what Cairn's ports cannot be."""
    if item.vnic_type != NORMAL:
        raise NotImplementedYet(f"Cairn cannot make ports of type '{item.vnic_type}' yet: normal ones only.")
    if item.port_security_enabled is False:
        raise NotImplementedYet("Cairn cannot let a port send under other addresses than its own yet.")


def mac_of(text: str | None) -> str | None:
    """A hardware address as Cairn writes it. Raises Bad."""
    if text is None:
        return None
    mac = text.lower().replace("-", ":")
    if not MAC.fullmatch(mac) or int(mac[:2], 16) & 1:
        raise Bad(
            "InvalidInput", f"Invalid input for mac_address. Reason: '{text}' is not a valid MAC address."
        )
    return mac


def fixed(network: NetworkRecord, wanted: list[FixedIp]) -> list[str | None]:
    """The addresses that are asked for, None for any. Raises Bad."""
    assert network.spec is not None  # noqa: S101 - drafts were refused
    cidr = IPv4Network(network.spec.cidr, strict=False)
    found: list[str | None] = []
    for entry in wanted:
        if entry.subnet_id not in (None, network.subnet_id):
            message = f"Subnet {entry.subnet_id} is not on network {network.id}."
            raise Bad("InvalidInput", f"Invalid input for operation: {message}")
        if entry.ip_address is None:
            found.append(None)
            continue
        try:
            address = IPv4Address(entry.ip_address)
        except ValueError as error:
            raise Bad("InvalidInput", f"Invalid input for fixed_ips. Reason: {error}.") from error
        if address not in cidr:
            message = f"IP address {address} is not a valid IP for the specified subnet."
            raise Bad("InvalidIpForSubnet", message)
        found.append(str(address))
    if len({item for item in found if item}) != len([item for item in found if item]):
        raise Bad("InvalidInput", "Invalid input for fixed_ips. Reason: Duplicate IP address.")
    return found


def details_of(item: _Common, before: Json) -> Json:
    """What is kept to be shown, on top of what was there `before`."""
    details = dict(before)
    if item.given("description"):
        details["description"] = item.description or ""
    if item.given("admin_state_up"):
        details["adminStateUp"] = item.admin_state_up
    if item.given("dns_name"):
        details["dnsName"] = item.dns_name
    if "host_id" in item.model_fields_set:
        details["host"] = item.host_id
    if "profile" in item.model_fields_set:
        details["profile"] = item.profile or {}
    return details


def refuse_rebinding(record: PortRecord, item: PortUpdate) -> None:
    """Raises Clash where an interface of an instance is to become something else's."""
    other_device = item.given("device_id") and item.device_id != record.instance_id
    other_owner = item.given("device_owner") and item.device_owner != record.device_owner
    if other_device or other_owner:
        raise Clash(
            "PortBound",
            f"Port {record.id} is an interface of instance {record.instance_id}. Detach it there first.",
        )
