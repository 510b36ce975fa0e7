"""What comes next in a task that takes several steps: resize, migrate, evacuate, shelve, rebuild, snapshot …

`FLOWS` has a function for each such task: pure, from what is recorded and what the hosts report to the step
to take (`cairn_database.steps.Step`), to `REMOVE` (the machine must go from its host first), or to None
(nothing yet). Whoever reads a flow from top to bottom reads a resize from top to bottom. The shell around is
`flow_running.py`.
"""

from __future__ import annotations

import enum
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from cairn_crds import Guest
from cairn_crds.guest import GuestPhase
from cairn_crds.guest_operation import GuestOperationStatus, OperationKind, OperationPhase
from cairn_crds.instance import DesiredPower, PowerState
from cairn_database import InstanceRecord, TaskState, VmState
from cairn_database.records import Json, Move, MoveKind, Operation
from cairn_database.steps import Holding, Step
from cairn_operator.conductor.outcome import current_fault
from cairn_operator.conductor.power import DESIRED, VM_STATES

T, K = TaskState, OperationKind


class Demand(enum.Enum):
    """What a flow asks for besides a step."""

    REMOVE = enum.auto()
    """Its own host is to have nothing of it any more; asked again then."""


REMOVE = Demand.REMOVE
Next = Step | Demand | None


@dataclass(frozen=True)
class Situation:
    """All that a flow decides by."""

    record: InstanceRecord
    own: Guest | None
    """The Guest on its own host."""
    other: Guest | None
    """The Guest on the other end of its move."""
    overdue: bool = False
    """The task has used up its time."""
    is_removed: bool = False
    """What was asked for by REMOVE has been done."""
    is_cut_off: bool = False
    """Its own host is down for good: an administrator says so."""
    offloads_at_once: bool = True
    """Whether a shelved instance leaves its host at once."""

    @property
    def move(self) -> Move:
        """The move that the task is about."""
        if self.record.move is None:
            raise ValueError(f"instance {self.record.id} is in {self.record.task_state} without a move")
        return self.record.move

    @property
    def operation(self) -> GuestOperationStatus | None:
        """What became of the row's operation; None while it is not over."""
        operation = self.record.operation
        if operation is None:
            return None
        guest = self.own if operation.host == self.record.host else self.other
        status = guest.status.operation if guest is not None else None
        if status is None or status.id != operation.id or status.phase is OperationPhase.RUNNING:
            return None
        return status

    @property
    def has_reached(self) -> bool:
        """The own host has done everything that its Guest says now."""
        guest = self.own
        return (
            guest is not None
            and guest.status.phase is GuestPhase.READY
            and guest.status.spec_generation >= guest.metadata.generation
            and self.failure is None
            and (self.record.operation is None or self.operation is not None)
        )

    @property
    def power(self) -> PowerState:
        """What the own host reports."""
        return self.own.status.power_state if self.own is not None else PowerState.NO_STATE

    @property
    def vm_state(self) -> VmState:
        """What an instance with that power is."""
        return VM_STATES.get(self.power, VmState.ERROR)

    @property
    def failure(self) -> str | None:
        """Why it cannot go on as it should, if so."""
        status = self.operation
        if status is not None and status.phase is OperationPhase.FAILED:
            return status.message or status.reason or "The operation failed."
        guest = self.own
        fault = current_fault(guest) if guest is not None else None
        if fault is not None and (fault.permanent or self.overdue):
            return f"Host {self.record.host}: {fault.message}"
        if guest is not None and guest.status.phase is GuestPhase.MISSING:
            return f"The machine is gone from host {self.record.host}, with its disks."
        if self.overdue:
            return f"Task '{self.record.task_state}' was not finished in time. Do the agents run?"
        return None

    def spec(self, **fields: Any) -> Json:
        """The row's request with these fields of the spec; None removes one."""
        spec = {**self.record.spec, **fields}
        return {**self.record.request, "spec": {name: v for name, v in spec.items() if v is not None}}

    def detail(self, **fields: Any) -> Json:
        """The row's details with these; None removes one."""
        details = {**self.record.details, **fields}
        return {name: value for name, value in details.items() if value is not None}

    def told(self, kind: OperationKind) -> bool:
        """Whether the row's operation is of that kind."""
        return self.record.operation is not None and self.record.operation.kind is kind

    def operate(self, kind: OperationKind, host: str | None, *, second: bool = False) -> Operation:
        """An operation of the move; `second`: the one that follows on the same host."""
        move_id = self.move.id
        return Operation(
            str(uuid.uuid5(uuid.UUID(move_id), kind.value)) if second else move_id, kind, host or ""
        )


