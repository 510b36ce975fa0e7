"""What a host's answer means."""

from __future__ import annotations

from typing import Any

import pytest

from cairn_database import TaskState, VmState
from cairn_operator.conductor.outcome import (
    BuildFailed,
    Drifted,
    Finished,
    Nothing,
    Outcome,
    TaskFailed,
    Vanished,
    judge,
)
from cairn_operator.conductor.power import FINISHABLE
from unit.conductor.records import building, guest, record

READY = {"phase": "Ready", "specGeneration": 1, "powerState": "Running"}


def fault(reason: str = "NoSpace", *, permanent: bool = True, generation: int = 1) -> dict[str, Any]:
    return {
        "reason": reason,
        "message": "the disk is full",
        "permanent": permanent,
        "specGeneration": generation,
    }


def judged(row: Any, *, overdue: bool = False, generation: int = 1, **status: Any) -> Outcome:
    return judge(row, guest(generation, **status), overdue=overdue)


def test_a_build_ends_when_the_host_has_reached_the_spec() -> None:
    assert judged(building(), **READY) == Finished(VmState.ACTIVE, "Running", True, 0)  # type: ignore[arg-type]


def test_a_machine_that_was_not_to_be_started_is_stopped() -> None:
    outcome = judged(building(), **{**READY, "powerState": "Shutdown"})
    assert isinstance(outcome, Finished)
    assert (outcome.vm_state, outcome.launched) == (VmState.STOPPED, True)


@pytest.mark.parametrize("phase", ["Pending", "Spawning", "Failed"])
def test_a_build_goes_on_until_then(phase: str) -> None:
    assert judged(building(), phase=phase, specGeneration=1, powerState="Running") == Nothing()


def test_an_answer_to_an_older_spec_says_nothing() -> None:
    assert judged(record(task_state=TaskState.POWERING_OFF), generation=2, **READY) == Nothing()
    assert judged(record(), generation=2, **{**READY, "powerState": "Shutdown"}) == Nothing()


@pytest.mark.parametrize("task", sorted(FINISHABLE - {TaskState.SPAWNING}))
@pytest.mark.parametrize(
    ("power", "vm_state"),
    [
        ("Running", VmState.ACTIVE),
        ("Shutdown", VmState.STOPPED),
        ("Crashed", VmState.STOPPED),
        ("Paused", VmState.PAUSED),
        ("Suspended", VmState.SUSPENDED),
    ],
)
def test_a_change_ends_in_what_the_hypervisor_says(task: TaskState, power: str, vm_state: VmState) -> None:
    outcome = judged(record(task_state=task), **{**READY, "powerState": power, "rebootGeneration": 4})
    assert outcome == Finished(vm_state, power, False, 4)  # type: ignore[arg-type]


def test_an_error_that_an_administrator_set_stays() -> None:
    row = record(vm_state=VmState.ERROR)
    assert isinstance(judged(row, **READY), Finished), "what went wrong by itself recovers by itself"
    held = record(vm_state=VmState.ERROR, details={"heldInError": True})
    assert judged(held, **READY) == Nothing()
    rebooting = record(
        vm_state=VmState.ERROR, task_state=TaskState.REBOOTING_HARD, details={"heldInError": True}
    )
    assert isinstance(judged(rebooting, **READY), Finished)


def test_a_reboot_count_never_falls() -> None:
    row = record(task_state=TaskState.REBOOTING, reboot_generation=5)
    outcome = judged(row, **{**READY, "rebootGeneration": 2})
    assert isinstance(outcome, Finished)
    assert outcome.reboot_generation == 5


def test_a_task_that_is_not_the_hosts_is_not_ended_by_it() -> None:
    for task in (TaskState.SCHEDULING, TaskState.NETWORKING, TaskState.DELETING):
        assert judged(building(task), **READY) == Nothing()


def test_nothing_has_happened_where_both_say_the_same() -> None:
    assert judged(record(), **READY) == Nothing()


@pytest.mark.parametrize(
    ("power", "vm_state"),
    [("Shutdown", VmState.STOPPED), ("Crashed", VmState.STOPPED), ("Paused", VmState.PAUSED)],
)
def test_a_change_from_outside_is_drift(power: str, vm_state: VmState) -> None:
    assert judged(record(), **{**READY, "powerState": power}) == Drifted(vm_state, power)  # type: ignore[arg-type]


def test_a_crash_of_a_stopped_machine_changes_its_power_state_only() -> None:
    row = record(vm_state=VmState.STOPPED, power_state="Shutdown")
    assert judged(row, **{**READY, "powerState": "Crashed"}) == Drifted(VmState.STOPPED, "Crashed")  # type: ignore[arg-type]


