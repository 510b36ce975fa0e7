"""/v2.0/ports: every interface of an instance, and those that people make beforehand."""

from __future__ import annotations

import uuid

import sqlalchemy as sa

from cairn_database.networking import groups, networks, ports
from cairn_database.networking.networks import NetworkRecord
from cairn_database.networking.owners import Owner
from cairn_database.networking.ports import NewPort, PortChange, PortRecord
from cairn_database.networking.tables import ports as table
from cairn_database.networking.tables import security_groups
from cairn_gateway.http.call import Answer, Call
from cairn_gateway.http.faults import NotImplementedYet
from cairn_gateway.http.routes import Enforce, Route
from cairn_gateway.network import bodies, listing
from cairn_gateway.network.faults import Denied, missing, translated
from cairn_gateway.network.groups import ensure_default
from cairn_gateway.network.networks import network_of
from cairn_gateway.network.owners import (
    Owners,
    enforce,
    enforce_attributes,
    names_for,
    owner_for,
)
from cairn_gateway.network.ports_view import Around, target_of, view
from cairn_gateway.network.ports_wanted import (
    PortCreate,
    PortUpdate,
    details_of,
    fixed,
    mac_of,
    refuse_rebinding,
    refuse_uncommon,
    rules,
)


async def port_of(call: Call, port_id: str) -> tuple[PortRecord, Around]:
    """The port, if the caller may see it. Raises Missing."""
    record = await ports.get(call.services.db, port_id)
    if record is None:
        raise missing("Port", port_id)
    around = await Around.of(call, [record])
    if not call.allows("get_port", target_of(record, around)):
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
        if call.allows("get_port", target_of(record, around))
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
    enforce_attributes(call, rules("create_port", item), at)
    if not networks.usable_by(network, owner.name) and not call.is_admin:
        raise Denied("NotAuthorized", f"Tenant {owner.id} not allowed to create port on this network")
    if network.name is None:
        raise NotImplementedYet(
            f"Network {network.id} has no subnet yet, and Cairn cannot make a port without an address. "
            "Create the subnet first. Nothing was changed."
        )
    refuse_uncommon(item)
    return NewPort(
        id=str(uuid.uuid4()),
        network=network.name,
        project=owner.name,
        name=item.name,
        mac=mac_of(item.mac_address),
        addresses=[None] if item.fixed_ips is None else fixed(network, item.fixed_ips),
        security_groups=await _groups(call, owner, item.security_groups),
        device_id=item.device_id,
        device_owner=item.device_owner,
        details=details_of(item, {}),
    )


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


async def update(call: Call) -> Answer:
    """Change a port."""
    record, around = await port_of(call, call.params["id"])
    item = bodies.changes(call, "port")
    at = target_of(record, around)
    enforce(call, "port", "Port", "update", at)
    enforce_attributes(call, rules("update_port", item), at)
    refuse_uncommon(item)
    if record.instance_id is not None:
        refuse_rebinding(record, item)
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
        mac=mac_of(item.mac_address) if item.given("mac_address") else None,
        addresses=wanted,
        security_groups=chosen,
        device_id=item.device_id if item.given("device_id") and not record.instance_id else None,
        device_owner=item.device_owner if item.given("device_owner") and not record.instance_id else None,
        details=details_of(item, record.details),
    )
    with translated():
        after = await ports.update(call.services.db, record.id, change)
    return Answer({"port": view(after, around, admin=call.is_admin)})


async def delete(call: Call) -> Answer:
    """Delete a port; its address is free again."""
    record, around = await port_of(call, call.params["id"])
    enforce(call, "port", "Port", "delete", target_of(record, around))
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
