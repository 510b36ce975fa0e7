"""Flavors, mirrored into SQL with the ids and names by which API clients know them.

The Flavor resource is the authority. The gateway reserves id, name and resource name here first, makes the
resource, and takes in what came of it; when it dies in between, the mirror removes the row or takes the
resource in, whichever there is.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from cairn_crds.flavor import FlavorSpec
from cairn_database import mirroring
from cairn_database.engine import Database
from cairn_database.errors import DisplayNameTaken, IdTaken
from cairn_database.mirroring import SpecTable
from cairn_database.rows import now
from cairn_database.tables import flavors

LONGEST_ID = 255


@dataclass(frozen=True)
class FlavorRecord:
    """A flavor."""

    id: str
    """By which API clients know it."""
    name: str
    """What people call it."""
    resource: str
    """The name of the Flavor resource."""
    spec: FlavorSpec
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True)
class Seen:
    """Which resource, and which version of it, a spec was read from."""

    uid: str
    generation: int


class FlavorTable(SpecTable[FlavorSpec]):
    """All flavors."""

    async def upsert(self, db: Database, name: str, spec: FlavorSpec, seen: Seen | None = None) -> bool:
        """Take it in. With `seen`, an older version than the one taken in changes nothing, and neither does a
        resource that the API has deleted. Raises IdTaken, DisplayNameTaken."""
        return await db.run(lambda conn: _upsert(conn, name, spec, seen))

    async def reserve(self, db: Database, name: str, spec: FlavorSpec) -> bool:
        """Take it in before its resource is made; False when the resource's name is taken. Raises IdTaken,
        DisplayNameTaken."""
        return await db.run(lambda conn: _reserve(conn, name, spec))

    async def release(self, db: Database, name: str) -> None:
        """The resource could not be made: give up what was reserved, unless it has been made after all."""

        def transaction(conn: sa.Connection) -> None:
            row = _lock(conn, name)
            if row is not None and row.resource_uid is None:
                _mark_removed(conn, name, None)

        await db.run(transaction)

    async def remove(self, db: Database, name: str, deleted_uid: str | None = None) -> None:
        """Let go of it. `deleted_uid`: of the resource that is known to be deleted, which nobody who has seen
        it late can bring back."""
        await db.run(lambda conn: _mark_removed(conn, name, deleted_uid))

    async def records(self, db: Database) -> list[FlavorRecord]:
        """All, by id."""
        statement = sa.select(flavors).where(flavors.c.id.is_not(None)).order_by(flavors.c.id)
        return await db.read(lambda conn: [_record(row) for row in conn.execute(statement)])


async def by_id(db: Database, flavor_id: str) -> FlavorRecord | None:
    """The flavor that API clients know by this id."""
    if not 0 < len(flavor_id) <= LONGEST_ID:
        return None
    statement = sa.select(flavors).where(flavors.c.id == flavor_id)
    row = await db.read(lambda conn: conn.execute(statement).one_or_none())
    return None if row is None or row.removed_at is not None else _record(row)


def _record(row: Any) -> FlavorRecord:
    spec = FlavorSpec.model_validate(row.spec)
    created = row.created_at or row.updated_at
    return FlavorRecord(row.id, row.display_name, row.name, spec, created, row.updated_at)


def _upsert(conn: sa.Connection, name: str, spec: FlavorSpec, seen: Seen | None) -> bool:
    row = _lock(conn, name)
    values: dict[str, Any] = {"display_name": spec.display_name or name, "spec": spec.to_api()}
    if seen is not None:
        if row is not None and row.resource_uid == seen.uid and _is_later(row, seen):
            return False
        values |= {"resource_uid": seen.uid, "resource_generation": seen.generation}
    if row is not None and row.removed_at is None:
        if all(row._mapping[key] == value for key, value in values.items()):
            return False
        _refuse_taken(conn, name, row.id, values["display_name"])
        conn.execute(sa.update(flavors).where(flavors.c.name == name), {**values, "updated_at": now()})
        return True
    _write_new(conn, name, spec, values, is_row=row is not None)
    return True


def _reserve(conn: sa.Connection, name: str, spec: FlavorSpec) -> bool:
    row = _lock(conn, name)
    _refuse_taken(conn, name, spec.id or name, spec.display_name or name)
    if row is not None and row.removed_at is None:
        return False
    values = {
        "display_name": spec.display_name or name,
        "spec": spec.to_api(),
        "resource_uid": None,
        "resource_generation": None,
    }
    _write_new(conn, name, spec, values, is_row=row is not None)
    return True


def _write_new(
    conn: sa.Connection, name: str, spec: FlavorSpec, values: dict[str, Any], *, is_row: bool
) -> None:
    flavor_id = spec.id or name
    _refuse_taken(conn, name, flavor_id, values["display_name"])
    moment = now()
    new = {**values, "id": flavor_id, "created_at": moment, "updated_at": moment, "removed_at": None}
    if is_row:
        conn.execute(sa.update(flavors).where(flavors.c.name == name), new)
    else:
        conn.execute(sa.insert(flavors), {**new, "name": name})


def _refuse_taken(conn: sa.Connection, name: str, flavor_id: str, display_name: str) -> None:
    statement = sa.select(flavors.c.name, flavors.c.id).where(
        sa.or_(flavors.c.id == flavor_id, flavors.c.display_name == display_name), flavors.c.name != name
    )
    holders = conn.execute(statement).all()
    for holder in holders:
        if holder.id == flavor_id:
            raise IdTaken("Flavor", flavor_id, holder.name)
    if holders:
        raise DisplayNameTaken("Flavor", display_name, holders[0].name)


def _is_later(row: Any, seen: Seen) -> bool:
    return row.removed_at is not None or (row.resource_generation or 0) > seen.generation


def _lock(conn: sa.Connection, name: str) -> Any:
    return conn.execute(sa.select(flavors).where(flavors.c.name == name).with_for_update()).one_or_none()


def _mark_removed(conn: sa.Connection, name: str, deleted_uid: str | None) -> None:
    if mirroring.remove(conn, flavors, {"name": name}):
        gone = {"id": None, "display_name": None, "resource_uid": deleted_uid}
        conn.execute(sa.update(flavors).where(flavors.c.name == name), gone)
