"""/os-migrations: what was moved, resized and evacuated.

Source: Nova API, GET /os-migrations (`nova/api/openstack/compute/migrations.py`).
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from cairn_database import moves, tenants
from cairn_database.moves import MigrationRecord
from cairn_database.records import MoveKind
from cairn_gateway.http.call import Answer, Call
from cairn_gateway.http.faults import BadRequest
from cairn_gateway.http.routes import Enforce, Route
from cairn_gateway.nova.microversions import CHANGES_BEFORE, MIGRATION_OWNER, MIGRATION_PAGES
from cairn_gateway.nova.migration_view import around, of_cloud
from cairn_gateway.nova.paging import next_link, page_limit
from cairn_gateway.nova.queries import given, refuse_unknown

RULE = "os_compute_api:os-migrations:index"
FILTERS = ("hidden", "host", "instance_uuid", "source_compute", "status", "migration_type")
TRUE_WORDS = frozenset({"1", "t", "true", "on", "y", "yes"})


async def index(call: Call) -> Answer:
    """List the migrations."""
    call.enforce()
    query = call.query_dict()
    project = given(query.get("project_id")) if call.version >= MIGRATION_OWNER else None
    if project is None or project != call.caller.project_id:
        call.enforce({}, f"{RULE}:all_projects")
    limit = _check_filters(call, query)
    found = await _find(call, query, project, limit)
    hosts = call.allows(f"{RULE}:host", {"project_id": call.caller.project_id})
    facts = await around(call, found, hosts=hosts)
    body: dict[str, Any] = {"migrations": [of_cloud(call, one, facts, hosts=hosts) for one in found]}
    if call.version >= MIGRATION_PAGES and found and len(found) == limit:
        body["migrations_links"] = next_link(call, found[-1].id)
    return Answer(body)


def _check_filters(call: Call, query: dict[str, str]) -> int:
    """What the version takes; how many a page has. Raises BadRequest."""
    if call.version < MIGRATION_PAGES:
        return page_limit(None)
    known = [*FILTERS, "limit", "marker", "changes-since"]
    if call.version >= CHANGES_BEFORE:
        known.append("changes-before")
    if call.version >= MIGRATION_OWNER:
        known += ["user_id", "project_id"]
    refuse_unknown(call, *known, since=MIGRATION_PAGES)
    since, until = (_moment(query, name) for name in ("changes-since", "changes-before"))
    if since is not None and until is not None and until < since:
        raise BadRequest("The value of changes-since must be less than or equal to changes-before.")
    return page_limit(query.get("limit"))


async def _find(call: Call, query: dict[str, str], project: str | None, limit: int) -> list[MigrationRecord]:
    kind = given(query.get("migration_type"))
    if kind is not None and kind not in set(MoveKind):
        return []
    if (given(query.get("hidden")) or "").lower() in TRUE_WORDS:
        return []  # none ever is
    name = None
    if project is not None:
        found = await tenants.get_project_by_id(call.services.db, project)
        if found is None:
            return []
        name = found.name
    paged = call.version >= MIGRATION_PAGES
    return await moves.list_migrations(
        call.services.db,
        instance_id=given(query.get("instance_uuid")),
        host=given(query.get("host")),
        status=given(query.get("status")),
        kind=MoveKind(kind) if kind is not None else None,
        source=given(query.get("source_compute")),
        project=name,
        user_id=given(query.get("user_id")) if call.version >= MIGRATION_OWNER else None,
        changed_since=_moment(query, "changes-since") if paged else None,
        changed_before=_moment(query, "changes-before") if call.version >= CHANGES_BEFORE else None,
        after_number=await _after(call, query) if paged else None,
        limit=limit,
    )


async def _after(call: Call, query: dict[str, str]) -> int | None:
    if "marker" not in query:
        return None
    try:
        return (await moves.get(call.services.db, query["marker"])).number
    except moves.MigrationNotFound as error:
        raise BadRequest(f"Marker {query['marker']} could not be found.") from error


def _moment(query: dict[str, str], name: str) -> datetime | None:
    if name not in query:
        return None
    try:
        moment = datetime.fromisoformat(query[name])
    except ValueError as error:
        raise BadRequest(f"Invalid input for query parameters {name}: {query[name]!r} is no time.") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


ROUTES: tuple[Route, ...] = (Route("GET", "/os-migrations", index, RULE, enforce=Enforce.HANDLER),)
