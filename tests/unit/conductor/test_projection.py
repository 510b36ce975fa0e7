"""What the user is shown."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from cairn_crds import ConditionStatus, InstanceStatus
from cairn_crds.conditions import find_condition
from cairn_crds.instance import InstancePhase
from cairn_database import TaskState, VmState
from cairn_database.admission import Refusal
from cairn_operator.conductor.projection import View, is_passing, project
from unit.conductor.records import ID, NOW, building, guest, instance, record


def shown(row: Any, guest_: Any = None, refusal: Refusal | None = None, **of_instance: Any) -> InstanceStatus:
    return project(View(instance(**of_instance), row, guest_, refusal), NOW)


def says(status: InstanceStatus, type_: str) -> tuple[ConditionStatus, str, str]:
    condition = find_condition(status.conditions, type_)
    assert condition is not None
    return condition.status, condition.reason, condition.message


@pytest.mark.parametrize(
    ("row", "phase"),
    [
        (building(TaskState.SCHEDULING, host=None), InstancePhase.PENDING),
        (building(TaskState.NETWORKING), InstancePhase.BUILDING),
        (building(TaskState.SPAWNING), InstancePhase.BUILDING),
        (record(), InstancePhase.ACTIVE),
        (record(task_state=TaskState.POWERING_OFF), InstancePhase.ACTIVE),
        (record(vm_state=VmState.STOPPED), InstancePhase.STOPPED),
        (record(vm_state=VmState.PAUSED), InstancePhase.PAUSED),
        (record(vm_state=VmState.SUSPENDED), InstancePhase.SUSPENDED),
        (record(vm_state=VmState.ERROR), InstancePhase.ERROR),
        (record(task_state=TaskState.DELETING), InstancePhase.DELETING),
        (building(TaskState.DELETING), InstancePhase.DELETING),
    ],
)
def test_the_phase_is_one_word_for_both_states(row: Any, phase: InstancePhase) -> None:
    assert shown(row).phase is phase


def test_an_active_instance() -> None:
    status = shown(record())
    assert (status.instance_id, status.vm_state, status.task_state, status.host) == (ID, "active", None, "h1")
    assert status.address_list == "10.0.0.7"
    assert [address.address for address in status.addresses] == ["10.0.0.7"]
    assert status.launched_at == NOW
    assert status.fault is None
    assert says(status, "Accepted") == (ConditionStatus.TRUE, "Registered", f"Recorded as {ID}.")
    assert says(status, "Scheduled") == (ConditionStatus.TRUE, "Placed", "On host h1.")
    assert says(status, "Ready") == (ConditionStatus.TRUE, "Running", "Running on host h1 at 10.0.0.7.")
    assert find_condition(status.conditions, "SpecApplied") is None


def test_one_without_addresses_says_none() -> None:
    status = shown(record(interfaces=()))
    assert status.address_list is None
    assert says(status, "Ready")[2] == "Running on host h1."


def test_one_that_is_not_recorded_yet_says_nothing() -> None:
    status = shown(None)
    assert (status.phase, status.conditions, status.instance_id) == (InstancePhase.PENDING, [], None)


def test_one_that_is_refused_says_why() -> None:
    status = shown(None, refusal=Refusal("FlavorNotFound", "Flavor 'x' does not exist."))
    assert says(status, "Accepted") == (
        ConditionStatus.FALSE,
        "FlavorNotFound",
        "Flavor 'x' does not exist.",
    )
    assert says(status, "Ready")[:2] == (ConditionStatus.FALSE, "NotAccepted")


def test_an_edit_that_is_refused_does_not_make_it_unready() -> None:
    status = shown(record(), refusal=Refusal("FieldImmutable", "no"))
    assert says(status, "SpecApplied") == (ConditionStatus.FALSE, "FieldImmutable", "no")
    assert says(status, "Ready")[0] is ConditionStatus.TRUE


def test_one_that_waits_for_a_host() -> None:
    status = shown(building(TaskState.SCHEDULING, host=None, interfaces=()))
    assert says(status, "Scheduled") == (ConditionStatus.UNKNOWN, "Waiting", "Waiting for the scheduler.")
    assert says(status, "Ready")[:2] == (ConditionStatus.FALSE, "Scheduling")


def test_one_for_which_no_host_was_found() -> None:
    row = building(
        task_state=None,
        vm_state=VmState.ERROR,
        host=None,
        interfaces=(),
        placement_message="2 hosts: RamFilter removed 2.",
        fault_code=500,
        fault_message="No valid host was found. 2 hosts: RamFilter removed 2.",
        fault_at=NOW,
    )
    status = shown(row)
    assert says(status, "Scheduled") == (
        ConditionStatus.FALSE,
        "NoValidHost",
        "2 hosts: RamFilter removed 2.",
    )
    assert says(status, "Ready")[1:] == ("Error", row.fault_message)
    assert status.fault is not None
    assert (status.fault.code, status.fault.message, status.fault.created) == (500, row.fault_message, NOW)


def test_what_is_being_done_and_how_far_it_is() -> None:
    status = shown(building(), guest(phase="Spawning", step="disk"))
    assert status.task_state == "spawning"
    message = "Task 'spawning' is under way on host h1 (step: disk)."
    assert says(status, "Ready") == (ConditionStatus.FALSE, "Spawning", message)
    assert says(shown(record(task_state=TaskState.POWERING_OFF)), "Ready")[1] == "PoweringOff"


def test_what_the_host_runs_into_is_the_reason() -> None:
    fault = {"reason": "ImageUnavailable", "message": "no answer", "specGeneration": 1}
    status = shown(building(), guest(phase="Failed", fault=fault))
    assert says(status, "Ready")[1:] == ("ImageUnavailable", "no answer (trying again)")
    status = shown(building(), guest(generation=2, phase="Failed", fault=fault))
    assert says(status, "Ready")[1] == "Spawning", "that was about an earlier spec"


def test_a_condition_keeps_its_time_as_long_as_its_status_lasts() -> None:
    earlier = NOW - timedelta(hours=1)
    before = [
        {
            "type": "Ready",
            "status": "False",
            "reason": "Spawning",
            "lastTransitionTime": earlier.isoformat(),
        }
    ]
    stopped = shown(record(vm_state=VmState.STOPPED), status={"conditions": before})
    active = shown(record(), status={"conditions": before})
    assert find_condition(stopped.conditions, "Ready").last_transition_time == earlier  # type: ignore[union-attr]
    assert find_condition(active.conditions, "Ready").last_transition_time == NOW  # type: ignore[union-attr]


def test_the_same_is_shown_twice_as_the_same() -> None:
    first = shown(record())
    again = shown(record(), status=first.to_api())
    assert again.to_api() == first.to_api()


def test_what_is_too_long_is_cut_and_not_lost() -> None:
    row = building(task_state=None, vm_state=VmState.ERROR, host=None, fault_message="x" * 9000)
    status = shown(row, refusal=Refusal("FieldImmutable", "y" * 9000))
    assert status.fault is not None
    assert len(status.fault.message) == 4096
    assert len(says(status, "SpecApplied")[2]) == 4096


def test_a_state_on_its_way_to_another_is_passing() -> None:
    assert is_passing(building())
    assert not is_passing(record())
    assert not is_passing(record(vm_state=VmState.ERROR))
