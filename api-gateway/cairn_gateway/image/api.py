"""The Image API as an ASGI application."""

from __future__ import annotations

from cairn_gateway.http.api import Api
from cairn_gateway.http.faults import glance_style
from cairn_gateway.http.routes import RouteTable
from cairn_gateway.image import files, images, info, internal, members, tags
from cairn_gateway.services import Services

PREFIX = "/image"
ROUTES = (
    *info.ROUTES,
    *images.ROUTES,
    *files.ROUTES,
    *members.ROUTES,
    *tags.ROUTES,
    *internal.ROUTES,
)


def image_api(services: Services) -> Api:
    """Everything below /image: the versions, /v2, and what compute hosts fetch."""
    return Api(
        "image",
        PREFIX,
        RouteTable(ROUTES),
        style=glance_style,
        authenticate=services.identity.authenticate,
    )
