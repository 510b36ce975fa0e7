"""CoreFilter, RamFilter, DiskFilter; NumInstancesFilter, IoOpsFilter and their aggregate forms."""

from __future__ import annotations

from typing import Any

import pytest

from cairn_operator.scheduler.aggregates import Aggregate
from cairn_operator.scheduler.settings import SchedulerSettings
from unit.scheduler.support import Host, passing, request, table


@pytest.mark.parametrize(
    ("name", "limits", "used", "need", "passes"),
    [
        ("CoreFilter", (4, 0, 0), (2, 0, 0), {"vcpus": 2}, True),
        ("CoreFilter", (4, 0, 0), (3, 0, 0), {"vcpus": 2}, False),
        ("CoreFilter", (4, 0, 0), (9, 0, 0), {"vcpus": 1}, False),
        ("RamFilter", (0, 2048, 0), (0, 1024, 0), {"memory_mib": 1024}, True),
        ("RamFilter", (0, 2048, 0), (0, 1025, 0), {"memory_mib": 1024}, False),
        ("DiskFilter", (0, 0, 20), (0, 0, 10), {"disk_gib": 10}, True),
        ("DiskFilter", (0, 0, 20), (0, 0, 11), {"disk_gib": 10}, False),
        ("DiskFilter", (0, 0, 20), (0, 0, 30), {"disk_gib": 0}, True),
    ],
)
def test_room_is_what_the_limits_leave(
    name: str,
    limits: tuple[int, int, int],
    used: tuple[int, int, int],
    need: dict[str, Any],
    passes: bool,
) -> None:
    hosts = table(Host("a", limits=limits, used=used))
    assert passing(name, hosts, request(**need)) == ({"a"} if passes else set())


def test_a_host_without_a_row_in_sql_has_no_room() -> None:
    hosts = table(Host("a", limits=(0, 0, 0)))
    assert passing("RamFilter", hosts, request(memory_mib=1)) == set()


def test_own_picks_count_at_once_and_can_be_given_back() -> None:
    hosts = table(Host("a", limits=(4, 4096, 100)))
    need = request(vcpus=3, memory_mib=1024, disk_gib=10)
    hosts.take("a", need.amounts)
    assert passing("CoreFilter", hosts, need) == set()
    assert (hosts.instances[0], hosts.io_ops[0]) == (1, 1)
    hosts.give_back("a", need.amounts)
    assert passing("CoreFilter", hosts, need) == {"a"}
    hosts.take("gone", need.amounts)


LIMITED = (
    Aggregate("one", frozenset({"b", "c"}), {"max_instances_per_host": "3", "max_io_ops_per_host": "3"}),
    Aggregate("two", frozenset({"c"}), {"max_instances_per_host": "2", "max_io_ops_per_host": "2"}),
    Aggregate("odd", frozenset({"d"}), {"max_instances_per_host": "many", "max_io_ops_per_host": "many"}),
)


@pytest.mark.parametrize(
    ("name", "count", "expected"),
    [
        ("NumInstancesFilter", 4, {"a", "b", "c", "d"}),
        ("NumInstancesFilter", 5, set()),
        ("AggregateNumInstancesFilter", 1, {"a", "b", "c", "d"}),
        ("AggregateNumInstancesFilter", 2, {"a", "b", "d"}),
        ("AggregateNumInstancesFilter", 3, {"a", "d"}),
        ("AggregateNumInstancesFilter", 5, set()),
        ("IoOpsFilter", 4, {"a", "b", "c", "d"}),
        ("IoOpsFilter", 5, set()),
        ("AggregateIoOpsFilter", 2, {"a", "b", "d"}),
        ("AggregateIoOpsFilter", 4, {"a", "d"}),
    ],
)
def test_busy_hosts_are_left_alone(name: str, count: int, expected: set[str]) -> None:
    """The lowest of several aggregates' limits goes; one that is no number falls back to the setting."""
    settings = SchedulerSettings(max_instances_per_host=5, max_io_ops_per_host=5)
    hosts = table(*(Host(host, instances=count, io_ops=count) for host in "abcd"), aggregates=LIMITED)
    assert passing(name, hosts, request(), settings) == expected
