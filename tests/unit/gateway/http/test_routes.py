"""How a path finds its route."""

from __future__ import annotations

import pytest

from cairn_gateway.http.call import Answer, Call
from cairn_gateway.http.faults import MethodNotAllowed, NotFound, NotImplementedYet
from cairn_gateway.http.routes import Route, RouteTable, not_yet
from unit.gateway.http.calls import make_call


async def handler(_call: Call) -> Answer:
    """Do what is asked.

    At length.
    """
    return Answer()


TABLE = RouteTable(
    [
        Route("GET", "/", handler, None),
        Route("GET", "/servers", handler, "list"),
        Route("GET", "/servers/detail", handler, "detail"),
        Route("GET", "/servers/{server_id}", handler, "show"),
        Route("GET", "/servers/{server_id}/ips/{label}", handler, "ips"),
        Route("GET", "/servers/detail/extra", handler, "extra"),
        Route("PUT", "/tags/{tag}", handler, "old", until=5),
        Route("PUT", "/tags/{name}", handler, "new", since=6, until=9),
    ]
)


def found(path: str, method: str = "GET", version: int | None = None) -> tuple[str | None, dict[str, str]]:
    match = TABLE.match(path)
    if match is None:
        raise NotFound(path)
    route, params = match.select(method, version)
    return route.rule, params


@pytest.mark.parametrize(
    ("path", "rule", "params"),
    [
        ("", None, {}),
        ("/", None, {}),
        ("/servers", "list", {}),
        ("/servers/detail/extra/", "extra", {}),
        ("/servers/detail", "detail", {}),
        ("/servers/1", "show", {"server_id": "1"}),
        ("/servers/a b/ips/private", "ips", {"server_id": "a b", "label": "private"}),
        ("/servers/detail/extra", "extra", {}),
        ("/servers/detail/ips/x", "ips", {"server_id": "detail", "label": "x"}),
    ],
)
def test_fixed_segments_go_before_parameters(path: str, rule: str | None, params: dict[str, str]) -> None:
    assert found(path) == (rule, params)


@pytest.mark.parametrize(
    "path", ["/server", "/servers/", "/servers/1/ips", "/servers//ips/x", "/servers/1/ips/a/b", "/detail"]
)
def test_what_the_table_does_not_have_is_not_found(path: str) -> None:
    with pytest.raises(NotFound):
        found(path)


def test_the_version_chooses_among_routes_of_one_path_and_names_its_own_parameters() -> None:
    assert found("/tags/x", "PUT", 5) == ("old", {"tag": "x"})
    assert found("/tags/x", "PUT", 6) == ("new", {"name": "x"})
    with pytest.raises(NotFound):
        found("/tags/x", "PUT", 10)


def test_another_method_is_told_which_there_are() -> None:
    with pytest.raises(MethodNotAllowed) as raised:
        found("/tags/x", "DELETE", 5)
    assert raised.value.headers == {"Allow": "PUT"}
    assert found("/servers", "HEAD") == ("list", {})
    with pytest.raises(MethodNotAllowed):
        found("/tags/x", "HEAD", 5)


def test_a_very_long_path_is_not_found_at_once() -> None:
    with pytest.raises(NotFound):
        found("/servers" + "/detail" * 4000)


def test_actions_share_a_path_and_are_told_apart_by_key_and_version() -> None:
    start = Route("POST", "/s/{id}/action", handler, "start", action="start")
    old = Route("POST", "/s/{id}/action", handler, "old", action="fix", until=3)
    new = Route("POST", "/s/{id}/action", handler, "new", action="fix", since=4)
    table = RouteTable([start, old, new])
    assert table.action("/s/{id}/action", "start", 1) is start
    assert table.action("/s/{id}/action", "fix", 3) is old
    assert table.action("/s/{id}/action", "fix", 4) is new
    assert table.action("/s/{id}/action", "stop", 1) is None
    assert table.has_action("/s/{id}/action", "fix")
    assert not table.has_action("/s/{id}/action", "stop")
    assert list(table) == [start, old, new]


def test_a_route_is_described_by_its_summary_or_its_handlers_first_line() -> None:
    assert Route("GET", "/", handler, None).description == "Do what is asked."
    assert Route("GET", "/", handler, None, summary="Something").description == "Something"


async def test_what_cannot_be_done_yet_says_so() -> None:
    refuse = not_yet("fly")
    assert refuse.__doc__ == "Not yet: fly."
    with pytest.raises(NotImplementedYet, match=r"Cairn cannot fly yet\. Nothing was changed\."):
        await refuse(make_call())
