"""Cairn's table of routes against Nova's: nothing forgotten, nothing otherwise."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cairn_gateway.http.routes import Route, not_yet
from cairn_gateway.nova import removed
from cairn_gateway.nova.coverage import Coverage, call
from cairn_gateway.nova.inventory import ENTRIES, Entry
from cairn_gateway.nova.microversions import MAX, MIN, Microversion
from cairn_gateway.nova.routes import ROUTES
from cairn_gateway.policy.compute import actions, cloud, parts, projects, proxies, servers
from cairn_gateway.policy.table import all_rules

RULES = {rule.name for rule in all_rules()}
COMPUTE_RULES = [rule for part in (servers, actions, parts, projects, cloud, proxies) for rule in part.RULES]


def test_no_route_is_missing() -> None:
    assert Coverage(ROUTES).missing() == []


def test_no_route_is_otherwise_than_in_nova() -> None:
    assert Coverage(ROUTES).wrong() == []


def test_every_route_has_a_rule_that_there_is() -> None:
    assert {route.rule for route in ROUTES} - {None} <= RULES


def test_the_inventory_is_as_large_as_novas_router() -> None:
    paths = {entry.path for entry in ENTRIES}
    actions_of_a_server = {entry.action for entry in ENTRIES if entry.path == "/servers/{server_id}/action"}
    assert (len(paths), len(actions_of_a_server)) == (133, 41)
    assert len({entry.key for entry in ENTRIES}) == 201 + 64, "calls by method, and actions"


def test_the_inventory_is_sound() -> None:
    for entry in ENTRIES:
        assert MIN <= entry.since <= entry.until <= MAX, entry
        assert entry.rule is None or entry.rule in RULES, entry
        assert entry.path.count("{") == len(set(entry.path.split("{")[1:])), (
            "parameters have names of their own"
        )
        if entry.removed:
            assert entry.status in (400, 410), entry
        else:
            assert 200 <= entry.status < 300, entry


def test_versions_of_one_call_follow_each_other() -> None:
    by_key: dict[object, list[Entry]] = {}
    for entry in ENTRIES:
        by_key.setdefault(entry.key, []).append(entry)
    twice = {call(entries[0]): entries for entries in by_key.values() if len(entries) > 1}
    assert sorted(twice) == [
        "DELETE /os-keypairs/{keypair_name}",
        "POST /os-keypairs",
        "POST /servers/{server_id}/os-volume_attachments",
    ]
    for former, later in twice.values():
        assert later.since == Microversion(2, former.until.minor + 1)


def test_rules_name_calls_that_nova_has() -> None:
    calls = {call(entry) for entry in ENTRIES}
    unknown = {operation for rule in COMPUTE_RULES for operation in rule.operations if operation not in calls}
    assert unknown == set()


SHOW = Entry("GET", "/things/{thing_id}", "os_compute_api:servers:show", 200, Microversion(2, 10), MAX)


def route(**changes: object) -> Route:
    plain = Route("GET", "/things/{id}", not_yet("fly"), SHOW.rule, since=SHOW.since)
    return replace(plain, **changes)  # type: ignore[arg-type]


def test_a_route_as_in_nova_is_neither_missing_nor_wrong() -> None:
    coverage = Coverage([route()], [SHOW])
    assert (coverage.missing(), coverage.wrong(), coverage.state(SHOW)) == ([], [], "served")


@pytest.mark.parametrize(
    ("routes", "missing"),
    [
        ([], "from 2.10"),
        ([route(method="PUT")], "from 2.10"),
        ([route(action="show")], "from 2.10"),
        ([route(until=Microversion(2, 50))], "from 2.51"),
        ([route(since=Microversion(2, 20))], "2.10 to 2.19"),
        ([route(until=Microversion(2, 50)), route(since=Microversion(2, 51))], None),
    ],
)
def test_what_is_missing_is_named_with_its_versions(routes: list[Route], missing: str | None) -> None:
    expected = [f"GET /things/{{thing_id}} in {missing}"] if missing else []
    assert Coverage(routes, [SHOW]).missing() == expected


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"path": "/other"}, "GET /other: Nova has no such call"),
        ({"since": None}, "Nova does not have it in until 2.9"),
        ({"rule": "os_compute_api:servers:index"}, "the rule is os_compute_api:servers:index instead of"),
        ({"rule": None}, "a token is needed"),
        ({"status": 202}, "the status is 202 instead of 200"),
    ],
)
def test_what_is_otherwise_is_named(changes: dict[str, object], complaint: str) -> None:
    (problem,) = Coverage([route(**changes)], [SHOW]).wrong()
    assert complaint in problem


def test_the_page_says_what_cairn_cannot_do() -> None:
    assert Coverage([route(not_yet=True)], [SHOW]).state(SHOW) == "501: fly"
    assert Coverage([], [SHOW]).state(SHOW) == "**missing**"
    assert (
        Coverage([route(until=Microversion(2, 50))], [SHOW]).state(SHOW) == "served; **missing** in from 2.51"
    )
    page = Coverage(removed.ROUTES).page()
    assert f"{len(removed.ROUTES)} refused as in Nova" in page
    assert "| `POST /servers/{server_id}/action (resetNetwork)` | all |" in page


def test_what_nova_has_removed_is_refused_alike() -> None:
    coverage = Coverage(removed.ROUTES)
    assert coverage.wrong() == []
    assert not [entry for entry in ENTRIES if entry.removed and coverage.state(entry) == "**missing**"]