# --- resize and cold migration ---------------------------------------------------------------------------


def prepare_resize(s: Situation) -> Next:
    """A host has been found: shut it down there, or, on the same host, resize it at once."""
    if s.record.awaiting_host:
        return None
    move = s.move
    if move.stays:
        return Step(
            task_state=T.RESIZE_FINISH,
            operation=s.operate(K.RESIZE, move.source),
            flavor=move.new_flavor,
            holding=Holding.SWAP,
            migration="migrating",
        )
    if s.other is not None:
        return None  # what it left there the last time has to go first
    return Step(
        task_state=T.RESIZE_MIGRATING,
        operation=s.operate(K.RELEASE_DISKS, move.source),
        migration="migrating",
    )


def leave(s: Situation) -> Next:
    """It is off, and its disks may be fetched: from here on it belongs to the destination."""
    move = s.move
    if s.failure is not None:
        return _stay(s, s.failure)
    if s.operation is None or not s.has_reached:
        return None
    return Step(
        task_state=T.RESIZE_FINISH,
        operation=s.operate(K.FETCH_DISKS, move.destination),
        host=move.destination,
        flavor=move.new_flavor,
        holding=Holding.SWAP,
        migration="post-migrating",
    )


def arrive(s: Situation) -> Next:
    """It is on the destination, and as it was before, or it goes back."""
    move = s.move
    if s.failure is not None and move.stays:
        request = s.spec(flavor=move.old_flavor["name"]) if move.old_flavor else None
        return replace(_stay(s, s.failure), flavor=move.old_flavor, request=request, holding=Holding.MOVE_ON)
    if s.failure is not None:
        request = s.spec(flavor=move.old_flavor["name"]) if move.old_flavor else None
        return Step(task_state=T.RESIZE_REVERTING, move=replace(move, failure=s.failure), request=request)
    if not s.has_reached:
        return None
    return Step(task_state=None, vm_state=VmState.RESIZED, power_state=s.power, migration="finished")


def confirm(s: Situation) -> Next:
    """Whatever is kept of what it was goes."""
    move = s.move
    if move.stays:
        if s.record.operation is None:
            drop = s.operate(K.CONFIRM_RESIZE, move.source, second=True)
            return Step(task_state=T.RESIZE_CONFIRMING, operation=drop)
        if s.operation is None and not s.overdue:
            return None
    elif s.other is not None and not s.overdue:
        return None
    return Step(
        task_state=None,
        vm_state=s.vm_state if s.vm_state in DESIRED else move.vm_state,
        power_state=s.power,
        move=None,
        holding=Holding.DROP_OTHER,
        migration="confirmed",
    )


def revert(s: Situation) -> Next:
    """Back to the host and flavor that it had."""
    move, record = s.move, s.record
    if move.stays:
        if not s.told(K.REVERT_RESIZE):
            return Step(
                task_state=T.RESIZE_REVERTING,
                operation=s.operate(K.REVERT_RESIZE, move.source, second=True),
                flavor=move.old_flavor,
                holding=Holding.SWAP,
            )
    elif record.host == move.destination:
        if not s.is_removed:
            return REMOVE
        return Step(
            task_state=T.RESIZE_REVERTING, host=move.source, flavor=move.old_flavor, holding=Holding.SWAP
        )
    if s.failure is not None:
        return _break(s, s.failure)
    if not s.has_reached:
        return None
    return Step(
        task_state=None,
        vm_state=s.vm_state,
        power_state=s.power,
        move=None,
        holding=Holding.DROP_OTHER,
        migration="error" if move.failure else "reverted",
        error=move.failure,
        fault=move.failure is not None,
    )


# --- live migration --------------------------------------------------------------------------------------


def live_migrate(s: Situation) -> Next:
    """The destination prepares, the source sends, the destination has it."""
    record, move = s.record, s.move
    if record.awaiting_host:
        return _stay(s, "The migration was aborted.", "cancelled") if move.abort else None
    if record.host == move.destination:
        return _landed(s)
    if record.operation is None:
        if s.other is not None:
            return None  # what it left there the last time has to go first
        prepare = s.operate(K.PREPARE_INCOMING, move.destination)
        return Step(task_state=T.MIGRATING, operation=prepare, migration="preparing")
    if s.told(K.PREPARE_INCOMING):
        return _send(s)
    return _sent(s)


