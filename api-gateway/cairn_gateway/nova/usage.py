"""What projects have used: hours of instances, and of their vCPUs, memory and disk.

Source of behaviour: Nova API, /os-simple-tenant-usage.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from cairn_database import tenants, usage
from cairn_database.usage import Period, Ran
from cairn_gateway.http.call import Answer, Call
from cairn_gateway.http.faults import BadRequest
from cairn_gateway.http.routes import Enforce, Route
from cairn_gateway.nova import microversions as at
from cairn_gateway.nova.paging import MAX_LIMIT, next_link, page_limit
from cairn_gateway.nova.queries import query_of

RULE = "os_compute_api:os-simple-tenant-usage:"
FORMATS = ("%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S.%f", "%Y-%m-%d %H:%M:%S.%f")
SHOWN = "%Y-%m-%dT%H:%M:%S.%f"


def _moment(text: str | None) -> datetime:
    if not text:
        return datetime.now(UTC)
    for pattern in FORMATS:
        try:
            return datetime.strptime(text, pattern).replace(tzinfo=UTC)
        except ValueError:
            continue
    raise BadRequest("Invalid datetime string: Datetime is in invalid format")


def _period(query: dict[str, str]) -> Period:
    start, stop = _moment(query.get("start")), _moment(query.get("end"))
    if start >= stop:
        raise BadRequest("Invalid start time. The start time cannot occur after the end time.")
    return Period(start, min(stop, datetime.now(UTC)))


def _asked(call: Call) -> tuple[dict[str, str], Period, int, str | None]:
    paged = call.version >= at.USAGE_PAGES
    names = ("start", "end", "detailed", *(("limit", "marker") if paged else ()))
    query = query_of(call, names, since=at.UNKNOWN_PARAMETERS_REFUSED)
    limit = page_limit(query.get("limit")) if paged else MAX_LIMIT
    return query, _period(query), limit, query.get("marker") if paged else None


def _hours(ran: Ran, period: Period) -> float:
    stop = period.stop if ran.terminated_at is None else min(period.stop, ran.terminated_at)
    return max(0.0, (stop - max(ran.launched_at, period.start)).total_seconds() / 3600.0)


def _disk(flavor: dict[str, Any]) -> int:
    return int(flavor.get("diskGiB", 0)) + int(flavor.get("ephemeralGiB", 0))


def _server(ran: Ran, project_id: str, period: Period) -> dict[str, Any]:
    until = ran.terminated_at or datetime.now(UTC)
    return {
        "hours": _hours(ran, period),
        "flavor": ran.flavor.get("displayName") or ran.flavor.get("name", ""),
        "instance_id": ran.id,
        "name": ran.name,
        "tenant_id": project_id,
        "memory_mb": int(ran.flavor["memoryMiB"]),
        "local_gb": _disk(ran.flavor),
        "vcpus": int(ran.flavor["vcpus"]),
        "started_at": ran.launched_at.strftime(SHOWN),
        "ended_at": None if ran.terminated_at is None else ran.terminated_at.strftime(SHOWN),
        "state": ran.vm_state if ran.terminated_at is None else "terminated",
        "uptime": int((until - ran.launched_at).total_seconds()),
    }


def _summary(project_id: str, found: Iterable[Ran], period: Period, *, detailed: bool) -> dict[str, Any]:
    servers = [_server(ran, project_id, period) for ran in found]
    summary: dict[str, Any] = {
        "tenant_id": project_id,
        "total_local_gb_usage": sum(server["local_gb"] * server["hours"] for server in servers),
        "total_vcpus_usage": sum(server["vcpus"] * server["hours"] for server in servers),
        "total_memory_mb_usage": sum(server["memory_mb"] * server["hours"] for server in servers),
        "total_hours": sum(server["hours"] for server in servers),
        "start": period.start.strftime(SHOWN),
        "stop": period.stop.strftime(SHOWN),
    }
    if detailed:
        summary["server_usages"] = servers
    return summary


async def index(call: Call) -> Answer:
    """What every project has used in a period"""
    query, period, limit, marker = _asked(call)
    db = call.services.db
    first = None if marker is None else await _project_of(call, marker)
    detailed = query.get("detailed", "0") == "1"
    shown: list[dict[str, Any]] = []
    left, last = limit, None
    for project_id, name in await usage.project_names(db):
        if first is not None and name != first:
            continue
        after = marker if name == first else None
        first = None
        found = await usage.ran_in(db, name, period, after=after, limit=left)
        if found:
            shown.append(_summary(project_id, found, period, detailed=detailed))
            left, last = left - len(found), found[-1].id
        if left <= 0:
            break
    body: dict[str, Any] = {"tenant_usages": shown}
    if call.version >= at.USAGE_PAGES and left <= 0 and last is not None:
        body["tenant_usages_links"] = next_link(call, last)
    return Answer(body)


async def show(call: Call) -> Answer:
    """What one project has used in a period"""
    project_id = call.params["project_id"]
    call.enforce({"project_id": project_id})
    _query, period, limit, marker = _asked(call)
    if marker is not None:
        await _project_of(call, marker)
    project = await tenants.get_project_by_id(call.services.db, project_id)
    found = (
        []
        if project is None
        else await usage.ran_in(call.services.db, project.name, period, after=marker, limit=limit)
    )
    body: dict[str, Any] = {
        "tenant_usage": _summary(project_id, found, period, detailed=True) if found else {}
    }
    if call.version >= at.USAGE_PAGES and len(found) >= limit:
        body["tenant_usage_links"] = next_link(call, found[-1].id)
    return Answer(body)


async def _project_of(call: Call, marker: str) -> str:
    """The project of the instance that the page before ended with. Raises BadRequest."""
    name = await usage.project_of(call.services.db, marker) if len(marker) <= 36 else None
    if name is None:
        raise BadRequest(f"Marker {marker} could not be found.")
    return name


ROUTES: tuple[Route, ...] = (
    Route("GET", "/os-simple-tenant-usage", index, RULE + "list"),
    Route("GET", "/os-simple-tenant-usage/{project_id}", show, RULE + "show", enforce=Enforce.HANDLER),
)
