"""Making images, and changing what people say of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import sqlalchemy as sa

from cairn_database.engine import Database
from cairn_database.errors import DatabaseError
from cairn_database.images import rows
from cairn_database.images.records import ImageRecord, ImageStatus, Visibility
from cairn_database.images.tables import images
from cairn_database.rows import now

CHANGEABLE = (
    "name",
    "visibility",
    "owner",
    "disk_format",
    "container_format",
    "min_disk",
    "min_ram",
    "protected",
    "hidden",
    "properties",
    "tags",
)
"""Fields that people set; what else a record has follows from its data."""


class ImageIdTaken(DatabaseError):
    """An image of that id is there, or was."""

    def __init__(self, image_id: str) -> None:
        super().__init__(f"Image ID {image_id} already exists! Choose another id, or none.")


@dataclass(frozen=True)
class NewImage:
    """What a new row begins with."""

    id: str
    owner_id: str | None
    name: str | None = None
    visibility: Visibility = Visibility.SHARED
    disk_format: str | None = None
    container_format: str | None = None
    min_disk: int = 0
    min_ram: int = 0
    protected: bool = False
    hidden: bool = False
    properties: dict[str, str] = field(default_factory=dict)
    tags: list[str] = field(default_factory=list)


async def create(db: Database, new: NewImage) -> ImageRecord:
    """A row without data. Raises ImageIdTaken."""

    def transaction(conn: sa.Connection) -> ImageRecord:
        if conn.execute(sa.select(images.c.id).where(images.c.id == new.id)).first() is not None:
            raise ImageIdTaken(new.id)
        moment = now()
        owner = None if new.owner_id is None else rows.project_key(conn, new.owner_id)
        record = ImageRecord(
            id=new.id,
            name=new.name,
            status=ImageStatus.QUEUED,
            visibility=new.visibility,
            owner=owner,
            created_at=moment,
            updated_at=moment,
        )
        values = {
            **{name: getattr(new, name) for name in CHANGEABLE if name != "owner"},
            "owner": record.owner,
            "visibility": new.visibility.value,
        }
        conn.execute(
            sa.insert(images),
            {
                "id": new.id,
                "status": ImageStatus.QUEUED.value,
                "generation": 0,
                "created_at": moment,
                "updated_at": moment,
                **values,
            },
        )
        found = rows.find(conn, images.c.id == new.id)
        assert found is not None  # noqa: S101 - it was just inserted
        return found

    return await db.run(transaction)


async def change(
    db: Database, image_id: str, decide: Callable[[ImageRecord], ImageRecord]
) -> ImageRecord | None:
    """Make the row what `decide` makes of it; None when it is removed.

    `decide` may run more than once. `owner` may be a project's id: it is kept as the Project's name.
    """

    def transaction(conn: sa.Connection) -> ImageRecord | None:
        before = rows.lock(conn, image_id)
        if before is None:
            return None
        after = decide(before)
        if after.owner != before.owner and after.owner is not None:
            after = replace(after, owner=rows.project_key(conn, after.owner))
        changed: dict[str, Any] = {
            name: getattr(after, name) for name in CHANGEABLE if getattr(after, name) != getattr(before, name)
        }
        if "visibility" in changed:
            changed["visibility"] = after.visibility.value
        if not changed:
            return before
        rows.write(conn, image_id, **changed)
        return rows.find(conn, images.c.id == image_id)

    return await db.run(transaction)


async def key_of_project(db: Database, project_id: str) -> str:
    """See `rows.project_key`."""
    return await db.read(lambda conn: rows.project_key(conn, project_id))
