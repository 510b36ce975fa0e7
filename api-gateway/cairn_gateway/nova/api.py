"""The Compute API as an ASGI application."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from cairn_gateway.http.api import Api
from cairn_gateway.http.call import Call
from cairn_gateway.http.faults import BadRequest, NotAcceptable, nova_style
from cairn_gateway.http.routes import Route, RouteTable
from cairn_gateway.nova import microversions
from cairn_gateway.nova.paging import BOOKMARK, PREFIX
from cairn_gateway.nova.versions import ABOVE, LEGACY_PREFIX
from cairn_gateway.services import Services

PROJECT_ID = re.compile(r"[0-9a-f]{32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def compute_apis(services: Services, routes: Iterable[Route]) -> list[Api]:
    """The Compute API: v2.1 with microversions, v2 without, and the list of the two."""
    everything = tuple(routes)
    return [
        compute_api(services, everything),
        compute_api(services, everything, LEGACY_PREFIX, negotiate_legacy),
        versions_api(),
    ]


def versions_api() -> Api:
    """What is above the versions of the Compute API."""

    async def nobody(_call: Call) -> None:
        """Nothing here needs a token."""

    return Api("compute-versions", BOOKMARK, RouteTable(ABOVE), style=nova_style, authenticate=nobody)


def compute_api(
    services: Services,
    routes: Iterable[Route],
    prefix: str = PREFIX,
    version: Callable[[Call], None] | None = None,
) -> Api:
    """All of `routes` below `prefix`; `version` sets the call's, by the request's headers when left out."""

    async def authenticate(call: Call) -> None:
        await services.identity.authenticate(call)
        if call.url_project not in (None, call.caller.project_id):
            raise BadRequest(
                f"Malformed request URL: URL's project_id '{call.url_project}' doesn't match Context's "
                f"project_id '{call.caller.project_id}'"
            )

    return Api(
        "compute",
        prefix,
        RouteTable(routes),
        style=nova_style,
        negotiate=version or negotiate,
        authenticate=authenticate,
        strip=strip_project,
    )


def negotiate(call: Call) -> None:
    """The microversion that the client asks for. Raises BadRequest, NotAcceptable."""
    call.answer_headers["x-compute-request-id"] = call.request_id
    try:
        call.version = microversions.negotiate(call.headers)
    except microversions.VersionMalformed as error:
        raise BadRequest(str(error)) from error
    except microversions.VersionRefused as error:
        # The version that was asked for, as Nova answers (api/openstack/wsgi.py: set_api_version_request).
        call.answer_headers.update(microversions.response_headers(error.asked))
        raise NotAcceptable(str(error)) from error
    call.answer_headers.update(microversions.response_headers(call.version))


def negotiate_legacy(call: Call) -> None:
    """v2 is v2.1 at its oldest, whatever the client asks for."""
    call.answer_headers["x-compute-request-id"] = call.request_id
    call.version = microversions.MIN


def strip_project(call: Call, path: str) -> str:
    """`/{project_id}/servers` is `/servers`: old catalogs have the project in the URL.

    The first segment counts as a project if it looks like one; whose it is, is known by the token alone, as
    in Nova since 2.18, but another project's than the token's is refused (Nova: 400).
    """
    segment, slash, rest = path.lstrip("/").partition("/")
    if PROJECT_ID.fullmatch(segment):
        call.url_project = segment
        return slash + rest
    return path
