"""/v2.0/floatingips: addresses of external networks, led to ports. Packets do not follow them yet: DOWN."""

from __future__ import annotations

import uuid
from typing import Annotated, Any, ClassVar

import sqlalchemy as sa
from pydantic import Field

from cairn_database.networking import floating, networks
from cairn_database.networking.floating import FloatingIpRecord, Lead, NewFloatingIp
from cairn_database.networking.networks import NetworkRecord
from cairn_database.networking.ports import PortRecord
from cairn_database.networking.tables import floating_ips as table
from cairn_gateway.http.call import Answer, Call
from cairn_gateway.http.models import Text255
from cairn_gateway.http.routes import Enforce, Route
from cairn_gateway.network import bodies, listing
from cairn_gateway.network.bodies import Id, Ignored, Owned
from cairn_gateway.network.faults import Bad, missing, translated
from cairn_gateway.network.networks import moment, network_of
from cairn_gateway.network.owners import Owners, enforce, enforce_attributes, names_for, owner_for
from cairn_gateway.network.ports import port_of

Json = dict[str, Any]
Address = Annotated[str, Field(max_length=45)]


class _Common(bodies.Attributes):
    unsupported: ClassVar[tuple[str, ...]] = ("qos_policy_id",)

    port_id: Id | None = None
    fixed_ip_address: Address | None = None
    description: Text255 | None = None
    qos_policy_id: Ignored = None


class FloatingIpCreate(_Common, Owned):
    """A new floating address."""

    floating_network_id: Id
    floating_ip_address: Address | None = None
    subnet_id: Id | None = None
    dns_name: Ignored = None
    dns_domain: Ignored = None
    distributed: Ignored = None


class FloatingIpUpdate(_Common):
    """What may change."""


class Around:
    """What showing floating addresses needs beside their rows."""

    def __init__(self, owners: Owners, ids: dict[str, str]) -> None:
        self.owners = owners
        self.network_ids = ids

    @classmethod
    async def of(cls, call: Call, records: list[FloatingIpRecord]) -> Around:
        """For these."""
        found = await networks.find(call.services.db) if records else []
        ids = {item.name: item.id for item in found if item.name is not None}
        return cls(await Owners.of(call, (record.project for record in records)), ids)


def view(record: FloatingIpRecord, around: Around) -> Json:
    """As Neutron shows it."""
    project_id = around.owners.id_of(record.project)
    return {
        "id": record.id,
        "tenant_id": project_id,
        "project_id": project_id,
        "floating_network_id": around.network_ids.get(record.network, ""),
        "floating_ip_address": record.address,
        "port_id": record.fixed_port_id,
        "fixed_ip_address": record.fixed_address,
        "router_id": None,
        "status": "DOWN",
        "description": record.description,
        "dns_name": "",
        "dns_domain": "",
        "qos_policy_id": None,
        "port_details": None,
        "port_forwardings": [],
        "created_at": moment(record.created_at),
        "updated_at": moment(record.updated_at),
        "revision_number": record.revision,
        "tags": [],
    }


def _target(record: FloatingIpRecord, around: Around) -> dict[str, str | None]:
    project_id = around.owners.id_of(record.project)
    return {"project_id": project_id, "tenant_id": project_id}


async def seen(call: Call, *conditions: sa.ColumnElement[bool]) -> list[FloatingIpRecord]:
    """Those of the caller's project; everybody's for an administrator."""
    mine = [] if call.is_admin else [table.c.project == (call.caller.project or "")]
    return await floating.find(call.services.db, *mine, *conditions)


async def floating_ip_of(call: Call, floating_ip: str) -> FloatingIpRecord:
    """The floating address, if the caller may see it. Raises Missing."""
    found = await seen(call, table.c.id == floating_ip)
    if not found:
        raise missing("FloatingIP", floating_ip)
    return found[0]


async def index(call: Call) -> Answer:
    """The floating addresses of the caller's project."""
    call.allows("get_floatingip")
    chosen = listing.filters(call)
    conditions: list[sa.ColumnElement[bool]] = []
    for field, column in (
        ("id", table.c.id),
        ("floating_ip_address", table.c.address),
        ("port_id", table.c.fixed_port_id),
    ):
        if field in chosen:
            conditions.append(column.in_(chosen[field]))
    if "project_id" in chosen:
        conditions.append(table.c.project.in_(await names_for(call, chosen["project_id"])))
    records = await seen(call, *conditions)
    around = await Around.of(call, records)
    views = [
        view(record, around) for record in records if call.allows("get_floatingip", _target(record, around))
    ]
    return listing.page(call, "floatingips", views, chosen)


async def show(call: Call) -> Answer:
    """One floating address."""
    record = await floating_ip_of(call, call.params["id"])
    around = await Around.of(call, [record])
    enforce(call, "floatingip", "FloatingIP", "get", _target(record, around))
    return Answer({"floatingip": listing.only_fields(call, view(record, around))})


