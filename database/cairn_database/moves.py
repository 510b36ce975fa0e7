"""Migrations: the record of every move of an instance to another host or flavor (Nova's `migrations`).

While a move is under way the instance's row holds it (`records.Move`); what is written here, in the same
transactions, is for whoever lists them, now and later.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import bindparam

from cairn_database.engine import Database
from cairn_database.errors import DatabaseError
from cairn_database.records import InstanceRecord, Json, Move, MoveKind
from cairn_database.rows import CHUNK, now
from cairn_database.tables import migrations

ENDED = frozenset({"completed", "confirmed", "reverted", "failed", "cancelled", "done", "error"})
"""Nova's words for migrations that are over. `finished` waits to be confirmed or reverted."""
FAILED = frozenset({"failed", "cancelled", "error"})
"""Of these, those after which the instance is where it was."""
LIVE_UNDER_WAY = frozenset({"queued", "accepted", "preparing", "running"})


class MigrationNotFound(DatabaseError):
    """There is no migration of that id."""

    def __init__(self, migration_id: str | int) -> None:
        super().__init__(f"Migration {migration_id} could not be found.")


@dataclass(frozen=True)
class MigrationRecord:
    """One move."""

    id: str
    number: int
    """What the Compute API calls it by."""
    instance_id: str
    project: str
    user_id: str | None
    kind: MoveKind
    status: str
    """Nova's words: accepted, preparing, running, pre-migrating, migrating, post-migrating, finished,
    confirming, confirmed, reverting, reverted, completed, done, failed, error, cancelled."""
    source: str | None
    destination: str | None
    old_flavor: Json | None
    new_flavor: Json | None
    progress: Json | None
    """OperationProgress in API form."""
    message: str | None
    request_id: str | None
    resource_uid: str | None
    """Of the Migration resource; None until it has one."""
    created_at: datetime
    updated_at: datetime
    ended_at: datetime | None


_INSERT = sa.insert(migrations)
_LAST = sa.select(sa.func.max(migrations.c.number))
_UPDATE = sa.update(migrations).where(migrations.c.id == bindparam("migration"))


async def get(db: Database, migration_id: str) -> MigrationRecord:
    """Raises MigrationNotFound."""
    query = sa.select(migrations).where(migrations.c.id == migration_id)
    row = await db.read(lambda conn: conn.execute(query).one_or_none())
    if row is None:
        raise MigrationNotFound(migration_id)
    return _record(row)


async def list_migrations(
    db: Database,
    *,
    instance_id: str | None = None,
    host: str | None = None,
    status: str | None = None,
    kind: MoveKind | None = None,
    source: str | None = None,
    project: str | None = None,
    user_id: str | None = None,
    changed_since: datetime | None = None,
    changed_before: datetime | None = None,
    after_number: int | None = None,
    limit: int = 1000,
) -> list[MigrationRecord]:
    """Newest first; `host` is either end, `after_number` the last one of the page before."""
    columns = migrations.c
    query = sa.select(migrations).order_by(columns.number.desc()).limit(limit)
    exact = {
        columns.instance_id: instance_id,
        columns.status: status,
        columns.kind: kind,
        columns.source: source,
        columns.project: project,
        columns.user_id: user_id,
    }
    for column, value in exact.items():
        if value is not None:
            query = query.where(column == value)
    if host is not None:
        query = query.where(sa.or_(columns.source == host, columns.destination == host))
    if changed_since is not None:
        query = query.where(columns.updated_at >= changed_since)
    if changed_before is not None:
        query = query.where(columns.updated_at <= changed_before)
    if after_number is not None:
        query = query.where(columns.number < after_number)
    return await db.read(lambda conn: [_record(row) for row in conn.execute(query)])


async def list_to_show(db: Database, ended_after: datetime, limit: int = 1000) -> list[MigrationRecord]:
    """What Migration resources should show, oldest first: those that are under way, and those that have ended
    after then without having got one."""
    columns = migrations.c
    query = (
        sa.select(migrations)
        .where(
            sa.or_(
                columns.ended_at.is_(None),
                sa.and_(columns.resource_uid.is_(None), columns.ended_at > ended_after),
            )
        )
        .order_by(columns.number)
        .limit(limit)
    )
    return await db.read(lambda conn: [_record(row) for row in conn.execute(query)])


