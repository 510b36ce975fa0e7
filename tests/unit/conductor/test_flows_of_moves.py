"""Moves from host to host, told from one step to the next; and each way that they can go wrong."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cairn_crds.guest_operation import OperationKind
from cairn_database import TaskState, VmState
from cairn_database.records import MoveKind, Operation
from cairn_database.steps import Holding, Step
from cairn_operator.conductor.flows import REMOVE, REMOVE_OTHER
from cairn_operator.conductor.guest_spec import build_spec, guests_of
from unit.conductor.tales import LARGE, MOVE, SMALL, Tale, moving

T, K = TaskState, OperationKind


def test_a_resize_to_another_host_from_beginning_to_confirmation() -> None:
    tale = Tale(moving(MoveKind.RESIZE, T.RESIZE_PREP, awaiting_host=True, move={"destination": None}))
    tale.ready("h1")
    assert tale.next() is None, "the scheduler's turn"
    assert tale.told() == {"h1": ("Running", None)}
    tale.row = moving(MoveKind.RESIZE, T.RESIZE_PREP)

    assert tale.goes().task_state is T.RESIZE_MIGRATING
    assert tale.told() == {"h1": ("Stopped", K.RELEASE_DISKS)}
    assert tale.next() is None, "until it is off"

    step = tale.done("h1", "Shutdown").goes()
    assert (step.host, step.flavor, step.holding) == ("h2", LARGE, Holding.SWAP)
    assert tale.told() == {"h2": ("Running", K.FETCH_DISKS), "h1": ("Stopped", K.RELEASE_DISKS)}
    views = {view.host: build_spec(view) for view in guests_of(tale.row)}
    assert (views["h1"].memory_mib, views["h2"].memory_mib) == (512, 1024)
    assert views["h1"].fencing_epoch < views["h2"].fencing_epoch
    assert not views["h2"].launched
    assert tale.next() is None

    step = tale.done("h2").goes()
    assert (step.task_state, step.vm_state, step.migration) == (None, VmState.RESIZED, "finished")
    assert tale.told() == {"h2": ("Running", None), "h1": ("Stopped", K.RELEASE_DISKS)}

    tale.row = replace(tale.row, task_state=T.RESIZE_CONFIRMING)
    assert tale.told() == {"h2": ("Running", None)}, "h1 is to remove what it has"
    assert tale.next() is REMOVE_OTHER
    assert tale.host("h1").next() is REMOVE_OTHER, "that its Guest is gone may be anybody's doing"
    step = tale.goes(is_removed=True)
    assert (step.vm_state, step.move, step.holding) == (VmState.ACTIVE, None, Holding.DROP_OTHER)
    assert step.migration == "confirmed"


def test_a_revert_removes_the_new_machine_before_the_old_one_starts() -> None:
    row = moving(MoveKind.RESIZE, T.RESIZE_REVERTING, host="h2", flavor=LARGE, vm_state=VmState.RESIZED)
    tale = Tale(row).ready("h2").ready("h1", "Shutdown")
    assert tale.next() is REMOVE
    assert tale.told() == {"h1": ("Stopped", K.RELEASE_DISKS)}
    step = tale.goes(is_removed=True)
    assert (step.host, step.flavor, step.holding) == ("h1", SMALL, Holding.SWAP)
    assert tale.told() == {"h1": ("Running", None)}
    step = tale.host("h2").ready("h1").goes()
    assert (step.task_state, step.vm_state, step.migration) == (None, VmState.ACTIVE, "reverted")
    assert step.error is None


def test_a_resize_on_the_same_host_keeps_what_it_was_until_it_is_confirmed() -> None:
    tale = Tale(moving(MoveKind.RESIZE, T.RESIZE_PREP, move={"destination": "h1"})).ready("h1")
    step = tale.goes()
    assert (step.task_state, step.flavor, step.holding) == (T.RESIZE_FINISH, LARGE, Holding.SWAP)
    assert tale.told() == {"h1": ("Running", K.RESIZE)}
    assert tale.done("h1").goes().vm_state is VmState.RESIZED
    resized = tale.row

    tale.row = replace(resized, task_state=T.RESIZE_CONFIRMING)
    tale.goes()
    assert tale.operation.kind is K.CONFIRM_RESIZE
    assert tale.next() is None, "the answer to an earlier operation is none to this one"
    assert tale.done("h1").goes().migration == "confirmed"

    tale.row = replace(resized, task_state=T.RESIZE_REVERTING)
    step = tale.goes()
    assert (tale.operation.kind, step.flavor) == (K.REVERT_RESIZE, SMALL)
    step = tale.done("h1").goes()
    assert (step.vm_state, step.migration, step.holding) == (VmState.ACTIVE, "reverted", Holding.DROP_OTHER)


def test_a_resize_that_cannot_leave_leaves_the_old_machine_running() -> None:
    tale = Tale(moving(MoveKind.RESIZE, T.RESIZE_PREP)).ready("h1")
    tale.goes()
    step = tale.failed("h1").goes()
    assert (step.task_state, step.move, step.error) == (None, None, "no way")
    assert (step.holding, step.migration, step.vm_state) == (Holding.DROP_OTHER, "error", None)
    assert tale.row.spec["flavor"] == "small"
    assert tale.told() == {"h1": ("Running", None)}


def test_a_resize_that_cannot_arrive_goes_back_and_says_why() -> None:
    tale = Tale(moving(MoveKind.RESIZE, T.RESIZE_PREP)).ready("h1")
    tale.goes()
    tale.done("h1", "Shutdown").goes()
    step = tale.failed("h2").goes()
    assert step.task_state is T.RESIZE_REVERTING
    assert tale.next() is REMOVE
    tale.goes(is_removed=True)
    step = tale.host("h2").ready("h1").goes()
    assert (step.vm_state, step.migration, step.error) == (VmState.ACTIVE, "error", "no way")
    assert (step.fault, tale.row.spec["flavor"], tale.row.host) == (True, "small", "h1")


def test_a_resize_on_the_same_host_that_fails_is_as_before() -> None:
    tale = Tale(moving(MoveKind.RESIZE, T.RESIZE_PREP, move={"destination": "h1"})).ready("h1")
    tale.goes()
    step = tale.failed("h1").goes()
    assert (step.move, step.flavor, step.holding) == (None, SMALL, Holding.MOVE_ON)
    assert (step.task_state, tale.row.vm_state, step.error) == (None, VmState.ACTIVE, "no way")


def test_a_destination_that_still_has_something_of_it_is_waited_for() -> None:
    for kind, task in ((MoveKind.RESIZE, T.RESIZE_PREP), (MoveKind.LIVE, T.MIGRATING)):
        tale = Tale(moving(kind, task)).ready("h1").host("h2", phase="Ready")
        assert tale.next() is None
        assert list(tale.told()) == ["h1"]
        assert isinstance(tale.host("h2").next(), Step)


def test_a_live_migration_from_beginning_to_end() -> None:
    tale = Tale(moving(MoveKind.LIVE, T.MIGRATING)).ready("h1")
    assert tale.goes().migration == "preparing"
    assert tale.told() == {"h1": ("Running", None), "h2": ("Running", K.PREPARE_INCOMING)}
    views = {view.host: build_spec(view) for view in guests_of(tale.row)}
    assert views["h2"].fencing_epoch == views["h1"].fencing_epoch + 1
    assert not views["h2"].launched
    assert tale.next() is None

    prepared = {"id": MOVE, "phase": "Done", "result": {"address": "tcp://h2"}}
    tale.host("h2", phase="Prepared", specGeneration=1, operation=prepared)
    assert tale.goes().migration == "running"
    spec = build_spec(guests_of(tale.row)[0])
    assert spec.operation is not None
    assert spec.operation.destination is not None
    assert (spec.operation.destination.host, spec.operation.destination.address) == ("h2", "tcp://h2")
    assert list(tale.told()) == ["h1", "h2"]
    assert tale.next() is None

    done = {"id": MOVE, "phase": "Done"}
    step = tale.host("h1", phase="Moved", specGeneration=1, operation=done).goes()
    assert (step.host, step.holding, step.task_state) == ("h2", Holding.MOVE_ON, T.MIGRATING)
    assert tale.told() == {"h2": ("Running", K.PREPARE_INCOMING)}, "nothing new to reach"
    assert tale.next() is None
    step = tale.ready("h2").goes()
    assert (step.task_state, step.vm_state, step.migration) == (None, VmState.ACTIVE, "completed")


@pytest.mark.parametrize(("reason", "status"), [("Aborted", "cancelled"), ("MigrationFailed", "failed")])
def test_a_live_migration_that_fails_runs_on_where_it_was(reason: str, status: str) -> None:
    row = moving(MoveKind.LIVE, T.MIGRATING, operation=Operation(MOVE, K.LIVE_MIGRATE, "h1"))
    tale = Tale(row).failed("h1", reason).host("h2", phase="Prepared")
    step = tale.goes()
    assert (step.move, step.migration, step.vm_state) == (None, status, None)
    assert (step.holding, step.fault) == (Holding.DROP_OTHER, status == "failed")
    assert tale.told() == {"h1": ("Running", None)}


def test_a_live_migration_can_be_aborted_before_it_copies_anything() -> None:
    waiting = moving(
        MoveKind.LIVE, T.MIGRATING, awaiting_host=True, move={"destination": None, "abort": True}
    )
    assert Tale(waiting).ready("h1").goes().migration == "cancelled"
    preparing = moving(
        MoveKind.LIVE, T.MIGRATING, operation=Operation(MOVE, K.PREPARE_INCOMING, "h2"), move={"abort": True}
    )
    assert Tale(preparing).ready("h1").goes().migration == "cancelled"


def test_a_source_that_dies_after_handing_over_does_not_hold_up_the_migration() -> None:
    row = moving(MoveKind.LIVE, T.MIGRATING, operation=Operation(MOVE, K.LIVE_MIGRATE, "h1"))
    tale = Tale(row).ready("h1").ready("h2")
    assert tale.next() is None, "the source may still say otherwise"
    for known in ({"is_cut_off": True}, {"overdue": True}):
        tale.row = row
        assert tale.goes(**known).host == "h2", "never is the only machine taken for a leftover"


def test_an_evacuation_takes_the_old_machine_away_before_it_makes_the_new_one() -> None:
    row = moving(MoveKind.EVACUATION, T.REBUILDING, move={"destination": None}, awaiting_host=True)
    tale = Tale(row)
    assert tale.next() is None
    tale.row = moving(MoveKind.EVACUATION, T.REBUILDING)
    assert tale.told() == {}, "h1 is to remove what it has, and nobody has anything yet"
    assert tale.next() is REMOVE
    assert tale.next(is_removed=True, elsewhere=True) is None, "a move before may have brought it there"
    assert tale.host("h2", phase="Ready").next(is_removed=True) is None, "or there"
    step = tale.host("h2").goes(is_removed=True)
    assert (step.host, step.holding, step.task_state) == ("h2", Holding.MOVE_ON, T.REBUILD_SPAWNING)
    assert tale.told() == {"h2": ("Running", None)}
    (view,) = guests_of(tale.row)
    assert not build_spec(view).launched
    step = tale.ready("h2").goes()
    assert (step.vm_state, step.migration, step.launched) == (VmState.ACTIVE, "done", True)


def test_a_stopped_instance_is_evacuated_and_stays_stopped() -> None:
    row = moving(MoveKind.EVACUATION, T.REBUILD_SPAWNING, host="h2", spec={"powerState": "Stopped"})
    assert Tale(row).ready("h2", "Shutdown").goes().vm_state is VmState.STOPPED
