"""/v2.0/ports: every interface of an instance, and those that people make beforehand."""

from __future__ import annotations

import re
import uuid
from ipaddress import IPv4Address, IPv4Network
from typing import Annotated, Any, ClassVar

import sqlalchemy as sa
from pydantic import Field

from cairn_database.networking import groups, networks, ports
from cairn_database.networking.networks import NetworkRecord
from cairn_database.networking.owners import Owner
from cairn_database.networking.ports import NewPort, PortChange, PortRecord
from cairn_database.networking.tables import ports as table
from cairn_database.networking.tables import security_groups
from cairn_database.tables import instances
from cairn_gateway.http.call import Answer, Call
from cairn_gateway.http.faults import NotImplementedYet
from cairn_gateway.http.models import Text255
from cairn_gateway.http.routes import Enforce, Route
from cairn_gateway.network import bodies, listing
from cairn_gateway.network.bodies import Attributes, Flag, Id, Ignored, Name, Owned
from cairn_gateway.network.faults import Bad, Clash, Denied, missing, translated
from cairn_gateway.network.groups import ensure_default
from cairn_gateway.network.networks import moment, network_of
from cairn_gateway.network.owners import (
    Owners,
    enforce,
    enforce_attributes,
    names_for,
    owner_for,
)

Json = dict[str, Any]
MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
RUNNING = frozenset(("active", "paused", "rescued"))
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


class Around:
    """What showing ports needs beside their rows."""

    def __init__(self, owners: Owners, of: dict[str, NetworkRecord], machines: dict[str, Any]) -> None:
        self.owners = owners
        self.networks = of
        self.machines = machines

    @classmethod
    async def of(cls, call: Call, records: list[PortRecord]) -> Around:
        """For these ports."""
        names = {record.network for record in records}
        only = next(iter(names)) if len(names) == 1 else None
        found = await networks.find(call.services.db, name=only) if names else []
        by_name = {item.name: item for item in found if item.name is not None}
        people = [record.project for record in records] + [item.owner for item in by_name.values()]
        ids = [record.instance_id for record in records if record.instance_id]
        return cls(await Owners.of(call, people), by_name, await _machines(call, ids))


async def _machines(call: Call, instance_ids: list[str]) -> dict[str, Any]:
    """Host and state of the instances that ports belong to."""
    found: dict[str, Any] = {}
    columns = sa.select(instances.c.id, instances.c.host, instances.c.vm_state)
    for start in range(0, len(instance_ids), 500):
        statement = columns.where(instances.c.id.in_(instance_ids[start : start + 500]))
        rows = await call.services.db.read(lambda conn, query=statement: list(conn.execute(query)))  # type: ignore[misc]
        found |= {row.id: row for row in rows}
    return found


def view(record: PortRecord, around: Around, *, admin: bool = False) -> Json:
    """As Neutron shows it; `admin`: with what only administrators see."""
    network = around.networks.get(record.network)
    machine = around.machines.get(record.instance_id or "")
    project_id = around.owners.id_of(record.project)
    active = machine is not None and machine.vm_state in RUNNING
    shown = {
        "id": record.id,
        "name": record.name,
        "network_id": network.id if network else "",
        "tenant_id": project_id,
        "project_id": project_id,
        "mac_address": record.mac,
        "admin_state_up": record.details.get("adminStateUp", True),
        "status": "ACTIVE" if active else "DOWN",
        "device_id": record.instance_id or record.device_id,
        "device_owner": record.device_owner,
        "fixed_ips": [
            {"subnet_id": network.subnet_id if network else "", "ip_address": address}
            for address in record.addresses
        ],
        "security_groups": list(record.security_groups),
        "description": record.details.get("description", ""),
        "binding:vnic_type": NORMAL,
        "port_security_enabled": True,
        "allowed_address_pairs": [],
        "extra_dhcp_opts": [],
        "dns_name": record.details.get("dnsName", ""),
        "dns_assignment": [],
        "dns_domain": "",
        "qos_policy_id": None,
        "qos_network_policy_id": None,
        "resource_request": None,
        "ip_allocation": "immediate",
        "created_at": moment(record.created_at),
        "updated_at": moment(record.updated_at),
        "revision_number": record.revision,
        "tags": [],
    }
    if admin:
        shown |= {
            "binding:host_id": (machine.host if machine else None) or record.details.get("host", ""),
            "binding:profile": record.details.get("profile", {}),
            "binding:vif_type": "bridge" if active else "unbound",
            "binding:vif_details": {},
        }
    return shown


