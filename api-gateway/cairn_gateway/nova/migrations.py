"""/os-migrations: what was moved, resized and evacuated. Cairn moves nothing yet, so there is none; who may
ask, and what a version takes as filters, is checked already."""

from __future__ import annotations

from datetime import UTC, datetime

from cairn_gateway.http.call import Answer, Call
from cairn_gateway.http.faults import BadRequest
from cairn_gateway.http.routes import Enforce, Route
from cairn_gateway.nova.microversions import CHANGES_BEFORE, MIGRATION_OWNER, MIGRATION_PAGES
from cairn_gateway.nova.paging import page_limit
from cairn_gateway.nova.queries import given, refuse_unknown

RULE = "os_compute_api:os-migrations:index"
FILTERS = ("hidden", "host", "instance_uuid", "source_compute", "status", "migration_type")


async def index(call: Call) -> Answer:
    """List the migrations."""
    call.enforce()
    query = call.query_dict()
    project = given(query.get("project_id")) if call.version >= MIGRATION_OWNER else None
    if project is None or project != call.caller.project_id:
        call.enforce({}, f"{RULE}:all_projects")
    if call.version >= MIGRATION_PAGES:
        _check_filters(call, query)
    return Answer({"migrations": []})


def _check_filters(call: Call, query: dict[str, str]) -> None:
    known = [*FILTERS, "limit", "marker", "changes-since"]
    if call.version >= CHANGES_BEFORE:
        known.append("changes-before")
    if call.version >= MIGRATION_OWNER:
        known += ["user_id", "project_id"]
    refuse_unknown(call, *known, since=MIGRATION_PAGES)
    page_limit(query.get("limit"))
    since, until = (_moment(query, name) for name in ("changes-since", "changes-before"))
    if since is not None and until is not None and until < since:
        raise BadRequest("The value of changes-since must be less than or equal to changes-before.")
    if "marker" in query:
        raise BadRequest(f"Marker {query['marker']} could not be found.")


def _moment(query: dict[str, str], name: str) -> datetime | None:
    if name not in query:
        return None
    try:
        moment = datetime.fromisoformat(query[name])
    except ValueError as error:
        raise BadRequest(f"Invalid input for query parameters {name}: {query[name]!r} is no time.") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


ROUTES: tuple[Route, ...] = (Route("GET", "/os-migrations", index, RULE, enforce=Enforce.HANDLER),)
