"""/os-volumes and /os-snapshots (until 2.35), and what a volume service asks of Nova.

There is no volume service behind them: lists are empty, nothing is found, and nothing can be made. Cairn's
own volumes are resources (docs/volumes.md); servers have them by `volume_attachments.py`.
"""

from __future__ import annotations

from cairn_gateway.http.call import Answer, Call
from cairn_gateway.http.faults import NotFound
from cairn_gateway.http.routes import Handler, Route, not_yet
from cairn_gateway.nova.microversions import PROXIES_REMOVED, before

RULE = "os_compute_api:os-volumes:"
ASSISTED = "os_compute_api:os-assisted-volume-snapshots:"
_LAST = before(PROXIES_REMOVED)


def _nothing(key: str) -> Handler:
    async def index(_call: Call) -> Answer:
        return Answer({key: []})

    index.__doc__ = f"List the {key}: there are none."
    return index


def _unknown(kind: str) -> Handler:
    async def refuse(call: Call) -> Answer:
        raise NotFound(f"{kind} {call.params['id']} could not be found.")

    refuse.__doc__ = f"{kind}s: there are none."
    return refuse


def _proxy(path: str, key: str, kind: str, rule: str, deleted: int) -> tuple[Route, ...]:
    one = f"{path}/{{id}}"
    make = not_yet(f"make {key}")
    return (
        Route("GET", path, _nothing(key), f"{rule}list", until=_LAST),
        Route("GET", f"{path}/detail", _nothing(key), f"{rule}detail", until=_LAST),
        Route("POST", path, make, f"{rule}create", until=_LAST, not_yet=True),
        Route("GET", one, _unknown(kind), f"{rule}show", until=_LAST),
        Route("DELETE", one, _unknown(kind), f"{rule}delete", status=deleted, until=_LAST),
    )


ROUTES: tuple[Route, ...] = (
    *_proxy("/os-volumes", "volumes", "Volume", RULE, 202),
    *_proxy("/os-snapshots", "snapshots", "Snapshot", f"{RULE}snapshots:", 202),
    Route(
        "POST",
        "/os-assisted-volume-snapshots",
        not_yet("make snapshots of volumes inside a guest's disk"),
        ASSISTED + "create",
        not_yet=True,
    ),
    Route(
        "DELETE",
        "/os-assisted-volume-snapshots/{id}",
        not_yet("delete snapshots of volumes inside a guest's disk"),
        ASSISTED + "delete",
        status=204,
        not_yet=True,
    ),
)
