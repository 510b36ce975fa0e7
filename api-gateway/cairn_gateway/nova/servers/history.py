"""GET /servers/{server_id}/os-instance-actions: what was done to a server."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from pydantic import Field

from cairn_database import InstanceRecord, history
from cairn_database.history import ActionRecord
from cairn_gateway.http.call import Answer, Call
from cairn_gateway.http.faults import BadRequest, NotFound
from cairn_gateway.http.models import Integer, QueryModel, Since
from cairn_gateway.http.routes import Enforce, Route
from cairn_gateway.nova import microversions as since
from cairn_gateway.nova.paging import next_link, page_of
from cairn_gateway.nova.servers.load import server_of, target_of
from cairn_gateway.nova.servers.query import parse_moment
from cairn_gateway.nova.servers.view import host_id

RULE = "os_compute_api:os-instance-actions:"


class Page(QueryModel):
    """From 2.58."""

    limit: Annotated[Annotated[Integer, Field(ge=0, le=2**31)] | None, Since(since.ACTION_PAGES)] = None
    marker: Annotated[str | None, Since(since.ACTION_PAGES)] = None
    changes_since: Annotated[str | None, Field(alias="changes-since"), Since(since.ACTION_PAGES)] = None
    changes_before: Annotated[str | None, Field(alias="changes-before"), Since(since.CHANGES_BEFORE)] = None


async def index(call: Call) -> Answer:
    """The actions, newest first."""
    record = await _record(call)
    page: Page = call.arguments
    found = await history.list_actions(call.services.db, record.id)
    found = [action for action in found if _is_between(action, page)]
    limit = min(page.limit or 1000, 1000)
    shown, more = page_of(found, marker=page.marker, limit=limit, key=lambda action: action.request_id)
    body: dict[str, Any] = {"instanceActions": [_view(call, record, action) for action in shown]}
    if more and call.version >= since.ACTION_PAGES:
        body["links"] = next_link(call, shown[-1].request_id or "")
    return Answer(body)


async def show(call: Call) -> Answer:
    """One action, by the id of its request, with its events."""
    record = await _record(call)
    request_id = call.params["request_id"]
    for action in await history.list_actions(call.services.db, record.id):
        if action.request_id == request_id:
            shown = _view(call, record, action)
            events = _events(call, record, action)
            return Answer({"instanceAction": shown if events is None else {**shown, "events": events}})
    raise NotFound(f"Action for request_id {request_id} on instance {record.id} not found")


async def _record(call: Call) -> InstanceRecord:
    record = await server_of(call, deleted=call.version >= since.ACTIONS_OF_DELETED_SERVERS)
    call.enforce(target_of(call, record))
    return record


def _is_between(action: ActionRecord, page: Page) -> bool:
    changed = _changed(action)
    if page.changes_since and page.changes_before:
        first = parse_moment("changes-since", page.changes_since)
        if parse_moment("changes-before", page.changes_before) < first:
            raise BadRequest("The value of changes-since must be less than or equal to changes-before.")
    if page.changes_since and changed < parse_moment("changes-since", page.changes_since):
        return False
    return not page.changes_before or changed <= parse_moment("changes-before", page.changes_before)


def _changed(action: ActionRecord) -> datetime:
    return action.finished_at or (action.events[-1].finished_at if action.events else action.started_at)


def _view(call: Call, record: InstanceRecord, action: ActionRecord) -> dict[str, Any]:
    own = record.project == call.caller.project
    shown = {
        "action": action.action,
        "instance_uuid": record.id,
        "request_id": action.request_id,
        "user_id": record.user_id or "",
        "project_id": call.caller.project_id if own else record.project,
        "start_time": _time(action.started_at),
        "message": "Error" if action.result == history.ERROR else None,
    }
    if call.version >= since.ACTION_UPDATED_AT:
        shown["updated_at"] = _time(_changed(action))
    return shown


def _events(call: Call, record: InstanceRecord, action: ActionRecord) -> list[dict[str, Any]] | None:
    """For administrators; from 2.51 for everybody, without what only administrators may know."""
    target = target_of(call, record)
    traces = call.allows(f"{RULE}events", target)
    if not traces and call.version < since.ACTION_EVENTS_FOR_ALL:
        return None
    details = call.version >= since.ACTION_EVENT_DETAILS and call.allows(f"{RULE}events:details", target)
    events = []
    for event in reversed(action.events):
        shown: dict[str, Any] = {
            "event": event.event,
            "start_time": _time(event.started_at),
            "finish_time": _time(event.finished_at),
            "result": event.result,
        }
        if traces:
            shown["traceback"] = event.message if event.result == history.ERROR else None
        if call.version >= since.ACTION_EVENT_HOST:
            shown["hostId"] = host_id(str(call.caller.project_id), event.host)
            if traces:
                shown["host"] = event.host
        if details:
            shown["details"] = event.message if event.result == history.ERROR else None
        events.append(shown)
    return events


def _time(value: datetime) -> str:
    return value.replace(tzinfo=None).isoformat(timespec="microseconds")


ROUTES = (
    Route(
        "GET",
        "/servers/{server_id}/os-instance-actions",
        index,
        f"{RULE}list",
        query=Page,
        enforce=Enforce.HANDLER,
    ),
    Route(
        "GET",
        "/servers/{server_id}/os-instance-actions/{request_id}",
        show,
        f"{RULE}show",
        enforce=Enforce.HANDLER,
    ),
)