@dataclass(frozen=True)
class Failures:
    """Moves of an instance away from a host that came to nothing."""

    count: int
    last_at: datetime
    message: str | None
    """Of the last one."""


async def failures_of(
    db: Database, source: str, instance_ids: Sequence[str], since: datetime
) -> dict[str, Failures]:
    """Of these instances, which have failed to leave `source` since then, after whatever succeeded last."""
    columns = migrations.c
    found: dict[str, Failures] = {}
    over: set[str] = set()

    def query(conn: sa.Connection) -> dict[str, Failures]:
        for start in range(0, len(instance_ids), CHUNK):
            some = list(instance_ids[start : start + CHUNK])
            rows = conn.execute(
                sa.select(columns.instance_id, columns.status, columns.ended_at, columns.message)
                .where(columns.instance_id.in_(some), columns.source == source, columns.ended_at > since)
                .order_by(columns.number.desc())
            )
            for row in rows:
                if row.status not in FAILED:
                    over.add(row.instance_id)
                if row.instance_id in over:
                    continue
                last = found.get(row.instance_id) or Failures(0, row.ended_at, row.message)
                found[row.instance_id] = replace(last, count=last.count + 1)
        return found

    return await db.read(query)


async def bind(db: Database, migration_id: str, resource_uid: str) -> None:
    """The migration is shown by that resource."""
    values = {"migration": migration_id, "resource_uid": resource_uid}
    await db.run(lambda conn: conn.execute(_UPDATE, values).rowcount)


async def record_progress(db: Database, migration_id: str, progress: Json) -> None:
    """How far the copy is."""
    values = {"migration": migration_id, "progress": progress, "updated_at": now()}
    await db.run(lambda conn: conn.execute(_UPDATE, values).rowcount)


async def purge(db: Database, ended_before: datetime, limit: int = 1000) -> list[str]:
    """Forget migrations that ended before then, oldest first; their ids."""
    query = (
        sa.select(migrations.c.id)
        .where(migrations.c.ended_at < ended_before)
        .order_by(migrations.c.ended_at)
        .limit(limit)
    )

    def transaction(conn: sa.Connection) -> list[str]:
        ids = list(conn.scalars(query))
        if ids:
            conn.execute(sa.delete(migrations).where(migrations.c.id.in_(ids)))
        return ids

    return await db.run(transaction)


def begin(
    conn: sa.Connection,
    record: InstanceRecord,
    move: Move,
    status: str,
    *,
    request_id: str | None,
    user_id: str | None = None,
    resource_uid: str | None = None,
) -> None:
    """Inside a transaction: write that a move has begun. Two that come at the same moment cannot take one
    number: the second is run again and sees the first."""
    moment = now()
    conn.execute(
        _INSERT,
        {
            "id": move.id,
            "number": int(conn.scalar(_LAST) or 0) + 1,
            "instance_id": record.id,
            "project": record.project,
            "user_id": user_id,
            "kind": move.kind.value,
            "status": status,
            "source": move.source,
            "destination": move.destination,
            "old_flavor": move.old_flavor or record.flavor,
            "new_flavor": move.new_flavor or record.flavor,
            "request_id": request_id,
            "resource_uid": resource_uid,
            "created_at": moment,
            "updated_at": moment,
        },
    )


def update(
    conn: sa.Connection,
    migration_id: str,
    status: str,
    *,
    destination: str | None = None,
    message: str | None = None,
) -> None:
    """Inside a transaction: write how far it is."""
    moment = now()
    values: dict[str, Any] = {"migration": migration_id, "status": status, "updated_at": moment}
    if destination is not None:
        values["destination"] = destination
    if message is not None:
        values["message"] = message
    if status in ENDED:
        values["ended_at"] = moment
    conn.execute(_UPDATE, values)


def _record(row: Any) -> MigrationRecord:
    values = dict(row._mapping)
    values["kind"] = MoveKind(values["kind"])
    return MigrationRecord(**values)


def live_under_way(records: Sequence[MigrationRecord]) -> list[MigrationRecord]:
    """Those that GET /servers/{id}/migrations shows."""
    return [
        record
        for record in records
        if record.kind is MoveKind.LIVE and record.status in LIVE_UNDER_WAY | {"post-migrating"}
    ]