def _target(record: PortRecord, around: Around) -> dict[str, str | None]:
    network = around.networks.get(record.network)
    owner = around.owners.id_of(network.owner) if network else None
    project_id = around.owners.id_of(record.project) or None
    return {
        "project_id": project_id,
        "tenant_id": project_id,
        "network:project_id": owner or None,
        "shared": str(network.shared if network else False),
        "device_owner": record.device_owner,
    }


async def port_of(call: Call, port_id: str) -> tuple[PortRecord, Around]:
    """The port, if the caller may see it. Raises Missing."""
    record = await ports.get(call.services.db, port_id)
    if record is None:
        raise missing("Port", port_id)
    around = await Around.of(call, [record])
    if not call.allows("get_port", _target(record, around)):
        raise missing("Port", port_id)
    return record, around


async def index(call: Call) -> Answer:
    """The ports that the caller may see."""
    call.allows("get_port")
    chosen = listing.filters(call)
    conditions: list[sa.ColumnElement[bool]] = []
    if not call.is_admin:
        owned = [item.name for item in await _owned_networks(call)]
        project = call.caller.project or ""
        conditions.append(sa.or_(table.c.project == project, table.c.network.in_(owned)))
    conditions += await _selective(call, chosen)
    records = await ports.find(call.services.db, *conditions)
    around = await Around.of(call, records)
    admin = call.is_admin
    views = [
        view(record, around, admin=admin)
        for record in records
        if call.allows("get_port", _target(record, around))
    ]
    return listing.page(call, "ports", views, chosen)


async def _owned_networks(call: Call) -> list[NetworkRecord]:
    """The project's own networks: it sees every port on them."""
    project = call.caller.project
    if project is None:
        return []
    found = await networks.find(call.services.db, visible_to=project)
    return [item for item in found if item.owner == project and item.name is not None]


async def _selective(call: Call, chosen: dict[str, list[str]]) -> list[sa.ColumnElement[bool]]:
    """Filters that leave little, as SQL; the list is filtered by all of them afterwards."""
    conditions: list[sa.ColumnElement[bool]] = []
    for field, column in (("id", table.c.id), ("name", table.c.name), ("mac_address", table.c.mac)):
        if field in chosen:
            conditions.append(column.in_(chosen[field]))
    if "device_id" in chosen:
        wanted = chosen["device_id"]
        conditions.append(sa.or_(table.c.instance_id.in_(wanted), table.c.device_id.in_(wanted)))
    if "project_id" in chosen:
        conditions.append(table.c.project.in_(await names_for(call, chosen["project_id"])))
    if "network_id" in chosen:
        found = [await networks.find(call.services.db, network_id=item) for item in chosen["network_id"]]
        conditions.append(table.c.network.in_([item.name for items in found for item in items if item.name]))
    exact = [word for word in chosen.get("fixed_ips", ()) if word.startswith("ip_address=")]
    conditions += [ports.with_address(word.removeprefix("ip_address=")) for word in exact[:1]]
    conditions += [ports.in_group(group_id) for group_id in chosen.get("security_groups", ())[:1]]
    return conditions


async def show(call: Call) -> Answer:
    """One port."""
    record, around = await port_of(call, call.params["id"])
    return Answer({"port": listing.only_fields(call, view(record, around, admin=call.is_admin))})


async def create(call: Call) -> Answer:
    """Make ports; each holds its address from now on."""
    wanted, several = bodies.wanted(call, "port")
    new = [await _new_port(call, item) for item in wanted]
    with translated():
        made = await ports.create(call.services.db, new)
    around = await Around.of(call, made)
    views = [view(record, around, admin=call.is_admin) for record in made]
    return Answer({"ports": views} if several else {"port": views[0]}, 201)


async def _new_port(call: Call, item: PortCreate) -> NewPort:
    network = await network_of(call, item.network_id)
    owner = await owner_for(call, item.wanted_project)
    ids = await Owners.of(call, [network.owner])
    at: dict[str, str | None] = {
        "project_id": owner.id,
        "tenant_id": owner.id,
        "network:project_id": ids.id_of(network.owner) or None,
        "shared": str(network.shared),
        "device_owner": item.device_owner,
    }
    call.enforce(at)
    enforce_attributes(call, _rules("create_port", item), at)
    if not networks.usable_by(network, owner.name) and not call.is_admin:
        raise Denied("NotAuthorized", f"Tenant {owner.id} not allowed to create port on this network")
    if network.name is None:
        raise NotImplementedYet(
            f"Network {network.id} has no subnet yet, and Cairn cannot make a port without an address. "
            "Create the subnet first. Nothing was changed."
        )
    _refuse_uncommon(item)
    return NewPort(
        id=str(uuid.uuid4()),
        network=network.name,
        project=owner.name,
        name=item.name,
        mac=_mac(item.mac_address),
        addresses=[None] if item.fixed_ips is None else fixed(network, item.fixed_ips),
        security_groups=await _groups(call, owner, item.security_groups),
        device_id=item.device_id,
        device_owner=item.device_owner,
        details=_details(item, {}),
    )


