"""Whom a shared image is shared with."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from cairn_database.engine import Database
from cairn_database.errors import DatabaseError
from cairn_database.images import rows
from cairn_database.images.tables import image_members
from cairn_database.rows import now
from cairn_database.tables import projects

PENDING = "pending"
STATUSES = (PENDING, "accepted", "rejected")
MOST = 128
"""Members of one image (Glance: image_member_quota)."""


class MemberExists(DatabaseError):
    """The image is shared with that project already."""

    def __init__(self, image_id: str, member_id: str) -> None:
        super().__init__(f"Member {member_id} is duplicated for image {image_id}")


class TooManyMembers(DatabaseError):
    """The image is shared with as many projects as can be."""

    def __init__(self, image_id: str) -> None:
        super().__init__(
            f"Image member limit exceeded for image {image_id}: there are {MOST}. Remove one first."
        )


@dataclass(frozen=True)
class MemberRecord:
    """One project that an image is shared with."""

    image_id: str
    project: str
    """The Project's name."""
    member_id: str
    """The project as the API names it."""
    status: str
    """pending (not answered), accepted, rejected."""
    created_at: datetime
    updated_at: datetime


_SELECT = sa.select(
    image_members, sa.func.coalesce(projects.c.id, image_members.c.project).label("member_id")
).select_from(image_members.outerjoin(projects, projects.c.name == image_members.c.project))


def _record(row: Any) -> MemberRecord:
    return MemberRecord(row.image_id, row.project, row.member_id, row.status, row.created_at, row.updated_at)


async def members(db: Database, image_id: str) -> list[MemberRecord]:
    """All of them, first shared first."""
    query = _SELECT.where(image_members.c.image_id == image_id).order_by(
        image_members.c.created_at, image_members.c.project
    )
    return await db.read(lambda conn: [_record(row) for row in conn.execute(query)])


async def add(db: Database, image_id: str, member_id: str) -> MemberRecord:
    """Share it with one more. Raises MemberExists, TooManyMembers."""

    def transaction(conn: sa.Connection) -> MemberRecord:
        rows.lock(conn, image_id)
        project = rows.project_key(conn, member_id)
        there = {
            row.project
            for row in conn.execute(
                sa.select(image_members.c.project).where(image_members.c.image_id == image_id)
            )
        }
        if project in there:
            raise MemberExists(image_id, member_id)
        if len(there) >= MOST:
            raise TooManyMembers(image_id)
        insert(conn, image_id, project, PENDING)
        return _find(conn, image_id, project)

    return await db.run(transaction)


def insert(conn: sa.Connection, image_id: str, project: str, status: str) -> None:
    """A new row."""
    moment = now()
    conn.execute(
        sa.insert(image_members),
        {
            "image_id": image_id,
            "project": project,
            "status": status,
            "created_at": moment,
            "updated_at": moment,
        },
    )


def _find(conn: sa.Connection, image_id: str, project: str) -> MemberRecord:
    condition = sa.and_(image_members.c.image_id == image_id, image_members.c.project == project)
    return _record(conn.execute(_SELECT.where(condition)).one())


async def answer(db: Database, image_id: str, project: str, status: str) -> MemberRecord | None:
    """The member accepts it or does not; None where it is none."""

    def transaction(conn: sa.Connection) -> MemberRecord | None:
        changed = conn.execute(
            sa.update(image_members).where(
                image_members.c.image_id == image_id, image_members.c.project == project
            ),
            {"status": status, "updated_at": now()},
        )
        return None if changed.rowcount == 0 else _find(conn, image_id, project)

    return await db.run(transaction)


async def drop(db: Database, image_id: str, project: str) -> None:
    """Share it with one less."""
    statement = sa.delete(image_members).where(
        image_members.c.image_id == image_id, image_members.c.project == project
    )
    await db.run(lambda conn: conn.execute(statement) and None)


def keep_only(conn: sa.Connection, image_id: str, wanted: set[str]) -> None:
    """The members are exactly these: what an Image resource says, taken in. New ones count as accepted."""
    there = {
        row.project
        for row in conn.execute(
            sa.select(image_members.c.project).where(image_members.c.image_id == image_id)
        )
    }
    gone = there - wanted
    if gone:
        conn.execute(
            sa.delete(image_members).where(
                image_members.c.image_id == image_id, image_members.c.project.in_(gone)
            )
        )
    for project in sorted(wanted - there):
        insert(conn, image_id, project, "accepted")
