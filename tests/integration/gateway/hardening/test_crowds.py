"""More clients than there is room for, and the end of the process."""

from __future__ import annotations

import asyncio
import time

from cairn_gateway.http.protocol import Limits
from integration.gateway.hardening.listening import Wire, head, listening, until


async def test_waiting_connections_make_room_for_new_ones() -> None:
    async with listening(Limits(connections=5)) as served:
        idle = [await served.connect() for _ in range(5)]
        await idle[0].send("GET /hel")  # a head that never ends is waited for, too
        fresh = await served.connect()
        assert (await fresh.get()).status == 200
        assert await idle[0].closed() == b""
        assert (await idle[-1].get()).status == 200


async def test_when_all_connections_are_at_work_more_get_503() -> None:
    async with listening(Limits(connections=3, linger_seconds=0.5)) as served:
        busy = [await served.connect() for _ in range(3)]
        for wire in busy:
            await wire.send(head("/slow"))
        await until(lambda: len(served.started) == 3)
        late = await served.connect()
        answer = await late.get()
        assert answer.status == 503
        assert int(answer.headers["retry-after"]) > 0
        assert answer.json["serviceUnavailable"]["code"] == 503
        assert await late.closed() == b""
        served.go_on.set()
        assert [(await wire.reply()).status for wire in busy] == [200, 200, 200]
        assert (await (await served.connect()).get()).status == 200


async def test_a_flood_of_connections_holds_no_more_than_the_limit_and_a_few() -> None:
    async with listening(Limits(connections=10, linger_seconds=0.5)) as served:
        busy = [await served.connect() for _ in range(10)]
        for wire in busy:
            await wire.send(head("/slow"))
        await until(lambda: len(served.started) == 10)
        flood = [await served.connect() for _ in range(200)]
        await asyncio.sleep(0.1)
        assert served.open <= 10 + 16 + 1
        served.go_on.set()
        assert [(await wire.reply()).status for wire in busy] == [200] * 10
        for wire in flood:
            wire.close()


async def test_requests_beyond_the_limit_get_503_at_once() -> None:
    async with listening(max_requests=2) as served:
        busy = [await served.connect() for _ in range(2)]
        for wire in busy:
            await wire.send(head("/slow"))
        await until(lambda: len(served.started) == 2)
        other = await served.connect()
        answer = await other.get()
        assert answer.status == 503
        assert int(answer.headers["retry-after"]) > 0
        served.go_on.set()
        for wire in busy:
            assert (await wire.reply()).status == 200
        assert (await other.get()).status == 200


async def test_requests_under_way_are_answered_when_the_process_ends() -> None:
    async with listening(shutdown_seconds=5) as served:
        wire, idle = await served.connect(), await served.connect()
        await idle.get()
        await wire.send(head("/slow"))
        await until(lambda: bool(served.started))
        served.stop.set()
        assert await idle.closed() == b""
        await _refuses_connections(served.server.port)
        served.go_on.set()
        answer = await wire.reply()
        assert (answer.status, answer.headers["connection"]) == (200, "close")
        assert served.over is not None
        await asyncio.wait_for(served.over, 3)


async def test_the_end_does_not_wait_for_ever() -> None:
    async with listening(Limits(head_seconds=60, linger_seconds=60), shutdown_seconds=1) as served:
        slow, silent, half = [await served.connect() for _ in range(3)]
        await half.send("GET /hello HT")
        await slow.send(head("/slow"))
        await until(lambda: bool(served.started))
        began = time.monotonic()
        served.stop.set()
        answer = await slow.reply()
        assert answer.status == 503
        assert int(answer.headers["retry-after"]) > 0
        assert served.over is not None
        await asyncio.wait_for(served.over, 5)
        assert time.monotonic() - began < 5
        assert await silent.closed() == await half.closed() == b""


async def _refuses_connections(port: int) -> None:
    async with asyncio.timeout(3):
        while True:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
            except ConnectionRefusedError:
                return
            Wire(reader, writer).close()
            await asyncio.sleep(0.05)
