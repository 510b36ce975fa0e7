"""Which versions there are: what clients ask first, without a token."""

from __future__ import annotations

from typing import Any

from cairn_gateway.http.call import Answer, Call
from cairn_gateway.http.routes import Route
from cairn_gateway.identity.catalog import V3
from cairn_gateway.identity.routing import url

MULTIPLE_CHOICES = 300


async def list_versions(call: Call) -> Answer:
    """The versions of the Identity API."""
    headers = {"Location": url(call) + "/", "Vary": "X-Auth-Token"}
    return Answer({"versions": {"values": [_v3(call)]}}, MULTIPLE_CHOICES, headers)


async def show_v3(call: Call) -> Answer:
    """Identity v3."""
    return Answer({"version": _v3(call)}, headers={"Vary": "X-Auth-Token"})


def _v3(call: Call) -> dict[str, Any]:
    return {
        "id": "v3.14",
        "status": "stable",
        "updated": "2020-04-07T00:00:00Z",
        "links": [{"rel": "self", "href": url(call) + "/"}],
        "media-types": [{"base": "application/json", "type": "application/vnd.openstack.identity-v3+json"}],
    }


ROUTES = tuple(
    Route(method, path, handler, rule=None, tags=("identity",))
    for path, handler in (("/", list_versions), (V3, show_v3))
    for method in ("GET", "HEAD")
)
