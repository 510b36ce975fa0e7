"""/v2.0/networks. Source of behaviour: Neutron's API reference, and its policies' names."""

from __future__ import annotations

import uuid
from typing import Annotated, Any, ClassVar

import sqlalchemy as sa
from pydantic import Field

from cairn_crds import Network
from cairn_database import catalog
from cairn_database.networking import limits, networks
from cairn_database.networking.networks import NetworkRecord
from cairn_database.networking.tables import ports
from cairn_gateway.http.call import Answer, Call
from cairn_gateway.http.models import Text255
from cairn_gateway.http.routes import Enforce, Route
from cairn_gateway.network import bodies, listing
from cairn_gateway.network.bodies import Attributes, Flag, Ignored, Name, Number, Owned
from cairn_gateway.network.faults import Clash, missing, translated
from cairn_gateway.network.owners import (
    Owners,
    Target,
    enforce,
    enforce_attributes,
    owner_for,
    target,
)
from cairn_runtime.kubernetes import NotFound as ResourceNotFound

Json = dict[str, Any]
DEFAULT_MTU = 1500
Mtu = Annotated[Number, Field(ge=576, le=9216)]


class _Common(Attributes):
    unsupported: ClassVar[tuple[str, ...]] = (
        "network_type",
        "physical_network",
        "segmentation_id",
        "segments",
        "qos_policy_id",
        "vlan_transparent",
    )

    name: Name | None = None
    admin_state_up: Flag = True
    description: Text255 | None = None
    external: Annotated[Flag, Field(alias="router:external")] = False
    shared: Flag = False
    mtu: Mtu | None = None
    is_default: Ignored = None
    dns_domain: Ignored = None
    port_security_enabled: Ignored = None
    network_type: Annotated[Ignored, Field(alias="provider:network_type")] = None
    physical_network: Annotated[Ignored, Field(alias="provider:physical_network")] = None
    segmentation_id: Annotated[Ignored, Field(alias="provider:segmentation_id")] = None
    segments: Ignored = None
    qos_policy_id: Ignored = None
    vlan_transparent: Ignored = None


class NetworkCreate(_Common, Owned):
    """A new network; it becomes a Network resource with its subnet."""

    availability_zone_hints: Ignored = None


class NetworkUpdate(_Common):
    """What may change."""


ATTRIBUTE_RULES = {
    "shared": "shared",
    "external": "router:external",
    "is_default": "is_default",
    "port_security_enabled": "port_security_enabled",
    "network_type": "provider:network_type",
    "physical_network": "provider:physical_network",
    "segmentation_id": "provider:segmentation_id",
    "segments": "segments",
}
"""Fields that the policy has a rule of their own for."""


def view(record: NetworkRecord, owners: Owners) -> Json:
    """As Neutron shows it."""
    said = record.spec.to_api() if record.spec is not None else record.draft
    project_id = owners.id_of(record.owner)
    return {
        "id": record.id,
        "name": record.display_name,
        "tenant_id": project_id,
        "project_id": project_id,
        "admin_state_up": said.get("adminStateUp", True),
        "mtu": said.get("mtu", DEFAULT_MTU),
        "status": "ACTIVE",
        "subnets": [record.subnet_id] if record.subnet_id else [],
        "shared": record.shared,
        "router:external": record.external,
        "is_default": bool(said.get("default", False)),
        "availability_zone_hints": [],
        "availability_zones": ["nova"],
        "ipv4_address_scope": None,
        "ipv6_address_scope": None,
        "port_security_enabled": True,
        "description": said.get("description") or "",
        "created_at": moment(record.created_at),
        "updated_at": moment(record.updated_at),
        "revision_number": 1,
        "tags": [],
    }


def moment(value: Any) -> str:
    """As Neutron writes times: whole seconds, UTC."""
    return str(value.strftime("%Y-%m-%dT%H:%M:%SZ"))


