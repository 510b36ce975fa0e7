"""The Network API as an ASGI application."""

from __future__ import annotations

from cairn_gateway.http.api import Api
from cairn_gateway.http.call import Call
from cairn_gateway.http.routes import Route, RouteTable
from cairn_gateway.network import floating_ips, groups, misc, networks, ports, rules, subnets
from cairn_gateway.network.faults import network_style
from cairn_gateway.network.misc import PREFIX
from cairn_gateway.services import Services

ROUTES: tuple[Route, ...] = (
    *misc.ROUTES,
    *networks.ROUTES,
    *subnets.ROUTES,
    *ports.ROUTES,
    *groups.ROUTES,
    *rules.ROUTES,
    *floating_ips.ROUTES,
)


def network_api(services: Services) -> Api:
    """Everything below `/network`."""
    return Api(
        "network",
        PREFIX,
        RouteTable(ROUTES),
        style=network_style,
        authenticate=services.identity.authenticate,
        strip=without_json,
    )


def without_json(_call: Call, path: str) -> str:
    """`/v2.0/networks.json` is `/v2.0/networks`: old clients write it so."""
    return path if path.endswith("/openapi.json") else path.removesuffix(".json")
