"""Resize and cold migration, from the claim to the confirmation or back."""

from __future__ import annotations

from dataclasses import replace

from cairn_crds.guest_operation import OperationKind
from cairn_database import TaskState, VmState
from cairn_database.steps import Holding, Step
from cairn_operator.conductor.flows.endings import break_off, stay
from cairn_operator.conductor.flows.situation import REMOVE, REMOVE_OTHER, Next, Situation
from cairn_operator.conductor.power import DESIRED

T, K = TaskState, OperationKind


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
        return stay(s, s.failure)
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
        return replace(stay(s, s.failure), flavor=move.old_flavor, request=request, holding=Holding.MOVE_ON)
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
    elif not s.is_removed and not s.overdue:
        return REMOVE_OTHER
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
        return break_off(s, s.failure)
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
