"""Live migration: the destination prepares, the source sends, the destination has it."""

from __future__ import annotations

from dataclasses import replace

from cairn_crds.guest import GuestPhase
from cairn_crds.guest_operation import OperationKind, OperationPhase
from cairn_database import TaskState
from cairn_database.steps import Holding, Step
from cairn_operator.conductor.flows.endings import break_off, stay
from cairn_operator.conductor.flows.situation import Next, Situation
from cairn_operator.conductor.outcome import current_fault

T, K = TaskState, OperationKind


def live_migrate(s: Situation) -> Next:
    """The destination prepares, the source sends, the destination has it."""
    record, move = s.record, s.move
    if record.awaiting_host:
        return stay(s, "The migration was aborted.", "cancelled") if move.abort else None
    if record.host == move.destination:
        return _landed(s)
    if s.other_is_down and not s.told(K.LIVE_MIGRATE) and s.operation is None:
        return stay(s, f"Host {move.destination} is down.", "failed")
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
        return stay(s, "The migration was aborted.", "cancelled")
    fault = current_fault(s.other) if s.other is not None else None
    if fault is not None and fault.permanent:
        return stay(s, f"Host {move.destination}: {fault.message}", "failed")
    if s.failure is not None:
        return stay(s, s.failure, "failed")
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
        return stay(s, status.message or "The migration failed.", "cancelled" if aborted else "failed")
    has_arrived = s.other is not None and s.other.status.phase is GuestPhase.READY
    if status is not None or (has_arrived and (s.is_cut_off or s.overdue)):
        return Step(
            task_state=T.MIGRATING,
            host=s.move.destination,
            holding=Holding.MOVE_ON,
            migration="post-migrating",
        )
    if s.failure is not None:
        return break_off(s, s.failure)
    return None


def _landed(s: Situation) -> Next:
    if s.failure is not None:
        return break_off(s, s.failure)
    if not s.has_reached:
        return None
    return Step(task_state=None, vm_state=s.vm_state, power_state=s.power, move=None, migration="completed")
