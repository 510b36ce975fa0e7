"""The ends that nobody asked for: as it was, given up, or broken."""

from __future__ import annotations

from typing import Any

from cairn_database import VmState
from cairn_database.records import MoveKind
from cairn_database.steps import Holding, Step
from cairn_operator.conductor.flows.situation import Situation
from cairn_operator.conductor.power import DESIRED


def _was_awaited(s: Situation) -> bool:
    """Whether another host was ordered to let it arrive, in the epoch that it would have had there."""
    move = s.record.move
    is_live = move is not None and move.kind is MoveKind.LIVE
    return is_live and s.record.host == s.move.source and s.record.operation is not None


def stay(s: Situation, message: str, migration: str = "error") -> Step:
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
        fences=_was_awaited(s),
    )


def give_up(s: Situation, message: str, **fields: Any) -> Step:
    """It could not be done, and the instance is what it was."""
    record = s.record
    if "powerState" not in fields and record.vm_state in DESIRED:
        fields["powerState"] = DESIRED[record.vm_state].value
    return Step(task_state=None, request=s.spec(**fields), error=message, fault=True)


def break_off(s: Situation, message: str) -> Step:
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
        fences=_was_awaited(s),
    )
