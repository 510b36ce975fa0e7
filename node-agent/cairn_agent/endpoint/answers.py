"""How the endpoint refuses: JSON `{"reason", "message"}`, one status for each kind of DriverError."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog
from aiohttp import web

from cairn_agent.drivers.api import DriverError, MachineNotFound, Unsupported, WrongPowerState
from cairn_agent.endpoint.access import Handler

log = structlog.get_logger()
STATUSES: tuple[tuple[type[DriverError], int], ...] = (
    (MachineNotFound, 404),
    (WrongPowerState, 409),
    (Unsupported, 501),
    (DriverError, 503),
)
"""Of the first that matches."""
CALL_SECONDS = 30.0
"""How long the hypervisor may take; a disk's bytes may take longer."""


class BadRequest(Exception):
    """What was asked makes no sense."""


class Busy(Exception):
    """As much as the agent does at a time is under way."""


def refuse(status: int, reason: str, message: str) -> web.Response:
    """An error."""
    return web.json_response({"reason": reason, "message": message}, status=status)


@web.middleware
async def tell_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Every error becomes an answer; the outermost middleware."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        answer = refuse(error.status, error.reason.replace(" ", ""), error.reason)
        if "WWW-Authenticate" in error.headers:
            answer.headers["WWW-Authenticate"] = error.headers["WWW-Authenticate"]
        return answer
    except BadRequest as error:
        return refuse(400, "BadRequest", str(error))
    except Busy as error:
        return refuse(503, "Busy", str(error))
    except DriverError as error:
        status = next(status for kind, status in STATUSES if isinstance(error, kind))
        return refuse(status, error.reason, str(error))
    except TimeoutError:
        return refuse(503, "HypervisorSilent", f"the hypervisor did not answer within {CALL_SECONDS:.0f} s")


def bounded(handler: Handler, limit: int) -> Handler:
    """The handler for at most `limit` requests at a time; others are told to come again."""
    under_way = 0

    async def answer(request: web.Request) -> web.StreamResponse:
        nonlocal under_way
        if under_way >= limit:
            raise Busy(f"{limit} such requests are under way; try again soon")
        under_way += 1
        try:
            return await handler(request)
        finally:
            under_way -= 1

    return answer


def in_time(handler: Handler) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """The handler, given up after `CALL_SECONDS`."""

    async def answer(request: web.Request) -> web.StreamResponse:
        async with asyncio.timeout(CALL_SECONDS):
            return await handler(request)

    return answer
