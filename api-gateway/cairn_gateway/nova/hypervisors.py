"""/os-hypervisors: the hosts, what they have and how much of it is used. Everything is read from SQL."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from cairn_database import hosts, nodes
from cairn_database.nodes import ComputeNodeRecord
from cairn_gateway.http.call import Answer, Call
from cairn_gateway.http.faults import BadRequest, NotFound, NotImplementedYet
from cairn_gateway.http.models import Boolean, QueryModel, check
from cairn_gateway.http.routes import Route
from cairn_gateway.nova import hypervisors_view as views
from cairn_gateway.nova.ids import path_integer, path_uuid
from cairn_gateway.nova.microversions import (
    HYPERVISOR_PAGES,
    HYPERVISOR_QUERY_FILTERS,
    HYPERVISOR_USAGE_REMOVED,
    HYPERVISOR_UUIDS,
    before,
)
from cairn_gateway.nova.paging import MAX_LIMIT, next_link, page_limit
from cairn_gateway.nova.queries import HostName, refuse_unknown

RULE = "os_compute_api:os-hypervisors:"


class Filters(QueryModel):
    """What lists take since 2.53."""

    hypervisor_hostname_pattern: HostName | None = None
    with_servers: Boolean = False


async def index(call: Call) -> Answer:
    """List the hypervisors in short."""
    return await _list(call, detail=False)


async def detail(call: Call) -> Answer:
    """List the hypervisors in full."""
    return await _list(call, detail=True)


async def _list(call: Call, *, detail: bool) -> Answer:
    known = ("limit", "marker", "hypervisor_hostname_pattern", "with_servers")
    refuse_unknown(call, *known, since=HYPERVISOR_QUERY_FILTERS)
    filters = _filters(call)
    pattern = filters.hypervisor_hostname_pattern
    if pattern is not None and not call.query_dict().keys().isdisjoint({"limit", "marker"}):
        raise BadRequest(
            "Paging over hypervisors with the hypervisor_hostname_pattern query parameter is not supported."
        )
    links: list[dict[str, str]] = []
    if pattern is not None:
        found = await _matching(call, pattern)
    else:
        found, links = await _page(call)
    answer: dict[str, Any] = {
        "hypervisors": await _shown(call, found, detail=detail, servers=filters.with_servers)
    }
    if links:
        answer["hypervisors_links"] = links
    return Answer(answer)


def _filters(call: Call) -> Filters:
    if call.version < HYPERVISOR_QUERY_FILTERS:
        return Filters()
    return check(Filters, call.query_dict(), call.version)


async def _page(call: Call) -> tuple[list[ComputeNodeRecord], list[dict[str, str]]]:
    """What one page has, and the link to the next. Before 2.33 everything is on one."""
    db = call.services.db
    if call.version < HYPERVISOR_PAGES:
        return await nodes.page_of_compute_nodes(db, 0, MAX_LIMIT), []
    query = call.query_dict()
    limit = page_limit(query.get("limit"))
    after = 0
    if "marker" in query:
        marker = await _find(call, query["marker"])
        if marker is None:
            raise BadRequest(f"marker [{query['marker']}] not found")
        after = marker.number
    found = await nodes.page_of_compute_nodes(db, after, limit + 1)
    page = found[:limit]
    if len(found) <= limit:
        return page, []
    return page, next_link(call, str(views.brief(call.version, page[-1])["id"]))


async def _matching(call: Call, pattern: str) -> list[ComputeNodeRecord]:
    """The hosts in whose hypervisor's name the pattern occurs. Raises NotFound when there are none."""
    wanted = pattern.lower()
    everything = await nodes.list_compute_nodes(call.services.db)
    found = [node for node in everything if wanted in node.hypervisor_hostname.lower()]
    if not found:
        raise NotFound(f"No hypervisor matching '{pattern}' could be found.")
    return sorted(found, key=lambda node: node.number)


async def _shown(
    call: Call, found: list[ComputeNodeRecord], *, detail: bool, servers: bool
) -> list[dict[str, Any]]:
    db, version = call.services.db, call.version
    shown = [views.brief(version, node) for node in found]
    if detail:
        workloads, now = await hosts.tasks_per_host(db), datetime.now(UTC)
        shown = [views.detailed(version, node, workloads.get(node.name, 0), now) for node in found]
    if servers:
        placed = await hosts.instances_on(db, (node.name for node in found))
        for item, node in zip(shown, found, strict=True):
            views.with_servers(version, item, placed.get(node.name, ()))
    return shown


