"""Attaching interfaces to servers and detaching them; fixed addresses of interfaces (until 2.43).

Source of behaviour: Nova's `attach_interfaces` and `multinic`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from cairn_database import (
    AddressesExhausted,
    AddressInUse,
    InstanceNotFound,
    InstanceRecord,
    NetworkNotFound,
)
from cairn_database.admission import Refusal
from cairn_database.legality import ActionRefused, InstanceLocked, NotCapable
from cairn_database.networking import networks, plugging
from cairn_database.networking.errors import (
    NetworkQuotaExceeded,
    PortInUse,
    PortNotFound,
    SecurityGroupNotFound,
    TooManyInterfaces,
)
from cairn_database.networking.plugging import Plug
from cairn_gateway.http.call import Answer, Call
from cairn_gateway.http.faults import BadRequest, Conflict, Forbidden, NotFound, NotSupported
from cairn_gateway.http.models import RequestModel, Since, Text255, Uuid
from cairn_gateway.http.routes import Enforce, Route
from cairn_gateway.nova import microversions as since
from cairn_gateway.nova.microversions import before
from cairn_gateway.nova.server_interfaces import show_one
from cairn_gateway.nova.servers.actions import asked_by, perform
from cairn_gateway.nova.servers.create_models import NetworkWish, Tag, is_ip
from cairn_gateway.nova.servers.load import server_of, target_of
from cairn_gateway.nova.servers.wiring import find_networks

Json = dict[str, Any]
Ip = Annotated[str, AfterValidator(is_ip)]
UNTIL = before(since.ADDRESS_ACTIONS_REMOVED)


class FixedAddress(RequestModel):
    """A fixed address that is asked for."""

    ip_address: Ip


class Attachment(RequestModel):
    """A network, a port made beforehand, or neither: then the project's only network."""

    net_id: Uuid | None = None
    port_id: Uuid | None = None
    fixed_ips: Annotated[list[FixedAddress], Field(min_length=1, max_length=1)] | None = None
    tag: Annotated[Tag | None, Since(since.ATTACH_TAGS)] = None


class AttachInterface(RequestModel):
    """`POST /servers/{server_id}/os-interface`."""

    interfaceAttachment: Attachment = Attachment()  # noqa: N815 - the body's own name


class NetworkOfAddress(RequestModel):
    """The network that the address is to come from."""

    networkId: Text255  # noqa: N815 - the body's own name


class AddFixedIp(RequestModel):
    """`{"addFixedIp": {"networkId": …}}`."""

    addFixedIp: NetworkOfAddress  # noqa: N815 - the body's own name


class FixedIpToRemove(RequestModel):
    """The address."""

    address: Ip


class RemoveFixedIp(RequestModel):
    """`{"removeFixedIp": {"address": …}}`."""

    removeFixedIp: FixedIpToRemove  # noqa: N815 - the body's own name


async def attach(call: Call) -> Answer:
    """Attach an interface; answers when it is the server's, and the host plugs it in then."""
    record = await server_of(call)
    call.enforce(target_of(call, record))
    wish: Attachment = call.checked.interfaceAttachment
    if wish.net_id and wish.port_id:
        raise BadRequest("Must not input both network_id and port_id")
    if wish.fixed_ips and not wish.net_id:
        raise BadRequest("Must input network_id when request IP address")
    with _as_nova():
        plug = await _plug(call, wish)
        after = await plugging.attach(call.services.db, record.id, asked_by(call), plug)
    await call.services.cluster.hint(after.namespace, after.name, call.request_id)
    new = plugging.sockets(after)[-1].interface
    return await show_one(call, after, new.port_id or "")


