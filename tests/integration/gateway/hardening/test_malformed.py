"""What is not valid HTTP, or too much of it, is refused in the API's words, and the connection ends."""

from __future__ import annotations

import asyncio

import pytest

from integration.gateway.hardening.listening import Reply, head, listening

MALFORMED = {
    "no HTTP at all": "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "no version": "GET /hello\r\n\r\n",
    "an unknown version": "GET /hello HTTP/7.3\r\nHost: a\r\n\r\n",
    "HTTP/2 without being asked": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "an unknown method": "FETCH /hello HTTP/1.1\r\nHost: a\r\n\r\n",
    "a header without a colon": "GET /hello HTTP/1.1\r\nHost: a\r\nnonsense\r\n\r\n",
    "a space before a header's colon": "GET /hello HTTP/1.1\r\nHost : a\r\n\r\n",
    "a NUL in a header": "GET /hello HTTP/1.1\r\nHost: a\r\nX-A: a\x00b\r\n\r\n",
    "no Host": head("/hello", host=""),
    "two Hosts": head("/hello", "Host: other.test"),
    "a Host that is none": head("/hello", host="Host: a/b?<script>"),
    "an empty Host": head("/hello", host="Host:"),
    "two lengths": head("/echo", "Content-Length: 2", "Content-Length: 3", method="POST") + "{}",
    "a length that is no number": head("/echo", "Content-Length: two", method="POST") + "{}",
    "a negative length": head("/echo", "Content-Length: -2", method="POST") + "{}",
    "a length and chunks": (
        head("/echo", "Content-Length: 2", "Transfer-Encoding: chunked", method="POST") + "0\r\n\r\n"
    ),
    "an unknown transfer coding": head("/echo", "Transfer-Encoding: gzip", method="POST") + "{}",
    "chunks that are not the last coding": (
        head("/echo", "Transfer-Encoding: chunked, gzip", method="POST") + "0\r\n\r\n"
    ),
    "chunks in HTTP/1.0": "POST /echo HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a chunk without a size": head("/echo", "Transfer-Encoding: chunked", method="POST") + "x\r\n{}\r\n",
    "a chunk larger than it says": head("/echo", "Transfer-Encoding: chunked", method="POST") + "1\r\n{}\r\n",
    "a proxy's CONNECT": "CONNECT elsewhere.test:443 HTTP/1.1\r\nHost: elsewhere.test\r\n\r\n",
    "a URL of bytes": "GET /h\xe9llo HTTP/1.1\r\nHost: a\r\n\r\n",
}


async def refused(request: str) -> Reply:
    """The answer to `request`, after which the connection ends and the next client is served."""
    async with listening() as served:
        wire = await served.connect()
        await wire.send(request.encode("latin-1"))
        answer = await wire.reply()
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["x-openstack-request-id"].startswith("req-")
        assert answer.headers["connection"] == "close"
        assert await wire.closed() == b""
        assert (await (await served.connect()).get()).status == 200
        return answer


@pytest.mark.parametrize("what", MALFORMED)
async def test_malformed_requests_are_refused(what: str) -> None:
    answer = await refused(MALFORMED[what])
    assert answer.status == 400
    assert answer.json["badRequest"]["code"] == 400


@pytest.mark.parametrize(
    ("what", "request_", "status"),
    [
        ("a long URL", head("/hello?" + "q" * 9000), 414),
        ("an endless URL", "GET /" + "a" * 200_000, 414),
        ("an endless method", "G" * 200_000, 400),
        ("a long header", head("/hello", "X-A: " + "a" * 40_000), 431),
        ("an endless header", "GET /hello HTTP/1.1\r\nHost: a\r\nX-A: " + "a" * 600_000, 431),
        ("an endless header name", "GET /hello HTTP/1.1\r\nHost: a\r\n" + "a" * 600_000, 431),
        ("large headers together", head("/hello", *[f"X-{n}: {'a' * 1000}" for n in range(40)]), 431),
        ("many headers", head("/hello", *[f"X-{n}: a" for n in range(101)]), 431),
    ],
    ids=lambda value: value if isinstance(value, str) and len(value) < 40 else "",
)
async def test_heads_are_bounded(what: str, request_: str, status: int) -> None:
    assert (await refused(request_)).status == status, what


async def test_a_body_is_bounded_with_and_without_its_length() -> None:
    large = b'{"a": "' + b"x" * 400_000 + b'"}'
    async with listening() as served:
        wire = await served.connect()
        await wire.send(head("/echo", f"Content-Length: {len(large)}", method="POST"), large)
        declared = await wire.reply()
        wire = await served.connect()
        await wire.send(head("/echo", "Transfer-Encoding: chunked", method="POST"))
        await wire.send(f"{len(large):x}\r\n", large, "\r\n0\r\n\r\n")
        chunked = await wire.reply()
        for answer in (declared, chunked):
            assert answer.status == 413
            assert answer.json["overLimit"]["code"] == 413
            assert answer.headers["connection"] == "close"
        assert (await (await served.connect()).get()).status == 200


