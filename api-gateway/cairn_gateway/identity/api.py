"""The Identity API as an ASGI application."""

from __future__ import annotations

from cairn_gateway.http.api import Api
from cairn_gateway.http.call import Answer, Call
from cairn_gateway.http.faults import NotFound, keystone_style
from cairn_gateway.http.routes import Route, RouteTable
from cairn_gateway.identity.catalog import PREFIX
from cairn_gateway.identity.routes import ROUTES
from cairn_gateway.identity.settings import IdentityBackend
from cairn_gateway.services import Services


def identity_api(services: Services) -> Api:
    """Everything below `/identity`; where a Keystone is the identity, only a word of where it is."""
    settings = services.settings.identity
    routes = ROUTES
    if settings.backend is IdentityBackend.KEYSTONE:

        async def elsewhere(_call: Call) -> Answer:
            """Where the identity is."""
            raise NotFound(f"This cloud's identity is a Keystone: {settings.keystone_url}")

        routes = (Route("GET", "/", elsewhere, rule=None), Route("GET", "/v3", elsewhere, rule=None))
    return Api(
        "identity",
        PREFIX,
        RouteTable(routes),
        style=keystone_style,
        authenticate=services.identity.authenticate,
    )
