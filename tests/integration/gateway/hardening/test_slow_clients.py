"""Clients that take their time: none holds a connection, or a request, for longer than it was given."""

from __future__ import annotations

import asyncio
import time

from cairn_gateway.http.protocol import Limits
from integration.gateway.hardening.listening import BIG, head, listening, until

IMPATIENT = Limits(head_seconds=0.6, stall_seconds=0.8, linger_seconds=0.5)
SOON = 3.0
"""Well above every limit here, well below every default."""


async def test_a_client_that_says_nothing_is_let_go() -> None:
    async with listening(IMPATIENT) as served:
        wire = await served.connect()
        assert await wire.closed(SOON) == b""
        await asyncio.sleep(0.1)
        assert served.open == 0


async def test_headers_that_drip_in_are_answered_with_408() -> None:
    async with listening(IMPATIENT) as served:
        wire = await served.connect()
        began = time.monotonic()
        await wire.send("GET /hello HTTP/1.1\r\nHost: cloud.test\r\n")

        async def drip() -> None:
            while True:
                await wire.send("X-A: b\r\n")
                await asyncio.sleep(0.05)

        dripping = asyncio.create_task(drip())
        answer = await wire.reply(seconds=SOON)
        dripping.cancel()
        assert answer.status == 408
        assert "headers" in answer.json["computeFault"]["message"]
        assert answer.headers["connection"] == "close"
        assert time.monotonic() - began < SOON


async def test_empty_lines_do_not_keep_a_connection() -> None:
    async with listening(IMPATIENT, keep_alive_seconds=1) as served:
        wire = await served.connect()
        assert (await wire.get()).status == 200

        async def drip() -> None:
            while True:
                await wire.send("\r\n")
                await asyncio.sleep(0.05)

        dripping = asyncio.create_task(drip())
        assert await wire.closed(SOON) == b""
        dripping.cancel()


async def test_an_idle_connection_is_kept_for_as_long_as_the_settings_say() -> None:
    async with listening(IMPATIENT, keep_alive_seconds=2) as served:
        wire = await served.connect()
        assert (await wire.get()).status == 200
        await asyncio.sleep(1.2)  # longer than the headers may take
        assert (await wire.get()).status == 200
        began = time.monotonic()
        assert await wire.closed(5) == b""
        assert time.monotonic() - began > 1.5


async def test_the_second_head_of_a_connection_has_a_limit_too() -> None:
    async with listening(IMPATIENT) as served:
        wire = await served.connect()
        assert (await wire.get()).status == 200
        await wire.send("GET /hel")
        assert (await wire.reply(seconds=SOON)).status == 408


async def test_a_body_that_stops_coming_is_answered_with_408() -> None:
    async with listening(body_timeout_seconds=0.5) as served:
        for path in ("/echo", "/take"):
            wire = await served.connect()
            await wire.send(head(path, "Content-Length: 100", method="POST"), '{"a": ')
            answer = await wire.reply(seconds=SOON)
            assert answer.status == 408, path
            assert answer.headers["connection"] == "close"


async def test_a_json_body_that_drips_in_has_a_total_time() -> None:
    async with listening(body_timeout_seconds=0.5) as served:
        wire = await served.connect()
        await wire.send(head("/echo", "Content-Length: 100000", method="POST"))

        async def drip() -> None:
            while True:
                await wire.send(b" " * 500)
                await asyncio.sleep(0.1)

        dripping = asyncio.create_task(drip())
        answer = await wire.reply(seconds=SOON)
        dripping.cancel()
        assert answer.status == 408


async def test_an_upload_that_drips_in_is_ended_and_a_steady_one_is_not() -> None:
    async with listening(body_timeout_seconds=0.5) as served:
        wire = await served.connect()
        await wire.send(head("/take", "Content-Length: 10000", method="POST"))

        async def drip(size: int, times: int) -> None:
            for _ in range(times):
                await wire.send(b"z" * size)
                await asyncio.sleep(0.1)

        dripping = asyncio.create_task(drip(1, 100))
        assert (await wire.reply(seconds=SOON)).status == 408
        dripping.cancel()

        wire = await served.connect()
        await wire.send(head("/take", "Content-Length: 20000", method="POST"))
        await drip(1000, 20)
        assert (await wire.reply(seconds=SOON)).json == {"size": 20000}


async def test_a_client_that_reads_nothing_of_its_answer_is_cut_off() -> None:
    async with listening(IMPATIENT) as served:
        for path in ("/big", "/stream"):
            wire = await served.connect()
            wire.writer.transport.pause_reading()  # type: ignore[attr-defined]
            await wire.send(head(path, "Connection: close"))
            await until(lambda: served.open > 0)
            await until(lambda: served.open == 0, SOON)
            wire.close()
        assert max(served.streamed) < 900


async def test_a_client_that_reads_slowly_gets_all_of_its_answer() -> None:
    async with listening(Limits(linger_seconds=0.3, stall_seconds=20)) as served:
        wire = await served.connect()
        await wire.send(head("/big", "Connection: close"))
        await wire.reader.readuntil(b"\r\n\r\n")
        size = 0
        while piece := await wire.reader.read(256 * 1024):
            size += len(piece)
            await asyncio.sleep(0.05)
        assert size == BIG


async def test_a_stream_ends_when_its_reader_has_gone() -> None:
    async with listening() as served:
        wire = await served.connect()
        await wire.send(head("/stream"))
        await wire.reader.readexactly(100_000)
        wire.writer.transport.abort()
        await asyncio.sleep(0.5)
        seen = len(served.streamed)
        await asyncio.sleep(0.3)
        assert len(served.streamed) == seen < 900


async def test_what_follows_an_early_answer_is_read_for_a_moment_only() -> None:
    """The answer to a body that nobody wants reaches its sender, and the sending ends."""
    async with listening(IMPATIENT) as served:
        wire = await served.connect()
        await wire.send(head("/ignore", "Content-Length: 1000000000", method="POST"))
        assert (await wire.reply()).json == {"ignored": True}
        began = time.monotonic()
        try:
            while time.monotonic() - began < 10:
                await wire.send(b"w" * 10_000)
                await asyncio.sleep(0.02)
        except ConnectionError:
            pass
        assert time.monotonic() - began < SOON
        await asyncio.sleep(0.1)
        assert served.open == 0


async def test_a_small_body_that_nobody_reads_does_not_cost_the_connection() -> None:
    async with listening(IMPATIENT) as served:
        wire = await served.connect()
        for _ in range(3):
            await wire.send(head("/ignore", "Content-Length: 5", method="POST"), "12345")
            assert (await wire.reply()).json == {"ignored": True}
        assert (await wire.get()).status == 200
