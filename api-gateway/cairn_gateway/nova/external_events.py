"""/os-server-external-events: other services tell that something of a server's is done.

Cairn plugs networks and volumes by itself and waits for nobody's event. What it makes of one is a hint to the
conductor, which then looks at the server at once.
"""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Final, Literal

from pydantic import Field, StringConstraints, field_validator

from cairn_database import InstanceRecord, instances
from cairn_gateway.http.call import Answer, Call
from cairn_gateway.http.faults import BadRequest
from cairn_gateway.http.models import RequestModel, Uuid
from cairn_gateway.http.routes import Route
from cairn_gateway.nova.ids import path_uuid
from cairn_gateway.nova.microversions import (
    EVENT_ACCELERATOR_BOUND,
    EVENT_POWER_UPDATE,
    EVENT_VOLUME_EXTENDED,
    EVENT_VOLUME_REIMAGED,
    MIN,
)

EVENTS: Final = {
    "network-changed": MIN,
    "network-vif-plugged": MIN,
    "network-vif-unplugged": MIN,
    "network-vif-deleted": MIN,
    "volume-extended": EVENT_VOLUME_EXTENDED,
    "power-update": EVENT_POWER_UPDATE,
    "accelerator-request-bound": EVENT_ACCELERATOR_BOUND,
    "volume-reimaged": EVENT_VOLUME_REIMAGED,
}
"""Each with the first version that takes it."""
NEED_TAG: Final = frozenset({"volume-extended", "power-update", "accelerator-request-bound"})
MOST_EVENTS: Final = 1000
HINTS_AT_ONCE: Final = 8


class Event(RequestModel):
    """What has happened to a server."""

    name: str
    server_uuid: Uuid
    status: Literal["failed", "completed", "in-progress"] | None = None
    tag: Annotated[str, StringConstraints(strict=True, max_length=255)] | None = None

    @field_validator("name")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in EVENTS:
            raise ValueError(f"it must be one of {', '.join(EVENTS)}")
        return value


class EventsBody(RequestModel):
    """`POST /os-server-external-events`."""

    events: Annotated[list[Event], Field(min_length=1, max_length=MOST_EVENTS)]


async def create(call: Call) -> Answer:
    """Take events in; each is answered with a code of its own, and all with 207 where one failed."""
    events: list[Event] = call.checked.events
    for event in events:
        if call.version < EVENTS[event.name]:
            raise BadRequest(f"Invalid input for field/attribute name. Value: {event.name}. It is not known.")
    ids = [path_uuid(event.server_uuid) for event in events]
    known = await instances.get_many(call.services.db, ids)
    codes = [outcome(event, known.get(key)) for event, key in zip(events, ids, strict=True)]
    accepted = {key for key, code in zip(ids, codes, strict=True) if code == 200}
    await _hint(call, [known[key] for key in sorted(accepted)])
    shown = [_shown(event, code) for event, code in zip(events, codes, strict=True)]
    return Answer({"events": shown}, 200 if all(code == 200 for code in codes) else 207)


def outcome(event: Event, server: InstanceRecord | None) -> int:
    """The event's own code: no such server, no tag where one is needed, or no host to tell."""
    if server is None or server.is_deleted:
        return 404
    if event.name in NEED_TAG and event.tag is None:
        return 400
    return 200 if server.host else 422


def _shown(event: Event, code: int) -> dict[str, Any]:
    status = "completed" if code == 200 else "failed"
    return event.model_dump(exclude_unset=True) | {"status": status, "code": code}


async def _hint(call: Call, servers: list[InstanceRecord]) -> None:
    gate = asyncio.Semaphore(HINTS_AT_ONCE)

    async def hint(server: InstanceRecord) -> None:
        async with gate:
            await call.services.cluster.hint(server.namespace, server.name, call.request_id)

    await asyncio.gather(*(hint(server) for server in servers))


ROUTES: tuple[Route, ...] = (
    Route(
        "POST",
        "/os-server-external-events",
        create,
        "os_compute_api:os-server-external-events:create",
        body=EventsBody,
    ),
)
