"""Reading and writing the identity's rows: the same for every kind."""

from __future__ import annotations

import dataclasses
import uuid
from typing import Any, TypeVar

import sqlalchemy as sa

from cairn_database.identity.errors import IdentityNotFound, IdentityTaken

R = TypeVar("R")


def new_id() -> str:
    """32 hexadecimal digits."""
    return uuid.uuid4().hex


def first(
    conn: sa.Connection, table: sa.Table, model: type[R], *conditions: sa.ColumnElement[bool]
) -> R | None:
    """The row as `model`, whose fields are columns; None when there is none."""
    row = conn.execute(sa.select(*_columns(table, model)).where(*conditions)).first()
    return None if row is None else model(*row)


def every(
    conn: sa.Connection, table: sa.Table, model: type[R], *conditions: sa.ColumnElement[bool]
) -> list[R]:
    """The rows, in the order of their keys."""
    statement = sa.select(*_columns(table, model)).where(*conditions).order_by(*table.primary_key.columns)
    return [model(*row) for row in conn.execute(statement)]


def require(conn: sa.Connection, table: sa.Table, model: type[R], kind: str, key: str) -> R:
    """The row of that id. Raises IdentityNotFound."""
    found = first(conn, table, model, table.c.id == key)
    if found is None:
        raise IdentityNotFound(kind, key)
    return found


def refuse_taken(
    conn: sa.Connection,
    table: sa.Table,
    kind: str,
    name: str,
    *conditions: sa.ColumnElement[bool],
    but: str = "",
) -> None:
    """Raises IdentityTaken when a row other than `but` has the name (a race is settled by the unique key)."""
    taken = sa.select(table.c.id).where(table.c.name == name, table.c.id != but, *conditions)
    if conn.execute(taken).first() is not None:
        raise IdentityTaken(kind, name)


def refuse_known(conn: sa.Connection, table: sa.Table, kind: str, key: str) -> None:
    """Raises IdentityTaken when there is a row of that id, where it is not Cairn that makes ids."""
    if conn.execute(sa.select(table.c.id).where(table.c.id == key)).first() is not None:
        raise IdentityTaken(kind, key, "id")


def insert(conn: sa.Connection, table: sa.Table, record: Any) -> None:
    """Write a record as a new row."""
    conn.execute(sa.insert(table), {name: getattr(record, name) for name in _names(type(record))})


def update(conn: sa.Connection, table: sa.Table, key: str, changes: dict[str, Any]) -> None:
    """Change columns of the row of that id."""
    if changes:
        conn.execute(sa.update(table).where(table.c.id == key), changes)


def _names(model: type[Any]) -> list[str]:
    return [field.name for field in dataclasses.fields(model)]


def _columns(table: sa.Table, model: type[Any]) -> list[sa.Column[Any]]:
    return [table.c[name] for name in _names(model)]
