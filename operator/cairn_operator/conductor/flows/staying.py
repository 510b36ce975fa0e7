"""What is done to an instance where it is: rescue, snapshot, password, soft deletion."""

from __future__ import annotations

from dataclasses import replace

from cairn_database import VmState
from cairn_database.steps import Step
from cairn_operator.conductor.flows.endings import break_off, give_up
from cairn_operator.conductor.flows.situation import Next, Situation


def rescue(s: Situation) -> Next:
    """It runs from the rescue image."""
    if s.failure is not None:
        return give_up(s, s.failure, rescue=None)
    if not s.has_reached:
        return None
    return Step(task_state=None, vm_state=VmState.RESCUED, power_state=s.power)


def unrescue(s: Situation) -> Next:
    """It runs from its own disk."""
    if s.failure is not None:
        return replace(give_up(s, s.failure, rescue={}), vm_state=VmState.RESCUED)
    if not s.has_reached:
        return None
    return Step(task_state=None, vm_state=s.vm_state, power_state=s.power)


def operate(s: Situation) -> Next:
    """A snapshot, a password: the instance is what it was."""
    if s.failure is not None:
        return give_up(s, s.failure)
    return Step(task_state=None) if s.operation is not None else None


def soft_delete(s: Situation) -> Next:
    """It is off, and waits to be reclaimed."""
    if s.failure is not None:
        return give_up(s, s.failure)
    if not s.has_reached:
        return None
    return Step(task_state=None, vm_state=VmState.SOFT_DELETED, power_state=s.power)


def restore(s: Situation) -> Next:
    """It runs again."""
    if s.failure is not None:
        return break_off(s, s.failure)
    if not s.has_reached:
        return None
    return Step(task_state=None, vm_state=s.vm_state, power_state=s.power)
