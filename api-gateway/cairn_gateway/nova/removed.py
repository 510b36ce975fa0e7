"""What the Compute API once had: the calls are known only to be refused as Nova refuses them (410, 400)."""

from __future__ import annotations

from cairn_gateway.http.call import Answer, Call
from cairn_gateway.http.faults import BadRequest, Gone
from cairn_gateway.http.routes import Handler, Route
from cairn_gateway.nova.inventory import ENTRIES, Entry


def routes() -> tuple[Route, ...]:
    """One for every call of Nova's router that only says that there is nothing any more."""
    return tuple(_route(entry) for entry in ENTRIES if entry.removed)


def _route(entry: Entry) -> Route:
    what = f"{entry.method} {entry.path}" + (f" ({entry.action})" if entry.action else "")
    return Route(
        entry.method,
        entry.path,
        _refuse_gone(what) if entry.status == 410 else _refuse(what),
        entry.rule,
        status=entry.status,
        since=entry.since,
        until=entry.until,
        action=entry.action,
        summary=f"Removed: {what}",
        tags=("removed",),
    )


def _refuse_gone(what: str) -> Handler:
    async def refuse(_call: Call) -> Answer:
        raise Gone(f"{what} was removed from the Compute API.")

    return refuse


def _refuse(what: str) -> Handler:
    async def refuse(_call: Call) -> Answer:
        raise BadRequest(f"{what} is no longer supported.")

    return refuse


ROUTES: tuple[Route, ...] = routes()
