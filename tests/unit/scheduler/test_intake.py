"""From a row to a request."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from cairn_crds.flavor import FlavorSpec
from cairn_crds.image import ImageSpec
from cairn_crds.instance import PowerState, SchedulerHints
from cairn_crds.server_group import GroupPolicy
from cairn_database import InstanceRecord, TaskState, VmState
from cairn_database.records import Move, MoveKind
from cairn_operator.scheduler.intake import GroupState, hint, read_record
from cairn_operator.scheduler.request import InvalidRequest

MOMENT = datetime(2026, 1, 1, tzinfo=UTC)
FLAVOR = FlavorSpec(
    vcpus=2,
    memory_mib=2048,
    disk_gib=20,
    ephemeral_gib=5,
    swap_mib=1500,
    extra_specs={"trait:AVX": "required", "capabilities:ssd": "true"},
)
IMAGE = ImageSpec(
    url="https://images.example/a",
    sha256="0" * 64,
    properties={"hw_architecture": "x86_64", "trait:SSD": "required"},
)


def record(**changes: Any) -> InstanceRecord:
    """A row as the conductor writes it: specs in API form, with their names."""
    whole = InstanceRecord(
        id="6f9619ff-8b86-4d01-b42d-00c04fc964ff",
        project="blue",
        namespace="blue",
        name="web",
        resource_uid=None,
        vm_state=VmState.BUILDING,
        task_state=TaskState.SCHEDULING,
        power_state=PowerState.NO_STATE,
        host=None,
        fencing_epoch=0,
        version=1,
        request={},
        flavor=FLAVOR.to_api() | {"name": "m1.small"},
        image=IMAGE.to_api() | {"name": "debian"},
        key_pair=None,
        group_id=None,
        availability_zone="east",
        hints={},
        interfaces=(),
        reboot_generation=0,
        attempts=1,
        excluded_hosts=("bad",),
        fault_code=None,
        fault_message=None,
        fault_at=None,
        placement_message=None,
        created_at=MOMENT,
        updated_at=MOMENT,
        launched_at=None,
        terminated_at=None,
        deleted_at=None,
        request_id="req-1",
    )
    return replace(whole, **changes)


def test_a_row_becomes_a_request() -> None:
    request = read_record(record())
    assert request.amounts == (2, 2048, 27), "root, ephemeral and swap, in whole GiB"
    assert (request.project, request.flavor, request.image) == ("blue", "m1.small", "debian")
    assert request.zone == "east"
    assert request.excluded_hosts == {"bad"}
    assert request.extra.required_traits == {"AVX", "SSD"}
    assert request.extra.capabilities == (("ssd", "true"),)
    assert request.image_property("hw_architecture") == "x86_64"
    assert request.request_id == "req-1"
    assert (request.group, request.query, request.same_host, request.different_host) == (None,) * 4


def test_a_flavor_without_disks_takes_none() -> None:
    flavor = FlavorSpec(vcpus=1, memory_mib=64).to_api()
    assert read_record(record(flavor=flavor)).amounts == (1, 64, 0)


def test_hints_are_read_as_instances_write_them() -> None:
    hints = SchedulerHints(query='["=", "$host", "a"]', same_host=["db"]).to_api()
    assert read_record(record(hints=hints)).query == ["=", "$host", "a"]
    assert hint(hints, "sameHost", "same_host") == ("db",)


@pytest.mark.parametrize(
    ("hints", "expected"),
    [({}, ()), ({"same_host": "a"}, ("a",)), ({"same_host": ["a", "b"]}, ("a", "b")), ({"sameHost": []}, ())],
)
def test_hints_are_read_as_nova_s_clients_write_them(
    hints: dict[str, Any], expected: tuple[str, ...]
) -> None:
    assert hint(hints, "sameHost", "same_host") == expected


@pytest.mark.parametrize(
    "changes",
    [
        {"flavor": {}},
        {"flavor": {"vcpus": "two", "memoryMiB": 1}},
        {"flavor": {"vcpus": None, "memoryMiB": 1}},
        {"flavor": {"vcpus": 1, "memoryMiB": 1, "extraSpecs": ["x"]}},
        {"flavor": None},
        {"image": {"properties": 5}},
        {"image": None},
        {"hints": {"query": 7}},
        {"hints": None},
        {"excluded_hosts": None},
    ],
    ids=str,
)
def test_a_row_that_makes_no_sense_says_so(changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest, match="What the instance asks for cannot be read"):
        read_record(record(**changes))


def test_own_picks_count_in_the_group_of_every_member() -> None:
    state = GroupState("g", GroupPolicy.ANTI_AFFINITY, 2, 7, {"a": 1})
    request = read_record(record(), state)
    assert request.group is not None
    state.add("a", 1)
    state.add("b", 1)
    assert request.group.hosts == {"a": 2, "b": 1}
    state.add("b", -1)
    assert request.group.hosts == {"a": 2}
    assert request.group.max_server_per_host == 2


def test_only_the_hard_policies_are_checked_by_the_claim() -> None:
    for policy in GroupPolicy:
        rule = GroupState("g", policy, 2, 7).rule()
        assert (rule is None) == (policy in (GroupPolicy.SOFT_AFFINITY, GroupPolicy.SOFT_ANTI_AFFINITY))
        if rule is not None:
            assert (rule.group_id, rule.policy, rule.max_per_host, rule.group_generation) == (
                "g",
                policy,
                2,
                7,
            )


def test_a_move_asks_for_another_host_that_is_capable_of_it() -> None:
    def moving(kind: MoveKind, **values: Any) -> InstanceRecord:
        move = Move("m", kind, "east-1", VmState.ACTIVE, **values)
        return record(move=move, host="east-1", request={"spec": {"host": "east-1"}})

    live = read_record(moving(MoveKind.LIVE, wanted_host="east-2"))
    assert (live.host, live.excluded_hosts) == ("east-2", {"bad", "east-1"})
    assert "COMPUTE_CAIRN_LIVE_MIGRATION" in live.extra.required_traits
    larger = FlavorSpec(vcpus=8, memory_mib=8192).to_api() | {"name": "m1.large"}
    resize = read_record(moving(MoveKind.RESIZE, new_flavor=larger))
    assert (resize.vcpus, resize.memory_mib, resize.host) == (8, 8192, None)
    assert resize.excluded_hosts == {"bad"}, "a resize may stay where it is"
    assert "COMPUTE_CAIRN_RESIZE" in resize.extra.required_traits
    assert read_record(record()).extra.required_traits == {"AVX", "SSD"}
