"""Projects as the Network API names them: by id, while rows name the Project resource."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import sqlalchemy as sa

from cairn_database.engine import Database
from cairn_database.tables import projects


@dataclass(frozen=True)
class Owner:
    """A project."""

    id: str
    name: str
    """The Project resource's."""
    namespace: str


_ALL = sa.select(projects.c.id, projects.c.name, projects.c.namespace).where(
    projects.c.removed_at.is_(None), projects.c.id.is_not(None)
)


async def ids_of(db: Database, names: Iterable[str]) -> dict[str, str]:
    """The ids of these projects; those that are gone are left out."""
    wanted = list(names)
    if not wanted:
        return {}
    statement = _ALL.where(projects.c.name.in_(wanted))
    return await db.read(lambda conn: {row.name: row.id for row in conn.execute(statement)})


async def by_id(db: Database, project_id: str) -> Owner | None:
    """The project of that id."""
    statement = _ALL.where(projects.c.id == project_id)
    row = await db.read(lambda conn: conn.execute(statement).one_or_none())
    return None if row is None else Owner(row.id, row.name, row.namespace)
