"""Which instances ran when: what a project has used, also by instances that are long deleted.

Nova API: os-simple-tenant-usage.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from cairn_database.engine import Database
from cairn_database.records import Json
from cairn_database.tables import instances, projects


@dataclass(frozen=True)
class Period:
    """From `start` to before `stop`."""

    start: datetime
    stop: datetime


@dataclass(frozen=True)
class Ran:
    """An instance that ran in a period."""

    id: str
    project: str
    """The Project resource's name."""
    name: str
    vm_state: str
    flavor: Json
    launched_at: datetime
    terminated_at: datetime | None


async def ran_in(
    db: Database, project: str, period: Period, *, after: str | None = None, limit: int
) -> list[Ran]:
    """The project's instances that ran in the period, by id; those behind the id `after`, at most `limit`."""
    return await db.read(lambda conn: _ran_in(conn, project, period, after, limit))


async def project_names(db: Database) -> list[tuple[str, str]]:
    """(id, name) of all projects that have ever had instances counted, by id; removed ones, too."""
    statement = (
        sa.select(projects.c.id, projects.c.name).where(projects.c.id.is_not(None)).order_by(projects.c.id)
    )
    return await db.read(lambda conn: [(row.id, row.name) for row in conn.execute(statement)])


async def project_of(db: Database, instance_id: str) -> str | None:
    """The project of an instance, deleted or not."""
    statement = sa.select(instances.c.project).where(instances.c.id == instance_id)
    return await db.read(lambda conn: conn.scalar(statement))


def _ran_in(conn: sa.Connection, project: str, period: Period, after: str | None, limit: int) -> list[Ran]:
    columns = instances.c
    # Two ranges of one index, (project, terminated_at): those that run still, and those that ended since.
    ended = (columns.terminated_at.is_(None), columns.terminated_at >= period.start)
    found: list[Any] = []
    for condition in ended:
        statement = sa.select(
            columns.id,
            columns.display_name,
            columns.vm_state,
            columns.flavor,
            columns.launched_at,
            columns.terminated_at,
        ).where(columns.project == project, condition, columns.launched_at < period.stop)
        if after is not None:
            statement = statement.where(columns.id > after)
        found += conn.execute(statement.order_by(columns.id).limit(limit)).all()
    found.sort(key=lambda row: row.id)
    return [
        Ran(row.id, project, row.display_name, row.vm_state, row.flavor, row.launched_at, row.terminated_at)
        for row in found[:limit]
    ]
