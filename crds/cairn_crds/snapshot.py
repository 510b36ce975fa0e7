"""Snapshot: making an image of an instance (Nova's `createImage` and `createBackup`)."""

from __future__ import annotations

import enum
from datetime import datetime
from typing import Annotated, ClassVar

from pydantic import Field, StringConstraints

from cairn_crds.base import Column, Model, ObjectName, Resource, ResourceKind, Rule, Scope, Text, Uuid
from cairn_crds.flavor import AGE_COLUMN


class Backup(Model):
    """Makes the image one of a row of backups."""

    type: Annotated[str, StringConstraints(min_length=1, max_length=255)]
    """`daily`, `weekly` …"""
    rotation: Annotated[int, Field(ge=0, le=1000)]
    """How many of that type are kept, the newest; 0 keeps none but this."""


class SnapshotSpec(Model):
    """What is asked for."""

    rules: ClassVar[tuple[Rule, ...]] = (Rule("self == oldSelf", "a Snapshot cannot change; make another"),)

    instance: ObjectName
    """The Instance, in the same namespace."""
    image_name: Annotated[str, StringConstraints(min_length=1, max_length=255)] | None = None
    """The new image's name; the Snapshot's when left out."""
    metadata: Annotated[dict[str, Text], Field(max_length=128)] = {}
    """Further properties of the image."""
    backup: Backup | None = None


class SnapshotPhase(enum.StrEnum):
    """How far it is."""

    PENDING = "Pending"
    SAVING = "Saving"
    COMPLETED = "Completed"
    FAILED = "Failed"


class SnapshotStatus(Model):
    """What became of it."""

    phase: SnapshotPhase = SnapshotPhase.PENDING
    image_id: Uuid | None = None
    image: Text | None = None
    """The Image resource."""
    size_bytes: int | None = None
    message: Annotated[str, StringConstraints(max_length=4096)] | None = None
    ended_at: datetime | None = None
    observed_generation: int = 0


class Snapshot(Resource):
    """The making of an image of an instance."""

    kind_info: ClassVar[ResourceKind] = ResourceKind(
        kind="Snapshot",
        plural="snapshots",
        scope=Scope.NAMESPACED,
        short_names=("snap",),
        columns=(
            Column("Instance", ".spec.instance"),
            Column("Phase", ".status.phase"),
            Column("Image", ".status.image"),
            Column("Message", ".status.message", wide=True),
            AGE_COLUMN,
        ),
    )

    spec: SnapshotSpec
    status: SnapshotStatus = SnapshotStatus()