async def create(call: Call) -> Answer:
    """Take addresses from an external network, and lead them to ports where that is asked for."""
    wanted, several = bodies.wanted(call, "floatingip")
    made = [await _create(call, item) for item in wanted]
    around = await Around.of(call, made)
    views = [view(record, around) for record in made]
    return Answer({"floatingips": views} if several else {"floatingip": views[0]}, 201)


async def _create(call: Call, item: FloatingIpCreate) -> FloatingIpRecord:
    owner = await owner_for(call, item.wanted_project)
    at: dict[str, str | None] = {"project_id": owner.id, "tenant_id": owner.id}
    call.enforce(at)
    if item.floating_ip_address is not None:
        enforce_attributes(call, ["create_floatingip:floating_ip_address"], at)
    network = await network_of(call, item.floating_network_id)
    if item.subnet_id not in (None, network.subnet_id):
        raise missing("Subnet", item.subnet_id or "")
    lead = None
    if item.port_id is not None:
        lead = await _lead(call, item.port_id, item.fixed_ip_address)
    return await take(call, owner.name, network, item, lead)


async def take(
    call: Call, project: str, network: NetworkRecord, item: FloatingIpCreate | None, lead: Lead | None
) -> FloatingIpRecord:
    """An address of that network for the project. Raises Bad, Clash."""
    if not network.external or network.name is None:
        message = f"Network {network.id} is not a valid external network"
        raise Bad("BadRequest", f"Bad floatingip request: {message}.")
    new = NewFloatingIp(
        id=str(uuid.uuid4()),
        port_id=str(uuid.uuid4()),
        project=project,
        network=network.name,
        address=item.floating_ip_address if item else None,
        description=(item.description if item else None) or "",
        lead=lead,
    )
    with translated():
        return await floating.create(call.services.db, new)


async def _lead(call: Call, port_id: str, address: str | None) -> Lead:
    """Where it is to lead: a port that the caller may use. Raises Missing, Bad."""
    port: PortRecord
    port, around = await port_of(call, port_id)
    mine = call.caller.project is not None and port.project == call.caller.project
    if not mine and not call.is_admin:
        raise missing("Port", port_id)
    network = around.networks.get(port.network)
    if network is not None and network.external:
        raise Bad("BadRequest", f"Bad floatingip request: Port {port_id} is on an external network.")
    if not port.addresses:
        raise Bad("BadRequest", f"Bad floatingip request: Port {port_id} has no fixed IP address.")
    if address is not None and address not in port.addresses:
        message = f"Port {port_id} does not have fixed ip {address}"
        raise Bad("BadRequest", f"Bad floatingip request: {message}.")
    return Lead(port_id, address)


async def update(call: Call) -> Answer:
    """Lead it to a port, or nowhere (`port_id` null)."""
    record = await floating_ip_of(call, call.params["id"])
    around = await Around.of(call, [record])
    enforce(call, "floatingip", "FloatingIP", "update", _target(record, around))
    item = bodies.changes(call, "floatingip")
    with translated():
        if item.given("port_id", "fixed_ip_address"):
            target_port = item.port_id if item.given("port_id") else record.fixed_port_id
            lead = None if target_port is None else await _lead(call, target_port, item.fixed_ip_address)
            record = await floating.associate(call.services.db, record.id, lead)
        elif not item.given("description"):
            # Neutron: an update that names no port takes it off the one that it leads to.
            record = await floating.associate(call.services.db, record.id, None)
        if item.given("description"):
            record = await floating.describe(call.services.db, record.id, item.description or "")
    return Answer({"floatingip": view(record, around)})


async def delete(call: Call) -> Answer:
    """Give it back."""
    record = await floating_ip_of(call, call.params["id"])
    around = await Around.of(call, [record])
    enforce(call, "floatingip", "FloatingIP", "delete", _target(record, around))
    with translated():
        await floating.delete(call.services.db, record.id)
    return Answer()


ROUTES: tuple[Route, ...] = (
    Route("GET", "/v2.0/floatingips", index, "get_floatingip", enforce=Enforce.HANDLER),
    Route(
        "POST",
        "/v2.0/floatingips",
        create,
        "create_floatingip",
        status=201,
        body=bodies.one_or_many("floatingip", FloatingIpCreate),
        enforce=Enforce.HANDLER,
    ),
    Route("GET", "/v2.0/floatingips/{id}", show, "get_floatingip", enforce=Enforce.HANDLER),
    Route(
        "PUT",
        "/v2.0/floatingips/{id}",
        update,
        "update_floatingip",
        body=bodies.one("floatingip", FloatingIpUpdate),
        enforce=Enforce.HANDLER,
    ),
    Route(
        "DELETE", "/v2.0/floatingips/{id}", delete, "delete_floatingip", status=204, enforce=Enforce.HANDLER
    ),
)