def _send(s: Situation) -> Next:
    move, status = s.move, s.operation
    if move.abort:
        return _stay(s, "The migration was aborted.", "cancelled")
    fault = current_fault(s.other) if s.other is not None else None
    if fault is not None and fault.permanent:
        return _stay(s, f"Host {move.destination}: {fault.message}", "failed")
    if s.failure is not None:
        return _stay(s, s.failure, "failed")
    if status is None:
        return None
    return Step(
        task_state=T.MIGRATING,
        operation=s.operate(K.LIVE_MIGRATE, move.source),
        move=replace(move, address=status.result.get("address", "")),
        migration="running",
    )


def _sent(s: Situation) -> Next:
    status = s.operation
    if status is not None and status.phase is OperationPhase.FAILED:
        aborted = status.reason == "Aborted"
        return _stay(s, status.message or "The migration failed.", "cancelled" if aborted else "failed")
    has_arrived = s.other is not None and s.other.status.phase is GuestPhase.READY
    if status is not None or (has_arrived and s.is_cut_off):
        return Step(
            task_state=T.MIGRATING,
            host=s.move.destination,
            holding=Holding.MOVE_ON,
            migration="post-migrating",
        )
    if s.failure is not None:
        return _break(s, s.failure)
    return None


def _landed(s: Situation) -> Next:
    if s.failure is not None:
        return _break(s, s.failure)
    if not s.has_reached:
        return None
    return Step(task_state=None, vm_state=s.vm_state, power_state=s.power, move=None, migration="completed")


# --- evacuation and rebuild ------------------------------------------------------------------------------


def rebuild(s: Situation) -> Next:
    """On its own host: the disks are made anew. Of an evacuation: a host has been found."""
    move = s.record.move
    if move is not None and move.kind is MoveKind.EVACUATION:
        if s.record.awaiting_host:
            return None
        return Step(
            task_state=T.REBUILD_SPAWNING,
            host=move.destination,
            holding=Holding.MOVE_ON,
            migration="migrating",
        )
    if s.failure is not None:
        return _break(s, s.failure)
    if not s.has_reached:
        return None
    details = s.detail(baseImage=None)
    return Step(task_state=None, vm_state=s.vm_state, power_state=s.power, details=details)


def spawn_evacuated(s: Situation) -> Next:
    """The new host has made it."""
    if s.failure is not None:
        return _break(s, s.failure)
    if not s.has_reached:
        return None
    return Step(
        task_state=None,
        vm_state=s.vm_state,
        power_state=s.power,
        move=None,
        migration="done",
        launched=True,
    )


# --- on the same host ------------------------------------------------------------------------------------


def rescue(s: Situation) -> Next:
    """It runs from the rescue image."""
    if s.failure is not None:
        return _give_up(s, s.failure, rescue=None)
    if not s.has_reached:
        return None
    return Step(task_state=None, vm_state=VmState.RESCUED, power_state=s.power)


def unrescue(s: Situation) -> Next:
    """It runs from its own disk."""
    if s.failure is not None:
        return replace(_give_up(s, s.failure, rescue={}), vm_state=VmState.RESCUED)
    if not s.has_reached:
        return None
    return Step(task_state=None, vm_state=s.vm_state, power_state=s.power)


def operate(s: Situation) -> Next:
    """A snapshot, a password: the instance is what it was."""
    if s.failure is not None:
        return _give_up(s, s.failure)
    return Step(task_state=None) if s.operation is not None else None


def soft_delete(s: Situation) -> Next:
    """It is off, and waits to be reclaimed."""
    if s.failure is not None:
        return _give_up(s, s.failure)
    if not s.has_reached:
        return None
    return Step(task_state=None, vm_state=VmState.SOFT_DELETED, power_state=s.power)


def restore(s: Situation) -> Next:
    """It runs again."""
    if s.failure is not None:
        return _break(s, s.failure)
    if not s.has_reached:
        return None
    return Step(task_state=None, vm_state=s.vm_state, power_state=s.power)


# --- shelving --------------------------------------------------------------------------------------------


