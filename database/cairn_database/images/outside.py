"""Images that Cairn makes in an external Glance: which those are, and which have to be deleted there.

Each has a row among the blobs whose id is the image's own. It is doomed with the image, whoever removes that
(the conductor does not know where images are), and the gateway's sweep finds it.
"""

from __future__ import annotations

import sqlalchemy as sa

from cairn_database.engine import Database
from cairn_database.images.tables import image_blobs
from cairn_database.images.uploads import DOOMED, STORED
from cairn_database.rows import now


async def note(db: Database, image_id: str) -> None:
    """Glance is about to be asked to make it."""
    await db.run(lambda conn: _put(conn, image_id, STORED))


async def is_noted(db: Database, image_id: str) -> bool:
    """Whether Glance has been asked to make it."""
    query = sa.select(image_blobs.c.id).where(image_blobs.c.id == image_id)
    return await db.read(lambda conn: conn.execute(query).first() is not None)


async def condemn(db: Database, image_id: str) -> None:
    """It was made after it had been removed here."""
    await db.run(lambda conn: _put(conn, image_id, DOOMED))


def _put(conn: sa.Connection, image_id: str, state: str) -> None:
    values = {"state": state, "touched_at": now()}
    changed = conn.execute(sa.update(image_blobs).where(image_blobs.c.id == image_id), values)
    if changed.rowcount == 0:
        conn.execute(sa.insert(image_blobs), {"id": image_id, "image_id": image_id, **values})
