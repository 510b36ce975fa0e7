"""GET /servers/{server_id}/ips: the addresses of a server."""

from __future__ import annotations

from typing import Any

from cairn_gateway.http.call import Answer, Call
from cairn_gateway.http.faults import NotFound
from cairn_gateway.http.routes import Enforce, Route
from cairn_gateway.nova.servers.load import server_of, surroundings, target_of
from cairn_gateway.nova.servers.view import addresses_of


async def index(call: Call) -> Answer:
    """By network."""
    return Answer({"addresses": await _addresses(call)})


async def show(call: Call) -> Answer:
    """Those on one network."""
    found = await _addresses(call)
    name = call.params["network"]
    if name not in found:
        raise NotFound("Instance is not a member of specified network")
    return Answer({name: found[name]})


async def _addresses(call: Call) -> dict[str, list[dict[str, Any]]]:
    record = await server_of(call)
    call.enforce(target_of(call, record))
    by_network = addresses_of(record, await surroundings(call, [record]))
    return {
        name: [{"version": address["version"], "addr": address["addr"]} for address in addresses]
        for name, addresses in by_network.items()
    }


ROUTES = (
    Route("GET", "/servers/{server_id}/ips", index, "os_compute_api:ips:index", enforce=Enforce.HANDLER),
    Route(
        "GET",
        "/servers/{server_id}/ips/{network}",
        show,
        "os_compute_api:ips:show",
        enforce=Enforce.HANDLER,
    ),
)
