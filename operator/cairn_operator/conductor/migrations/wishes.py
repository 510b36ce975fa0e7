"""What a Migration's spec asks for while the move is under way: a decision, an abort, to be done with it.

A pure function; `controller` carries out what it says, in the transactions of the Compute API.
"""

from __future__ import annotations

import enum

from cairn_crds.migration import MigrationDecision, MigrationSpec
from cairn_database import InstanceRecord
from cairn_database.moves import ENDED, LIVE_UNDER_WAY, MigrationRecord
from cairn_database.records import Move, MoveKind
from cairn_operator.conductor.migrations.projection import Refused


class Wish(enum.Enum):
    """What to do now."""

    CONFIRM = enum.auto()
    REVERT = enum.auto()
    ABORT = enum.auto()
    FORCE_COMPLETE = enum.auto()


_DECIDED = {
    MigrationDecision.CONFIRM: (Wish.CONFIRM, frozenset({"confirming", "confirmed"})),
    MigrationDecision.REVERT: (Wish.REVERT, frozenset({"reverting", "reverted"})),
}
"""By decision: what to do, and the migration's status once that is being done."""


def wish_of(
    spec: MigrationSpec, row: MigrationRecord, record: InstanceRecord | None
) -> Wish | Refused | None:
    """What `spec` asks for now: None where that is nothing, has been done, or has its time later."""
    move = record.move if record is not None and not record.is_deleted else None
    if move is not None and move.id != row.id:
        move = None
    if spec.decision is not None:
        return _decision(spec.decision, row, move)
    if spec.abort:
        return _abort(row, move)
    if spec.force_complete:
        return _force_complete(row, move)
    return None


def _decision(decision: MigrationDecision, row: MigrationRecord, move: Move | None) -> Wish | Refused | None:
    wish, followed = _DECIDED[decision]
    if row.kind not in (MoveKind.RESIZE, MoveKind.MIGRATION):
        return Refused(
            "NothingToDecide", f"A {_word(row)} is not confirmed or reverted: it is over when it arrives."
        )
    if row.status in followed:
        return None
    if row.status == "finished" and move is not None:
        return wish
    if row.status in ENDED or row.status in ("confirming", "reverting"):
        return Refused("TooLate", f"The decision {decision} came too late: it is {row.status}.")
    return None  # it has not arrived yet


def _abort(row: MigrationRecord, move: Move | None) -> Wish | Refused | None:
    if row.kind is not MoveKind.LIVE:
        return Refused(
            "NotLive",
            f"A {_word(row)} cannot be aborted. Once it has arrived, spec.decision: Revert undoes it.",
        )
    if row.status == "cancelled" or (move is not None and move.abort):
        return None
    if row.status in LIVE_UNDER_WAY and move is not None:
        return Wish.ABORT
    return Refused("TooLate", f"It cannot be aborted any more: it is {row.status}.")


def _force_complete(row: MigrationRecord, move: Move | None) -> Wish | Refused | None:
    if row.kind is not MoveKind.LIVE:
        return Refused(
            "NotLive", f"A {_word(row)} takes as long as it takes: it cannot be forced to complete."
        )
    if row.status in ENDED or row.status == "post-migrating" or (move is not None and move.force_complete):
        return None
    return Wish.FORCE_COMPLETE if row.status == "running" and move is not None else None


def _word(row: MigrationRecord) -> str:
    words = {
        MoveKind.LIVE: "live migration",
        MoveKind.MIGRATION: "cold migration",
        MoveKind.EVACUATION: "evacuation",
        MoveKind.RESIZE: "resize",
    }
    return words.get(row.kind, str(row.kind))
