"""Image resources, taken into SQL by the conductor, and by the gateway for those that it has just written."""

from __future__ import annotations

import enum
from typing import Any

import sqlalchemy as sa

from cairn_crds.image import Image
from cairn_database.engine import Database
from cairn_database.images import members, rows
from cairn_database.images.records import WITH_DATA, ImageRecord, ImageStatus, fields_of, record_of
from cairn_database.images.tables import images
from cairn_database.rows import now


class Taken(enum.Enum):
    """What came of a resource."""

    IN = "its row says the same"
    GONE = "its image was deleted; the resource is about to go as well"
    ID_TAKEN = "another image has its spec.id"
    ID_CHANGED = "its spec.id is another one than before"


async def take_in(db: Database, image: Image) -> Taken:
    """Make the image's row say what the resource says; one that is older than what was taken in changes
    nothing."""
    return await db.run(lambda conn: _take_in(conn, image))


def _take_in(conn: sa.Connection, image: Image) -> Taken:
    metadata, spec = image.metadata, image.spec
    by_uid = conn.execute(
        sa.select(images.c.id, images.c.removed_at).where(images.c.resource_uid == metadata.uid)
    ).first()
    if by_uid is not None:
        if by_uid.removed_at is not None:
            return Taken.GONE
        record = rows.lock(conn, by_uid.id)
        assert record is not None  # noqa: S101 - its row was read in this transaction
        _update(conn, record, image)
        return Taken.ID_CHANGED if spec.id not in (None, record.id) else Taken.IN
    known = conn.execute(
        sa.select(images.c.removed_at, images.c.blob).where(images.c.id == image.image_id)
    ).first()
    if known is not None and known.removed_at is not None and known.blob is not None:
        return Taken.GONE  # its data went with it
    record = None if known is None or known.removed_at is not None else rows.lock(conn, image.image_id)
    if record is not None and record.resource != metadata.name:
        return Taken.ID_TAKEN
    _forget_namesake(conn, metadata.name, image.image_id)
    if record is None:
        _insert(conn, image, again=known is not None)
    else:
        _update(conn, record, image)
    return Taken.IN


def _forget_namesake(conn: sa.Connection, resource: str, image_id: str) -> None:
    """A resource of that name was deleted and another one made while nobody looked."""
    old = rows.find(conn, images.c.resource == resource, images.c.id != image_id)
    if old is not None and old.has_data:
        rows.mark_removed(conn, old.id)


def _insert(conn: sa.Connection, image: Image, *, again: bool) -> None:
    moment = now()
    values: dict[str, Any] = {
        **_columns(image),
        "resource": image.metadata.name,
        "resource_uid": image.metadata.uid,
        "generation": image.metadata.generation,
        "container_format": image.spec.container_format or "bare",
        "size": image.spec.size,
        "url": image.spec.url,
        "tags": [],
        "created_at": image.metadata.creation_timestamp or moment,
        "updated_at": moment,
        "removed_at": None,
        **dict.fromkeys(("virtual_size", "checksum", "os_hash_value", "blob")),
    }
    if again:
        conn.execute(sa.update(images).where(images.c.id == image.image_id), values)
    else:
        conn.execute(sa.insert(images), {"id": image.image_id, **values})
    members.keep_only(conn, image.image_id, set(image.spec.projects))


def _update(conn: sa.Connection, record: ImageRecord, image: Image) -> None:
    metadata, spec = image.metadata, image.spec
    same = record.resource_uid == metadata.uid
    if same and metadata.generation < record.generation:
        return
    values = _columns(image)
    # Older API servers take no empty strings, so the resource leaves empty properties out.
    empty = {name: value for name, value in record.properties.items() if not value}
    values["properties"] = {**empty, **values["properties"]}
    if record.name is None and spec.display_name is None:
        values["name"] = None
    if record.blob is None:
        values |= {"url": spec.url, "size": spec.size}
    if spec.container_format is not None:
        values["container_format"] = spec.container_format
    values |= {"resource_uid": metadata.uid, "resource": metadata.name, "generation": metadata.generation}
    changed = {name: value for name, value in values.items() if getattr(record, name) != value}
    if changed:
        rows.write(conn, record.id, **changed)
    members.keep_only(conn, record.id, set(spec.projects))


def _columns(image: Image) -> dict[str, Any]:
    values = fields_of(image.spec, image.metadata.name)
    return {**values, "status": values["status"].value, "visibility": values["visibility"].value}


async def let_go(db: Database, resource: str) -> None:
    """The resource is gone, and with it the image. One whose resource is not made yet stays."""

    def transaction(conn: sa.Connection) -> None:
        record = rows.find(conn, images.c.resource == resource)
        if record is not None and record.has_data:
            rows.mark_removed(conn, record.id)

    await db.run(transaction)


async def recorded(db: Database) -> set[str]:
    """The names of the resources that rows say exist."""
    query = sa.select(images.c.resource).where(
        rows.LIVE,
        images.c.resource.is_not(None),
        images.c.status.in_([status.value for status in WITH_DATA]),
    )
    return await db.read(lambda conn: {row.resource for row in conn.execute(query)})


async def resources(db: Database) -> list[ImageRecord]:
    """Images that have a resource and their data in the built-in store."""
    query = rows.SELECT.where(
        rows.LIVE,
        images.c.blob.is_not(None),
        images.c.status.in_([ImageStatus.ACTIVE.value, ImageStatus.DEACTIVATED.value]),
    )
    return await db.read(lambda conn: [record_of(row) for row in conn.execute(query)])
