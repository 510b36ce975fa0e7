"""Carries out what a Migration asks for, in the transactions of the Compute API.

Whoever may create or patch Migrations in a namespace overrides an instance's lock, as editing the instance
itself does.
"""

from __future__ import annotations

import uuid

from cairn_crds import Migration
from cairn_crds.base import MIGRATION_LABEL
from cairn_crds.migration import MigrationType
from cairn_database import Database, DatabaseError, InstanceNotFound, InstanceRecord, legality, moves, moving
from cairn_database.asking import Asked
from cairn_database.moves import MigrationNotFound, MigrationRecord
from cairn_operator.conductor.migrations.projection import Refused
from cairn_operator.conductor.migrations.wishes import Wish

REFUSALS: dict[type[DatabaseError], str] = {
    legality.ActionRefused: "ActionRefused",
    legality.HostNotUp: "HostNotUp",
    legality.NotCapable: "NotCapable",
    moving.UnknownHost: "UnknownHost",
    moving.HostStillInUse: "HostStillInUse",
    InstanceNotFound: "InstanceNotFound",
    MigrationNotFound: "TooLate",
}
"""What a person has to do something about; everything else is tried again."""
RESIZES = Refused(
    "NotToBeCreated",
    "A resize is not asked for like this: change spec.flavor of the Instance, and delete this.",
)


async def row_of(db: Database, migration: Migration, record: InstanceRecord | None) -> MigrationRecord | None:
    """The row that the resource shows; `record`: its instance's. A label alone gives nobody the move of an
    instance that is not his; a resource that was made for a row is shown it before it is bound to it."""
    uid = migration.metadata.uid
    try:
        row = await moves.get(db, migration.metadata.labels.get(MIGRATION_LABEL, uid))
    except MigrationNotFound:
        return None
    is_of_instance = record is not None and record.id == row.instance_id
    return row if is_of_instance or uid in (row.id, row.resource_uid) else None


async def begin(db: Database, migration: Migration, record: InstanceRecord) -> MigrationRecord | Refused:
    """Begin the move that a new resource asks for. Raises ConcurrentUpdate."""
    spec, uid = migration.spec, migration.metadata.uid
    asked = Asked(request_id=f"req-{uuid.uuid4()}", overrides_lock=True)
    try:
        match spec.type:
            case MigrationType.LIVE:
                await moving.live_migrate(
                    db,
                    record.id,
                    asked,
                    host=spec.host,
                    copy_disks=spec.copy_disks,
                    migration_id=uid,
                    resource_uid=uid,
                )
            case MigrationType.COLD:
                await moving.migrate(db, record.id, asked, host=spec.host, migration_id=uid, resource_uid=uid)
            case MigrationType.EVACUATE:
                await moving.evacuate(
                    db, record.id, asked, host=spec.host, migration_id=uid, resource_uid=uid
                )
            case MigrationType.RESIZE:
                return RESIZES
    except tuple(REFUSALS) as error:
        # Another replica may have begun it a moment ago, and that is what it is refused for.
        row = await row_of(db, migration, record)
        return row or _refused(error)
    return await moves.get(db, uid)


async def follow(db: Database, wish: Wish, row: MigrationRecord, record: InstanceRecord) -> Refused | None:
    """Confirm, revert, abort or complete the move that `record` is in. Raises ConcurrentUpdate."""
    asked = Asked(request_id=f"req-{uuid.uuid4()}", overrides_lock=True, version=record.version)
    try:
        match wish:
            case Wish.CONFIRM:
                await moving.confirm_resize(db, record.id, asked)
            case Wish.REVERT:
                await moving.revert_resize(db, record.id, asked)
            case Wish.ABORT:
                await moving.abort_live_migration(db, record.id, asked, migration_id=row.id)
            case Wish.FORCE_COMPLETE:
                await moving.force_complete(db, record.id, asked, migration_id=row.id)
    except tuple(REFUSALS) as error:
        return _refused(error)
    return None


def _refused(error: DatabaseError) -> Refused:
    """By the most exact word for it."""
    reason = next(REFUSALS[kind] for kind in type(error).__mro__ if kind in REFUSALS)
    return Refused(reason, str(error))
