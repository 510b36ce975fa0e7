"""The way of a call through an Api: who, what, whether, and how it ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any

import pytest
import sqlalchemy as sa
import structlog

from cairn_database import DatabaseUnavailable, ProjectNotFound
from cairn_gateway.http.call import Answer, Call
from cairn_gateway.http.faults import BadRequest, Conflict, NotAcceptable
from cairn_gateway.http.models import Integer, RequestModel, Since
from cairn_gateway.http.routes import Enforce, Route
from cairn_runtime.kubernetes import ApiServerUnavailable
from unit.gateway.http.calls import api_of, ask, make_call


class Body(RequestModel):
    size: Integer
    new: Annotated[str | None, Since(2)] = None


async def hello(call: Call) -> Answer:
    """Say hello."""
    return Answer({"params": call.params, "checked": call.checked.model_dump() if call.checked else None})


async def careless(_call: Call) -> Answer:
    return Answer({})


def raising(error: BaseException) -> Any:
    async def handler(_call: Call) -> Answer:
        raise error

    return handler


def at(version: int) -> Any:
    def negotiate(call: Call) -> None:
        call.version = version

    return negotiate


def refusing(call: Call) -> None:
    call.answer_headers["api-version"] = "9"
    raise NotAcceptable("no such version")


async def test_an_answer_has_the_routes_status_and_the_requests_id() -> None:
    got = await ask(api_of(Route("GET", "/a/{id}", hello, "yes", status=202)), make_call(path="/api/a/7"))
    assert (got.status, got.json["params"]) == (202, {"id": "7"})
    assert got.headers["x-openstack-request-id"] == "req-1"
    assert got.headers["content-type"] == "application/json"
    assert got.headers["content-length"] == str(len(got.body))


async def test_without_a_token_nothing_is_told_of_what_there_is() -> None:
    api = api_of(Route("GET", "/a", hello, "yes"), negotiate=refusing)
    for method, path in (("GET", "/api/a"), ("GET", "/api/nothing"), ("DELETE", "/api/a")):
        assert (await ask(api, make_call(method, path, token=False))).status == 401, path
    got = await ask(api, make_call(path="/api/nothing"))
    assert (got.status, got.headers["api-version"]) == (406, "9")


async def test_what_needs_no_token_is_answered_without() -> None:
    api = api_of(Route("GET", "/open", hello, None), Route("POST", "/open", hello, "yes"))
    assert (await ask(api, make_call(path="/api/open", token=False))).status == 200
    assert (await ask(api, make_call("POST", "/api/open", token=False))).status == 401


async def test_unknown_paths_methods_and_versions() -> None:
    api = api_of(
        Route("GET", "/a", hello, "yes", since=2),
        Route("PUT", "/a", hello, "yes"),
        negotiate=at(1),
    )
    assert (await ask(api, make_call(path="/api/b"))).status == 404
    assert (await ask(api, make_call(path="/api/a"))).status == 404
    got = await ask(api, make_call("DELETE", "/api/a"))
    assert (got.status, got.headers["allow"]) == (405, "GET, PUT")
    assert (await ask(api, make_call(path="/api/a\x00"))).status == 400


async def test_head_is_get_without_its_body() -> None:
    api = api_of(Route("GET", "/a", hello, "yes"))
    shown, asked = await ask(api, make_call(path="/api/a")), await ask(api, make_call("HEAD", "/api/a"))
    assert (asked.status, asked.body) == (200, b"")
    assert asked.headers["content-length"] == str(len(shown.body))


async def test_the_policy_decides_before_the_body_is_looked_at() -> None:
    api = api_of(Route("POST", "/a", hello, "no", body=Body))
    got = await ask(api, make_call("POST", "/api/a", pieces=[b'{"wrong": 1}']))
    assert (got.status, "no" in got.message) == (403, True)


async def test_a_handler_that_forgets_the_policy_answers_nothing() -> None:
    route = Route("GET", "/a", careless, "yes", enforce=Enforce.HANDLER)
    with structlog.testing.capture_logs() as logs:
        got = await ask(api_of(route), make_call(path="/api/a"))
    assert got.status == 500
    assert any(line["event"] == "request.failed" for line in logs)


async def test_bodies_are_checked_at_the_calls_version() -> None:
    route = Route("POST", "/a", hello, "yes", body=Body)
    good = await ask(api_of(route), make_call("POST", "/api/a", pieces=[b'{"size": "5"}']))
    assert good.json["checked"] == {"size": 5, "new": None}
    for version, status in ((1, 400), (2, 200)):
        call = make_call("POST", "/api/a", pieces=[b'{"size": 5, "new": "x"}'])
        assert (await ask(api_of(route, negotiate=at(version)), call)).status == status


async def test_a_routes_own_limit_of_its_body_counts() -> None:
    route = Route("POST", "/a", hello, "yes", body=Body, max_body=20)
    got = await ask(api_of(route), make_call("POST", "/api/a", pieces=[b'{"size": 5}' + b" " * 20]))
    assert (got.status, got.headers["connection"]) == (413, "close")


ACTIONS = (
    Route("POST", "/a/{id}/action", hello, "yes", action="start", status=202),
    Route("POST", "/a/{id}/action", hello, "yes", action="resize", body=Body),
    Route("POST", "/a/{id}/action", hello, "yes", action="later", since=2),
)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"start": null}', 202),
        (b'{"later": null}', 404),
        (b'{"never": null}', 400),
        (b'{"start": null, "stop": null}', 400),
        (b"{}", 400),
        (b"[]", 400),
        (b"", 400),
        (b'"start"', 400),
        (b'{"resize": {}}', 400),
    ],
)
async def test_the_one_key_of_a_body_says_which_action(body: bytes, status: int) -> None:
    got = await ask(api_of(*ACTIONS, negotiate=at(1)), make_call("POST", "/api/a/1/action", pieces=[body]))
    assert got.status == status


async def test_an_action_of_a_later_version_is_there_from_it_on() -> None:
    call = make_call("POST", "/api/a/1/action", pieces=[b'{"later": null}'])
    assert (await ask(api_of(*ACTIONS, negotiate=at(2)), call)).status == 200


async def test_a_refusal_does_not_repeat_all_that_was_sent() -> None:
    call = make_call("POST", "/api/a/1/action", pieces=[b'{"' + b"x" * 5000 + b'": 1}'])
    assert len((await ask(api_of(*ACTIONS), call)).body) < 500


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (BadRequest("b"), 400),
        (Conflict("c"), 409),
        (ProjectNotFound("green"), 404),
        (DatabaseUnavailable("gone"), 503),
        (ApiServerUnavailable(503, "ServiceUnavailable", "gone"), 503),
        (asyncio.CancelledError(), 503),
        (OverflowError("Python int too large to convert to SQLite INTEGER"), 400),
        (sa.exc.DataError("INSERT", {}, ValueError("too long")), 400),
        (OverflowError("of our own"), 500),
        (ZeroDivisionError("secret of the house"), 500),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
async def test_what_a_handler_raises_becomes_a_fault(error: BaseException, status: int) -> None:
    with structlog.testing.capture_logs():
        got = await ask(api_of(Route("GET", "/a", raising(error), "yes")), make_call(path="/api/a"))
    assert got.status == status
    assert len(got.json) == 1
    assert "secret of the house" not in got.message
    assert ("retry-after" in got.headers) == (status == 503)


async def test_headers_cannot_be_forged_by_what_they_repeat() -> None:
    async def handler(_call: Call) -> Answer:
        return Answer({}, headers={"Location": "/x\r\nSet-Cookie: a=b", "X-Name": "é \u202e"})

    got = await ask(api_of(Route("GET", "/a", handler, "yes")), make_call(path="/api/a"))
    assert got.headers["location"] == "/x  Set-Cookie: a=b"
    assert got.headers["x-name"] == "%C3%A9 %E2%80%AE"


async def test_a_stream_is_closed_when_it_has_been_sent() -> None:
    ended = []

    async def chunks() -> AsyncIterator[bytes]:
        try:
            yield b"a"
            yield b"b"
        finally:
            ended.append(True)

    async def handler(_call: Call) -> Answer:
        return Answer(chunks())

    api = api_of(Route("GET", "/a", handler, "yes"))
    assert (await ask(api, make_call(path="/api/a", stall=True))).body == b"ab"
    assert ended == [True]


async def test_each_request_is_one_line_of_the_log_without_secrets() -> None:
    api = api_of(Route("GET", "/a", hello, "yes"))
    with structlog.testing.capture_logs() as logs:
        await ask(api, make_call(path="/api/a", query="limit=3&token=s3cret", authorization="s3cret"))
        await ask(api, make_call(path="/api/a", token=False))
    known, unknown = [line for line in logs if line["event"] == "request"]
    assert known["log_level"] == "info"
    assert (known["method"], known["path"], known["status"]) == ("GET", "/api/a", 200)
    assert (known["user_id"], known["project_id"], known["query"]) == ("u1", "p1", "limit=3&token=***")
    assert known["seconds"] < 5
    assert (unknown["status"], unknown["user_id"]) == (401, None)
    assert "s3cret" not in str(logs)
