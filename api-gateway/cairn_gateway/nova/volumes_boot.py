"""/os-volumes_boot (until 2.102): /servers by the name that it had when booting from a volume was new."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from cairn_gateway.http.routes import Route
from cairn_gateway.nova.microversions import VOLUMES_BOOT_REMOVED, before

SERVERS: Final = "/servers"
BOOT: Final = "/os-volumes_boot"
PATHS: Final = frozenset({"", "/detail", "/{server_id}", "/{server_id}/action"})
ACTIONS: Final = frozenset(
    {
        *("confirmResize", "revertResize", "resize", "rebuild", "createImage"),
        *("reboot", "os-start", "os-stop", "trigger_crash_dump"),
    }
)
"""Those that Nova's controller of servers has itself; the others came as extensions of /servers."""


def by_the_older_name(routes: Iterable[Route]) -> tuple[Route, ...]:
    """Those of `routes` that are also there by the older name, as they are there."""
    return tuple(_renamed(route) for route in routes if _is_there(route))


def _is_there(route: Route) -> bool:
    return (
        route.path.startswith(SERVERS)
        and route.path[len(SERVERS) :] in PATHS
        and (route.action is None or route.action in ACTIONS)
        and (route.since is None or route.since < VOLUMES_BOOT_REMOVED)
    )


def _renamed(route: Route) -> Route:
    last = before(VOLUMES_BOOT_REMOVED)
    until = last if route.until is None else min(route.until, last)
    return replace(route, path=BOOT + route.path[len(SERVERS) :], until=until)
