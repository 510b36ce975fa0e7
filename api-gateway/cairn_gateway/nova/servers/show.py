"""GET /servers, GET /servers/detail, GET /servers/{server_id}."""

from __future__ import annotations

from typing import Any

from cairn_database.listing import MarkerNotFound, Page, list_instances
from cairn_gateway.http.call import Answer, Call
from cairn_gateway.http.faults import BadRequest
from cairn_gateway.http.routes import Enforce, Route
from cairn_gateway.nova.paging import links, next_link
from cairn_gateway.nova.servers.load import missing, page_of, target_of
from cairn_gateway.nova.servers.query import Nothing, query_of
from cairn_gateway.nova.servers.rendered import render

Links = list[dict[str, str]]


async def index(call: Call) -> Answer:
    """The project's servers: id, name, links."""
    page, more = await _page(call, detail=False)
    servers = [
        {"id": one.id, "name": one.display_name, "links": links(call, "servers", one.id)}
        for one in page.instances
    ]
    return _list(servers, more)


async def detail(call: Call) -> Answer:
    """The project's servers with all details."""
    page, more = await _page(call, detail=True)
    return _list(await render(call, page), more)


async def show(call: Call) -> Answer:
    """One server with all details."""
    page = await page_of(call)
    call.enforce(target_of(call, page.instances[0]))
    for server in await render(call, page, single=True):
        return Answer({"server": server})
    raise missing(call)  # deleted meanwhile


async def _page(call: Call, *, detail: bool) -> tuple[Page, Links]:
    try:
        query, _fields = await query_of(call, detail=detail)
        page = await list_instances(call.services.db, query, interfaces=detail)
    except Nothing:
        return Page([]), []
    except MarkerNotFound as error:
        raise BadRequest(str(error)) from error
    more = len(page.instances) == query.limit and page.instances
    return page, next_link(call, page.instances[-1].id) if more else []


def _list(servers: list[Any], more: Links) -> Answer:
    body: dict[str, Any] = {"servers": servers}
    if more:
        body["servers_links"] = more
    return Answer(body)


ROUTES = (
    Route("GET", "/servers", index, "os_compute_api:servers:index"),
    Route("GET", "/servers/detail", detail, "os_compute_api:servers:detail"),
    Route("GET", "/servers/{server_id}", show, "os_compute_api:servers:show", enforce=Enforce.HANDLER),
)
