"""The filters on aggregates' metadata."""

from __future__ import annotations

from typing import Any

import pytest

from cairn_operator.scheduler.aggregates import Aggregate
from cairn_operator.scheduler.hosts import HostUsage
from cairn_operator.scheduler.settings import SchedulerSettings
from unit.scheduler.support import Host, passing, request, table

ALL = {"a", "b", "c"}


def names_of(
    filter_: str, aggregates: tuple[Aggregate, ...], settings: SchedulerSettings | None = None, **need: Any
) -> set[str]:
    hosts = table(Host("a"), Host("b"), Host("c"), aggregates=aggregates)
    return passing(filter_, hosts, request(**need), settings)


SPECS = (
    Aggregate("fast", frozenset({"a", "b"}), {"ssd": "true", "tier": "gold, silver"}),
    Aggregate("big", frozenset({"b"}), {"cores": "64", "ssd": "false"}),
)


@pytest.mark.parametrize(
    ("specs", "expected"),
    [
        ({}, ALL),
        ({"aggregate_instance_extra_specs:ssd": "true"}, {"a", "b"}),
        ({"aggregate_instance_extra_specs:ssd": "false"}, {"b"}),
        ({"aggregate_instance_extra_specs:tier": "silver"}, {"a", "b"}),
        ({"aggregate_instance_extra_specs:tier": "<or> bronze <or> gold"}, {"a", "b"}),
        ({"aggregate_instance_extra_specs:cores": ">= 32"}, {"b"}),
        ({"aggregate_instance_extra_specs:cores": ">= 128"}, set()),
        ({"aggregate_instance_extra_specs:missing": "s!= x"}, set()),
        ({"ssd": "true"}, {"a", "b"}),
        ({"hw:numa_nodes": "2", "trait:X": "required"}, ALL),
        ({"aggregate_instance_extra_specs:ssd": "true", "aggregate_instance_extra_specs:cores": "64"}, {"b"}),
    ],
)
def test_aggregate_instance_extra_specs_filter(specs: dict[str, str], expected: set[str]) -> None:
    assert names_of("AggregateInstanceExtraSpecsFilter", SPECS, extra_specs=specs) == expected


ISOLATED = (
    Aggregate("windows", frozenset({"a"}), {"os_distro": "windows,reactos"}),
    Aggregate("named", frozenset({"b"}), {"isolate.os_distro": "debian"}),
)


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        ({}, ALL),
        ({"os_distro": "windows"}, ALL),
        ({"os_distro": "reactos"}, ALL),
        ({"os_distro": "debian"}, {"b", "c"}),
        ({"os_version": "12"}, ALL),
        ({"os_distro": ""}, ALL),
    ],
)
def test_aggregate_image_properties_isolation(properties: dict[str, str], expected: set[str]) -> None:
    assert names_of("AggregateImagePropertiesIsolation", ISOLATED, image=properties) == expected


def test_image_properties_isolation_can_be_kept_to_a_namespace() -> None:
    settings = SchedulerSettings(aggregate_image_properties_isolation_namespace="isolate")
    image = {"os_distro": "centos", "isolate.os_distro": "centos"}
    assert names_of("AggregateImagePropertiesIsolation", ISOLATED, settings, image=image) == {"a", "c"}


TENANTS = (
    Aggregate("blue", frozenset({"a"}), {"filter_tenant_id": "blue, navy"}),
    Aggregate("red", frozenset({"a", "b"}), {"filter_tenant_id2": "red"}),
    Aggregate("free", frozenset({"c"}), {"ssd": "true"}),
)


@pytest.mark.parametrize(
    ("project", "expected"),
    [("blue", {"a", "c"}), ("navy", {"a", "c"}), ("red", {"a", "b", "c"}), ("green", {"c"})],
)
def test_aggregate_multi_tenancy_isolation(project: str, expected: set[str]) -> None:
    assert names_of("AggregateMultiTenancyIsolation", TENANTS, project=project) == expected


TYPES = (
    Aggregate("small", frozenset({"a"}), {"instance_type": "m1.small, m1.tiny"}),
    Aggregate("large", frozenset({"a", "b"}), {"instance_type": "m1.large"}),
)


@pytest.mark.parametrize(
    ("flavor", "expected"),
    [("m1.small", {"a", "c"}), ("m1.large", ALL), ("m1.tiny", {"a", "c"}), ("m1.huge", {"c"})],
)
def test_aggregate_type_affinity_filter(flavor: str, expected: set[str]) -> None:
    assert names_of("AggregateTypeAffinityFilter", TYPES, flavor=flavor) == expected


def test_an_aggregate_that_changes_or_goes_changes_the_answer() -> None:
    hosts = table(Host("a"), Host("b"), aggregates=TYPES[:1])
    small, large = request(flavor="m1.small"), request(flavor="m1.large")
    assert passing("AggregateTypeAffinityFilter", hosts, large) == {"b"}
    before = hosts.version
    hosts.set_aggregate(Aggregate("small", frozenset({"b"}), {"instance_type": "m1.small"}))
    assert hosts.version > before
    assert passing("AggregateTypeAffinityFilter", hosts, large) == {"a"}
    hosts.remove_aggregate("small")
    assert passing("AggregateTypeAffinityFilter", hosts, small) == {"a", "b"}


def test_a_host_finds_the_aggregates_that_named_it_before_it_came() -> None:
    hosts = table(Host("a"), aggregates=TYPES)
    hosts.remove_node("a")
    hosts.set_usage(HostUsage("a", limits=(1, 1, 1), used=(0, 0, 0)))
    assert passing("AggregateTypeAffinityFilter", hosts, request(flavor="m1.huge")) == set()
