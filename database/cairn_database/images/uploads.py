"""An image's way from a row to one with data, such that no step can be half done for long.

`begin` → (bytes) `touch` … → `store` → (the Image resource is made) → `activate`. Whatever dies in between
leaves a row that `sweep` finds: without all the bytes it is queued again, with them it is finished.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import sqlalchemy as sa

from cairn_database.engine import Database
from cairn_database.images import rows
from cairn_database.images.records import ImageRecord, ImageStatus, record_of
from cairn_database.images.tables import image_blobs, images
from cairn_database.rows import now

WRITING, STORED, DOOMED = "writing", "stored", "doomed"
DATA = ("blob", "resource", "size", "virtual_size", "checksum", "os_hash_value", "sha256")
"""Columns that are set while data comes in."""


@dataclass(frozen=True)
class StoredData:
    """What is known of a file once all of it is there."""

    size: int
    checksum: str
    os_hash_value: str
    sha256: str
    virtual_size: int | None = None


async def begin(db: Database, image_id: str, blob: str) -> bool:
    """`blob` is about to be written for the image; False unless the image is queued."""

    def transaction(conn: sa.Connection) -> bool:
        record = rows.lock(conn, image_id)
        if record is None or record.status is not ImageStatus.QUEUED:
            return False
        moment = now()
        conn.execute(
            sa.insert(image_blobs),
            {"id": blob, "image_id": image_id, "state": WRITING, "touched_at": moment},
        )
        rows.write(conn, image_id, status=ImageStatus.SAVING.value, blob=blob)
        return True

    return await db.run(transaction)


async def touch(db: Database, blob: str) -> bool:
    """It is still being written. False: somebody has given it up, so stop."""

    def transaction(conn: sa.Connection) -> bool:
        touched = conn.execute(
            sa.update(image_blobs).where(image_blobs.c.id == blob, image_blobs.c.state == WRITING),
            {"touched_at": now()},
        )
        return touched.rowcount == 1

    return await db.run(transaction)


async def store(db: Database, image_id: str, blob: str, data: StoredData) -> bool:
    """All bytes of `blob` are safe. False: the image was removed, or the upload given up, meanwhile."""

    def transaction(conn: sa.Connection) -> bool:
        record = rows.lock(conn, image_id)
        if record is None or record.status is not ImageStatus.SAVING or record.blob != blob:
            return False
        kept = conn.execute(
            sa.update(image_blobs).where(image_blobs.c.id == blob, image_blobs.c.state == WRITING),
            {"state": STORED, "touched_at": now()},
        )
        if kept.rowcount != 1:
            return False
        rows.write(
            conn,
            image_id,
            size=data.size,
            virtual_size=data.virtual_size,
            checksum=data.checksum,
            os_hash_value=data.os_hash_value,
            sha256=data.sha256,
        )
        return True

    return await db.run(transaction)


async def name_resource(db: Database, image_id: str, resource: str) -> bool:
    """Remember the name before the resource is made. False when another image has it."""

    def transaction(conn: sa.Connection) -> bool:
        holder = conn.scalar(sa.select(images.c.id).where(images.c.resource == resource))
        if holder is not None and holder != image_id:
            return False
        if rows.lock(conn, image_id) is not None:
            rows.write(conn, image_id, resource=resource)
        return True

    return await db.run(transaction)


async def give_up(db: Database, image_id: str, blob: str) -> None:
    """The upload has failed: the image is queued again, the file goes with the next sweep."""
    await db.run(lambda conn: _give_up(conn, image_id, blob))


def _give_up(conn: sa.Connection, image_id: str, blob: str) -> None:
    conn.execute(
        sa.update(images).where(
            images.c.id == image_id,
            images.c.blob == blob,
            images.c.status == ImageStatus.SAVING.value,
            rows.LIVE,
        ),
        {
            "status": ImageStatus.QUEUED.value,
            "updated_at": now(),
            **dict.fromkeys(DATA),
        },
    )
    rows.doom(conn, image_blobs.c.id == blob)


# --- after somebody died ---------------------------------------------------------------------------------


async def give_up_stale(db: Database, seconds: float) -> int:
    """Give up uploads that nobody has touched for so long; how many."""

    def transaction(conn: sa.Connection) -> int:
        stale = conn.execute(
            sa.select(image_blobs.c.id, image_blobs.c.image_id).where(
                image_blobs.c.state == WRITING,
                image_blobs.c.touched_at < now() - timedelta(seconds=seconds),
            )
        ).all()
        for row in stale:
            _give_up(conn, row.image_id, row.id)
        return len(stale)

    return await db.run(transaction)


async def unfinished(db: Database, seconds: float) -> list[ImageRecord]:
    """Images that have all their bytes for so long, and are not active yet."""
    query = rows.SELECT.where(
        rows.LIVE,
        images.c.status == ImageStatus.SAVING.value,
        images.c.sha256.is_not(None),
        images.c.updated_at < now() - timedelta(seconds=seconds),
    )
    return await db.read(lambda conn: [record_of(row) for row in conn.execute(query)])


async def doomed(db: Database, limit: int = 100) -> list[str]:
    """Files that nothing refers to any more."""
    query = sa.select(image_blobs.c.id).where(image_blobs.c.state == DOOMED).limit(limit)
    return await db.read(lambda conn: [row.id for row in conn.execute(query)])


async def forget(db: Database, blob: str) -> None:
    """The file is gone."""
    await db.run(lambda conn: conn.execute(sa.delete(image_blobs).where(image_blobs.c.id == blob)) and None)
