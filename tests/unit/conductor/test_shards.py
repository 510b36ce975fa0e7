"""Which replica works on what."""

from __future__ import annotations

from collections import Counter
from typing import Any, cast

import pytest

from cairn_operator.conductor import shards
from cairn_operator.conductor.shards import LABEL, Membership, owner
from cairn_runtime.kubernetes import ApiServerUnavailable, NotFound

KEYS = [f"namespace-{number % 7}/vm-{number}" for number in range(3000)]


def test_every_key_has_one_owner_and_each_member_its_part() -> None:
    members = frozenset({"a", "b", "c"})
    counts = Counter(owner(key, members) for key in KEYS)
    assert counts.keys() == members
    assert min(counts.values()) > 800


def test_a_new_member_takes_keys_and_moves_no_others() -> None:
    before, after = frozenset({"a", "b", "c"}), frozenset({"a", "b", "c", "d"})
    moved = [key for key in KEYS if owner(key, before) != owner(key, after)]
    assert {owner(key, after) for key in moved} == {"d"}
    assert 600 < len(moved) < 900


def test_a_lost_member_leaves_the_others_what_they_had() -> None:
    before, after = frozenset({"a", "b", "c"}), frozenset({"a", "c"})
    assert {owner(key, before) for key in KEYS if owner(key, before) != owner(key, after)} == {"b"}


def test_nobody_owns_anything_where_nobody_is() -> None:
    assert owner("a/b", frozenset()) is None


class Leases:
    """An API server that knows Leases only, and may be away."""

    def __init__(self) -> None:
        self.leases: dict[str, dict[str, Any]] = {}
        self.away = False
        self.renewals = 0

    async def request(self, method: str, path: str, body: Any = None, **_: Any) -> dict[str, Any]:
        self._answer()
        name = path.rpartition("/")[2]
        if method == "POST":
            self.leases[body["metadata"]["name"]] = body
        elif name not in self.leases:
            raise NotFound(404, "NotFound", name)
        elif method == "DELETE":
            del self.leases[name]
        else:
            self.renewals += 1
            self.leases[name]["spec"] |= body["spec"] | {"renewTime": f"renewal {self.renewals}"}
        return {}

    async def list_path(self, _path: str) -> tuple[list[dict[str, Any]], str]:
        self._answer()
        return list(self.leases.values()), "1"

    def _answer(self) -> None:
        if self.away:
            raise ApiServerUnavailable(0, "NoAnswer", "away")


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(shards, "time", made)
    return made


class Replica:
    """A Membership whose loop the test turns."""

    def __init__(self, name: str, leases: Leases, component: str = "conductor") -> None:
        self.changes: list[frozenset[str]] = []
        self.membership = Membership(
            cast(Any, leases),
            identity=name,
            component=component,
            namespace="system",
            lease_seconds=5.0,
            on_change=lambda: self.changes.append(self.membership.members),
        )

    async def beat(self) -> None:
        """One turn, as `_renew` takes it."""
        try:
            await self.membership._beat()
        except ApiServerUnavailable:
            self.membership._recount()


@pytest.fixture
def leases() -> Leases:
    return Leases()


async def test_replicas_learn_of_each_other(leases: Leases, clock: Clock) -> None:
    a, b = Replica("a", leases), Replica("b", leases)
    await a.beat()
    assert a.membership.members == {"a"}
    assert a.membership.owns("any/key")
    await b.beat()
    await a.beat()
    assert a.membership.members == b.membership.members == {"a", "b"}
    assert a.changes == [frozenset({"a"}), frozenset({"a", "b"})]
    for key in KEYS[:100]:
        assert a.membership.owns(key) != b.membership.owns(key)


async def test_a_lost_replica_is_out_once_its_lease_was_not_renewed(leases: Leases, clock: Clock) -> None:
    a, b = Replica("a", leases), Replica("b", leases)
    await b.beat()
    await a.beat()
    for _ in range(3):
        clock.now += 1.5
        await a.beat()
    assert a.membership.members == {"a", "b"}, "4.5 s of 5"
    clock.now += 1.5
    await a.beat()
    assert a.membership.members == {"a"}
    assert all(a.membership.owns(key) for key in KEYS[:20])


async def test_a_replica_that_cannot_renew_stops_before_another_takes_over(
    leases: Leases, clock: Clock
) -> None:
    a = Replica("a", leases)
    await a.beat()
    leases.away = True
    clock.now += 4.9
    await a.beat()
    assert a.membership.owns("any/key")
    clock.now += 0.2
    await a.beat()
    assert a.membership.members == frozenset()
    assert not a.membership.owns("any/key")
    leases.away = False
    await a.beat()
    assert a.membership.owns("any/key")


async def test_the_other_replicas_clock_does_not_matter(leases: Leases, clock: Clock) -> None:
    a = Replica("a", leases)
    leases.leases["conductor-b"] = {
        "metadata": {"name": "conductor-b", "labels": {LABEL: "conductor"}},
        "spec": {"holderIdentity": "b", "renewTime": "1999-01-01T00:00:00.000000Z"},
    }
    await a.beat()
    assert a.membership.members == {"a", "b"}, "seen just now for the first time"


async def test_leases_of_others_do_not_count(leases: Leases, clock: Clock) -> None:
    await Replica("s", leases, component="scheduler").beat()
    a = Replica("a", leases)
    await a.beat()
    assert a.membership.members == {"a"}


async def test_a_replica_that_stops_leaves_no_lease(leases: Leases, clock: Clock) -> None:
    a, b = Replica("a", leases), Replica("b", leases)
    await a.beat()
    await b.beat()
    await b.membership.stop()
    assert leases.leases.keys() == {"conductor-a"}
    await a.beat()
    assert a.membership.members == {"a"}


async def test_the_lease_of_a_replica_that_never_came_back_is_removed(leases: Leases, clock: Clock) -> None:
    a, b = Replica("a", leases), Replica("b", leases)
    await b.beat()
    await a.beat()
    clock.now += 101.0
    await a.beat()
    assert leases.leases.keys() == {"conductor-a"}


async def test_stopping_without_an_api_server_raises_nothing(leases: Leases, clock: Clock) -> None:
    a = Replica("a", leases)
    await a.beat()
    leases.away = True
    await a.membership.stop()
