"""What a flow decides by, and what it may answer."""

from __future__ import annotations

import enum
import uuid
from dataclasses import dataclass
from typing import Any

from cairn_crds import Guest
from cairn_crds.guest import GuestPhase
from cairn_crds.guest_operation import GuestOperationStatus, OperationKind, OperationPhase
from cairn_crds.instance import PowerState
from cairn_database import InstanceRecord, VmState
from cairn_database.records import Json, Move, Operation
from cairn_database.steps import Step
from cairn_operator.conductor.outcome import current_fault
from cairn_operator.conductor.power import VM_STATES


class Demand(enum.Enum):
    """What a flow asks for besides a step."""

    REMOVE = enum.auto()
    """Its own host is to have nothing of it any more; asked again then."""
    REMOVE_OTHER = enum.auto()
    """So is the other end of its move."""


REMOVE, REMOVE_OTHER = Demand.REMOVE, Demand.REMOVE_OTHER
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
    """What was demanded has been done."""
    is_cut_off: bool = False
    """Its own host is down for good: an administrator says so."""
    other_is_down: bool = False
    """The host of the other end is not heard of, or an administrator says that it is down."""
    elsewhere: bool = False
    """A host that answers has a Guest of it that is no part of its move: what another move has left."""
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
