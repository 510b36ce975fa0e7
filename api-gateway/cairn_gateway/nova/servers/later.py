"""What Nova does to servers and Cairn cannot yet: each answers 501 and is on the coverage page.

The policy is asked, and the server looked for, as by a handler that does something: nobody learns from a 501
what a 403 or 404 would have kept.
"""

from __future__ import annotations

from typing import Any

from cairn_gateway.http.call import Answer, Call
from cairn_gateway.http.faults import NotImplementedYet
from cairn_gateway.http.routes import Enforce, Handler, Route, not_yet
from cairn_gateway.nova import microversions as since
from cairn_gateway.nova.microversions import Microversion
from cairn_gateway.nova.servers.load import server_of, target_of

Range = dict[str, Any]


def before(version: Microversion) -> Range:
    """The versions until the one in which it was removed."""
    return {"until": Microversion(version.major, version.minor - 1)}


def from_(version: Microversion) -> Range:
    """The versions since that one."""
    return {"since": version}


def cannot(what: str) -> Handler:
    """A handler that says that Cairn cannot do `what` yet."""

    async def refuse(call: Call) -> Answer:
        record = await server_of(call)
        call.enforce(target_of(call, record))
        raise NotImplementedYet(f"Cairn cannot {what} yet. Nothing was changed.")

    refuse.__doc__ = f"Not yet: {what}."
    return refuse


OLD_CONSOLES = before(since.CONSOLE_ACTIONS_REMOVED)
ACTIONS: tuple[tuple[str, str, str, Range], ...] = (
    ("os-getVNCConsole", "os-remote-consoles", "open consoles", {"status": 200, **OLD_CONSOLES}),
    ("os-getSPICEConsole", "os-remote-consoles", "open consoles", {"status": 200, **OLD_CONSOLES}),
    ("os-getSerialConsole", "os-remote-consoles", "open consoles", {"status": 200, **OLD_CONSOLES}),
)
"""(key, rule, what Cairn cannot, further options of the route)."""

MIGRATIONS = "servers:migrations:"
SHARES = "os-server-shares:"
OTHERS: tuple[tuple[str, str, str, str, Range], ...] = (
    ("POST", "/remote-consoles", "os-remote-consoles", "open consoles", from_(since.REMOTE_CONSOLES)),
    ("GET", "/shares", f"{SHARES}index", "attach shares", from_(since.SERVER_SHARES)),
    ("POST", "/shares", f"{SHARES}create", "attach shares", {"status": 201, **from_(since.SERVER_SHARES)}),
    ("GET", "/shares/{share_id}", f"{SHARES}show", "attach shares", from_(since.SERVER_SHARES)),
    ("DELETE", "/shares/{share_id}", f"{SHARES}delete", "attach shares", from_(since.SERVER_SHARES)),
)
"""(method, path below the server, rule, what Cairn cannot, further options of the route)."""

PREFIX = "os_compute_api:"
ROUTES = (
    *(
        Route(
            "POST",
            "/servers/{server_id}/action",
            cannot(what),
            PREFIX + rule,
            action=key,
            enforce=Enforce.HANDLER,
            not_yet=True,
            **{"status": 202, **options},
        )
        for key, rule, what, options in ACTIONS
    ),
    *(
        Route(
            method,
            "/servers/{server_id}" + path,
            cannot(what),
            PREFIX + rule,
            enforce=Enforce.HANDLER,
            not_yet=True,
            **options,
        )
        for method, path, rule, what, options in OTHERS
    ),
    Route(
        "GET",
        "/os-console-auth-tokens/{console_token}",
        not_yet("open consoles"),
        PREFIX + "os-console-auth-tokens",
        not_yet=True,
    ),
)