def shelve(s: Situation) -> Next:
    """It is off, and there is an image of it."""
    if s.failure is not None:
        return _give_up(s, s.failure)
    if not s.has_reached or s.operation is None or s.record.operation is None:
        return None
    given, result = s.record.operation.given, s.operation.result
    image = {
        "id": given["imageId"],
        "name": given["imageId"],
        "url": given["url"],
        "sha256": result.get("sha256", ""),
        "diskFormat": result.get("diskFormat", "qcow2"),
        "properties": s.record.image.get("properties", {}),
    }
    return Step(
        task_state=T.SHELVING_OFFLOADING if s.offloads_at_once else None,
        vm_state=VmState.SHELVED,
        power_state=s.power,
        details=s.detail(shelvedImage=image),
    )


def offload(s: Situation) -> Next:
    """Nothing of it stays on the host."""
    if not s.is_removed:
        return REMOVE
    return Step(
        task_state=None,
        vm_state=VmState.SHELVED_OFFLOADED,
        power_state=PowerState.NO_STATE,
        host=None,
        holding=Holding.DROP_ALL,
        details=s.detail(baseImage=s.record.details.get("shelvedImage")),
    )


def unshelve(s: Situation) -> Next:
    """It is on a host again, made from the image of itself."""
    record = s.record
    if record.awaiting_host:
        return None
    move = record.move
    if move is not None and (s.failure is not None or move.failure is not None):
        failure = move.failure or s.failure
        if move.failure is None:
            return Step(task_state=T.UNSHELVING, move=replace(move, failure=failure))
        if not s.is_removed:
            return REMOVE
        return Step(
            task_state=None,
            vm_state=VmState.SHELVED_OFFLOADED,
            power_state=PowerState.NO_STATE,
            host=None,
            move=None,
            holding=Holding.DROP_ALL,
            request=s.spec(powerState=DesiredPower.SHELVED.value),
            error=failure,
            fault=True,
        )
    if s.failure is not None:
        return replace(
            _give_up(s, s.failure, powerState=DesiredPower.SHELVED.value), vm_state=VmState.SHELVED
        )
    if not s.has_reached:
        return None
    return Step(
        task_state=None,
        vm_state=s.vm_state,
        power_state=s.power,
        move=None,
        details=s.detail(shelvedImage=None),
        launched=move is not None,
    )


# --- going wrong -----------------------------------------------------------------------------------------


def _stay(s: Situation, message: str, migration: str = "error") -> Step:
    """The move has come to nothing, and the instance is where and what it was."""
    flavor = s.move.old_flavor
    return Step(
        task_state=None,
        move=None,
        holding=Holding.DROP_OTHER,
        request=s.spec(flavor=flavor["name"]) if flavor else None,
        migration=migration,
        error=message,
        fault=migration != "cancelled",
    )


def _give_up(s: Situation, message: str, **fields: Any) -> Step:
    """It could not be done, and the instance is what it was."""
    record = s.record
    if "powerState" not in fields and record.vm_state in DESIRED:
        fields["powerState"] = DESIRED[record.vm_state].value
    return Step(task_state=None, request=s.spec(**fields), error=message, fault=True)


def _break(s: Situation, message: str) -> Step:
    """It is not what it was, and not what it should be: somebody has to look."""
    move = s.record.move
    return Step(
        task_state=None,
        vm_state=VmState.ERROR,
        power_state=s.power,
        move=None,
        holding=Holding.DROP_OTHER,
        migration="error" if move is not None else None,
        error=message,
        fault=True,
    )


FLOWS: Mapping[TaskState, Callable[[Situation], Next]] = {
    T.RESIZE_PREP: prepare_resize,
    T.RESIZE_MIGRATING: leave,
    T.RESIZE_FINISH: arrive,
    T.RESIZE_CONFIRMING: confirm,
    T.RESIZE_REVERTING: revert,
    T.MIGRATING: live_migrate,
    T.REBUILDING: rebuild,
    T.REBUILD_SPAWNING: spawn_evacuated,
    T.RESCUING: rescue,
    T.UNRESCUING: unrescue,
    T.IMAGE_SNAPSHOT: operate,
    T.IMAGE_BACKUP: operate,
    T.UPDATING_PASSWORD: operate,
    T.SOFT_DELETING: soft_delete,
    T.RESTORING: restore,
    T.SHELVING: shelve,
    T.SHELVING_OFFLOADING: offload,
    T.UNSHELVING: unshelve,
}
"""By task: what comes next."""
