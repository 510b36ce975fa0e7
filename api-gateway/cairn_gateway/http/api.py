"""An API: a table of routes as an ASGI application."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import orjson
import structlog

from cairn_database import DatabaseUnavailable, SchemaOutdated
from cairn_gateway.http import models
from cairn_gateway.http.call import Answer, Call
from cairn_gateway.http.faults import BadRequest, ErrorStyle, Fault, NotFound, ServiceUnavailable
from cairn_gateway.http.metrics import REQUEST_SECONDS
from cairn_gateway.http.routes import Enforce, Route, RouteTable
from cairn_runtime.kubernetes import ApiServerUnavailable

log = structlog.get_logger()
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
        route: Route | None = None
        try:
            answer = await self._answer(call)
            route = call.route
            status = answer.status or (route.status if route else 200)
        except Fault as fault:
            answer, status = self._fault(fault, fault.message), fault.status
        except (DatabaseUnavailable, SchemaOutdated, ApiServerUnavailable) as error:
            log.warning("request.unavailable", error=str(error), path=call.path)
            unavailable = ServiceUnavailable(f"Cairn cannot answer now: {error}")
            answer, status = self._fault(unavailable, unavailable.message), 503
        except Exception:
            log.exception("request.failed", method=call.method, path=call.path)
            message = "Unexpected API Error. The log of the gateway has the details under this request id."
            answer, status = Answer(self._style(500, "Internal Server Error", message)), 500
        route = call.route
        try:
            await _send(send, call, answer, status)
        finally:
            path = route.path if route else "unknown"
            seconds = time.perf_counter() - started
            REQUEST_SECONDS.labels(self.name, call.method, path, status).observe(seconds)
            log.debug("request", method=call.method, path=call.path, status=status, seconds=round(seconds, 5))

    def _fault(self, fault: Fault, message: str) -> Answer:
        return Answer(self._style(fault.status, fault.title, message), headers=fault.headers)

    async def _answer(self, call: Call) -> Answer:
        if self._negotiate is not None:
            self._negotiate(call)
        below = call.path[len(self.prefix) :]
        if self._strip is not None:
            below = self._strip(call, below)
        match = self.routes.match(below)
        if match is None:
            raise NotFound("The resource could not be found.")
        # Who it is goes before what there is: without a token, nothing is told of the API's shape.
        token_needed = all(
            route.rule is not None for routes in match.candidates.values() for route, _ in routes
        )
        if token_needed:
            await self._authenticate(call)
        route, call.params = match.select(call.method, call.version)
        call.route = route
        if not token_needed and route.rule is not None:
            await self._authenticate(call)
        if route.action is not None:
            return await self._act(call, route)
        return await self._run(call, route, None if route.raw or route.body is None else await call.json())

    async def _act(self, call: Call, first: Route) -> Answer:
        """`POST …/action`: the one key of the body says which."""
        body = await call.json()
        if not isinstance(body, dict) or len(body) != 1:
            raise BadRequest("Malformed request body: it must have exactly one key, the action's name.")
        key, arguments = next(iter(body.items()))
        route = self.routes.action(first.path, key, call.version)
        if route is None:
            raise BadRequest(f"There is no such action: {key}.")
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


async def _send(send: Send, call: Call, answer: Answer, status: int) -> None:
    headers = {"x-openstack-request-id": call.request_id, **call.answer_headers, **answer.headers}
    body = answer.body
    if isinstance(body, AsyncIterator):
        await _send_stream(send, status, headers, body)
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
    send: Send, status: int, headers: dict[str, str], chunks: AsyncIterator[bytes]
) -> None:
    await send({"type": "http.response.start", "status": status, "headers": _encode(headers)})
    async for chunk in chunks:
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


def _encode(headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
