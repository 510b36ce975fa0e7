"""The weighers: what they prefer, Nova's normalisation, multipliers from settings and aggregates."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cairn_crds.server_group import GroupPolicy
from cairn_operator.scheduler.aggregates import Aggregate
from cairn_operator.scheduler.request import Group, InvalidRequest, PlacementRequest
from cairn_operator.scheduler.settings import SchedulerSettings
from cairn_operator.scheduler.weighers import WEIGHERS
from cairn_operator.scheduler.weighers.base import normalise
from unit.scheduler.support import Host, request, table

BY_NAME = {weigher.name: weigher for weigher in WEIGHERS}


def weigh(
    name: str,
    *hosts: Host,
    wanted: PlacementRequest | None = None,
    aggregates: tuple[Aggregate, ...] = (),
    **settings: Any,
) -> dict[str, float]:
    """What the weigher adds for each host."""
    known = table(*hosts, aggregates=aggregates)
    rows = np.array([known.rows[host.name] for host in hosts], np.int64)
    weights = np.zeros(len(rows))
    BY_NAME[name](SchedulerSettings(**settings)).add(weights, known, wanted or request(), rows)
    return {host.name: round(float(weight), 9) for host, weight in zip(hosts, weights, strict=True)}


@pytest.mark.parametrize(
    ("figures", "minimum", "expected"),
    [
        ([0, 5, 10], None, [0, 0.5, 1]),
        ([5, 10], None, [0, 1]),
        ([5, 10], 0.0, [0.5, 1]),
        ([-5, 10], 0.0, [0, 1]),
        ([-5, -1], 0.0, None),
        ([7, 7], None, None),
        ([7, 7], 0.0, [1, 1]),
        ([-3, 0, 1], None, [0, 0.75, 1]),
    ],
)
def test_normalisation_is_novas(
    figures: list[int], minimum: float | None, expected: list[float] | None
) -> None:
    """Between the lowest (or the weigher's own minimum) and the highest; all alike is 0."""
    result = normalise(np.array(figures), minimum)
    assert (None if result is None else list(result)) == expected


def test_free_memory_counts_without_the_allocation_ratio() -> None:
    roomy = Host("roomy", total=(1, 8192, 1), reserved=(0, 512, 0), limits=(1, 99999, 1), used=(0, 1536, 0))
    full = Host("full", total=(1, 8192, 1), limits=(1, 99999, 1), used=(0, 9000, 0))
    half = Host("half", total=(1, 8192, 1), limits=(1, 99999, 1), used=(0, 5120, 0))
    assert weigh("RAMWeigher", roomy, full, half) == {"roomy": 1.0, "full": 0.0, "half": 0.5}


def test_free_vcpus_count_with_the_allocation_ratio() -> None:
    one = Host("one", total=(4, 1, 1), limits=(16, 1, 1), used=(6, 0, 0))
    two = Host("two", total=(4, 1, 1), limits=(16, 1, 1), used=(11, 0, 0))
    assert weigh("CPUWeigher", one, two) == {"one": 1.0, "two": 0.5}


def test_free_disk_counts() -> None:
    assert weigh("DiskWeigher", Host("a", used=(0, 0, 500)), Host("b")) == {"a": 0.5, "b": 1.0}


def test_a_negative_multiplier_stacks() -> None:
    hosts = (Host("a", used=(0, 8192, 0)), Host("b"))
    assert weigh("RAMWeigher", *hosts, ram_weight_multiplier=-2.0) == {"a": -1.0, "b": -2.0}
    assert weigh("RAMWeigher", *hosts, ram_weight_multiplier=0.0) == {"a": 0.0, "b": 0.0}


def test_quiet_hosts_are_preferred() -> None:
    assert weigh("IoOpsWeigher", Host("a", io_ops=4), Host("b", io_ops=1)) == {"a": -1.0, "b": -0.25}


def test_instances_count_only_when_asked_for() -> None:
    hosts = (Host("a", instances=4), Host("b", instances=2))
    assert weigh("NumInstancesWeigher", *hosts) == {"a": 0.0, "b": 0.0}
    assert weigh("NumInstancesWeigher", *hosts, num_instances_weight_multiplier=-1.0) == {"a": -1.0, "b": 0.0}


def test_failed_builds_outweigh_everything_else() -> None:
    hosts = (Host("a", build_failures=1), Host("b"), Host("c", build_failures=2))
    assert weigh("BuildFailureWeigher", *hosts) == {"a": -500000.0, "b": 0.0, "c": -1000000.0}


def test_newer_hypervisors_are_preferred() -> None:
    hosts = (Host("old", hypervisor_version="7.0"), Host("new", hypervisor_version="8.0"))
    assert weigh("HypervisorVersionWeigher", *hosts) == {"old": 0.0, "new": 1.0}


@pytest.mark.parametrize(
    ("name", "policy", "expected"),
    [
        ("ServerGroupSoftAffinityWeigher", GroupPolicy.SOFT_AFFINITY, {"a": 1.0, "b": 0.5, "c": 0.0}),
        (
            "ServerGroupSoftAntiAffinityWeigher",
            GroupPolicy.SOFT_ANTI_AFFINITY,
            {"a": 0.0, "b": 0.5, "c": 1.0},
        ),
        ("ServerGroupSoftAffinityWeigher", GroupPolicy.SOFT_ANTI_AFFINITY, {"a": 0.0, "b": 0.0, "c": 0.0}),
        ("ServerGroupSoftAntiAffinityWeigher", GroupPolicy.AFFINITY, {"a": 0.0, "b": 0.0, "c": 0.0}),
    ],
)
def test_soft_policies(name: str, policy: GroupPolicy, expected: dict[str, float]) -> None:
    wanted = request(group=Group("g", policy, 1, {"a": 2, "b": 1, "gone": 9}))
    assert weigh(name, Host("a"), Host("b"), Host("c"), wanted=wanted) == expected


LOAD = (Host("idle", metrics={"cpu": 0.0, "net": 10.0}), Host("busy", metrics={"cpu": 1.0, "net": 30.0}))


def test_metrics_are_summed_with_their_ratios() -> None:
    assert weigh("MetricsWeigher", *LOAD) == {"idle": 0.0, "busy": 0.0}
    assert weigh("MetricsWeigher", *LOAD, metrics_weight_setting={"cpu": -1.0}) == {"idle": 1.0, "busy": 0.0}
    both = {"cpu": -40.0, "net": 1.0}  # idle 10, busy -10, half 0
    half = Host("half", metrics={"cpu": 0.5, "net": 20.0})
    assert weigh("MetricsWeigher", *LOAD, half, metrics_weight_setting=both) == {
        "idle": 1.0,
        "busy": 0.0,
        "half": 0.5,
    }


def test_a_host_without_a_required_metric_fails_the_request_with_advice() -> None:
    with pytest.raises(InvalidRequest, match=r"Host mute does not report the metric cpu.*MetricsFilter"):
        weigh("MetricsWeigher", *LOAD, Host("mute"), metrics_weight_setting={"cpu": 1.0})


def test_a_host_without_a_metric_can_be_put_last_instead() -> None:
    options: dict[str, Any] = {"metrics_required": False, "metrics_weight_of_unavailable": -9.0}
    assert weigh("MetricsWeigher", *LOAD, Host("mute"), metrics_weight_setting={"cpu": 1.0}, **options) == {
        "idle": 0.9,
        "busy": 1.0,
        "mute": 0.0,
    }
    assert weigh("MetricsWeigher", *LOAD, Host("mute"), metrics_weight_setting={"x": 0.0}, **options) == {
        "idle": 0.0,
        "busy": 0.0,
        "mute": 0.0,
    }


def test_an_aggregate_overrides_the_multiplier_for_its_hosts() -> None:
    """The lowest of several; one that is no number is ignored in favour of the setting (as in Nova)."""
    hosts = (Host("a"), Host("b"), Host("c"), Host("d", used=(0, 8192, 0)))
    aggregates = (
        Aggregate("stack", frozenset({"a", "b"}), {"ram_weight_multiplier": "-3"}),
        Aggregate("more", frozenset({"b"}), {"ram_weight_multiplier": "-5"}),
        Aggregate("odd", frozenset({"c"}), {"ram_weight_multiplier": "lots"}),
    )
    weights = weigh("RAMWeigher", *hosts, aggregates=aggregates)
    assert weights == {"a": -3.0, "b": -5.0, "c": 1.0, "d": 0.5}


def test_every_weigher_has_its_multiplier_in_the_settings() -> None:
    for weigher in WEIGHERS:
        assert weigher.multiplier_key in SchedulerSettings.model_fields
