"""Bodies and query strings: what is taken, what is refused and how."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from cairn_gateway.http.call import DEEPEST_JSON
from cairn_gateway.http.faults import (
    BadRequest,
    BodyTooLarge,
    Fault,
    Forbidden,
    RequestTimeout,
    Unauthorized,
    UnsupportedMediaType,
)
from unit.gateway.http.calls import SOMEBODY, Rules, make_call


async def json_of(raw: bytes, **options: Any) -> Any:
    return await make_call("POST", pieces=[raw], **options).json()


async def test_a_body_is_json_whatever_pieces_it_comes_in() -> None:
    call = make_call("POST", pieces=[b'{"a', b"", b'": [1, ', b'"\xc3', b'\xa9"]}'])
    assert await call.json() == {"a": [1, "é"]}


async def test_no_body_is_none() -> None:
    assert await json_of(b"") is None
    assert await json_of(b" \r\n") is None


@pytest.mark.parametrize(
    "raw",
    [
        b"{",
        b"{'a': 1}",
        b'"\xff"',
        b'"\\ud800"',
        b"NaN",
        b"1e999",
        b'{"a": "\x00"}',
        b"[" * 2000 + b"]" * 2000,
        b"{}{}",
    ],
)
async def test_what_is_not_json_is_a_bad_request(raw: bytes) -> None:
    with pytest.raises(BadRequest, match="not JSON"):
        await json_of(raw)


async def test_other_kinds_of_body_are_refused() -> None:
    with pytest.raises(UnsupportedMediaType, match="text/xml"):
        await json_of(b"<a/>", content_type="text/xml")
    assert await json_of(b"{}", content_type="Application/JSON; charset=utf-8") == {}


@pytest.mark.parametrize("raw", [b'"\\u0000"', b'{"a": ["b\\u0000"]}', b'{"\\u0000": 1}'])
async def test_nul_characters_are_refused(raw: bytes) -> None:
    with pytest.raises(BadRequest, match="NUL"):
        await json_of(raw)


async def test_the_text_of_an_escape_is_no_nul() -> None:
    assert await json_of(b'"\\\\u0000"') == "\\u0000"


async def test_nesting_is_bounded() -> None:
    def nested(depth: int) -> bytes:
        return b'{"a":' * depth + b"1" + b"}" * depth

    assert await json_of(nested(DEEPEST_JSON)) is not None
    with pytest.raises(BadRequest, match="nested"):
        await json_of(nested(DEEPEST_JSON + 1))
    with pytest.raises(BadRequest, match="nested"):
        await json_of(b"[" * 500 + b"]" * 500)
    wide = orjson.dumps([[{}] for _ in range(500)])
    assert len(await json_of(wide)) == 500


async def test_a_body_beyond_the_limit_is_refused_before_and_while_it_comes() -> None:
    for headers in ({"content_length": "101"}, {}):
        call = make_call("POST", pieces=[b"x" * 60, b"x" * 60], max_body=100, **headers)
        with pytest.raises(BodyTooLarge, match="100 bytes") as raised:
            await call.read()
        assert raised.value.headers == {"Connection": "close"}
    assert len(await make_call("POST", pieces=[b"x" * 60, b"x" * 40], max_body=100).read()) == 100


async def test_a_body_that_stops_is_a_timeout() -> None:
    with pytest.raises(RequestTimeout) as raised:
        await make_call("POST", pieces=[b"{"], stall=True, body_timeout=0.05).json()
    assert raised.value.headers == {"Connection": "close"}


def test_query_fields_come_in_order() -> None:
    call = make_call(query="b=1&a=%C3%A9+x&b=2&c")
    assert call.query() == [("b", "1"), ("a", "é x"), ("b", "2"), ("c", "")]
    assert call.query_dict() == {"a": "é x", "b": "2", "c": ""}


@pytest.mark.parametrize("query", ["a=%FF", "a=%ED%A0%80", "a=b%00c", "%00=a", "&".join(["a=b"] * 201)])
def test_queries_that_cannot_be_are_refused(query: str) -> None:
    with pytest.raises(BadRequest, match="query string"):
        make_call(query=query).query()


def test_who_is_unknown_has_no_project_and_no_rights() -> None:
    call = make_call()
    with pytest.raises(Unauthorized):
        _ = call.caller
    with pytest.raises(Unauthorized):
        _ = call.project_id


def test_the_policy_is_asked_about_the_caller_or_the_target() -> None:
    rules = Rules("yes")
    call = make_call(policy=rules)
    call.caller_or_none = SOMEBODY
    assert call.allows("yes")
    assert call.enforced
    with pytest.raises(Forbidden, match=r"Policy doesn't allow no to be performed\."):
        call.enforce({"project_id": "p2"}, rule="no")
    assert rules.asked == [
        ("yes", {"project_id": "p1", "user_id": "u1"}),
        ("no", {"project_id": "p2"}),
    ]


def test_every_fault_has_the_status_of_its_name() -> None:
    def all_of(kind: type[Fault]) -> list[type[Fault]]:
        return [kind, *(one for child in kind.__subclasses__() for one in all_of(child))]

    assert {kind.status for kind in all_of(Fault)} >= {400, 401, 403, 404, 405, 406, 408, 409, 410, 412, 413}
    assert all(400 <= kind.status < 600 for kind in all_of(Fault))
