"""One connection: uvicorn's httptools protocol, with bounds on what a client can make it hold or wait for.

uvicorn keeps what it is given: a head of any size, a client that never ends its head, one that never reads
its answer. Here each of them has a limit (`Limits`), and what is not valid HTTP is refused in the words of
the API. server.py makes these and calls `sweep` twice a second, which costs a request nothing.
"""

from __future__ import annotations

import asyncio
import re
import uuid
from dataclasses import dataclass, field
from typing import Any

import orjson
import structlog
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import ServerState

from cairn_gateway.http.faults import nova_style

log = structlog.get_logger()
HOST = re.compile(rb"[A-Za-z0-9._~-]{1,255}(:[0-9]{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](:[0-9]{1,5})?")
NO_ROOM_SECONDS = 2
"""What `Retry-After` says when there are too many connections."""


@dataclass(frozen=True)
class Limits:
    """What one client may do; seconds and bytes."""

    connections: int = 1000
    head_bytes: int = 32 * 1024
    """Request line and headers together."""
    url_bytes: int = 8 * 1024
    headers: int = 100
    head_seconds: float = 15.0
    """From a connection, or the first byte of a further request, to the end of the headers."""
    stall_seconds: float = 30.0
    """A client may read nothing of its answer for so long."""
    linger_seconds: float = 2.0
    """After the last answer: how long what the client still sends is read and thrown away, so that the answer
    is not lost with the connection."""
    linger_bytes: int = 4 * 1024 * 1024
    pipeline: int = 16
    """Requests that are sent before the answers to earlier ones."""


@dataclass
class Room:
    """What all connections share."""

    limits: Limits
    waiting: dict[BoundedProtocol, None] = field(default_factory=dict)
    """Those that are not answering a request, the longest waiting first."""


class Refused(Exception):
    """Raised in a callback of the parser: the request is not to be read any further."""


