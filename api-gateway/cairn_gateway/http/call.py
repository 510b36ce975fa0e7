"""One request and its answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import orjson

from cairn_gateway.http.caller import Caller
from cairn_gateway.http.faults import (
    BadRequest,
    BodyTooLarge,
    Forbidden,
    RequestTimeout,
    Unauthorized,
    UnsupportedMediaType,
)

if TYPE_CHECKING:
    from cairn_gateway.http.routes import Route
    from cairn_gateway.services import Services

JSON_TYPES = ("application/json", "text/json")
LONGEST_QUERY_FIELDS = 200
DEEPEST_JSON = 64
"""Lists and objects within each other. Nothing that is sent here needs a tenth of it."""
SLOWEST_UPLOAD = 1024.0
"""Bytes a second that a body which is read as it comes has to arrive with, once `body_timeout` is over."""
BodyChunks = AsyncIterator[bytes]


@dataclass(slots=True)
class Answer:
    """What the caller gets. `body`: something for JSON, bytes as they are, chunks to stream, or nothing."""

    body: Any = None
    status: int | None = None
    """The route's own when left out."""
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Call:
    """One request on its way through an API."""

    services: Services
    method: str
    path: str
    """Decoded, with the API's prefix."""
    headers: Mapping[str, str]
    """Names in lower case."""
    query_string: str
    receive: Callable[[], Any]
    request_id: str
    max_body: int
    """Bytes."""
    body_timeout: float
    """Seconds that the client may take for the next piece of its body."""
    base_url: str
    """`http://host:port` as the client sees it: what links begin with."""
    remote: str = ""
    """The client's address."""
    params: dict[str, str] = field(default_factory=dict)
    """What the route's path has in braces."""
    url_project: str | None = None
    """The project that an old-style Compute URL names."""
    version: Any = None
    """The API's negotiated version (Compute: `Microversion`)."""
    caller_or_none: Caller | None = None
    route: Route | None = None
    checked: Any = None
    """The body as the route's model, checked."""
    arguments: Any = None
    """The query string as the route's model, checked."""
    enforced: bool = False
    """Whether the policy has been asked. A route that has a rule and answers without is a bug."""
    answer_headers: dict[str, str] = field(default_factory=dict)
    """For every answer to this call, refusals too."""

    @property
    def caller(self) -> Caller:
        """Who is calling. Raises Unauthorized."""
        if self.caller_or_none is None:
            raise Unauthorized
        return self.caller_or_none

    @property
    def project_id(self) -> str:
        """The caller's project. Raises Forbidden for a token that is not scoped to one."""
        project_id = self.caller.project_id
        if project_id is None:
            raise Forbidden("This needs a token that is scoped to a project.")
        return project_id

    def query(self) -> list[tuple[str, str]]:
        """The query string's fields in order. Raises BadRequest."""
        try:
            fields = parse_qsl(
                self.query_string,
                keep_blank_values=True,
                max_num_fields=LONGEST_QUERY_FIELDS,
                errors="strict",
            )
        except ValueError as error:
            raise BadRequest(f"The query string cannot be read: {error}.") from error
        if "%00" in self.query_string and _has_nul([list(field) for field in fields]):
            raise BadRequest("The query string has a NUL character.")
        return fields

    def query_dict(self) -> dict[str, str]:
        """The query string's fields; of one given twice the last."""
        return dict(self.query())

    @property
    def is_admin(self) -> bool:
        """Whether the caller may reach every project's things (the policy's `context_is_admin`).

        It does not count as asking the policy for what the route does.
        """
        return self.services.policy.allows("context_is_admin", self.caller, {})

    # --- policy ------------------------------------------------------------------------------------------

    def allows(self, rule: str, target: Mapping[str, str | None] | None = None) -> bool:
        """Whether the caller may do `rule` to `target`; to what is the caller's own, without one."""
        self.enforced = True
        caller = self.caller
        if target is None:
            target = {"project_id": caller.project_id, "user_id": caller.user_id}
        return self.services.policy.allows(rule, caller, target)

    def enforce(self, target: Mapping[str, str | None] | None = None, rule: str | None = None) -> None:
        """Raise Forbidden unless the caller may do what the route (or `rule`) is, to `target`."""
        wanted = rule or (self.route.rule if self.route else None)
        if wanted is None:
            raise RuntimeError("a route without a rule has nothing to enforce")
        if not self.allows(wanted, target):
            raise Forbidden(f"Policy doesn't allow {wanted} to be performed.")

    # --- the body ----------------------------------------------------------------------------------------

    async def chunks(self, limit: int | None = None) -> BodyChunks:
        """The body in pieces. Raises BodyTooLarge beyond `limit` bytes, RequestTimeout when it stalls or
        trickles."""
        limit = self.max_body if limit is None else limit
        declared = self.headers.get("content-length", "0")
        if declared.isdigit() and int(declared) > limit:
            raise _too_large(limit)
        size = 0
        started = asyncio.get_running_loop().time()
        while True:
            message = await self._next_piece(started + self.body_timeout + size / SLOWEST_UPLOAD)
            if message["type"] == "http.disconnect":
                raise BadRequest("The connection was closed before the body was complete.")
            piece = message.get("body", b"")
            size += len(piece)
            if size > limit:
                raise _too_large(limit)
            if piece:
                yield piece
            if not message.get("more_body", False):
                return

    async def _next_piece(self, deadline: float) -> dict[str, Any]:
        """`deadline`: of the whole body up to here, in the loop's time."""
        now = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout_at(max(now, min(now + self.body_timeout, deadline))):
                message: dict[str, Any] = await self.receive()
                return message
        except TimeoutError as error:
            raise RequestTimeout(
                f"The request body came too slowly: each piece has {self.body_timeout:g} seconds."
            ) from error

    async def read(self) -> bytes:
        """The whole body, which has twice `body_timeout` to come."""
        try:
            async with asyncio.timeout(2 * self.body_timeout):
                return b"".join([piece async for piece in self.chunks()])
        except TimeoutError as error:
            raise RequestTimeout(
                f"The request body was not complete within {2 * self.body_timeout:g} seconds."
            ) from error

    async def json(self) -> Any:
        """The body as JSON; None when there is none. Raises BadRequest, UnsupportedMediaType.

        Without NUL characters, which no text in SQL can have, and no deeper than `DEEPEST_JSON`.
        """
        raw = await self.read()
        if not raw.strip():
            return None
        kind = self.headers.get("content-type", "application/json").split(";")[0].strip().lower()
        if kind not in JSON_TYPES:
            raise UnsupportedMediaType(f"Unsupported Content-Type '{kind}': send application/json.")
        try:
            value = orjson.loads(raw)
        except orjson.JSONDecodeError as error:
            raise BadRequest(f"Malformed request body: it is not JSON ({error}).") from error
        if raw.count(b"{") + raw.count(b"[") > DEEPEST_JSON and _depth(value) > DEEPEST_JSON:
            raise BadRequest(f"Malformed request body: it is nested more than {DEEPEST_JSON} levels deep.")
        if b"\\u0000" in raw and _has_nul(value):
            raise BadRequest("Malformed request body: no text may have a NUL character.")
        return value


def _too_large(limit: int) -> BodyTooLarge:
    """The rest of the body is not read: the connection ends with the answer."""
    message = f"The request body is larger than the {limit} bytes that are accepted."
    return BodyTooLarge(message, headers={"Connection": "close"})


def _depth(value: Any) -> int:
    """How many lists and objects are within each other."""
    depth, level = 0, [value]
    while level := [item for item in level if isinstance(item, dict | list)]:
        depth += 1
        level = [child for item in level for child in (item.values() if isinstance(item, dict) else item)]
    return depth


def _has_nul(value: Any) -> bool:
    if isinstance(value, str):
        return "\x00" in value
    if isinstance(value, dict):
        return any(_has_nul(item) for pair in value.items() for item in pair)
    return isinstance(value, list) and any(map(_has_nul, value))
