"""Which versions of the Compute API there are, and where. Clients ask this first, without a token.

Source of behaviour: Nova API, GET /, GET /v2.1/, GET /v2/.
"""

from __future__ import annotations

from typing import Any

from cairn_gateway.http.call import Answer, Call
from cairn_gateway.http.faults import NotFound
from cairn_gateway.http.routes import Route
from cairn_gateway.nova import microversions
from cairn_gateway.nova.paging import BOOKMARK, PREFIX

LEGACY_PREFIX = "/compute/v2"
DOCUMENTATION = "http://docs.openstack.org/"
MEDIA = "application/vnd.openstack.compute+json;version="


def _media(version: str) -> list[dict[str, str]]:
    return [{"base": "application/json", "type": MEDIA + version}]


def _links(call: Call, prefix: str) -> list[dict[str, str]]:
    return [{"rel": "self", "href": f"{call.base_url}{prefix}/"}]


def _versions(call: Call) -> list[dict[str, Any]]:
    return [
        {
            "id": "v2.0",
            "status": "DEPRECATED",
            "version": "",
            "min_version": "",
            "updated": "2025-07-04T12:00:00Z",
            "links": _links(call, LEGACY_PREFIX),
        },
        {
            "id": "v2.1",
            "status": "CURRENT",
            "version": str(microversions.MAX),
            "min_version": str(microversions.MIN),
            "updated": "2013-07-23T11:33:21Z",
            "links": _links(call, PREFIX),
        },
    ]


async def index(call: Call) -> Answer:
    """The versions of the Compute API"""
    return Answer({"versions": _versions(call)})


async def choices(call: Call) -> Answer:
    """What to ask for instead of a version that is not there"""
    path = call.path.removeprefix(BOOKMARK)
    return Answer(
        {
            "choices": [
                {
                    "id": version["id"],
                    "status": version["status"],
                    "links": [{"rel": "self", "href": version["links"][0]["href"].rstrip("/") + path}],
                    "media-types": _media(_number(version)),
                }
                for version in _versions(call)
            ]
        }
    )


def _number(version: dict[str, Any]) -> str:
    return "2" if version["id"] == "v2.0" else "2.1"


async def show(call: Call) -> Answer:
    """This version of the Compute API"""
    return _described(_versions(call)[0 if _is_legacy(call.path) else 1])


async def find(call: Call) -> Answer:
    """A version of the Compute API by its id (`v2.1`)"""
    asked = "v2.0" if _is_legacy(call.path) else call.params["version_id"]
    for version in _versions(call):
        if version["id"] == asked:
            return _described(version)
    raise NotFound("The resource could not be found.")


def _described(version: dict[str, Any]) -> Answer:
    described = {"rel": "describedby", "type": "text/html", "href": DOCUMENTATION}
    more = {"links": [*version["links"], described], "media-types": _media(_number(version))}
    return Answer({"version": version | more})


def _is_legacy(path: str) -> bool:
    return path == LEGACY_PREFIX or path.startswith(LEGACY_PREFIX + "/")


ROUTES: tuple[Route, ...] = (
    Route("GET", "/", show, rule=None),
    Route("GET", "/versions/{version_id}", find, rule=None),
)
"""Inside of a version."""
ROOT: tuple[Route, ...] = (Route("GET", "/", index, rule=None),)
"""Where the gateway begins: who asks there without more is a compute client."""
ABOVE: tuple[Route, ...] = (*ROOT, Route("GET", "/{version}", choices, rule=None, status=300))
"""Above all versions."""
