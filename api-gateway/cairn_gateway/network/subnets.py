"""/v2.0/subnets: each network has one, of IPv4; making it makes the Network resource."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from cairn_crds import Metadata, Network, NetworkSpec
from cairn_crds.network import AddressPool
from cairn_database.networking import networks, pools
from cairn_database.networking.networks import NetworkIdTaken, NetworkRecord
from cairn_database.networking.reservations import reserved
from cairn_gateway.http.call import Answer, Call
from cairn_gateway.http.faults import NotImplementedYet
from cairn_gateway.http.models import Text255
from cairn_gateway.http.routes import Enforce, Route
from cairn_gateway.naming import slug, with_suffix
from cairn_gateway.network import bodies, listing
from cairn_gateway.network.bodies import Attributes, Flag, Id, Ignored, Name, Owned
from cairn_gateway.network.faults import Bad, Clash, missing, translated
from cairn_gateway.network.networks import change, moment, network_of, take_in, visible_networks
from cairn_gateway.network.networks import view as network_view
from cairn_gateway.network.owners import Owners, enforce, target
from cairn_runtime.kubernetes import AlreadyExists

Json = dict[str, Any]
Address = Annotated[str, Field(max_length=45)]
SMALLEST = 30
"""The longest prefix that has room for a gateway and a guest."""


class Pool(Attributes):
    """A range of addresses, both ends included."""

    start: Address
    end: Address


class _Common(Attributes):
    unsupported: ClassVar[tuple[str, ...]] = (
        "host_routes",
        "segment_id",
        "service_types",
        "dns_publish_fixed_ip",
        "router_external",
    )

    name: Name = ""
    description: Text255 | None = None
    gateway_ip: Address | None = None
    allocation_pools: Annotated[list[Pool], Field(max_length=16)] | None = None
    dns_nameservers: Annotated[list[Address], Field(max_length=8)] | None = None
    enable_dhcp: Flag = True
    host_routes: Ignored = None
    segment_id: Ignored = None
    service_types: Ignored = None
    dns_publish_fixed_ip: Ignored = None
    router_external: Annotated[Ignored, Field(alias="router:external")] = None


class SubnetCreate(_Common, Owned):
    """A new subnet."""

    unsupported: ClassVar[tuple[str, ...]] = (
        *_Common.unsupported,
        "subnetpool_id",
        "use_default_subnetpool",
        "prefixlen",
        "ipv6_address_mode",
        "ipv6_ra_mode",
    )

    network_id: Id
    cidr: Address | None = None
    ip_version: Literal[4, 6, "4", "6"] = 4
    subnetpool_id: Ignored = None
    use_default_subnetpool: Ignored = None
    prefixlen: Ignored = None
    ipv6_address_mode: Ignored = None
    ipv6_ra_mode: Ignored = None


class SubnetUpdate(_Common):
    """What may change."""


def view(record: NetworkRecord, owners: Owners) -> Json:
    """As Neutron shows the subnet of a network that has one."""
    spec = record.spec
    assert spec is not None  # noqa: S101 - the callers have looked
    project_id = owners.id_of(record.owner)
    ranges = [(pool.start, pool.end) for pool in spec.pools] or [
        (str(IPv4Address(first)), str(IPv4Address(last))) for first, last in pools.usable(spec)
    ]
    return {
        "id": record.subnet_id,
        "name": spec.subnet_name or "",
        "tenant_id": project_id,
        "project_id": project_id,
        "network_id": record.id,
        "ip_version": 4,
        "cidr": spec.cidr,
        "gateway_ip": str(pools.gateway(spec)),
        "enable_dhcp": spec.dhcp,
        "allocation_pools": [{"start": first, "end": last} for first, last in ranges],
        "dns_nameservers": list(spec.dns),
        "host_routes": [],
        "ipv6_ra_mode": None,
        "ipv6_address_mode": None,
        "subnetpool_id": None,
        "service_types": [],
        "segment_id": None,
        "description": spec.subnet_description or "",
        "router:external": record.external,
        "created_at": moment(record.created_at),
        "updated_at": moment(record.updated_at),
        "revision_number": 1,
        "tags": [],
    }


def _target(call: Call, record: NetworkRecord, owners: Owners) -> dict[str, str | None]:
    usable = networks.usable_by(record, call.caller.project)
    at = target(network_view(record, owners), shared=str(usable))
    return {**at, "network:project_id": at["project_id"]}


async def _subnet_of(call: Call) -> NetworkRecord:
    found = await visible_networks(call, subnet_id=call.params["id"])
    if not found:
        raise missing("Subnet", call.params["id"])
    return found[0]


async def index(call: Call) -> Answer:
    """The subnets of the networks that the caller may see."""
    call.allows("get_subnet")
    chosen = listing.filters(call)
    records = [
        record
        for record in await visible_networks(
            call, subnet_id=listing.the(chosen, "id"), network_id=listing.the(chosen, "network_id")
        )
        if record.spec is not None
    ]
    owners = await Owners.of(call, (record.owner for record in records))
    views = [
        view(record, owners) for record in records if call.allows("get_subnet", _target(call, record, owners))
    ]
    return listing.page(call, "subnets", views, chosen)


async def show(call: Call) -> Answer:
    """One subnet."""
    record = await _subnet_of(call)
    owners = await Owners.of(call, [record.owner])
    enforce(call, "subnet", "Subnet", "get", _target(call, record, owners))
    return Answer({"subnet": listing.only_fields(call, view(record, owners))})


async def create(call: Call) -> Answer:
    """Give networks their subnets; each becomes a Network resource."""
    wanted, several = bodies.wanted(call, "subnet")
    views = [await _create(call, item) for item in wanted]
    return Answer({"subnets": views} if several else {"subnet": views[0]}, 201)


async def _create(call: Call, item: SubnetCreate) -> Json:
    record = await network_of(call, item.network_id)
    owners = await Owners.of(call, [record.owner])
    at = _target(call, record, owners)
    call.enforce(at)
    if int(item.ip_version) != 4:
        raise NotImplementedYet("Cairn cannot make subnets of IPv6 yet. Nothing was changed.")
    if record.spec is not None:
        raise NotImplementedYet(
            f"Network {record.id} has its subnet already ({record.spec.cidr}); Cairn cannot give it a second "
            "one yet. Nothing was changed."
        )
    spec = spec_for(record, item)
    await call.services.cluster.require()
    with translated():
        if record.owner:
            async with reserved(call.services.db, record.owner, "subnet", record.id):
                await _make(call, record, spec)
        else:
            await _make(call, record, spec)
    after = (await networks.find(call.services.db, network_id=record.id))[0]
    return view(after, owners)


async def _make(call: Call, record: NetworkRecord, spec: NetworkSpec) -> None:
    """The Network resource, by a name that nobody has."""
    base = slug(record.display_name, "network")
    for name in (base, *(with_suffix(base) for _ in range(4))):
        try:
            made = await call.services.cluster.create(Network(metadata=Metadata(name=name), spec=spec))
        except AlreadyExists:
            continue
        try:
            await take_in(call, Network.from_api(made))
        except NetworkIdTaken as error:
            await call.services.cluster.delete(Network, name)
            message = f"Network {record.id} has just been given a subnet by somebody else."
            raise Clash("SubnetInUse", message) from error
        return
    raise Clash("NetworkInUse", f"No name for network {record.id} is free. Try again.")


def spec_for(record: NetworkRecord, item: SubnetCreate) -> NetworkSpec:
    """The resource that a draft becomes. Raises Bad, Clash, NotImplementedYet."""
    if not item.cidr:
        raise Bad("BadRequest", "a subnetpool must be specified in the absence of a cidr")
    try:
        cidr = IPv4Network(item.cidr, strict=False)
    except ValueError as error:
        raise Bad("InvalidInput", f"Invalid input for cidr. Reason: '{item.cidr}': {error}.") from error
    if cidr.prefixlen > SMALLEST or cidr.prefixlen == 0:
        raise Bad(
            "InvalidInput", f"Invalid input for cidr. Reason: '{cidr}' has no room for a gateway and a guest."
        )
    if item.given("gateway_ip") and item.gateway_ip is None:
        raise NotImplementedYet("Cairn cannot make a subnet without a gateway yet. Nothing was changed.")
    gateway = _address(item.gateway_ip, cidr, "gateway_ip") if item.gateway_ip else None
    found = NetworkSpec.model_validate(
        {
            **record.draft,
            "cidr": str(cidr),
            "id": record.id,
            "gateway": gateway,
            "dns": _servers(item.dns_nameservers),
            "dhcp": item.enable_dhcp,
            "pools": _pools(item.allocation_pools, cidr, gateway or str(cidr[1])),
            "displayName": record.display_name or None,
            "subnetName": item.name or None,
            "subnetDescription": item.description or None,
        }
    )
    return found


def _address(text: str, cidr: IPv4Network, field: str) -> str:
    try:
        address = IPv4Address(text)
    except ValueError as error:
        raise Bad("InvalidInput", f"Invalid input for {field}. Reason: {error}.") from error
    if address not in cidr or address in (cidr.network_address, cidr.broadcast_address):
        raise Bad("InvalidInput", f"Invalid input for {field}. Reason: {address} is not a host of {cidr}.")
    return str(address)


def _servers(servers: list[str] | None) -> list[str]:
    found = []
    for text in servers or []:
        try:
            found.append(str(IPv4Address(text)))
        except ValueError as error:
            raise Bad("InvalidInput", f"Invalid input for dns_nameservers. Reason: {error}.") from error
    return found


def _pools(wanted: list[Pool] | None, cidr: IPv4Network, gateway: str) -> list[Json]:
    found: list[AddressPool] = []
    for pool in wanted or []:
        start = _address(pool.start, cidr, "allocation_pools")
        end = _address(pool.end, cidr, "allocation_pools")
        if IPv4Address(start) > IPv4Address(end):
            message = f"The allocation pool {start}-{end} spans no addresses."
            raise Bad("InvalidAllocationPool", message)
        if IPv4Address(start) <= IPv4Address(gateway) <= IPv4Address(end):
            raise Clash(
                "GatewayConflictWithAllocationPools",
                f"Gateway ip {gateway} conflicts with allocation pool {start}-{end}.",
            )
        for other in found:
            if IPv4Address(start) <= IPv4Address(other.end) and IPv4Address(other.start) <= IPv4Address(end):
                raise Clash(
                    "OverlappingAllocationPools",
                    f"Found overlapping allocation pools: {start}-{end}, {other.start}-{other.end}.",
                )
        found.append(AddressPool(start=start, end=end))
    return [pool.to_api() for pool in found]


async def update(call: Call) -> Answer:
    """Change a subnet."""
    record = await _subnet_of(call)
    item = bodies.changes(call, "subnet")
    owners = await Owners.of(call, [record.owner])
    enforce(call, "subnet", "Subnet", "update", _target(call, record, owners))
    spec = record.spec
    assert spec is not None  # noqa: S101 - it was found by its subnet
    current = str(pools.gateway(spec))
    if item.given("gateway_ip") and item.gateway_ip != current:
        raise NotImplementedYet("Cairn cannot change the gateway of a subnet yet. Nothing was changed.")
    new: Json = {}
    if item.given("name"):
        new["subnetName"] = item.name or None
    if item.given("description"):
        new["subnetDescription"] = item.description or None
    if item.given("dns_nameservers"):
        new["dns"] = _servers(item.dns_nameservers)
    if item.given("enable_dhcp"):
        new["dhcp"] = item.enable_dhcp
    if item.given("allocation_pools"):
        new["pools"] = _pools(item.allocation_pools, IPv4Network(spec.cidr, strict=False), current)
    after = await change(call, record, new)
    return Answer({"subnet": view(after, owners)})


async def delete(call: Call) -> Answer:
    """Take a network's subnet away; the network stays, as a row alone."""
    record = await _subnet_of(call)
    owners = await Owners.of(call, [record.owner])
    enforce(call, "subnet", "Subnet", "delete", _target(call, record, owners))
    await call.services.cluster.require()
    with translated():
        await networks.begin_removal(call.services.db, record, keep_draft=True)
    await call.services.cluster.delete(Network, record.name or "")
    return Answer()


ROUTES: tuple[Route, ...] = (
    Route("GET", "/v2.0/subnets", index, "get_subnet", enforce=Enforce.HANDLER),
    Route(
        "POST",
        "/v2.0/subnets",
        create,
        "create_subnet",
        status=201,
        body=bodies.one_or_many("subnet", SubnetCreate),
        enforce=Enforce.HANDLER,
    ),
    Route("GET", "/v2.0/subnets/{id}", show, "get_subnet", enforce=Enforce.HANDLER),
    Route(
        "PUT",
        "/v2.0/subnets/{id}",
        update,
        "update_subnet",
        body=bodies.one("subnet", SubnetUpdate),
        enforce=Enforce.HANDLER,
    ),
    Route("DELETE", "/v2.0/subnets/{id}", delete, "delete_subnet", status=204, enforce=Enforce.HANDLER),
)
