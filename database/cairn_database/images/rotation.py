"""Backups: of an instance's images of one type, only the newest stay (Nova API: createBackup)."""

from __future__ import annotations

import sqlalchemy as sa

from cairn_database.engine import Database
from cairn_database.images import rows
from cairn_database.images.records import ImageRecord
from cairn_database.images.tables import images

INSTANCE, TYPE, IMAGE_TYPE = "instance_uuid", "backup_type", "image_type"
"""Properties that a backup has."""


async def outdated(db: Database, instance_id: str, backup_type: str, keep: int) -> list[str]:
    """The ids of those beyond the newest `keep` that may go, newest first. Protected ones stay, and count."""
    found = await backups(db, instance_id, backup_type)
    return [record.id for record in found[keep:] if not record.protected]


async def backups(db: Database, instance_id: str, backup_type: str) -> list[ImageRecord]:
    """An instance's backups of that type, newest first."""
    query = sa.select(images.c.id).where(
        images.c.removed_at.is_(None), images.c.properties.contains(instance_id)
    )

    def look(conn: sa.Connection) -> list[ImageRecord]:
        found = [rows.find(conn, images.c.id == image_id) for image_id in list(conn.scalars(query))]
        wanted = [
            record
            for record in found
            if record is not None
            and record.properties.get(INSTANCE) == instance_id
            and record.properties.get(TYPE) == backup_type
            and record.properties.get(IMAGE_TYPE) == "backup"
        ]
        return sorted(wanted, key=lambda record: (record.created_at, record.id), reverse=True)

    return await db.read(look)
