"""An API: a table of routes as an ASGI application."""

from __future__ import annotations

import asyncio
import math
import re
import string
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import Any
from urllib.parse import quote

import orjson
import structlog

from cairn_database import DatabaseUnavailable, ProjectNotFound, SchemaOutdated
from cairn_gateway.http import models
from cairn_gateway.http.access import log_request
from cairn_gateway.http.call import Answer, Call
from cairn_gateway.http.data_errors import is_of_the_data
from cairn_gateway.http.faults import BadRequest, ErrorStyle, Fault, NotFound, ServiceUnavailable
from cairn_gateway.http.metrics import REQUEST_SECONDS
from cairn_gateway.http.routes import Enforce, Route, RouteTable
from cairn_runtime.kubernetes import ApiServerUnavailable

log = structlog.get_logger()
PRINTABLE = string.punctuation + " "
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
Prepare = Callable[[Call], Awaitable[None]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


class Api:
    """Answers everything below `prefix`."""

    def __init__(
        self,
        name: str,
        prefix: str,
        routes: RouteTable,
        *,
        style: ErrorStyle,
        negotiate: Callable[[Call], None] | None = None,
        authenticate: Prepare,
        strip: Callable[[Call, str], str] | None = None,
    ) -> None:
        """`negotiate` sets `call.version` (and the headers that tell of it); `authenticate` sets the caller;
        `strip` may take something off the path before it is matched (Nova's project id)."""
        self.name = name
        self.prefix = prefix
        self.routes = routes
        self._style = style
        self._negotiate = negotiate
        self._authenticate = authenticate
        self._strip = strip

    async def handle(self, call: Call, send: Send) -> None:
        """Answer one request, whatever happens."""
        started = time.perf_counter()
        try:
            answer = await self._answer(call)
            status = answer.status or (call.route.status if call.route else 200)
        except Fault as fault:
            answer, status = self._fault(fault, fault.message), fault.status
        except (DatabaseUnavailable, SchemaOutdated, ApiServerUnavailable) as error:
            log.warning("request.unavailable", error=str(error), path=call.path)
            unavailable = _unavailable(error)
            answer, status = self._fault(unavailable, unavailable.message), 503
        except asyncio.CancelledError:
            # The process is being stopped, and this has taken longer than it was given.
            stopping = ServiceUnavailable("Cairn is being restarted; try again soon.")
            answer, status = self._fault(stopping, stopping.message), 503
        except Exception as error:  # noqa: BLE001 - it is logged, and whoever asked is told
            answer, status = self._unexpected(call, error)
        await self._finish(call, send, answer, status, started)

    async def refuse(self, call: Call, send: Send, fault: Fault) -> None:
        """Answer with `fault`, without a look at what was asked."""
        answer = self._fault(fault, fault.message)
        await self._finish(call, send, answer, fault.status, time.perf_counter())

    async def _finish(self, call: Call, send: Send, answer: Answer, status: int, started: float) -> None:
        try:
            await _send(send, call, answer, status)
        finally:
            path = call.route.path if call.route else "unknown"
            seconds = time.perf_counter() - started
            REQUEST_SECONDS.labels(self.name, call.method, path, status).observe(seconds)
            log_request(call, status, seconds)

    def _unexpected(self, call: Call, error: Exception) -> tuple[Answer, int]:
        if is_of_the_data(error):
            log.warning("request.data_refused", method=call.method, path=call.path, error=str(error))
            fault = BadRequest("A value in the request is too large, too long, or cannot be kept.")
            return self._fault(fault, fault.message), 400
        if isinstance(error, ProjectNotFound):  # removed while its token counted
            return self._fault(NotFound(str(error)), str(error)), 404
        log.exception("request.failed", method=call.method, path=call.path)
        message = "Unexpected API Error. The log of the gateway has the details under this request id."
        return Answer(self._style(500, "Internal Server Error", message)), 500

    def error_body(self, status: int, title: str, message: str) -> Any:
        """A refusal in this API's style."""
        return self._style(status, title, message)

    def _fault(self, fault: Fault, message: str) -> Answer:
        return Answer(self._style(fault.status, fault.title, message), headers=fault.headers)

    async def _answer(self, call: Call) -> Answer:
        refused: Fault | None = None
        if self._negotiate is not None:
            try:
                self._negotiate(call)
            except Fault as fault:
                refused = fault
        if "\x00" in call.path:
            raise BadRequest("The URL has a NUL character.")
        below = call.path[len(self.prefix) :]
        if self._strip is not None:
            below = self._strip(call, below)
        match = self.routes.match(below)
        # Who it is goes before what there is: without a token, nothing is told of the API's shape.
        token_needed = match is None or all(
            route.rule is not None for routes in match.candidates.values() for route, _ in routes
        )
        if token_needed:
            await self._authenticate(call)
        if refused is not None:
            raise refused
        if match is None:
            raise NotFound("The resource could not be found.")
        route, call.params = match.select(call.method, call.version)
        call.route = route
        if route.max_body is not None:
            call.max_body = route.max_body
        if not token_needed and route.rule is not None:
            await self._authenticate(call)
        if route.action is not None:
            return await self._act(call, route)
        return await self._run(call, route, None if route.raw or route.body is None else await call.json())

    async def _act(self, call: Call, first: Route) -> Answer:
        """`POST …/action`: the one key of the body says which (Nova: api/openstack/wsgi.py, get_method)."""
        body = await call.json()
        if not isinstance(body, dict) or len(body) != 1:
            raise BadRequest("Malformed request body: it must have exactly one key, the action's name.")
        key, arguments = next(iter(body.items()))
        route = self.routes.action(first.path, key, call.version)
        if route is None:
            if self.routes.has_action(first.path, key):
                raise NotFound("The resource could not be found.")
            raise BadRequest(f"There is no such action: {models.shorten(key)}.")
        call.route = route
        return await self._run(call, route, body if route.body is not None else arguments)

    async def _run(self, call: Call, route: Route, body: Any) -> Answer:
        if route.rule is not None and route.enforce is Enforce.CALLER:
            call.enforce()
        if route.body is not None:
            call.checked = models.check(route.body, {} if body is None else body, call.version)
        if route.query is not None:
            call.arguments = models.check(route.query, call.query_dict(), call.version)
        answer = await route.handler(call)
        if route.rule is not None and not call.enforced:
            raise RuntimeError(f"{route.method} {route.path} answered without asking the policy")
        return answer


def _unavailable(error: Exception) -> ServiceUnavailable:
    """What callers are told. The log has more: addresses are not everybody's business."""
    what, after = "database", 5.0
    if isinstance(error, SchemaOutdated):
        what = "database (which is being upgraded)"
    elif isinstance(error, ApiServerUnavailable):
        what, after = "Kubernetes API server", error.delay or 5.0
    message = (
        f"Cairn's {what} does not answer now. What was asked for may have been done: look, or ask again."
    )
    return ServiceUnavailable(message, retry_after=math.ceil(after))


async def _send(send: Send, call: Call, answer: Answer, status: int) -> None:
    headers = {"x-openstack-request-id": call.request_id, **call.answer_headers, **answer.headers}
    body = answer.body
    if isinstance(body, AsyncIterator):
        await _send_stream(send, call, status, headers, body)
        return
    raw = b""
    if isinstance(body, bytes):
        raw = body
    elif body is not None:
        raw = orjson.dumps(body, default=str)
        headers.setdefault("content-type", "application/json")
    headers["content-length"] = str(len(raw))
    await send({"type": "http.response.start", "status": status, "headers": _encode(headers)})
    await send({"type": "http.response.body", "body": b"" if call.method == "HEAD" else raw})


async def _send_stream(
    send: Send, call: Call, status: int, headers: dict[str, str], chunks: AsyncIterator[bytes]
) -> None:
    """Send what comes, until the client has gone away: then nobody needs the rest."""
    await send({"type": "http.response.start", "status": status, "headers": _encode(headers)})
    gone = asyncio.create_task(_gone(call))
    try:
        if call.method != "HEAD":
            async for chunk in chunks:
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
                if gone.done():
                    return
    finally:
        gone.cancel()
        if isinstance(chunks, AsyncGenerator):
            await chunks.aclose()
    await send({"type": "http.response.body", "body": b""})


async def _gone(call: Call) -> None:
    """Until the client has closed the connection."""
    while (await call.receive())["type"] != "http.disconnect":
        pass


def _encode(headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode("latin-1"), _header_value(value)) for name, value in headers.items()]


def _header_value(value: str) -> bytes:
    """What a header can hold of `value`: it may repeat what a client has sent."""
    if not value.isascii():
        value = quote(value, safe=PRINTABLE)
    return (value if value.isprintable() else _CONTROL.sub(" ", value)).encode("ascii")
