"""ComputeFilter, RetryFilter, AllHostsFilter, AvailabilityZoneFilter, IsolatedHostsFilter, MetricsFilter."""

from __future__ import annotations

import pytest

from cairn_operator.scheduler.aggregates import Aggregate
from cairn_operator.scheduler.hosts import HostUsage
from cairn_operator.scheduler.settings import SchedulerSettings
from unit.scheduler.support import Host, passing, request, table


@pytest.mark.parametrize(
    ("host", "passes"),
    [
        (Host("a"), True),
        (Host("a", disabled=True), False),
        (Host("a", forced_down=True), False),
        (Host("a", alive=False), False),
        (Host("a", withdrawn=True), False),
    ],
    ids=["enabled and up", "disabled", "forced down", "never heard of", "disabled in SQL"],
)
def test_compute_filter_wants_enabled_hosts_that_are_up(host: Host, passes: bool) -> None:
    assert passing("ComputeFilter", table(host), request()) == ({"a"} if passes else set())


def test_a_host_that_only_sql_knows_is_not_up() -> None:
    hosts = table(Host("a"))
    hosts.remove_node("a")
    hosts.set_usage(HostUsage("a", limits=(8, 8, 8), used=(0, 0, 0)))
    assert passing("ComputeFilter", hosts, request()) == set()


def test_retry_filter_leaves_out_hosts_where_it_failed() -> None:
    hosts = table(Host("a"), Host("b"), Host("c"))
    assert passing("RetryFilter", hosts, request(excluded_hosts=frozenset({"b", "gone"}))) == {"a", "c"}
    assert passing("RetryFilter", hosts, request()) == {"a", "b", "c"}


def test_all_hosts_filter_removes_none() -> None:
    assert passing("AllHostsFilter", table(Host("a", disabled=True), Host("b")), request()) == {"a", "b"}


ZONES = (
    Aggregate("east", frozenset({"a", "b"}), {"availability_zone": "east"}),
    Aggregate("west", frozenset({"b"}), {"availability_zone": "west"}),
    Aggregate("fast", frozenset({"c"}), {"ssd": "true"}),
)


@pytest.mark.parametrize(
    ("zone", "expected"),
    [
        (None, {"a", "b", "c", "d"}),
        ("east", {"a", "b"}),
        ("west", {"b"}),
        ("nova", {"c", "d"}),
        ("nowhere", set()),
    ],
)
def test_availability_zone_filter(zone: str | None, expected: set[str]) -> None:
    hosts = table(Host("a"), Host("b"), Host("c"), Host("d"), aggregates=ZONES)
    assert passing("AvailabilityZoneFilter", hosts, request(zone=zone)) == expected


def test_the_default_zone_can_be_named_otherwise() -> None:
    hosts = table(Host("a"), Host("d"), aggregates=ZONES)
    settings = SchedulerSettings(default_availability_zone="home")
    assert passing("AvailabilityZoneFilter", hosts, request(zone="home"), settings) == {"d"}


@pytest.mark.parametrize(
    ("restrict", "images", "image", "expected"),
    [
        (True, {"windows"}, "windows", {"iso"}),
        (True, {"windows"}, "debian", {"plain"}),
        (False, {"windows"}, "windows", {"iso"}),
        (False, {"windows"}, "debian", {"iso", "plain"}),
        (True, set(), "debian", {"plain"}),
        (False, set(), "debian", {"iso", "plain"}),
    ],
)
def test_isolated_hosts_filter_has_novas_truth_table(
    restrict: bool, images: set[str], image: str, expected: set[str]
) -> None:
    settings = SchedulerSettings(
        isolated_hosts=frozenset({"iso"}),
        isolated_images=frozenset(images),
        restrict_isolated_hosts_to_isolated_images=restrict,
    )
    hosts = table(Host("iso"), Host("plain"))
    assert passing("IsolatedHostsFilter", hosts, request(image_name=image), settings) == expected


def test_metrics_filter_wants_every_weighed_metric() -> None:
    hosts = table(
        Host("both", metrics={"cpu.percent": 0.5, "net": 1.0}),
        Host("one", metrics={"net": 1.0}),
        Host("none"),
    )
    settings = SchedulerSettings(metrics_weight_setting={"cpu.percent": -1.0, "net": 0.5})
    assert passing("MetricsFilter", hosts, request(), settings) == {"both"}
    assert passing("MetricsFilter", hosts, request()) == {"both", "one", "none"}


def test_metrics_filter_with_a_metric_nobody_has() -> None:
    settings = SchedulerSettings(metrics_weight_setting={"moon.phase": 1.0})
    assert passing("MetricsFilter", table(Host("a")), request(), settings) == set()
