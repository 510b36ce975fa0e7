"""Reading and writing single rows of images; what the other modules of this package share."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from cairn_database.engine import Database
from cairn_database.images.records import COLUMN_FIELDS, ImageRecord, ImageStatus, record_of
from cairn_database.images.tables import image_blobs, image_members, images
from cairn_database.rows import now
from cairn_database.tables import projects

OWNER_ID = sa.func.coalesce(projects.c.id, images.c.owner).label("owner_id")
SELECT = sa.select(*(images.c[name] for name in COLUMN_FIELDS), OWNER_ID).select_from(
    images.outerjoin(projects, projects.c.name == images.c.owner)
)
LIVE = images.c.removed_at.is_(None)


def project_key(conn: sa.Connection, project_id: str) -> str:
    """What rows and resources call the project of that id: the Project's name; the id where there is none."""
    found = conn.scalar(
        sa.select(projects.c.name).where(projects.c.id == project_id, projects.c.removed_at.is_(None))
    )
    return str(found or project_id)


def find(conn: sa.Connection, *conditions: sa.ColumnElement[bool]) -> ImageRecord | None:
    """The one image that is not removed and meets the conditions."""
    row = conn.execute(SELECT.where(LIVE, *conditions)).first()
    return None if row is None else record_of(row)


def lock(conn: sa.Connection, image_id: str) -> ImageRecord | None:
    """The image, so that nobody else changes it until the transaction ends."""
    there = sa.select(images.c.id).where(images.c.id == image_id, LIVE).with_for_update()
    return None if conn.execute(there).first() is None else find(conn, images.c.id == image_id)


def write(conn: sa.Connection, image_id: str, **values: Any) -> None:
    """Change columns of a row; `updated_at` rises."""
    conn.execute(sa.update(images).where(images.c.id == image_id), {"updated_at": now(), **values})


def mark_removed(conn: sa.Connection, image_id: str) -> None:
    """The row is removed, its file is left to the next sweep, nobody shares it."""
    moment = now()
    write(conn, image_id, removed_at=moment, resource=None)
    conn.execute(sa.delete(image_members).where(image_members.c.image_id == image_id))
    doom(conn, image_blobs.c.image_id == image_id)


def doom(conn: sa.Connection, *conditions: sa.ColumnElement[bool]) -> int:
    """Nothing refers to these files any more: whoever sweeps next removes them."""
    marked = conn.execute(
        sa.update(image_blobs).where(image_blobs.c.state != "doomed", *conditions),
        {"state": "doomed", "touched_at": now()},
    )
    return marked.rowcount


async def get(db: Database, image_id: str) -> ImageRecord | None:
    """The image, unless it is removed."""
    return await db.read(lambda conn: find(conn, images.c.id == image_id))


async def was_removed(db: Database, image_id: str) -> bool:
    """Whether there was such an image, which is removed."""
    query = sa.select(images.c.id).where(images.c.id == image_id, images.c.removed_at.is_not(None))
    return await db.read(lambda conn: conn.execute(query).first() is not None)


async def remove(db: Database, image_id: str) -> None:
    """Remove it; its file goes with the next sweep."""
    await db.run(lambda conn: mark_removed(conn, image_id))


async def mark(db: Database, image_id: str, status: ImageStatus, expected: ImageStatus) -> bool:
    """Change the status if it is the expected one; whether it was."""

    def transaction(conn: sa.Connection) -> bool:
        changed = conn.execute(
            sa.update(images).where(images.c.id == image_id, images.c.status == expected.value, LIVE),
            {"status": status.value, "updated_at": now()},
        )
        return changed.rowcount == 1

    return await db.run(transaction)
