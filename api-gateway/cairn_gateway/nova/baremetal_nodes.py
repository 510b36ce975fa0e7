"""/os-baremetal-nodes (until 2.35): Cairn manages no bare metal, so there is none to see."""

from __future__ import annotations

from cairn_gateway.http.call import Answer, Call
from cairn_gateway.http.faults import NotFound
from cairn_gateway.http.routes import Route
from cairn_gateway.nova.microversions import PROXIES_REMOVED, before

RULE = "os_compute_api:os-baremetal-nodes:"


async def index(_call: Call) -> Answer:
    """List the bare metal nodes: there are none."""
    return Answer({"nodes": []})


async def show(call: Call) -> Answer:
    """Show a bare metal node: there are none."""
    raise NotFound(f"Node {call.params['node_id']} could not be found.")


_LAST = before(PROXIES_REMOVED)
ROUTES: tuple[Route, ...] = (
    Route("GET", "/os-baremetal-nodes", index, RULE + "list", until=_LAST),
    Route("GET", "/os-baremetal-nodes/{node_id}", show, RULE + "show", until=_LAST),
)
