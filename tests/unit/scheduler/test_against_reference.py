"""Property: for any cloud and request the arrays say what a plain look at one host after the other says."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cairn_crds.server_group import GroupPolicy
from cairn_operator.scheduler.aggregates import Aggregate
from cairn_operator.scheduler.filters import FILTERS, build_filters
from cairn_operator.scheduler.hosts import HostTable, HostUsage
from cairn_operator.scheduler.request import Group, PlacementRequest
from cairn_operator.scheduler.select import Selector
from cairn_operator.scheduler.settings import SchedulerSettings
from unit.scheduler import reference
from unit.scheduler.support import BEAT, BEAT_SECONDS, Host, node, request, table

SETTINGS = SchedulerSettings(
    enabled_filters=tuple(name for names in reference.REFERENCE for name in names),
    max_instances_per_host=5,
    max_io_ops_per_host=3,
    num_instances_weight_multiplier=-0.5,
    shuffle_best_same_weighed_hosts=False,
    max_attempts=50,
)
NAMES = [f"h{index}" for index in range(6)]
TRAITS = ["AVX", "SSD", "GPU"]

small = st.integers(0, 6)
amounts = st.tuples(small, small, small)
hosts_called = st.frozensets(st.sampled_from(NAMES), max_size=3)


@st.composite
def host_named(draw: st.DrawFn, name: str) -> Host:
    return Host(
        name,
        limits=draw(amounts),
        used=draw(amounts),
        total=draw(amounts),
        reserved=draw(amounts),
        instances=draw(small),
        io_ops=draw(st.integers(0, 4)),
        build_failures=draw(st.integers(0, 2)),
        disabled=draw(st.booleans()) and draw(st.booleans()),
        forced_down=draw(st.booleans()) and draw(st.booleans()),
        withdrawn=draw(st.booleans()) and draw(st.booleans()),
        alive=draw(st.integers(0, 4)) > 0,
        hypervisor_type=draw(st.sampled_from(["QEMU", "XenServer"])),
        hypervisor_version=draw(st.sampled_from(["7.0.1", "8.2.0"])),
        architecture=draw(st.sampled_from(["x86_64", "aarch64"])),
        traits=tuple(draw(st.frozensets(st.sampled_from(TRAITS)))),
        capabilities=draw(st.dictionaries(st.just("ssd"), st.sampled_from(["true", "false"]))),
        metrics=draw(st.dictionaries(st.sampled_from(["cpu", "net"]), st.sampled_from([0.0, 0.5]))),
    )


@st.composite
def clouds(draw: st.DrawFn) -> list[Host]:
    return [draw(host_named(name)) for name in NAMES[: draw(st.integers(0, 5))]]


METADATA = st.fixed_dictionaries(
    {},
    optional={
        "availability_zone": st.sampled_from(["east", "west"]),
        "ssd": st.sampled_from(["true", "false", "true, false"]),
        "filter_tenant_id": st.sampled_from(["blue", "red,blue"]),
        "filter_tenant_id2": st.just("green"),
        "instance_type": st.sampled_from(["small", "large, huge"]),
        "max_instances_per_host": st.sampled_from(["2", "4", "many"]),
        "max_io_ops_per_host": st.sampled_from(["1", "many"]),
        "ram_weight_multiplier": st.sampled_from(["-2", "0", "many"]),
        "hw_architecture": st.sampled_from(["x86_64", "aarch64"]),
    },
)


@st.composite
def aggregates_of(draw: st.DrawFn) -> tuple[Aggregate, ...]:
    return tuple(
        Aggregate(f"g{index}", draw(hosts_called), draw(METADATA)) for index in range(draw(st.integers(0, 4)))
    )


EXTRA_SPECS = st.fixed_dictionaries(
    {},
    optional={
        "trait:AVX": st.sampled_from(["required", "forbidden"]),
        "trait:SSD": st.sampled_from(["required", "forbidden"]),
        "capabilities:cpu_info:arch": st.sampled_from(["x86_64", "s!= x86_64", "<or> vax <or> aarch64"]),
        "capabilities:num_instances": st.sampled_from([">= 2", "<= 3"]),
        "capabilities:ssd": st.just("true"),
        "aggregate_instance_extra_specs:ssd": st.sampled_from(["true", "s!= true"]),
        "hw:cpu_policy": st.just("dedicated"),
        "ssd": st.sampled_from(["true", "false"]),
    },
)
IMAGE = st.fixed_dictionaries(
    {},
    optional={
        "hw_architecture": st.sampled_from(["x86_64", "aarch64"]),
        "img_hv_type": st.sampled_from(["kvm", "xen"]),
    },
)
GROUPS = st.builds(
    Group,
    id=st.just("g"),
    policy=st.sampled_from(list(GroupPolicy)),
    max_server_per_host=st.integers(1, 2),
    hosts=st.dictionaries(st.sampled_from(NAMES), st.integers(1, 2), max_size=4),
)


@st.composite
def requests(draw: st.DrawFn) -> PlacementRequest:
    return request(
        extra_specs=draw(EXTRA_SPECS),
        image=draw(IMAGE),
        vcpus=draw(st.integers(1, 2)),
        memory_mib=draw(st.integers(1, 2)),
        disk_gib=draw(st.integers(0, 2)),
        project=draw(st.sampled_from(["blue", "red", "green"])),
        flavor=draw(st.sampled_from(["small", "large"])),
        zone=draw(st.sampled_from([None, "east", "nova"])),
        group=draw(st.none() | GROUPS),
        excluded_hosts=draw(hosts_called),
        different_host=draw(st.none() | hosts_called),
        same_host=draw(st.none() | hosts_called),
        host=draw(st.none() | st.sampled_from(NAMES)),
    )


def test_every_filter_has_a_reference_or_a_table_of_its_own() -> None:
    elsewhere = {"AllHostsFilter", "IsolatedHostsFilter", "JsonFilter"}
    assert {name for names in reference.REFERENCE for name in names} | elsewhere == set(FILTERS)


METERED = SETTINGS.model_copy(update={"metrics_weight_setting": {"cpu": 1.0, "net": 1.0}})


@settings(max_examples=150, deadline=None, derandomize=True)
@given(cloud=clouds(), aggregates=aggregates_of(), wanted=requests())
def test_masks_are_what_each_host_alone_gets(
    cloud: list[Host], aggregates: tuple[Aggregate, ...], wanted: PlacementRequest
) -> None:
    hosts = table(*cloud, aggregates=aggregates)
    for names, passes in reference.REFERENCE.items():
        filters = build_filters(METERED, names)
        masks = [filter_.mask(hosts, wanted) for filter_ in filters]
        answers = {host.name: all(mask[hosts.rows[host.name]] for mask in masks) for host in cloud}
        assert answers == {
            host.name: passes(host, reference.metadatas(host, aggregates), wanted, METERED) for host in cloud
        }, names
        for filter_, mask in zip(filters, masks, strict=True):
            assert filter_.applies(wanted) or mask[hosts.valid].all(), filter_.name


def expected_order(
    cloud: list[Host], aggregates: tuple[Aggregate, ...], wanted: PlacementRequest
) -> dict[str, float]:
    """The hosts that pass everything, with their weights."""
    left = [
        host
        for host in cloud
        if all(
            passes(host, reference.metadatas(host, aggregates), wanted, SETTINGS)
            for passes in reference.REFERENCE.values()
        )
    ]
    weights = reference.weights(left, aggregates, wanted, SETTINGS)
    return {host.name: weight for host, weight in zip(left, weights, strict=True)}


def check_selection(
    selector: Selector,
    hosts: HostTable,
    cloud: list[Host],
    aggregates: tuple[Aggregate, ...],
    wanted: PlacementRequest,
) -> None:
    selection = selector.select(hosts, wanted)
    expected = expected_order(cloud, aggregates, wanted)
    assert {candidate.host: candidate.weight for candidate in selection.candidates} == pytest.approx(expected)
    given_order = [candidate.weight for candidate in selection.candidates]
    assert given_order == sorted(given_order, reverse=True)
    assert selection.hosts == len(cloud)
    if not selection.candidates:
        assert sum(step.removed for step in selection.removed) == len(cloud)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(cloud=clouds(), aggregates=aggregates_of(), wanted=requests())
def test_a_decision_is_what_the_reference_decides(
    cloud: list[Host], aggregates: tuple[Aggregate, ...], wanted: PlacementRequest
) -> None:
    check_selection(Selector(SETTINGS), table(*cloud, aggregates=aggregates), cloud, aggregates, wanted)


EASY = PlacementRequest("x", vcpus=1, memory_mib=1)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    data=st.data(),
    cloud=clouds(),
    aggregates=aggregates_of(),
    wanted=st.lists(requests(), min_size=1, max_size=3),
)
def test_changes_leave_the_table_as_if_it_had_been_made_anew(
    data: st.DataObject, cloud: list[Host], aggregates: tuple[Aggregate, ...], wanted: list[PlacementRequest]
) -> None:
    """One table and one selector live through changes of every kind, deciding in between."""
    hosts, selector = table(*cloud, aggregates=aggregates), Selector(SETTINGS)
    known = {host.name: host for host in cloud}
    groups = {aggregate.name: aggregate for aggregate in aggregates}
    for _ in range(data.draw(st.integers(1, 6))):
        change = data.draw(st.sampled_from(["usage", "node", "remove", "aggregate", "drop"]))
        name = data.draw(st.sampled_from(NAMES))
        if change == "remove":
            hosts.remove_node(name)
            known.pop(name, None)
        elif change == "aggregate":
            aggregate = Aggregate("g0", data.draw(hosts_called), data.draw(METADATA))
            hosts.set_aggregate(aggregate)
            groups["g0"] = aggregate
        elif change == "drop":
            hosts.remove_aggregate("g1")
            groups.pop("g1", None)
        else:
            known[name] = _changed(hosts, known.get(name), data.draw(host_named(name)), change)
        hosts.set_io_ops((host.name, host.io_ops) for host in known.values())
        hosts.refresh_liveness(1.0)
        in_order = [known[name] for name in hosts.rows]
        for one in (*wanted, EASY):
            check_selection(selector, hosts, in_order, tuple(groups.values()), one)


def _changed(hosts: HostTable, before: Host | None, after: Host, change: str) -> Host:
    if before is not None and change == "usage":
        fields: dict[str, Any] = {
            field: getattr(after, field)
            for field in ("limits", "used", "instances", "build_failures", "withdrawn")
        }
        after = replace(before, **fields)
    if before is None or change == "node":
        # A heartbeat that was seen once is not taken back by a later event without one.
        after = replace(after, alive=after.alive or (before is not None and before.alive))
        hosts.set_node(node(after, BEAT if after.alive else None), 0.0, BEAT_SECONDS)
    hosts.set_usage(
        HostUsage(
            after.name, after.limits, after.used, after.instances, after.build_failures, after.withdrawn
        )
    )
    return after
