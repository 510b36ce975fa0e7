"""The Compute API's networks and floating IPs of old (up to 2.35), over the Network API's own functions.

Source of behaviour: Nova's `networks`, `tenant_networks`, `floating_ip_pools` and `floating_ips`.
"""

from __future__ import annotations

from typing import Any

from cairn_database.networking import floating, networks, ports
from cairn_database.networking.floating import FloatingIpRecord
from cairn_database.networking.networks import NetworkRecord
from cairn_database.networking.tables import ports as port_table
from cairn_gateway.http.call import Answer, Call
from cairn_gateway.http.faults import BadRequest, NotFound
from cairn_gateway.http.models import RequestModel, Text255
from cairn_gateway.http.routes import Route
from cairn_gateway.network.floating_ips import floating_ip_of, seen, take
from cairn_gateway.network.networks import network_of, visible_networks
from cairn_gateway.network.owners import owner_for
from cairn_gateway.nova import microversions as since
from cairn_gateway.nova.microversions import Microversion
from cairn_gateway.nova.network_faults import as_nova
from cairn_gateway.nova.servers.load import UUID

Json = dict[str, Any]
UNTIL = Microversion(since.PROXIES_REMOVED.major, since.PROXIES_REMOVED.minor - 1)
FIELDS = (
    *("cidr", "netmask", "gateway", "broadcast", "dns1", "dns2", "cidr_v6", "gateway_v6", "netmask_v6"),
)
ADMIN_FIELDS = (
    *("created_at", "updated_at", "deleted_at", "deleted", "injected", "bridge", "vlan", "project_id"),
    *("vpn_public_address", "vpn_public_port", "vpn_private_address", "dhcp_start", "host", "priority"),
    *("bridge_interface", "multi_host", "rxtx_base", "mtu", "dhcp_server", "enable_dhcp", "share_address"),
)
"""What nova-network had and Nova still names; all are null."""


def _network(call: Call, record: NetworkRecord) -> Json:
    names = (*FIELDS, *ADMIN_FIELDS) if call.is_admin else FIELDS
    return {"id": record.id, "label": record.display_name, **dict.fromkeys(names)}


def _tenant_network(record: NetworkRecord) -> Json:
    cidr = record.spec.cidr if record.spec is not None else None
    return {"id": record.id, "cidr": str(cidr), "label": record.display_name}


async def _usable(call: Call) -> list[NetworkRecord]:
    found = await visible_networks(call)
    return [item for item in found if call.is_admin or networks.usable_by(item, call.caller.project)]


async def list_networks(call: Call) -> Answer:
    """The networks that the project may use."""
    return Answer({"networks": [_network(call, record) for record in await _usable(call)]})


async def _find(call: Call) -> NetworkRecord:
    try:
        with as_nova():
            return await network_of(call, call.params["network_id"])
    except NotFound as fault:
        raise NotFound("Network not found") from fault


async def show_network(call: Call) -> Answer:
    """One network."""
    return Answer({"network": _network(call, await _find(call))})


async def list_tenant_networks(call: Call) -> Answer:
    """The networks that the project may use."""
    return Answer({"networks": [_tenant_network(record) for record in await _usable(call)]})


async def show_tenant_network(call: Call) -> Answer:
    """One network."""
    return Answer({"network": _tenant_network(await _find(call))})


# --- floating IPs ----------------------------------------------------------------------------------------


class Pool(RequestModel):
    """The external network to take an address from, by name or id; the only one without."""

    pool: Text255 | None = None


async def _external(call: Call) -> list[NetworkRecord]:
    return [record for record in await visible_networks(call) if record.external and record.spec]


async def pools(call: Call) -> Answer:
    """The external networks' names."""
    return Answer({"floating_ip_pools": [{"name": item.display_name} for item in await _external(call)]})


async def _views(call: Call, records: list[FloatingIpRecord]) -> list[Json]:
    names = {item.name: item.display_name for item in await networks.find(call.services.db)}
    led = [record.fixed_port_id for record in records if record.fixed_port_id is not None]
    found = await ports.find(call.services.db, port_table.c.id.in_(led)) if led else []
    holders = {port.id: port.instance_id or port.device_id or None for port in found}
    return [
        {
            "id": record.id,
            "ip": record.address,
            "pool": names.get(record.network, record.network),
            "fixed_ip": record.fixed_address,
            "instance_id": holders.get(record.fixed_port_id or ""),
        }
        for record in records
    ]


async def list_floating_ips(call: Call) -> Answer:
    """The project's floating IPs."""
    mine = [record for record in await seen(call) if record.project == call.caller.project]
    return Answer({"floating_ips": await _views(call, mine)})


async def _floating_ip(call: Call) -> FloatingIpRecord:
    key = call.params["floating_ip_id"]
    if not UUID.fullmatch(key):
        raise NotFound(f"Floating IP not found for ID {key}")
    try:
        with as_nova():
            return await floating_ip_of(call, key)
    except NotFound as fault:
        raise NotFound(f"Floating IP not found for ID {key}") from fault


async def show_floating_ip(call: Call) -> Answer:
    """One floating IP."""
    return Answer({"floating_ip": (await _views(call, [await _floating_ip(call)]))[0]})


async def create_floating_ip(call: Call) -> Answer:
    """Take a floating IP from a pool."""
    pool: str | None = call.checked.pool
    network = await _pool(call, pool)
    owner = await owner_for(call, None)
    words = f"No more floating IPs in pool {pool}." if pool else "No more floating IPs available."
    with as_nova(exhausted=words):
        record = await take(call, owner.name, network, None, None)
    return Answer({"floating_ip": (await _views(call, [record]))[0]})


async def _pool(call: Call, pool: str | None) -> NetworkRecord:
    found = [item for item in await _external(call) if pool in (None, item.display_name, item.id)]
    if not found:
        raise NotFound("Floating IP pool not found.")
    if len(found) > 1 and pool is not None:
        raise BadRequest(f"Multiple floating IP pools matches found for name '{pool}'")
    return found[0]


async def delete_floating_ip(call: Call) -> Answer:
    """Give a floating IP back."""
    record = await _floating_ip(call)
    with as_nova():
        await floating.delete(call.services.db, record.id)
    return Answer()


def _route(method: str, path: str, handler: Any, rule: str, **options: Any) -> Route:
    return Route(method, path, handler, f"os_compute_api:{rule}", until=UNTIL, **options)


ROUTES: tuple[Route, ...] = (
    _route("GET", "/os-networks", list_networks, "os-networks:list"),
    _route("GET", "/os-networks/{network_id}", show_network, "os-networks:show"),
    _route("GET", "/os-tenant-networks", list_tenant_networks, "os-tenant-networks:list"),
    _route("GET", "/os-tenant-networks/{network_id}", show_tenant_network, "os-tenant-networks:show"),
    _route("GET", "/os-floating-ip-pools", pools, "os-floating-ip-pools"),
    _route("GET", "/os-floating-ips", list_floating_ips, "os-floating-ips:list"),
    _route("POST", "/os-floating-ips", create_floating_ip, "os-floating-ips:create", body=Pool),
    _route("GET", "/os-floating-ips/{floating_ip_id}", show_floating_ip, "os-floating-ips:show"),
    _route(
        "DELETE",
        "/os-floating-ips/{floating_ip_id}",
        delete_floating_ip,
        "os-floating-ips:delete",
        status=202,
    ),
)
