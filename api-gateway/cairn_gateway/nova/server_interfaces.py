"""A server's interfaces, and the floating IPs that lead to them.

Source of behaviour: Nova's `attach_interfaces`, and `floating_ips` for the actions up to 2.43.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from cairn_database import InstanceRecord, VmState
from cairn_database.networking import floating
from cairn_database.networking.errors import FloatingIpInUse, PortNotFound
from cairn_database.networking.floating import FloatingIpRecord, Lead
from cairn_database.networking.interfaces import Interface, interfaces_of
from cairn_database.networking.tables import floating_ips
from cairn_gateway.http.call import Answer, Call
from cairn_gateway.http.faults import BadRequest, Conflict, NotFound
from cairn_gateway.http.models import RequestModel
from cairn_gateway.http.routes import Enforce, Route
from cairn_gateway.network.floating_ips import seen
from cairn_gateway.nova import microversions as since
from cairn_gateway.nova.microversions import Microversion
from cairn_gateway.nova.servers.load import server_of, target_of

Json = dict[str, Any]
Address = Annotated[str, Field(max_length=45)]
UNTIL = Microversion(since.ADDRESS_ACTIONS_REMOVED.major, since.ADDRESS_ACTIONS_REMOVED.minor - 1)
RUNNING = (VmState.ACTIVE, VmState.PAUSED, VmState.RESCUED)


class AddAddress(RequestModel):
    """The floating address, and the fixed one that it is to lead to; the server's first without."""

    address: Address
    fixed_address: Address | None = None


class RemoveAddress(RequestModel):
    """The floating address."""

    address: Address


class AddFloatingIp(RequestModel):
    """`{"addFloatingIp": {…}}`."""

    addFloatingIp: AddAddress  # noqa: N815 - the body's own name


class RemoveFloatingIp(RequestModel):
    """`{"removeFloatingIp": {…}}`."""

    removeFloatingIp: RemoveAddress  # noqa: N815 - the body's own name


async def _interfaces(call: Call) -> tuple[InstanceRecord, list[Interface]]:
    record = await server_of(call)
    call.enforce(target_of(call, record))
    return record, (await interfaces_of(call.services.db, [record.id])).get(record.id, [])


def _view(call: Call, record: InstanceRecord, interface: Interface) -> Json:
    known = [one for one in record.interfaces if one.port_id == interface.port_id]
    plugged = record.vm_state in RUNNING and all(one.change is None for one in known)
    shown: Json = {
        "net_id": interface.network_id,
        "port_id": interface.port_id,
        "mac_addr": interface.mac,
        "port_state": "ACTIVE" if plugged else "DOWN",
        "fixed_ips": [
            {"subnet_id": interface.subnet_id, "ip_address": address} for address in interface.addresses
        ],
    }
    if call.version >= since.ATTACHMENT_TAGS_SHOWN:
        shown["tag"] = known[0].tag if known else None
    return shown


async def index(call: Call) -> Answer:
    """A server's interfaces."""
    record, interfaces = await _interfaces(call)
    return Answer({"interfaceAttachments": [_view(call, record, item) for item in interfaces]})


async def show(call: Call) -> Answer:
    """One interface of a server."""
    record = await server_of(call)
    call.enforce(target_of(call, record))
    return await show_one(call, record, call.params["port_id"].lower())


async def show_one(call: Call, record: InstanceRecord, port_id: str) -> Answer:
    """The interface of that port. Raises NotFound."""
    for interface in (await interfaces_of(call.services.db, [record.id])).get(record.id, []):
        if interface.port_id == port_id:
            return Answer({"interfaceAttachment": _view(call, record, interface)})
    raise NotFound(f"Instance {record.id} does not have a port with id {port_id}")


async def add_floating_ip(call: Call) -> Answer:
    """Lead a floating IP to a server."""
    record, interfaces = await _interfaces(call)
    wish: AddAddress = call.checked.addFloatingIp
    if not interfaces:
        raise BadRequest("Instance network is not ready yet" if record.host is None else _NO_ADDRESS)
    holding = [
        item for item in interfaces if item.addresses and wish.fixed_address in (None, *item.addresses)
    ]
    if not holding:
        words = "Specified fixed address not assigned to instance" if wish.fixed_address else _NO_ADDRESS
        raise BadRequest(words)
    found = await _floating_ip(call, wish.address)
    port = holding[0]
    try:
        await floating.associate(
            call.services.db, found.id, Lead(port.port_id, wish.fixed_address or port.addresses[0])
        )
    except (FloatingIpInUse, PortNotFound) as error:
        raise BadRequest(str(error)) from error
    return Answer()


_NO_ADDRESS = "No fixed IPs associated to instance"


async def _floating_ip(call: Call, address: str) -> FloatingIpRecord:
    found = await seen(call, floating_ips.c.address == address)
    if not found:
        raise NotFound("floating IP not found")
    return found[0]


async def remove_floating_ip(call: Call) -> Answer:
    """Lead a floating IP away from a server."""
    record, interfaces = await _interfaces(call)
    address = call.checked.removeFloatingIp.address
    found = await _floating_ip(call, address)
    if found.fixed_port_id not in {item.port_id for item in interfaces}:
        raise Conflict(f"Floating IP {address} is not associated with instance {record.id}.")
    await floating.associate(call.services.db, found.id, None)
    return Answer()


def _route(method: str, path: str, handler: Any, rule: str, **options: Any) -> Route:
    at = f"/servers/{{server_id}}{path}"
    return Route(method, at, handler, f"os_compute_api:{rule}", enforce=Enforce.HANDLER, **options)


ROUTES: tuple[Route, ...] = (
    _route("GET", "/os-interface", index, "os-attach-interfaces:list"),
    _route("GET", "/os-interface/{port_id}", show, "os-attach-interfaces:show"),
    _route(
        "POST",
        "/action",
        add_floating_ip,
        "os-floating-ips:add",
        status=202,
        action="addFloatingIp",
        body=AddFloatingIp,
        until=UNTIL,
    ),
    _route(
        "POST",
        "/action",
        remove_floating_ip,
        "os-floating-ips:remove",
        status=202,
        action="removeFloatingIp",
        body=RemoveFloatingIp,
        until=UNTIL,
    ),
)
