"""The row that a resource becomes: taking it in, letting go of it, reading it. The same for every kind.

Taking in returns whether that changed anything (an unchanged resource costs one read). A row that was let go
of stays, marked, so that what refers to it can still name it; readers do not see it, and taking it in again
brings it back.
"""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import sqlalchemy as sa

from cairn_crds.base import Model
from cairn_database.engine import Database
from cairn_database.errors import StillInUse
from cairn_database.records import Json
from cairn_database.rows import now

S = TypeVar("S", bound=Model)


class SpecTable(Generic[S]):
    """A kind that is a name and a spec."""

    def __init__(self, table: sa.Table, model: type[S]) -> None:
        self._table = table
        self._model = model

    async def upsert(self, db: Database, name: str, spec: S) -> bool:
        """Take it in."""
        return await db.run(lambda conn: self._upsert(conn, name, spec))

    async def remove(self, db: Database, name: str) -> None:
        """Let go of it."""
        await db.run(lambda conn: self._remove(conn, name))

    async def get(self, db: Database, name: str) -> S | None:
        """The spec, unless it is removed."""
        row = await one(db, self._table, self._table.c.name == name)
        return None if row is None else self._model.model_validate(row.spec)

    async def list(self, db: Database) -> dict[str, S]:
        """All that are not removed, by name."""
        rows = await select(db, self._table)
        return {row.name: self._model.model_validate(row.spec) for row in rows}

    def _upsert(self, conn: sa.Connection, name: str, spec: S) -> bool:
        return upsert(conn, self._table, {"name": name}, {"spec": spec.to_api()})

    def _remove(self, conn: sa.Connection, name: str) -> None:
        remove(conn, self._table, {"name": name})


class NamespacedSpecTable(Generic[S]):
    """A kind that is a name in a namespace and a spec."""

    def __init__(self, table: sa.Table, model: type[S]) -> None:
        self._table = table
        self._model = model

    async def upsert(self, db: Database, namespace: str, name: str, spec: S) -> bool:
        """Take it in."""
        key = {"namespace": namespace, "name": name}
        return await db.run(lambda conn: upsert(conn, self._table, key, {"spec": spec.to_api()}))

    async def remove(self, db: Database, namespace: str, name: str) -> None:
        """Let go of it."""
        await db.run(lambda conn: remove(conn, self._table, {"namespace": namespace, "name": name}))

    async def get(self, db: Database, namespace: str, name: str) -> S | None:
        """The spec, unless it is removed."""
        columns = self._table.c
        row = await one(db, self._table, columns.namespace == namespace, columns.name == name)
        return None if row is None else self._model.model_validate(row.spec)

    async def list(self, db: Database, namespace: str) -> dict[str, S]:
        """The namespace's that are not removed, by name."""
        rows = await select(db, self._table, self._table.c.namespace == namespace)
        return {row.name: self._model.model_validate(row.spec) for row in rows}


async def one(db: Database, table: sa.Table, *conditions: sa.ColumnElement[bool]) -> Any:
    """The row that is not removed; None when there is none."""
    statement = sa.select(table).where(table.c.removed_at.is_(None), *conditions)
    return await db.read(lambda conn: conn.execute(statement).first())


async def select(db: Database, table: sa.Table, *conditions: sa.ColumnElement[bool]) -> list[Any]:
    """The rows that are not removed, in the order of their keys."""
    statement = (
        sa.select(table).where(table.c.removed_at.is_(None), *conditions).order_by(*table.primary_key.columns)
    )
    return await db.read(lambda conn: list(conn.execute(statement)))


def upsert(
    conn: sa.Connection,
    table: sa.Table,
    key: Json,
    values: Json,
    when_new: Json | None = None,
) -> bool:
    """Make the row hold `values`. Returns whether that changed it; a removed one is there again."""
    row = conn.execute(sa.select(table).where(key_matches(table, key)).with_for_update()).one_or_none()
    moment = now()
    if row is None:
        conn.execute(sa.insert(table), {**key, **(when_new or {}), **values, "updated_at": moment})
        return True
    if row.removed_at is None and all(row._mapping[name] == value for name, value in values.items()):
        return False
    conn.execute(
        sa.update(table).where(key_matches(table, key)), {**values, "updated_at": moment, "removed_at": None}
    )
    return True


def remove(conn: sa.Connection, table: sa.Table, key: Json) -> bool:
    """Mark the row, which keeps new users out. Returns whether it was there."""
    moment = now()
    marked = conn.execute(
        sa.update(table).where(key_matches(table, key), table.c.removed_at.is_(None)),
        {"removed_at": moment, "updated_at": moment},
    )
    return marked.rowcount > 0


def refuse_use(kind: str, name: str, users: int) -> None:
    """Once the row is marked, which nobody can begin to use: raises StillInUse, and nothing is marked."""
    if users:
        raise StillInUse(kind, name, users)


def key_matches(table: sa.Table, key: Json) -> sa.ColumnElement[bool]:
    """The condition that a row is the one of this key."""
    return sa.and_(*(table.c[name] == value for name, value in key.items()))


def count(conn: sa.Connection, table: sa.Table, *conditions: sa.ColumnElement[bool]) -> int:
    """How many rows there are."""
    return int(conn.scalar(sa.select(sa.func.count()).select_from(table).where(*conditions)) or 0)