def _rules(verb: str, item: _Common) -> list[str]:
    rules = []
    for name, rule in ATTRIBUTE_RULES.items():
        value = getattr(item, name)
        default = type(item).model_fields[name].default
        if name in item.model_fields_set and value not in (default, None, "", [], {}):
            rules.append(f"{verb}:{rule}")
    for entry in item.fixed_ips or ():
        rules += [f"{verb}:fixed_ips:ip_address"] if entry.ip_address else []
        rules += [f"{verb}:fixed_ips:subnet_id"] if entry.subnet_id else []
    if item.fixed_ips:
        rules.append(f"{verb}:fixed_ips")
    return list(dict.fromkeys(rules))


def _refuse_uncommon(item: _Common) -> None:
    if item.vnic_type != NORMAL:
        raise NotImplementedYet(f"Cairn cannot make ports of type '{item.vnic_type}' yet: normal ones only.")
    if item.port_security_enabled is False:
        raise NotImplementedYet("Cairn cannot let a port send under other addresses than its own yet.")


def _mac(text: str | None) -> str | None:
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


async def _groups(call: Call, owner: Owner, wanted: list[str] | None) -> list[str]:
    """Ids that are the project's; `default` when nothing is said. Raises Missing."""
    if wanted is None:
        return [(await ensure_default(call, owner)).id]
    if not wanted:
        return []
    ids = list(dict.fromkeys(wanted))
    if "default" in ids:
        await ensure_default(call, owner)
    found = await groups.find(
        call.services.db, security_groups.c.id.in_(ids), security_groups.c.project == owner.name
    )
    for group_id in ids:
        if group_id not in {group.id for group in found}:
            raise missing("SecurityGroup", group_id)
    return ids


def _details(item: _Common, before: Json) -> Json:
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


async def update(call: Call) -> Answer:
    """Change a port."""
    record, around = await port_of(call, call.params["id"])
    item = bodies.changes(call, "port")
    at = _target(record, around)
    enforce(call, "port", "Port", "update", at)
    enforce_attributes(call, _rules("update_port", item), at)
    _refuse_uncommon(item)
    if record.instance_id is not None:
        _refuse_rebinding(record, item)
    network = around.networks[record.network]
    wanted = None
    if item.given("fixed_ips"):
        wanted = fixed(network, item.fixed_ips or [])
    chosen = None
    if item.given("security_groups"):
        owner = await owner_for(call, around.owners.id_of(record.project) or None)
        chosen = await _groups(call, owner, item.security_groups or [])
    change = PortChange(
        name=item.name if item.given("name") else None,
        mac=_mac(item.mac_address) if item.given("mac_address") else None,
        addresses=wanted,
        security_groups=chosen,
        device_id=item.device_id if item.given("device_id") and not record.instance_id else None,
        device_owner=item.device_owner if item.given("device_owner") and not record.instance_id else None,
        details=_details(item, record.details),
    )
    with translated():
        after = await ports.update(call.services.db, record.id, change)
    return Answer({"port": view(after, around, admin=call.is_admin)})


def _refuse_rebinding(record: PortRecord, item: PortUpdate) -> None:
    other_device = item.given("device_id") and item.device_id != record.instance_id
    other_owner = item.given("device_owner") and item.device_owner != record.device_owner
    if other_device or other_owner:
        raise Clash(
            "PortBound",
            f"Port {record.id} is an interface of instance {record.instance_id}. Detach it there first.",
        )


async def delete(call: Call) -> Answer:
    """Delete a port; its address is free again."""
    record, around = await port_of(call, call.params["id"])
    enforce(call, "port", "Port", "delete", _target(record, around))
    with translated():
        await ports.delete(call.services.db, record.id)
    return Answer()


ROUTES: tuple[Route, ...] = (
    Route("GET", "/v2.0/ports", index, "get_port", enforce=Enforce.HANDLER),
    Route(
        "POST",
        "/v2.0/ports",
        create,
        "create_port",
        status=201,
        body=bodies.one_or_many("port", PortCreate),
        enforce=Enforce.HANDLER,
    ),
    Route("GET", "/v2.0/ports/{id}", show, "get_port", enforce=Enforce.HANDLER),
    Route(
        "PUT",
        "/v2.0/ports/{id}",
        update,
        "update_port",
        body=bodies.one("port", PortUpdate),
        enforce=Enforce.HANDLER,
    ),
    Route("DELETE", "/v2.0/ports/{id}", delete, "delete_port", status=204, enforce=Enforce.HANDLER),
)
