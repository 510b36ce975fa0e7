"""Evacuation, and rebuild: disks are made anew, on another host or on its own."""

from __future__ import annotations

from cairn_crds.guest_operation import OperationKind
from cairn_database import TaskState
from cairn_database.records import MoveKind
from cairn_database.steps import Holding, Step
from cairn_operator.conductor.flows.endings import break_off
from cairn_operator.conductor.flows.situation import REMOVE, Next, Situation

T, K = TaskState, OperationKind


def rebuild(s: Situation) -> Next:
    """On its own host: the disks are made anew. Of an evacuation: a host has been found."""
    move = s.record.move
    if move is not None and move.kind is MoveKind.EVACUATION:
        if s.record.awaiting_host:
            return None
        if s.elsewhere or s.other is not None:  # a move that was under way may have brought it there
            return break_off(s, s.failure or "") if s.overdue else None
        if not s.is_removed:
            return REMOVE
        return Step(
            task_state=T.REBUILD_SPAWNING,
            host=move.destination,
            holding=Holding.MOVE_ON,
            migration="migrating",
        )
    if s.failure is not None:
        return break_off(s, s.failure)
    if not s.has_reached:
        return None
    details = s.detail(baseImage=None)
    return Step(task_state=None, vm_state=s.vm_state, power_state=s.power, details=details)


def spawn_evacuated(s: Situation) -> Next:
    """The new host has made it."""
    if s.failure is not None:
        return break_off(s, s.failure)
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
