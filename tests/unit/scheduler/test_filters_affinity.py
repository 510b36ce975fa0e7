"""Server groups, and the hints sameHost and differentHost."""

from __future__ import annotations

import pytest

from cairn_crds.server_group import GroupPolicy
from cairn_operator.scheduler.request import Group
from unit.scheduler.support import Host, passing, request, table

HOSTS = (Host("a"), Host("b"), Host("c"))
ALL = {"a", "b", "c"}


@pytest.mark.parametrize(
    ("policy", "most", "members", "expected"),
    [
        (GroupPolicy.ANTI_AFFINITY, 1, {}, ALL),
        (GroupPolicy.ANTI_AFFINITY, 1, {"a": 1}, {"b", "c"}),
        (GroupPolicy.ANTI_AFFINITY, 2, {"a": 1, "b": 2}, {"a", "c"}),
        (GroupPolicy.ANTI_AFFINITY, 2, {"gone": 5}, ALL),
        (GroupPolicy.AFFINITY, 1, {"a": 1}, ALL),
        (GroupPolicy.SOFT_ANTI_AFFINITY, 1, {"a": 1}, ALL),
    ],
)
def test_anti_affinity(policy: GroupPolicy, most: int, members: dict[str, int], expected: set[str]) -> None:
    wanted = request(group=Group("g", policy, most, members))
    assert passing("ServerGroupAntiAffinityFilter", table(*HOSTS), wanted) == expected


@pytest.mark.parametrize(
    ("policy", "members", "expected"),
    [
        (GroupPolicy.AFFINITY, {}, ALL),
        (GroupPolicy.AFFINITY, {"a": 3}, {"a"}),
        (GroupPolicy.AFFINITY, {"a": 1, "b": 1}, {"a", "b"}),
        (GroupPolicy.AFFINITY, {"gone": 1}, set()),
        (GroupPolicy.ANTI_AFFINITY, {"a": 1}, ALL),
        (GroupPolicy.SOFT_AFFINITY, {"a": 1}, ALL),
    ],
)
def test_affinity(policy: GroupPolicy, members: dict[str, int], expected: set[str]) -> None:
    wanted = request(group=Group("g", policy, 1, members))
    assert passing("ServerGroupAffinityFilter", table(*HOSTS), wanted) == expected


def test_an_instance_in_no_group_may_be_anywhere() -> None:
    for name in ("ServerGroupAffinityFilter", "ServerGroupAntiAffinityFilter"):
        assert passing(name, table(*HOSTS), request()) == ALL


@pytest.mark.parametrize(
    ("others", "different", "same"),
    [
        (None, ALL, ALL),
        (frozenset(), ALL, set()),
        (frozenset({"a"}), {"b", "c"}, {"a"}),
        (frozenset({"a", "b"}), {"c"}, {"a", "b"}),
        (frozenset({"gone"}), ALL, set()),
    ],
    ids=["not asked for", "of none that is on a host", "one", "two", "of a host that is gone"],
)
def test_the_hints_different_host_and_same_host(
    others: frozenset[str] | None, different: set[str], same: set[str]
) -> None:
    hosts = table(*HOSTS)
    assert passing("DifferentHostFilter", hosts, request(different_host=others)) == different
    assert passing("SameHostFilter", hosts, request(same_host=others)) == same


def test_the_host_that_is_asked_for_by_name() -> None:
    hosts = table(*HOSTS)
    assert passing("RequestedHostFilter", hosts, request(host=None)) == ALL
    assert passing("RequestedHostFilter", hosts, request(host="b")) == {"b"}
    assert passing("RequestedHostFilter", hosts, request(host="gone")) == set()
