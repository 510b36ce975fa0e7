"""Tasks of several steps that are no moves, told from one step to the next; and that each of them ends."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from cairn_crds.guest_operation import OperationKind
from cairn_crds.instance import DesiredPower
from cairn_database import InstanceRecord, TaskState, VmState
from cairn_database.records import Move, MoveKind, Operation
from cairn_database.steps import Holding
from cairn_operator.conductor.flows import FLOWS, REMOVE
from cairn_operator.conductor.guest_spec import build_spec, guests_of
from unit.conductor.records import record
from unit.conductor.tales import MOVE, Tale, moving

T, K = TaskState, OperationKind


def operating(kind: OperationKind, task: TaskState, **changes: Any) -> InstanceRecord:
    return record(task_state=task, operation=Operation(MOVE, kind, "h1", changes.pop("given", {})), **changes)


@pytest.mark.parametrize(
    ("kind", "task", "becomes"),
    [
        (K.REBUILD, T.REBUILDING, VmState.ACTIVE),
        (K.RESCUE, T.RESCUING, VmState.RESCUED),
        (K.UNRESCUE, T.UNRESCUING, VmState.ACTIVE),
        (K.SNAPSHOT, T.IMAGE_SNAPSHOT, VmState.ACTIVE),
        (K.SNAPSHOT, T.IMAGE_BACKUP, VmState.ACTIVE),
        (K.SET_PASSWORD, T.UPDATING_PASSWORD, VmState.ACTIVE),
    ],
)
def test_an_operation_ends_its_task(kind: OperationKind, task: TaskState, becomes: VmState) -> None:
    tale = Tale(operating(kind, task)).ready("h1")
    assert tale.next() is None, "not done yet"
    step = tale.done("h1").goes()
    assert (step.task_state, tale.row.vm_state, step.operation) == (None, becomes, None)
    assert step.error is None


@pytest.mark.parametrize(
    ("kind", "task", "becomes"),
    [
        (K.REBUILD, T.REBUILDING, VmState.ERROR),
        (K.RESCUE, T.RESCUING, VmState.ACTIVE),
        (K.UNRESCUE, T.UNRESCUING, VmState.RESCUED),
        (K.SNAPSHOT, T.IMAGE_SNAPSHOT, VmState.ACTIVE),
        (K.SET_PASSWORD, T.UPDATING_PASSWORD, VmState.ACTIVE),
    ],
)
def test_an_operation_that_fails_says_so(kind: OperationKind, task: TaskState, becomes: VmState) -> None:
    was = VmState.RESCUED if kind is K.UNRESCUE else VmState.ACTIVE
    tale = Tale(operating(kind, task, vm_state=was))
    step = tale.failed("h1").goes()
    assert (step.task_state, tale.row.vm_state, step.error) == (None, becomes, "no way")
    assert step.fault


@pytest.mark.parametrize("task", sorted(FLOWS))
def test_every_task_ends_when_its_time_is_over(task: TaskState) -> None:
    """Unless it waits for a host to clear what it has: only an administrator can say that the host is
    gone."""
    kinds = {
        T.MIGRATING: MoveKind.LIVE,
        T.REBUILD_SPAWNING: MoveKind.EVACUATION,
        T.UNSHELVING: MoveKind.UNSHELVE,
    }
    needs_move = task.value.startswith("resize") or task in kinds
    row = moving(kinds.get(task, MoveKind.RESIZE), task) if needs_move else record(task_state=task)
    tale = Tale(row).host("h1", phase="Ready", specGeneration=0).host("h2", phase="Prepared")
    if task in (T.RESIZE_PREP, T.MIGRATING):
        tale.host("h2")
    seen = []
    for _ in range(8):
        decided = tale.next(overdue=True)
        if decided is REMOVE:
            tale.goes(overdue=True, is_removed=True)
        else:
            tale.goes(overdue=True)
        seen.append(tale.row.task_state)
        if tale.row.task_state is None:
            return
    pytest.fail(f"went on and on: {seen}")


def test_shelving_leaves_an_image_and_nothing_else() -> None:
    given = {"imageId": "img-1", "url": "http://store/img-1", "shutDown": True}
    row = operating(K.SNAPSHOT, T.SHELVING, given=given, spec={"powerState": "Shelved"})
    tale = Tale(row)
    assert tale.told() == {"h1": ("Stopped", K.SNAPSHOT)}
    assert tale.next() is None
    step = tale.done("h1", "Shutdown", sha256="f" * 64, diskFormat="qcow2").goes()
    assert (step.task_state, step.vm_state) == (T.SHELVING_OFFLOADING, VmState.SHELVED)
    assert tale.row.details["shelvedImage"]["sha256"] == "f" * 64
    assert tale.told() == {}
    assert tale.next() is REMOVE
    step = tale.goes(is_removed=True)
    assert (step.vm_state, step.host, step.holding) == (VmState.SHELVED_OFFLOADED, None, Holding.DROP_ALL)

    tale.row = replace(
        tale.row,
        task_state=T.UNSHELVING,
        host="h3",
        move=Move(MOVE, MoveKind.UNSHELVE, None, VmState.SHELVED_OFFLOADED, destination="h3"),
        request=tale.row.request | {"spec": tale.row.spec | {"powerState": "Running"}},
    )
    (view,) = guests_of(tale.row)
    spec = build_spec(view)
    assert (spec.image.sha256, spec.launched, spec.power_state) == ("f" * 64, False, DesiredPower.RUNNING)
    step = tale.ready("h3").goes()
    assert (step.vm_state, step.move, step.launched) == (VmState.ACTIVE, None, True)
    assert "shelvedImage" not in tale.row.details
    assert build_spec(guests_of(tale.row)[0]).image.sha256 == "f" * 64, "its disk still refers to it"


def test_what_stays_shelved_on_its_host_is_just_started_again() -> None:
    given = {"imageId": "img-1", "url": "http://store/img-1"}
    tale = Tale(operating(K.SNAPSHOT, T.SHELVING, given=given))
    step = tale.done("h1", "Shutdown", sha256="f" * 64).goes(offloads_at_once=False)
    assert (step.task_state, step.vm_state) == (None, VmState.SHELVED)
    tale.row = replace(tale.row, task_state=T.UNSHELVING)
    assert tale.ready("h1").goes().vm_state is VmState.ACTIVE


def test_an_unshelving_that_fails_leaves_it_shelved() -> None:
    row = moving(
        MoveKind.UNSHELVE,
        T.UNSHELVING,
        host="h2",
        vm_state=VmState.SHELVED_OFFLOADED,
        was=VmState.SHELVED_OFFLOADED,
    )
    fault = {"reason": "NoSpace", "message": "full", "permanent": True, "specGeneration": 1}
    tale = Tale(row).host("h2", phase="Failed", fault=fault)
    assert tale.goes().task_state is T.UNSHELVING
    assert tale.told() == {}
    assert tale.next() is REMOVE
    step = tale.host("h2").goes(is_removed=True)
    assert (step.vm_state, step.host, step.task_state) == (VmState.SHELVED_OFFLOADED, None, None)
    assert step.error is not None
    assert tale.row.spec["powerState"] == "Shelved"


def test_soft_deleted_is_off_and_can_be_restored() -> None:
    tale = Tale(record(task_state=T.SOFT_DELETING, spec={"powerState": "Stopped"}))
    assert tale.ready("h1", "Shutdown").goes().vm_state is VmState.SOFT_DELETED
    tale.row = replace(tale.row, task_state=T.RESTORING)
    assert tale.ready("h1").goes().vm_state is VmState.ACTIVE