async def shown(call: Call, records: list[NetworkRecord]) -> list[Json]:
    """The networks that the caller may see."""
    owners = await Owners.of(call, (record.owner for record in records))
    views = []
    for record in records:
        item = view(record, owners)
        usable = networks.usable_by(record, call.caller.project)
        if call.allows("get_network", target(item, shared=str(usable))):
            views.append(item)
    return views


async def visible_networks(call: Call, **which: str | None) -> list[NetworkRecord]:
    """Those that the caller's project sees; all for an administrator."""
    project = None if call.is_admin else call.caller.project or ""
    return await networks.find(call.services.db, visible_to=project, **which)


async def network_of(call: Call, network_id: str) -> NetworkRecord:
    """The network, which the caller may see. Raises Missing."""
    found = await visible_networks(call, network_id=network_id)
    if not found:
        raise missing("Network", network_id)
    return found[0]


async def index(call: Call) -> Answer:
    """The networks that the caller may see."""
    call.allows("get_network")
    chosen = listing.filters(call)
    only = listing.the(chosen, "id")
    records = await visible_networks(call, network_id=only)
    return listing.page(call, "networks", await shown(call, records), chosen)


async def show(call: Call) -> Answer:
    """One network."""
    record = await network_of(call, call.params["id"])
    owners = await Owners.of(call, [record.owner])
    item = view(record, owners)
    usable = networks.usable_by(record, call.caller.project)
    enforce(call, "network", "Network", "get", target(item, shared=str(usable)))
    return Answer({"network": listing.only_fields(call, item)})


async def create(call: Call) -> Answer:
    """Make networks. Until a network gets its subnet it is a row alone."""
    wanted, several = bodies.wanted(call, "network")
    owners = [await owner_for(call, item.wanted_project) for item in wanted]
    for item, owner in zip(wanted, owners, strict=True):
        at: Target = {"project_id": owner.id, "tenant_id": owner.id}
        call.enforce(at)
        enforce_attributes(call, _rules("create_network", item), at)
    drafts = [
        (str(uuid.uuid4()), owner, _draft(item, owner.name))
        for item, owner in zip(wanted, owners, strict=True)
    ]

    def transaction(conn: sa.Connection) -> None:
        for owner in {draft[1] for draft in drafts}:
            limits.check_quota(conn, owner.name, "network", sum(draft[1] == owner for draft in drafts))
        for (network_id, owner, draft), item in zip(drafts, wanted, strict=True):
            networks.add_draft(conn, network_id, owner.name, item.name or "", draft)

    with translated():
        await call.services.db.run(transaction)
    records = [
        (await networks.find(call.services.db, network_id=network_id))[0] for network_id, _, _ in drafts
    ]
    ids = await Owners.of(call, (record.owner for record in records))
    views = [view(record, ids) for record in records]
    return Answer({"networks": views} if several else {"network": views[0]}, 201)


def _rules(verb: str, item: _Common) -> list[str]:
    """Rules about what is not as it would be anyway."""
    sent = [name for name in ATTRIBUTE_RULES if getattr(item, name) not in (None, False, "", [])]
    if item.port_security_enabled is True and "port_security_enabled" in sent:
        sent.remove("port_security_enabled")
    if verb == "update_network":
        sent = list(dict.fromkeys([*sent, *item.given("shared", "external")]))
    return [f"{verb}:{ATTRIBUTE_RULES[name]}" for name in sent]


def _draft(item: NetworkCreate, owner: str) -> Json:
    draft: Json = {
        "owner": owner,
        "projects": [] if item.shared else [owner],
        "external": item.external,
        "adminStateUp": item.admin_state_up,
        "mtu": item.mtu or DEFAULT_MTU,
    }
    return draft | ({"description": item.description} if item.description else {})


