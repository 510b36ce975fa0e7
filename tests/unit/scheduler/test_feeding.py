"""Resources into the table, and the bell for new instances."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from cairn_crds import ComputeNode, HostAggregate
from cairn_operator.scheduler.app import (
    Doorbell,
    SchedulerProcessSettings,
    excuse_silence,
    feed_hosts,
    main,
    read_aggregate,
)
from cairn_operator.scheduler.hosts import HostTable
from cairn_runtime.kubernetes import ApiServerUnavailable
from cairn_runtime.settings import load_settings
from cairn_runtime.store import Store
from unit.scheduler.support import BEAT, BEAT_SECONDS, Host, passing, request, table


def body(name: str, version: int, **parts: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "resourceVersion": str(version)}, **parts}


@pytest.fixture
def fed() -> tuple[HostTable, Store[ComputeNode], Store[HostAggregate]]:
    hosts, nodes, aggregates = HostTable(), Store(ComputeNode), Store(HostAggregate)
    feed_hosts(hosts, nodes, aggregates, clock=lambda: 5.0, wall_clock=lambda: BEAT_SECONDS)
    return hosts, nodes, aggregates


Fed = tuple[HostTable, Store[ComputeNode], Store[HostAggregate]]


def test_a_node_comes_changes_and_goes(fed: Fed) -> None:
    hosts, nodes, _ = fed
    nodes.put(body("a", 1, status={"heartbeatTime": BEAT, "vcpus": 4}))
    hosts.refresh_liveness(6.0)
    assert passing("ComputeFilter", hosts, request()) == {"a"}
    nodes.put(body("a", 2, spec={"disabled": True}, status={"heartbeatTime": BEAT}))
    assert passing("ComputeFilter", hosts, request()) == set()
    nodes.remove(body("a", 3))
    assert len(hosts) == 0


def test_a_node_that_breaks_its_model_changes_nothing(fed: Fed) -> None:
    hosts, nodes, _ = fed
    nodes.put(body("a", 1, status={"vcpus": 4}))
    nodes.put(body("a", 2, status={"vcpus": -1}))
    assert hosts.total[0, hosts.rows["a"]] == 4


def test_a_node_that_a_repairing_list_lacks_goes(fed: Fed) -> None:
    hosts, nodes, _ = fed
    nodes.put(body("a", 1))
    nodes.sync([body("b", 2)], "2")
    assert set(hosts.rows) == {"b"}


def test_an_aggregate_gives_its_hosts_a_zone(fed: Fed) -> None:
    hosts, nodes, aggregates = fed
    nodes.put(body("a", 1))
    nodes.put(body("b", 1))
    aggregates.put(body("east", 2, spec={"hosts": ["a"], "availabilityZone": "east"}))
    assert passing("AvailabilityZoneFilter", hosts, request(zone="east")) == {"a"}
    aggregates.put(body("east", 3, spec={"hosts": ["b"], "availabilityZone": "east"}))
    assert passing("AvailabilityZoneFilter", hosts, request(zone="east")) == {"b"}
    aggregates.remove(body("east", 4))
    assert passing("AvailabilityZoneFilter", hosts, request(zone="nova")) == {"a", "b"}


def test_a_zone_in_the_spec_goes_before_one_in_the_metadata() -> None:
    aggregate = HostAggregate.from_api(
        body(
            "x",
            1,
            spec={"hosts": ["a"], "availabilityZone": "east", "metadata": {"availability_zone": "west"}},
        )
    )
    assert read_aggregate(aggregate).metadata == {"availability_zone": "east"}


@pytest.mark.parametrize(
    ("status", "deleted", "rings"),
    [
        (None, False, True),
        ({}, False, True),
        ({"vmState": "building"}, False, True),
        ({"vmState": "building", "host": "a"}, False, False),
        ({"vmState": "active", "host": "a"}, False, False),
        ({"vmState": "error"}, False, False),
        ({}, True, False),
        ({"vmState": "active", "host": "a", "taskState": "migrating"}, False, True),
        ({"vmState": "shelved_offloaded", "taskState": "unshelving"}, False, True),
        ({"vmState": "active", "host": "a", "taskState": "reboot_started"}, False, False),
    ],
)
def test_the_bell_rings_for_instances_that_may_need_a_host(
    status: dict[str, Any] | None, deleted: bool, rings: bool
) -> None:
    rung: list[int] = []
    bell = Doorbell(lambda: rung.append(1))
    instance = body("web", 1, status=status)
    if deleted:
        instance["metadata"]["deletionTimestamp"] = BEAT
    bell.put(instance)
    assert bool(rung) is rings
    bell.sync([instance], "2")
    bell.remove(instance)
    assert bell.synced
    assert len(bell) == 0


def test_settings_come_from_flags() -> None:
    arguments = [
        "--scheduler.ram-weight-multiplier",
        "-1",
        "--scheduler.enabled-filters",
        '["ComputeFilter"]',
    ]
    settings = load_settings(SchedulerProcessSettings, arguments, "cairn scheduler")
    assert settings.scheduler.ram_weight_multiplier == -1.0
    assert settings.scheduler.enabled_filters == ("ComputeFilter",)


def test_an_unknown_filter_ends_the_process_with_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--scheduler.enabled-filters", '["RamFliter"]']) == 2
    said = capsys.readouterr().err
    assert "names RamFliter" in said
    assert "Known filters: " in said


async def test_hosts_are_not_down_because_the_api_server_is() -> None:
    """Asked at 10 s, 20 s and 30 s: silent in the second stretch."""
    hosts, stop = table(Host("a")), asyncio.Event()
    now, asked = 0.0, 0

    async def ask() -> None:
        nonlocal now, asked
        asked += 1
        now += 10.0
        if asked == 3:
            stop.set()
        if asked == 2:
            raise ApiServerUnavailable(0, "Unreachable", "no answer")

    await excuse_silence(hosts, ask, stop, every_seconds=0.0, clock=lambda: now)
    hosts.refresh_liveness(69.9)
    assert hosts.up[hosts.rows["a"]]
    hosts.refresh_liveness(70.0)
    assert not hosts.up[hosts.rows["a"]]
