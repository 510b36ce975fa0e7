"""Which instance holds which volume: the rows of `volume_attachments`, and when a volume may be held.

All functions that take a connection run inside a transaction that has locked the volume.
"""

from __future__ import annotations

from collections.abc import Collection

import sqlalchemy as sa

from cairn_database.records import AttachedVolume, InstanceRecord
from cairn_database.rows import now
from cairn_database.volumes import store
from cairn_database.volumes.errors import (
    VolumeElsewhere,
    VolumeGoing,
    VolumeInUse,
    VolumeNotAttached,
    VolumeNotFound,
    VolumeStaysBehind,
)
from cairn_database.volumes.store import VolumeRecord
from cairn_database.volumes.tables import volume_attachments


def of_instance(record: InstanceRecord, volume_id: str) -> AttachedVolume:
    """The instance's volume of that id. Raises VolumeNotAttached."""
    for one in record.volumes:
        if one.volume_id == volume_id:
            return one
    raise VolumeNotAttached(volume_id, record.id)


def hold(conn: sa.Connection, record: InstanceRecord, volume: VolumeRecord, attachment_id: str) -> str | None:
    """The instance holds the volume from now on; the host that has it, of a local one. One that has no host
    yet gets the instance's. Raises VolumeNotFound, VolumeGoing, VolumeInUse, VolumeElsewhere."""
    if volume.project != record.project:
        raise VolumeNotFound(volume.id)
    if volume.deleting:
        raise VolumeGoing(volume.id, "it is being deleted.")
    if volume.has_failed:
        raise VolumeGoing(volume.id, f"it could not be made. {volume.message} Delete it and create it again.")
    users = [one for one in volume.instance_ids if one != record.id]
    if len(users) < len(volume.instance_ids) or (users and not volume.spec.multi_attach):
        raise VolumeInUse(volume.id, list(volume.instance_ids))
    if volume.is_local and record.host is not None and record.other_host is not None:
        raise VolumeStaysBehind(volume.id, record.id, record.host, record.other_host)
    host = volume.host
    if host is None and record.host is not None:
        host = record.host
        store.update(conn, volume.id, host=host)
    pinned = record.pinned_host if record.host is None else record.host
    if volume.is_local and host is not None and pinned is not None and host != pinned:
        raise VolumeElsewhere(volume.id, host, pinned)
    values = {
        "volume_id": volume.id,
        "instance_id": record.id,
        "id": attachment_id,
        "created_at": now(),
    }
    conn.execute(sa.insert(volume_attachments), values)
    return host if volume.is_local else None


def let_go(conn: sa.Connection, instance_id: str, volume_ids: Collection[str]) -> None:
    """The instance holds these no more."""
    if volume_ids:
        columns = volume_attachments.c
        conn.execute(
            sa.delete(volume_attachments).where(
                columns.instance_id == instance_id, columns.volume_id.in_(list(volume_ids))
            )
        )


def rename(conn: sa.Connection, attachment_id: str, new_id: str) -> None:
    """That attachment has another id from now on, which no other has."""
    columns = volume_attachments.c
    conn.execute(sa.update(volume_attachments).where(columns.id == attachment_id).values(id=new_id))