async def test_endless_trailers_and_chunk_sizes_are_refused() -> None:
    async with listening() as served:
        for what in ("2\r\n{}\r\n0\r\nX-Trailer: " + "t" * 900_000, "0" * 900_000):
            wire = await served.connect()
            await wire.send(head("/echo", "Transfer-Encoding: chunked", method="POST"), what)
            assert (await wire.reply()).status == 400


async def test_a_trailer_is_no_header() -> None:
    async with listening() as served:
        wire = await served.connect()
        await wire.send(head("/echo", "Transfer-Encoding: chunked", method="POST"))
        await wire.send("2\r\n{}\r\n0\r\nContent-Type: text/plain\r\n\r\n")
        assert (await wire.reply()).json == {"got": {}}


async def test_only_so_many_query_fields_are_read() -> None:
    async with listening() as served:
        wire = await served.connect()
        await wire.send(head("/echo?" + "&".join(["a=b"] * 900), "Content-Length: 2", method="POST"), "{}")
        assert (await wire.reply()).status == 200  # nobody looks at them


async def test_pipelined_requests_are_answered_in_order() -> None:
    async with listening() as served:
        wire = await served.connect()
        body = '{"n": 1}'
        await wire.send(
            head("/hello")
            + head("/echo", f"Content-Length: {len(body)}", method="POST")
            + body
            + head("/nothing")
            + head("/hello", method="HEAD")
            + head("/hello", "Connection: close")
        )
        assert (await wire.reply()).json == {"hello": "world"}
        assert (await wire.reply()).json == {"got": {"n": 1}}
        assert (await wire.reply()).status == 404
        assert (await wire.reply(method="HEAD")).headers["content-length"] == "17"
        assert (await wire.reply()).json == {"hello": "world"}
        assert await wire.closed() == b""


async def test_what_is_malformed_is_refused_after_the_answers_to_what_is_not() -> None:
    async with listening() as served:
        wire = await served.connect()
        await wire.send(head("/slow") + head("/hello") + "nonsense\r\n\r\n")
        await asyncio.sleep(0.2)
        served.go_on.set()
        assert (await wire.reply()).json == {"at": "last"}
        assert (await wire.reply()).json == {"hello": "world"}
        assert (await wire.reply()).status == 400
        assert await wire.closed() == b""


async def test_a_flood_of_pipelined_requests_ends_with_503() -> None:
    async with listening() as served:
        wire = await served.connect()
        await wire.send(head("/slow") + head("/hello") * 5000)
        await asyncio.sleep(0.2)
        served.go_on.set()
        statuses = []
        while not statuses or statuses[-1] == 200:
            statuses.append((await wire.reply()).status)
        assert statuses[-1] == 503
        assert 10 < len(statuses) < 30
        assert await wire.closed() == b""


async def test_an_upgrade_is_answered_as_plain_http() -> None:
    async with listening() as served:
        for protocol in ("websocket", "h2c"):
            wire = await served.connect()
            answer = await wire.get("/hello", "Connection: Upgrade", f"Upgrade: {protocol}")
            assert answer.status == 200
            assert await wire.closed() == b""


async def test_expect_continue_is_answered_before_the_body_is_sent() -> None:
    async with listening() as served:
        wire = await served.connect()
        await wire.send(head("/echo", "Content-Length: 2", "Expect: 100-continue", method="POST"))
        assert await wire.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        await wire.send("{}")
        assert (await wire.reply()).json == {"got": {}}
        too_much = await wire.get("/echo", "Content-Length: 999999999", "Expect: 100-continue", method="POST")
        assert too_much.status == 413


async def test_methods_that_are_not_served() -> None:
    async with listening() as served:
        wire = await served.connect()
        for method in ("TRACE", "OPTIONS", "PROPFIND", "DELETE"):
            answer = await wire.get("/hello", "X-Auth-Token: abc", method=method)
            assert answer.status == 405, method
            assert "GET" in answer.headers["allow"]
            assert b"abc" not in answer.body


async def test_head_is_get_without_the_body() -> None:
    async with listening() as served:
        wire = await served.connect()
        shown = await wire.get("/hello")
        asked = await wire.get("/hello", method="HEAD")
        assert asked.status == 200
        assert asked.headers["content-length"] == shown.headers["content-length"] == str(len(shown.body))
        missing = await wire.get("/nothing", method="HEAD")
        assert missing.status == 404
        streamed = await wire.get("/stream", method="HEAD")
        assert streamed.status == 200
        assert not served.streamed
        assert (await wire.get()).json == {"hello": "world"}
