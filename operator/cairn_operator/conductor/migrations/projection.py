"""What a Migration shows: a pure function of the row in `migrations`, and of why something was refused."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cairn_crds import Condition, ConditionStatus, Migration
from cairn_crds.conditions import merge_conditions
from cairn_crds.guest_operation import OperationProgress
from cairn_crds.migration import MigrationPhase, MigrationStatus
from cairn_database.moves import MigrationRecord

T, F = ConditionStatus.TRUE, ConditionStatus.FALSE
P = MigrationPhase
LONGEST_MESSAGE = 4096

PHASES: dict[str, MigrationPhase] = {
    "queued": P.SCHEDULING,
    "accepted": P.SCHEDULING,
    "preparing": P.MIGRATING,
    "pre-migrating": P.MIGRATING,
    "running": P.MIGRATING,
    "migrating": P.MIGRATING,
    "post-migrating": P.MIGRATING,
    "finished": P.FINISHED,
    "confirming": P.CONFIRMING,
    "reverting": P.REVERTING,
    "confirmed": P.COMPLETED,
    "completed": P.COMPLETED,
    "done": P.COMPLETED,
    "reverted": P.REVERTED,
    "cancelled": P.ABORTED,
    "failed": P.FAILED,
    "error": P.FAILED,
}
"""By Nova's word for a migration's status. While it has no destination it is Scheduling."""
ENDED = frozenset({P.COMPLETED, P.REVERTED, P.FAILED, P.ABORTED})
PASSING = frozenset({P.PENDING, P.SCHEDULING, P.MIGRATING, P.CONFIRMING, P.REVERTING})
"""Phases that go by themselves, and may be over before anybody looks."""


@dataclass(frozen=True)
class Refused:
    """Something that a Migration asks for, and does not get."""

    reason: str
    """One CamelCase word."""
    message: str


def phase_of(row: MigrationRecord) -> MigrationPhase:
    """How far the move is."""
    phase = PHASES.get(row.status, P.MIGRATING)
    return P.SCHEDULING if phase is P.MIGRATING and row.destination is None else phase


def project(
    migration: Migration, row: MigrationRecord, refused: Refused | None, now: datetime
) -> MigrationStatus:
    """The status of a migration that has been begun; `refused`: what it asks for now and does not get."""
    phase = phase_of(row)
    accepted = Condition(
        type="Accepted", status=T, reason="Recorded", message=f"Recorded as migration {row.number}."
    )
    conditions = [accepted, _completed(phase, row.message)]
    if refused is not None:
        conditions.append(_condition("SpecApplied", refused))
    return MigrationStatus(
        phase=phase,
        migration_id=row.id,
        source=row.source,
        destination=row.destination,
        old_flavor=_name(row.old_flavor),
        new_flavor=_name(row.new_flavor),
        progress=OperationProgress.model_validate(row.progress) if row.progress else None,
        percent=percent(row.progress, phase),
        started_at=row.created_at,
        ended_at=row.ended_at,
        message=row.message[:LONGEST_MESSAGE] if row.message else None,
        observed_generation=migration.metadata.generation,
        conditions=merge_conditions(migration.status.conditions, conditions, now),
    )


def project_refusal(migration: Migration, refused: Refused, now: datetime) -> MigrationStatus:
    """The status of one that was not begun, and will not be."""
    conditions = [_condition("Accepted", refused), _completed(P.FAILED, refused.message)]
    return MigrationStatus(
        phase=P.FAILED,
        ended_at=migration.status.ended_at or now,
        message=refused.message[:LONGEST_MESSAGE],
        reason=refused.reason,
        observed_generation=migration.metadata.generation,
        conditions=merge_conditions(migration.status.conditions, conditions, now),
    )


def percent(progress: dict[str, Any] | None, phase: MigrationPhase) -> int | None:
    """How much of what there is to copy has been copied; memory that the guest changes is copied again, so
    that this may fall."""
    if not progress:
        return None
    if phase in (P.COMPLETED, P.FINISHED):
        return 100
    shown = OperationProgress.model_validate(progress)
    total = shown.memory_total_bytes + shown.disk_total_bytes
    left = shown.memory_remaining_bytes + shown.disk_remaining_bytes
    return max(0, min(99, 100 * (total - left) // total)) if total else None


def _condition(type_: str, refused: Refused) -> Condition:
    return Condition(type=type_, status=F, reason=refused.reason, message=refused.message[:LONGEST_MESSAGE])


def _completed(phase: MigrationPhase, message: str | None) -> Condition:
    text = (message or _TEXTS.get(phase, f"It is {phase}."))[:LONGEST_MESSAGE]
    return Condition(type="Completed", status=T if phase is P.COMPLETED else F, reason=phase, message=text)


_TEXTS = {
    P.SCHEDULING: "The scheduler is looking for a host.",
    P.MIGRATING: "It is on its way.",
    P.FINISHED: "It has arrived: set spec.decision to Confirm, or to Revert.",
    P.CONFIRMING: "What the old host keeps of it is being removed.",
    P.REVERTING: "It is on its way back.",
    P.COMPLETED: "It has arrived, and nothing is left where it was.",
    P.REVERTED: "It is back where, and what, it was.",
    P.ABORTED: "It was aborted, and the instance is where it was.",
}


def _name(flavor: dict[str, Any] | None) -> str | None:
    return str(flavor["name"]) if flavor else None