class BoundedProtocol(HttpToolsProtocol):
    """A connection."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        room: Room,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._room = room
        self._limits = room.limits
        self._wire: asyncio.Transport | None = None
        self._deadline: float | None = None
        """When what the client owes (a head, the rest of a body) has to be there."""
        self._stalled_at: float | None = None
        self._closing_at: float | None = None
        self._lingered: int | None = None
        """Bytes thrown away since the last answer; None: not lingering."""
        self._running: Any = None
        """The request that is being answered."""
        self._in_head = False
        self._reading_body = False
        self._head_size = 0
        self._quiet = 0
        """Bytes since the parser last got anywhere."""
        self._progress = False
        self._refusal: tuple[int, str] | None = None
        """What a callback has found wrong."""
        self._afterwards: tuple[int, str] | None = None
        """What is said once the requests before it have been answered."""

    # --- the connection ----------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._wire = transport
        super().connection_made(_LingeringTransport(transport, self))
        self._deadline = self.loop.time() + self._limits.head_seconds
        over = len(self.connections) - self._limits.connections
        if over > 0 and not self._make_room():
            if over > max(16, self._limits.connections // 10):
                self._abort()
                return
            self._write_refusal(503, "Cairn has too many connections now; try again soon.")
            return
        self._room.waiting[self] = None

    def _make_room(self) -> bool:
        """Close the connection that has waited longest; False when all are at work."""
        oldest = next(iter(self._room.waiting), None)
        if oldest is None:
            return False
        oldest._close(linger=False)
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self._room.waiting.pop(self, None)
        self._wire = None
        for cycle, _ in self.pipeline:
            cycle.disconnected = True
        if self._running is not None:
            self._running.disconnected = True
            self._running.message_event.set()
        self.pipeline.clear()
        super().connection_lost(exc)

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def _abort(self) -> None:
        if self._wire is not None:
            self._wire.abort()

    def sweep(self, now: float) -> None:
        """Close it if the client has kept it waiting for too long."""
        if self._closing_at is not None:
            unsent = self._wire is not None and self._wire.get_write_buffer_size() > 0
            patience = self._limits.stall_seconds if unsent else self._limits.linger_seconds
            if now > self._closing_at + patience:
                self._abort()
        elif self._stalled_at is not None and now > self._stalled_at + self._limits.stall_seconds:
            log.info("connection.stalled", remote=self._remote)
            self._abort()
        elif self._deadline is not None and now > self._deadline:
            self._deadline = None
            if self._in_head:
                self._refuse(
                    408, f"The request's headers were not complete within {self._limits.head_seconds:g} s."
                )
            else:
                self.transport.close()

    def pause_writing(self) -> None:
        self._stalled_at = self.loop.time()
        super().pause_writing()

    def resume_writing(self) -> None:
        self._stalled_at = None
        super().resume_writing()

    @property
    def _remote(self) -> str:
        return self.client[0] if self.client else ""

    # --- what comes in -----------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        if self._lingered is not None:
            self._lingered += len(data)
            if self._lingered > self._limits.linger_bytes:
                self._abort()
            return
        if self._afterwards is not None:
            return
        self._progress = False
        super().data_received(data)
        self._quiet = 0 if self._progress else self._quiet + len(data)
        if self._lingered is not None or self._afterwards is not None:
            return
        if self._quiet > self._limits.head_bytes:
            self._refuse(*self._too_long())

    def _too_long(self) -> tuple[int, str]:
        if self._reading_body:
            return 400, "The body's chunks cannot be read."
        if not self.headers and self._in_head and not self.url:
            return 414, f"The URL is longer than {self._limits.url_bytes} bytes."
        return 431, f"The request's headers are larger than {self._limits.head_bytes} bytes."

    @property
    def _busy(self) -> bool:
        return self._running is not None and not self._running.response_complete

    def _wrong(self, status: int, message: str) -> Refused:
        self._refusal = status, message
        return Refused(message)

    def on_message_begin(self) -> None:
        self._in_head = True
        self._head_size = 0
        if self.cycle is not None and not self._busy:
            self._deadline = self.loop.time() + self._limits.head_seconds
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        if len(self.url) > self._limits.url_bytes:
            raise self._wrong(414, f"The URL is longer than {self._limits.url_bytes} bytes.")
        self._head_size += len(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._head_size += len(name) + len(value) + 4
        if self._head_size > self._limits.head_bytes:
            raise self._wrong(431, f"The request's headers are larger than {self._limits.head_bytes} bytes.")
        if not self._in_head:
            return  # a trailer: nothing here has use for one, and it is no header
        if len(self.headers) >= self._limits.headers:
            raise self._wrong(431, f"The request has more than {self._limits.headers} headers.")
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._progress = True
        self._deadline = None
        self._check_head()
        if self._busy and len(self.pipeline) >= self._limits.pipeline:
            raise self._wrong(503, "Too many requests were sent before their answers; send fewer at once.")
        super().on_headers_complete()
        self._reading_body = True
        self._room.waiting.pop(self, None)
        if self.parser.should_upgrade():
            # It is answered as plain HTTP, which the protocol allows; the parser reads no further than that.
            self.cycle.keep_alive = False

    def _check_head(self) -> None:
        hosts = [value for name, value in self.headers if name == b"host"]
        version = self.parser.get_http_version()
        if version not in ("1.0", "1.1"):
            raise self._wrong(400, "Only HTTP/1.1 and HTTP/1.0 are spoken here.")
        if len(hosts) > 1 or (version == "1.1" and not hosts):
            raise self._wrong(400, "The request must have one Host header.")
        if hosts and not HOST.fullmatch(hosts[0]):
            raise self._wrong(400, "The Host header is not a host's name or address.")
        if version == "1.0" and any(name == b"transfer-encoding" for name, _ in self.headers):
            raise self._wrong(400, "HTTP/1.0 has no Transfer-Encoding.")

    def on_body(self, body: bytes) -> None:
        self._progress = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._progress = True
        self._reading_body = False
        super().on_message_complete()
        if self.cycle.response_complete and not self.transport.is_closing():
            self._await_request()

    # --- what goes out -----------------------------------------------------------------------------------

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.transport.is_closing() or self._busy:
            return
        if self._afterwards is not None:
            self._write_refusal(*self._afterwards)
        elif self._in_head or self._reading_body:
            self._deadline = self.loop.time() + self._limits.head_seconds
            self._room.waiting[self] = None
        else:
            self._await_request()

    def _await_request(self) -> None:
        """Nothing is under way: the next request may take as long as keep-alive allows."""
        self._deadline = self.loop.time() + self.timeout_keep_alive
        self._room.waiting[self] = None
        self._unset_keepalive_if_required()

    def send_400_response(self, msg: str) -> None:
        self._refuse(*(self._refusal or (400, "The request is not valid HTTP.")))

    def _refuse(self, status: int, message: str) -> None:
        """Answer what cannot be read, after the requests before it, and end the connection."""
        spoilt = self.cycle if self._reading_body else None
        if spoilt is not None and spoilt is self._running and not spoilt.response_complete:
            spoilt.disconnected = True
            spoilt.message_event.set()
            if spoilt.response_started:
                self.transport.close()
            else:
                self._write_refusal(status, message)
            return
        if spoilt is not None and self.pipeline and self.pipeline[0][0] is spoilt:
            self.pipeline.popleft()
        if self._busy:
            self._afterwards = status, message
            self.flow.pause_reading()
        else:
            self._write_refusal(status, message)

    def _write_refusal(self, status: int, message: str) -> None:
        request_id = f"req-{uuid.uuid4()}"
        log.info("request.refused", status=status, reason=message, remote=self._remote, request_id=request_id)
        body = orjson.dumps(nova_style(status, "", message))
        fields = [
            *self.server_state.default_headers,
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            (b"x-openstack-request-id", request_id.encode()),
            (b"connection", b"close"),
        ]
        if status == 503:
            fields.append((b"retry-after", str(NO_ROOM_SECONDS).encode()))
        head = b"".join(b"%s: %s\r\n" % pair for pair in fields)
        self.transport.write(STATUS_LINE[status] + head + b"\r\n" + body)
        self._close(linger=True)

    def _close(self, *, linger: bool) -> None:
        """End the connection once what was written is with the client."""
        wire = self._wire
        if wire is None or self._closing_at is not None:
            return
        self._unset_keepalive_if_required()
        self._room.waiting.pop(self, None)
        self._closing_at = self.loop.time()
        if not linger:
            wire.close()
            return
        self._lingered = 0
        self.flow.resume_reading()
        if wire.can_write_eof():
            wire.write_eof()


class _LingeringTransport(asyncio.Transport):
    """The connection's transport, whose `close` waits for what the client is still sending.

    To close a socket that has unread data resets it, and the client may never see the answer that told it
    why.
    """

    def __init__(self, wire: asyncio.Transport, protocol: BoundedProtocol) -> None:
        super().__init__()
        self._wire = wire
        self._protocol = protocol
        self.write = wire.write  # type: ignore[method-assign]
        self.get_extra_info = wire.get_extra_info  # type: ignore[method-assign]

    def close(self) -> None:
        self._protocol._close(linger=self._protocol._reading_body)

    def abort(self) -> None:
        self._wire.abort()

    def is_closing(self) -> bool:
        return self._protocol._closing_at is not None or self._wire.is_closing()

    def pause_reading(self) -> None:
        if not self._wire.is_closing():
            self._wire.pause_reading()

    def resume_reading(self) -> None:
        if not self._wire.is_closing():
            self._wire.resume_reading()
