"""Migration: one move of an instance, to another host or to another flavor (Nova's migration).

Create one to migrate an instance; a resize, and what is asked for through the Compute API, gets one by
itself. It is kept for a while after it has ended.
"""

from __future__ import annotations

import enum
from datetime import datetime
from typing import Annotated, ClassVar

from pydantic import Field, StringConstraints

from cairn_crds.base import (
    Column,
    LongText,
    Model,
    ObjectName,
    Resource,
    ResourceKind,
    Rule,
    Scope,
    Text,
    Uuid,
)
from cairn_crds.conditions import Condition
from cairn_crds.flavor import AGE_COLUMN
from cairn_crds.guest_operation import OperationProgress


class MigrationType(enum.StrEnum):
    """How it moves."""

    LIVE = "Live"
    """While it runs (Nova's `os-migrateLive`)."""
    COLD = "Cold"
    """Shut down, and started on the other host; to be confirmed (Nova's `migrate`)."""
    EVACUATE = "Evacuate"
    """Made anew elsewhere, because its host is down for good (Nova's `evacuate`)."""
    RESIZE = "Resize"
    """To another flavor. Not to be created: change `Instance.spec.flavor`."""


class MigrationDecision(enum.StrEnum):
    """What is to become of a resize or a cold migration that has arrived."""

    CONFIRM = "Confirm"
    """What the old host keeps of it goes."""
    REVERT = "Revert"
    """Back to where, and what, it was."""


class MigrationSpec(Model):
    """What is asked for."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "self.instance == oldSelf.instance && self.type == oldSelf.type",
            "a Migration is of one instance and one type; make another",
        ),
    )

    instance: ObjectName
    """The Instance, in the same namespace."""
    type: MigrationType = MigrationType.LIVE
    host: ObjectName | None = None
    """The ComputeNode to go to; the scheduler's choice when left out."""
    copy_disks: bool | None = None
    """Live: copy the disks as well (Nova's `block_migration`); found out when left out."""
    decision: MigrationDecision | None = None
    """Set it once the status says Finished: what becomes of a resize or a cold migration."""
    abort: bool = False
    """Live: give up, and let it run on where it is."""
    force_complete: bool = False
    """Live: finish now, though the guest may stand still for a moment."""


class MigrationPhase(enum.StrEnum):
    """How far it is."""

    PENDING = "Pending"
    SCHEDULING = "Scheduling"
    MIGRATING = "Migrating"
    FINISHED = "Finished"
    """It has arrived, and waits to be confirmed or reverted."""
    CONFIRMING = "Confirming"
    REVERTING = "Reverting"
    COMPLETED = "Completed"
    REVERTED = "Reverted"
    FAILED = "Failed"
    ABORTED = "Aborted"


class MigrationStatus(Model):
    """What became of it: a projection of SQL's `migrations`."""

    phase: MigrationPhase = MigrationPhase.PENDING
    migration_id: Uuid | None = None
    source: Text | None = None
    destination: Text | None = None
    old_flavor: Text | None = None
    new_flavor: Text | None = None
    progress: OperationProgress | None = None
    percent: Annotated[int, Field(ge=0, le=100)] | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    message: Annotated[str, StringConstraints(max_length=4096)] | None = None
    observed_generation: int = 0
    conditions: Annotated[list[Condition], Field(max_length=16)] = []
    reason: LongText | None = None
    """Why it was refused."""


class Migration(Resource):
    """A move of an instance."""

    kind_info: ClassVar[ResourceKind] = ResourceKind(
        kind="Migration",
        plural="migrations",
        scope=Scope.NAMESPACED,
        short_names=("mig",),
        columns=(
            Column("Instance", ".spec.instance"),
            Column("Type", ".spec.type"),
            Column("Phase", ".status.phase"),
            Column("From", ".status.source"),
            Column("To", ".status.destination"),
            Column("Percent", ".status.percent", type="integer"),
            Column("Message", ".status.message", wide=True),
            AGE_COLUMN,
        ),
    )

    spec: MigrationSpec
    status: MigrationStatus = MigrationStatus()
