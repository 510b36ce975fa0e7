"""GET /servers, GET /servers/detail, GET /servers/{server_id}."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cairn_database import InstanceRecord
from cairn_database.listing import MarkerNotFound, list_instances
from cairn_gateway.http.call import Answer, Call
from cairn_gateway.http.faults import BadRequest
from cairn_gateway.http.routes import Enforce, Route
from cairn_gateway.nova.paging import next_link
from cairn_gateway.nova.servers.load import server_of, surroundings, target_of
from cairn_gateway.nova.servers.query import Nothing, query_of
from cairn_gateway.nova.servers.view import ServerView, Surroundings


async def index(call: Call) -> Answer:
    """The project's servers: id, name, links."""
    records, links = await _page(call, detail=False)
    view = ServerView(call, Surroundings(), single=False)
    return _list(records, view.brief, links)


async def detail(call: Call) -> Answer:
    """The project's servers with all details."""
    records, links = await _page(call, detail=True)
    view = ServerView(call, await surroundings(call, records), single=False)
    return _list(records, view.full, links)


async def show(call: Call) -> Answer:
    """One server with all details."""
    record = await server_of(call)
    call.enforce(target_of(call, record))
    return Answer({"server": ServerView(call, await surroundings(call, [record])).full(record)})


async def _page(call: Call, *, detail: bool) -> tuple[list[InstanceRecord], list[dict[str, str]]]:
    try:
        query, _fields = await query_of(call, detail=detail)
        records = await list_instances(call.services.db, query)
    except Nothing:
        return [], []
    except MarkerNotFound as error:
        raise BadRequest(str(error)) from error
    more = len(records) == query.limit and records
    return records, next_link(call, records[-1].id) if more else []


def _list(
    records: list[InstanceRecord], render: Callable[[InstanceRecord], Any], links: list[dict[str, str]]
) -> Answer:
    body: dict[str, Any] = {"servers": [render(record) for record in records]}
    if links:
        body["servers_links"] = links
    return Answer(body)


ROUTES = (
    Route("GET", "/servers", index, "os_compute_api:servers:index"),
    Route("GET", "/servers/detail", detail, "os_compute_api:servers:detail"),
    Route("GET", "/servers/{server_id}", show, "os_compute_api:servers:show", enforce=Enforce.HANDLER),
)