async def show(call: Call) -> Answer:
    """Show one hypervisor in full."""
    refuse_unknown(call, "with_servers", since=HYPERVISOR_QUERY_FILTERS)
    servers = _filters(call).with_servers
    [shown] = await _shown(call, [await _named(call)], detail=True, servers=servers)
    return Answer({"hypervisor": shown})


async def uptime(call: Call) -> Answer:
    """Show since when a hypervisor's host has been running (until 2.87)."""
    node = await _named(call)
    if not node.alive:
        raise BadRequest(f"Compute service of {node.name} is unavailable at this time.")
    since = views.uptime(node, datetime.now(UTC))
    if since is None:
        raise NotImplementedYet(f"The agent of {node.name} does not tell when the host was started.")
    return Answer({"hypervisor": views.brief(call.version, node) | {"uptime": since}})


async def search(call: Call) -> Answer:
    """Find hypervisors by a part of their name (until 2.52)."""
    found = await _matching(call, call.params["hypervisor_id"])
    return Answer({"hypervisors": await _shown(call, found, detail=False, servers=False)})


async def servers(call: Call) -> Answer:
    """Find hypervisors by a part of their name, and show their servers (until 2.52)."""
    found = await _matching(call, call.params["hypervisor_id"])
    return Answer({"hypervisors": await _shown(call, found, detail=False, servers=True)})


async def statistics(call: Call) -> Answer:
    """Add up all hypervisors that are not disabled (until 2.87)."""
    everything = await nodes.list_compute_nodes(call.services.db)
    enabled = [node for node in everything if not node.disabled]
    workloads = await hosts.tasks_per_host(call.services.db)
    workload = sum(workloads.get(node.name, 0) for node in enabled)
    total = views.usage(_sum(views.numbers(node) for node in enabled), workload)
    return Answer({"hypervisor_statistics": {"count": len(enabled), **total}})


def _sum(items: Iterable[views.Numbers]) -> views.Numbers:
    fields = (
        "vcpus",
        "memory_mb",
        "local_gb",
        "vcpus_used",
        "memory_mb_used",
        "local_gb_used",
        "running_vms",
    )
    everything = list(items)
    return views.Numbers(**{name: sum(getattr(item, name) for item in everything) for name in fields})


async def _find(call: Call, key: str) -> ComputeNodeRecord | None:
    """The host by the id that this version uses."""
    if call.version >= HYPERVISOR_UUIDS:
        return await nodes.find_compute_node(call.services.db, id=key)
    number = path_integer(key)
    return None if number is None else await nodes.find_compute_node(call.services.db, number=number)


async def _named(call: Call) -> ComputeNodeRecord:
    """The host that the path names. Raises BadRequest (no UUID, since 2.53), NotFound."""
    key = call.params["hypervisor_id"]
    found = await _find(call, path_uuid(key) if call.version >= HYPERVISOR_UUIDS else key)
    if found is None:
        raise NotFound(f"Hypervisor with ID '{key}' could not be found.")
    return found


_ALL = "/os-hypervisors"
_ONE = f"{_ALL}/{{hypervisor_id}}"
_LAST_SEARCH = before(HYPERVISOR_QUERY_FILTERS)
_LAST_USAGE = before(HYPERVISOR_USAGE_REMOVED)
ROUTES: tuple[Route, ...] = (
    Route("GET", _ALL, index, RULE + "list"),
    Route("GET", f"{_ALL}/detail", detail, RULE + "list-detail"),
    Route("GET", f"{_ALL}/statistics", statistics, RULE + "statistics", until=_LAST_USAGE),
    Route("GET", _ONE, show, RULE + "show"),
    Route("GET", f"{_ONE}/uptime", uptime, RULE + "uptime", until=_LAST_USAGE),
    Route("GET", f"{_ONE}/search", search, RULE + "search", until=_LAST_SEARCH),
    Route("GET", f"{_ONE}/servers", servers, RULE + "servers", until=_LAST_SEARCH),
)
