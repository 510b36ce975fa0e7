"""Small parts of a server that other services would fill: password, topology."""

from __future__ import annotations

from cairn_gateway.http.call import Answer, Call
from cairn_gateway.http.routes import Enforce, Route
from cairn_gateway.nova import microversions as since
from cairn_gateway.nova.servers.load import server_of, target_of


async def password(call: Call) -> Answer:
    """The password that the guest has set for itself, encrypted; empty when it has not."""
    await _server(call)
    return Answer({"password": ""})


async def clear_password(call: Call) -> Answer:
    """Forget the guest's password."""
    await _server(call)
    return Answer()


async def topology(call: Call) -> Answer:
    """Its NUMA nodes: none, because Cairn places guests on none in particular."""
    record = await server_of(call)
    call.enforce(target_of(call, record))
    return Answer({"nodes": []})


async def _server(call: Call) -> None:
    record = await server_of(call)
    call.enforce(target_of(call, record))


def _route(method: str, path: str, handler: object, rule: str, **options: object) -> Route:
    return Route(method, f"/servers/{{server_id}}{path}", handler, rule, enforce=Enforce.HANDLER, **options)  # type: ignore[arg-type]


ROUTES = (
    _route("GET", "/os-server-password", password, "os_compute_api:os-server-password:show"),
    _route(
        "DELETE", "/os-server-password", clear_password, "os_compute_api:os-server-password:clear", status=204
    ),
    _route("GET", "/topology", topology, "compute:server:topology:index", since=since.SERVER_TOPOLOGY),
)