async def update(call: Call) -> Answer:
    """Change a network."""
    record = await network_of(call, call.params["id"])
    item = bodies.changes(call, "network")
    owners = await Owners.of(call, [record.owner])
    at = target(view(record, owners))
    enforce(call, "network", "Network", "update", at)
    enforce_attributes(call, _rules("update_network", item), at)
    spec: Json = {}
    for field, key in (("description", "description"), ("mtu", "mtu"), ("admin_state_up", "adminStateUp")):
        if item.given(field):
            spec[key] = getattr(item, field) or (None if field == "description" else getattr(item, field))
    if item.given("external"):
        spec["external"] = item.external
    if item.given("shared") and item.shared != record.shared:
        spec |= await _sharing(call, record, shared=item.shared)
    after = await change(call, record, spec, item.name if item.given("name") else None)
    return Answer({"network": view(after, owners)})


async def _sharing(call: Call, record: NetworkRecord, *, shared: bool) -> Json:
    owner = record.owner or call.caller.project
    if shared:
        return {"projects": [], "owner": owner}
    others = sa.select(ports.c.id).where(
        ports.c.network == (record.name or ""), ports.c.project != owner, ports.c.project.is_not(None)
    )
    used = await call.services.db.read(lambda conn: conn.execute(others.limit(1)).first())
    if used is not None:
        raise Clash(
            "InvalidSharedSetting",
            f"Unable to reconfigure sharing settings for network {record.id}. Multiple tenants are using it.",
        )
    return {"projects": [owner], "owner": owner}


async def change(call: Call, record: NetworkRecord, spec: Json, name: str | None = None) -> NetworkRecord:
    """Write these fields of the network's spec (None: take it away), and its name; how it is then.

    A draft is a row; a resource is changed first and then taken in, as its mirror does it.
    """
    services = call.services
    if record.name is None:
        draft = {key: value for key, value in {**record.draft, **spec}.items() if value is not None}
        kept = record.display_name if name is None else name
        if not await networks.change_draft(services.db, record.id, kept, draft):
            raise Clash("NetworkInUse", f"Network {record.id} was changed by somebody else. Try again.")
    else:
        patch = spec if name is None else {**spec, "displayName": name or None}
        try:
            with translated():
                body = await services.cluster.patch(Network, record.name, {"spec": patch})
        except ResourceNotFound as error:
            raise missing("Network", record.id) from error
        await take_in(call, Network.from_api(body))
    return (await networks.find(services.db, network_id=record.id))[0]


async def take_in(call: Call, resource: Network) -> None:
    """The resource as it is now, in SQL at once."""
    metadata = resource.metadata
    await catalog.networks.take_in(call.services.db, metadata.name, resource.spec, metadata.uid)


async def delete(call: Call) -> Answer:
    """Delete a network, and its subnet."""
    record = await network_of(call, call.params["id"])
    owners = await Owners.of(call, [record.owner])
    enforce(call, "network", "Network", "delete", target(view(record, owners)))
    services = call.services
    if record.name is None:
        await networks.drop_draft(services.db, record.id)
        return Answer()
    await services.cluster.require()
    with translated():
        await networks.begin_removal(services.db, record, keep_draft=False)
    await services.cluster.delete(Network, record.name)
    return Answer()


ROUTES: tuple[Route, ...] = (
    Route("GET", "/v2.0/networks", index, "get_network", enforce=Enforce.HANDLER),
    Route(
        "POST",
        "/v2.0/networks",
        create,
        "create_network",
        status=201,
        body=bodies.one_or_many("network", NetworkCreate),
        enforce=Enforce.HANDLER,
    ),
    Route("GET", "/v2.0/networks/{id}", show, "get_network", enforce=Enforce.HANDLER),
    Route(
        "PUT",
        "/v2.0/networks/{id}",
        update,
        "update_network",
        body=bodies.one("network", NetworkUpdate),
        enforce=Enforce.HANDLER,
    ),
    Route("DELETE", "/v2.0/networks/{id}", delete, "delete_network", status=204, enforce=Enforce.HANDLER),
)