async def _plug(call: Call, wish: Attachment) -> Plug:
    """What is asked for, looked up. Raises NotFound, BadRequest, Conflict."""
    address = wish.fixed_ips[0].ip_address if wish.fixed_ips else None
    if wish.net_id and not await networks.find(
        call.services.db, network_id=wish.net_id.lower(), visible_to=call.caller.project
    ):
        raise NotFound(f"Network {wish.net_id} could not be found.")
    named = wish.net_id or wish.port_id
    wanted = [NetworkWish(uuid=wish.net_id, port=wish.port_id, fixed_ip=address)] if named else "auto"
    try:
        requests, found = await find_networks(call, wanted)
    except BadRequest as error:
        if wish.port_id and "could not be found" in error.message:
            raise NotFound(error.message) from error
        raise
    request = {**requests[0], **({"tag": wish.tag} if wish.tag else {})}
    return Plug(request, found[0])


async def detach(call: Call) -> Answer:
    """Detach an interface; it is the server's until the host has unplugged it."""
    port_id = call.params["port_id"].lower()

    async def act(record: InstanceRecord) -> InstanceRecord:
        with _as_nova():
            return await plugging.detach(call.services.db, record.id, asked_by(call), port_id)

    return await perform(call, act)


async def add_fixed_ip(call: Call) -> Answer:
    """Give a server's interface another fixed address."""
    network_id = call.checked.addFixedIp.networkId

    async def act(record: InstanceRecord) -> InstanceRecord:
        found = await networks.find(
            call.services.db, network_id=network_id.lower(), visible_to=call.caller.project
        )
        name = found[0].name if found else None
        if name is None or name not in {one.network for one in record.interfaces}:
            raise NotFound(f"Network {network_id} is not set for instance {record.id}.")
        with _as_nova():
            return await plugging.add_address(call.services.db, record.id, asked_by(call), name)

    return await perform(call, act)


async def remove_fixed_ip(call: Call) -> Answer:
    """Take a fixed address away from a server."""
    address = call.checked.removeFixedIp.address

    async def act(record: InstanceRecord) -> InstanceRecord:
        try:
            return await plugging.remove_address(call.services.db, record.id, asked_by(call), address)
        except PortNotFound as error:
            raise BadRequest(
                f"Instance {record.id} doesn't have fixed IP '{address}', or it is the one that its "
                "interface was made with: detach the interface then."
            ) from error

    return await perform(call, act)


@contextmanager
def _as_nova() -> Iterator[None]:
    """The statuses that Nova gives these refusals."""
    try:
        yield
    except (InstanceNotFound, PortNotFound, NetworkNotFound) as error:
        raise NotFound(str(error)) from error
    except (AddressInUse, PortInUse, ActionRefused, InstanceLocked) as error:
        raise Conflict(str(error)) from error
    except NotCapable as error:
        raise NotSupported(str(error)) from error
    except (NetworkQuotaExceeded, TooManyInterfaces) as error:
        raise Forbidden(str(error)) from error
    except Refusal as refusal:
        raise BadRequest(refusal.message) from refusal
    except (AddressesExhausted, SecurityGroupNotFound) as error:
        raise BadRequest(str(error)) from error


def _route(method: str, path: str, handler: Any, rule: str, **options: Any) -> Route:
    at = f"/servers/{{server_id}}{path}"
    return Route(method, at, handler, f"os_compute_api:{rule}", enforce=Enforce.HANDLER, **options)


ROUTES: tuple[Route, ...] = (
    _route("POST", "/os-interface", attach, "os-attach-interfaces:create", body=AttachInterface),
    _route("DELETE", "/os-interface/{port_id}", detach, "os-attach-interfaces:delete", status=202),
    _route(
        "POST",
        "/action",
        add_fixed_ip,
        "os-multinic:add",
        status=202,
        action="addFixedIp",
        body=AddFixedIp,
        until=UNTIL,
    ),
    _route(
        "POST",
        "/action",
        remove_fixed_ip,
        "os-multinic:remove",
        status=202,
        action="removeFixedIp",
        body=RemoveFixedIp,
        until=UNTIL,
    ),
)
