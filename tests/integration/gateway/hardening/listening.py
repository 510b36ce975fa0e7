"""A gateway's listener on a real socket, with a small API behind it and little patience."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import orjson
from pydantic import BaseModel

from cairn_gateway.http.api import Api
from cairn_gateway.http.call import Answer, Call
from cairn_gateway.http.faults import nova_style
from cairn_gateway.http.gateway import Gateway
from cairn_gateway.http.protocol import Limits
from cairn_gateway.http.routes import Route, RouteTable
from cairn_gateway.http.server import GatewayServer, limits_of
from cairn_gateway.services import Services
from cairn_gateway.settings import GatewayProcessSettings

BIG = 8 * 1024 * 1024


class Anything(BaseModel):
    """Any JSON object."""


@dataclass
class Served:
    """The listener, and what its handlers have seen."""

    server: GatewayServer
    stop: asyncio.Event
    go_on: asyncio.Event = field(default_factory=asyncio.Event)
    started: list[str] = field(default_factory=list)
    streamed: list[int] = field(default_factory=list)
    over: asyncio.Task[None] | None = None

    async def connect(self, tls: ssl.SSLContext | None = None) -> Wire:
        """A new connection."""
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", self.server.port, ssl=tls, server_hostname="localhost" if tls else None
        )
        return Wire(reader, writer)

    @property
    def open(self) -> int:
        """Connections that the server has."""
        return len(self.server.server_state.connections)


@dataclass
class Reply:
    """An HTTP answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)


@dataclass
class Wire:
    """A client that writes bytes as it likes."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, *pieces: bytes | str) -> None:
        for piece in pieces:
            self.writer.write(piece.encode() if isinstance(piece, str) else piece)
        await self.writer.drain()

    async def get(self, path: str = "/hello", *more: str, method: str = "GET") -> Reply:
        """Send a whole request and read its answer."""
        await self.send(head(path, *more, method=method))
        return await self.reply(method=method)

    async def reply(self, method: str = "GET", seconds: float = 10) -> Reply:
        """The next answer."""
        async with asyncio.timeout(seconds):
            first = await self.reader.readuntil(b"\r\n\r\n")
            line, *rest = first.decode("latin-1").strip().split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (row.partition(":") for row in rest)}
            body = b""
            if method != "HEAD":
                body = await self._body(headers)
            return Reply(int(line.split()[1]), headers, body)

    async def _body(self, headers: dict[str, str]) -> bytes:
        if headers.get("transfer-encoding") == "chunked":
            whole = b""
            while size := int(await self.reader.readline(), 16):
                whole += (await self.reader.readexactly(size + 2))[:-2]
            await self.reader.readline()
            return whole
        return await self.reader.readexactly(int(headers.get("content-length", "0")))

    async def closed(self, seconds: float = 5) -> bytes:
        """What still comes until the server closes; fails if it does not."""
        async with asyncio.timeout(seconds):
            try:
                return await self.reader.read()
            except ConnectionError:
                return b""

    def close(self) -> None:
        self.writer.close()


async def until(condition: Callable[[], bool], seconds: float = 10) -> None:
    """Wait for something that tells nobody when it happens."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def head(path: str, *more: str, method: str = "GET", host: str = "Host: cloud.test") -> str:
    """A request's head, ended."""
    return "\r\n".join((f"{method} {path} HTTP/1.1", *([host] if host else []), *more, "", ""))


def small_api(served: list[Served]) -> Api:
    """What is behind the listener."""

    async def hello(_call: Call) -> Answer:
        return Answer({"hello": "world"})

    async def slow(_call: Call) -> Answer:
        served[0].started.append("slow")
        await served[0].go_on.wait()
        return Answer({"at": "last"})

    async def echo(call: Call) -> Answer:
        return Answer({"got": await call.json()})

    async def take(call: Call) -> Answer:
        size = 0
        async for piece in call.chunks(1024 * 1024):
            size += len(piece)
        return Answer({"size": size})

    async def ignore(_call: Call) -> Answer:
        return Answer({"ignored": True})

    async def big(_call: Call) -> Answer:
        return Answer(b"x" * BIG)

    async def stream(_call: Call) -> Answer:
        async def chunks() -> AsyncIterator[bytes]:
            for number in range(1000):
                served[0].streamed.append(number)
                yield b"y" * 65536
                await asyncio.sleep(0.001)

        return Answer(chunks())

    async def nobody(_call: Call) -> None:
        """No token is needed."""

    routes = [
        Route("GET", "/hello", hello, rule=None),
        Route("GET", "/slow", slow, rule=None),
        Route("GET", "/big", big, rule=None),
        Route("GET", "/stream", stream, rule=None),
        Route("POST", "/echo", echo, rule=None, raw=True),
        Route("POST", "/take", take, rule=None, raw=True),
        Route("POST", "/ignore", ignore, rule=None),
    ]
    return Api("small", "", RouteTable(routes), style=nova_style, authenticate=nobody)


@asynccontextmanager
async def listening(limits: Limits | None = None, **settings: Any) -> AsyncIterator[Served]:
    """Serve `small_api` on a free port; `settings`: of the section `gateway`."""
    process = GatewayProcessSettings.model_validate({"gateway": {"port": 0, **settings}})
    nothing: Any = None
    services = Services(process, nothing, nothing, nothing, nothing, nothing, nothing)
    box: list[Served] = []
    limits = limits or replace(limits_of(process.gateway), linger_seconds=0.3)
    server = GatewayServer(Gateway(services, [], fallback=small_api(box)), process.gateway, limits)
    box.append(Served(server, asyncio.Event()))
    box[0].over = asyncio.create_task(server.serve_until(box[0].stop))
    await until(lambda: server.started or box[0].over.done())
    try:
        yield box[0]
    finally:
        box[0].stop.set()
        box[0].go_on.set()
        await box[0].over