def test_a_power_state_that_says_nothing_is_not_taken_in() -> None:
    assert judged(record(), **{**READY, "powerState": "NoState"}) == Nothing()


def test_a_machine_that_is_gone_has_vanished_once() -> None:
    outcome = judged(record(), phase="Missing", specGeneration=1)
    assert isinstance(outcome, Vanished)
    assert "gone from host h1" in outcome.message
    assert "Delete the instance" in outcome.message
    assert judged(record(vm_state=VmState.ERROR), phase="Missing", specGeneration=1) == Nothing()


def test_a_machine_that_comes_back_ends_the_error() -> None:
    row = record(vm_state=VmState.ERROR, power_state="NoState")
    assert judged(row, **READY) == Finished(VmState.ACTIVE, "Running", False, 0)  # type: ignore[arg-type]
    late = record(vm_state=VmState.ERROR, power_state="NoState", launched_at=None)
    assert judged(late, **READY) == Finished(VmState.ACTIVE, "Running", True, 0)  # type: ignore[arg-type]


def test_a_permanent_fault_fails_the_build_and_another_host_is_tried() -> None:
    outcome = judged(building(), phase="Failed", fault=fault())
    assert outcome == BuildFailed("NoSpace", "the disk is full", elsewhere=True)


def test_a_corrupt_image_is_the_same_on_every_host() -> None:
    outcome = judged(building(), phase="Failed", fault=fault("ImageCorrupt"))
    assert isinstance(outcome, BuildFailed)
    assert not outcome.elsewhere


def test_a_permanent_fault_fails_a_change_and_nothing_else() -> None:
    row = record(task_state=TaskState.SUSPENDING)
    outcome = judged(row, **{**READY, "fault": fault("Unsupported")})
    assert outcome == TaskFailed("Unsupported", "the disk is full", "Running")  # type: ignore[arg-type]


def test_a_fault_that_may_pass_is_waited_for() -> None:
    assert judged(building(), phase="Failed", fault=fault(permanent=False)) == Nothing()


def test_a_fault_that_has_lasted_too_long_is_the_reason_of_the_failure() -> None:
    outcome = judged(
        building(), overdue=True, phase="Failed", fault=fault("ImageUnavailable", permanent=False)
    )
    assert outcome == BuildFailed("ImageUnavailable", "the disk is full", elsewhere=True)


def test_a_fault_of_an_earlier_spec_is_no_news() -> None:
    row = record(task_state=TaskState.POWERING_OFF)
    status = {**READY, "fault": fault("Unsupported", generation=1)}
    assert judged(row, generation=2, **status) == Nothing()


def test_a_host_that_says_nothing_for_too_long_is_named() -> None:
    outcome = judged(building(), overdue=True, phase="Pending")
    assert isinstance(outcome, BuildFailed)
    assert outcome.reason == "Timeout"
    assert "Host h1 did not finish 'spawning' in time" in outcome.message
    outcome = judged(record(task_state=TaskState.PAUSING), overdue=True, **{**READY, "specGeneration": 0})
    assert isinstance(outcome, TaskFailed)


def test_time_is_no_matter_where_nothing_is_done() -> None:
    assert judged(record(), overdue=True, **READY) == Nothing()


def test_nothing_is_waited_for_of_a_machine_that_is_gone() -> None:
    row = record(vm_state=VmState.ERROR, task_state=TaskState.REBOOTING_HARD)
    outcome = judged(row, phase="Missing", specGeneration=1)
    assert isinstance(outcome, TaskFailed)
    assert outcome.reason == "MachineVanished"


def test_a_machine_that_its_host_cannot_make_whole_again_is_gone() -> None:
    status = {**READY, "powerState": "NoState", "fault": fault()}
    outcome = judged(record(vm_state=VmState.SUSPENDED), **status)
    assert isinstance(outcome, Vanished)
    assert "cannot be mended: the disk is full" in outcome.message
    assert judged(record(vm_state=VmState.ERROR), **status) == Nothing()
    assert judged(record(), **{**status, "fault": fault(permanent=False)}) == Nothing()


def test_a_host_that_gave_up_still_says_what_the_machine_does() -> None:
    fault = {"reason": "NoSpace", "message": "full", "permanent": True, "specGeneration": 2}
    found = guest(2, phase="Ready", powerState="Crashed", specGeneration=1, fault=fault)
    outcome = judge(record(), found, overdue=False)
    assert isinstance(outcome, Drifted)
    assert outcome.vm_state is VmState.STOPPED
