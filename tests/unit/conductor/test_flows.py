"""The tasks of several steps, told from one step to the next; and each way that they can go wrong."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest

from cairn_crds import Guest
from cairn_crds.guest import node_namespace
from cairn_crds.guest_operation import OperationKind
from cairn_crds.instance import DesiredPower
from cairn_database import InstanceRecord, TaskState, VmState
from cairn_database.records import Move, MoveKind, Operation
from cairn_database.steps import UNCHANGED, Holding, Step
from cairn_operator.conductor.flows import FLOWS, REMOVE, Next, Situation
from cairn_operator.conductor.guest_spec import build_spec, guests_of
from unit.conductor.records import guest, record

MOVE = "aaaaaaaa-1111-4222-8333-444455556666"
LARGE = {"name": "large", "vcpus": 4, "memoryMiB": 1024, "diskGiB": 9}
SMALL = {"name": "small", "vcpus": 2, "memoryMiB": 512, "diskGiB": 5}
T, K = TaskState, OperationKind


def moving(kind: MoveKind, task: TaskState, **changes: Any) -> InstanceRecord:
    """An instance on h1 that is to move to h2."""
    resize = {"old_flavor": SMALL, "new_flavor": LARGE} if kind is MoveKind.RESIZE else {}
    values: dict[str, Any] = {"destination": "h2", **resize, **changes.pop("move", {})}
    source = None if kind is MoveKind.UNSHELVE else "h1"
    move = Move(MOVE, kind, source, changes.pop("was", VmState.ACTIVE), **values)
    return record(task_state=task, move=move, **changes)


class Tale:
    """A row, and what the hosts say: `goes` takes the next step and gives it back."""

    def __init__(self, row: InstanceRecord) -> None:
        self.row = row
        self.says: dict[str, dict[str, Any]] = {}
        self.given: dict[str, Any] = {}

    def host(self, name: str, **status: Any) -> Tale:
        """The Guest on that host has this status; without any, there is none."""
        if status:
            self.says[name] = status
        else:
            self.says.pop(name, None)
        return self

    def ready(self, name: str, power: str = "Running", **status: Any) -> Tale:
        """The host has done everything that its Guest says."""
        return self.host(name, phase="Ready", specGeneration=1, powerState=power, **status)

    def done(self, name: str, power: str = "Running", **result: str) -> Tale:
        """And the row's operation with it."""
        operation = {"id": self.operation.id, "phase": "Done", "result": result}
        return self.ready(name, power, operation=operation)

    def failed(self, name: str, reason: str = "OperationFailed") -> Tale:
        """The operation could not be done, and the machine is as it was."""
        operation = {"id": self.operation.id, "phase": "Failed", "reason": reason, "message": "no way"}
        return self.ready(name, operation=operation)

    @property
    def operation(self) -> Operation:
        assert self.row.operation is not None
        return self.row.operation

    @property
    def move(self) -> Move:
        assert self.row.move is not None
        return self.row.move

    def next(self, **given: Any) -> Next:
        """What comes next, without taking it."""
        assert self.row.task_state is not None
        return FLOWS[self.row.task_state](
            Situation(self.row, self._guest(self.row.host), self._guest(self.row.other_host), **given)
        )

    def goes(self, **given: Any) -> Step:
        """Take the next step."""
        step = self.next(**given)
        assert isinstance(step, Step), step
        names = {field.name for field in fields(InstanceRecord)} & {field.name for field in fields(Step)}
        changes = {name: getattr(step, name) for name in names}
        changes = {
            name: value
            for name, value in changes.items()
            if value is not UNCHANGED
            and (value is not None or name in ("task_state", "operation", "move", "host"))
        }
        if step.host is not UNCHANGED:
            changes["fencing_epoch"] = self.row.fencing_epoch + 1
        self.row = replace(self.row, **changes)
        return step

    def _guest(self, host: str | None) -> Guest | None:
        if host is None or host not in self.says:
            return None
        found = guest(**self.says[host])
        return found.model_copy(
            update={"metadata": found.metadata.model_copy(update={"namespace": node_namespace(host)})}
        )

    def told(self) -> dict[str | None, tuple[str, OperationKind | None]]:
        """What each host is told: the power, and the operation."""
        views = {view.host: build_spec(view) for view in guests_of(self.row)}
        return {
            host: (spec.power_state.value, spec.operation.kind if spec.operation else None)
            for host, spec in views.items()
        }


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
    assert tale.next() is None
    step = tale.host("h1").goes()
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
