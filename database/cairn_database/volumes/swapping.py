"""One volume in another's place: asked for, given up, settled.

The instance holds both until its host says how it went; the row says which one is attached, and which one
is to be (`AttachedVolume.successor`). Only the host's word ends it: a host that is silent is asked to give
up, but what it has done is not guessed at. The attachment keeps its id, device and tag.

Nova API: PUT /servers/{id}/os-volume_attachments/{volume_id} with another volumeId.
"""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import datetime

import sqlalchemy as sa

from cairn_database import capabilities
from cairn_database.asking import Asked, check_version, live_row
from cairn_database.engine import Database
from cairn_database.errors import ConcurrentUpdate
from cairn_database.records import AttachedVolume, InstanceRecord, Successor
from cairn_database.rows import compare_and_set, now
from cairn_database.volumes import journal, pairs, store
from cairn_database.volumes.errors import VolumeNotSwappable, VolumeSwapping, VolumeTooSmall
from cairn_database.volumes.journal import SWAPPING


async def swap(db: Database, instance_id: str, asked: Asked, old_id: str, new_id: str) -> InstanceRecord:
    """Put the new volume in the old one's place, with what is on that; again for the same two: nothing.

    Raises InstanceNotFound, ActionRefused, InstanceLocked, NotCapable, HostNotUp, VolumeNotAttached,
    VolumeNotFound, VolumeInUse, VolumeGoing, VolumeElsewhere, VolumeTooSmall, VolumeNotSwappable,
    VolumeSwapping.
    """

    def transaction(conn: sa.Connection) -> InstanceRecord:
        record = live_row(conn, instance_id)
        check_version(record, asked)
        mine = pairs.of_instance(record, old_id)
        if mine.successor is not None and mine.successor.volume_id == new_id:
            return record
        capabilities.judge(conn, "swap_volume", record, overrides_lock=asked.overrides_lock)
        if mine.change is not None:
            raise VolumeSwapping(old_id, mine.change)
        successor = _successor(conn, record, mine, new_id)
        moment = now()
        begun = replace(journal.begun(conn, record, mine, SWAPPING, asked), successor=successor)
        changed = tuple(begun if one == mine else one for one in record.volumes)
        return compare_and_set(conn, record, moment=moment, request_id=asked.request_id, volumes=changed)

    return await db.run(transaction)


def _successor(conn: sa.Connection, record: InstanceRecord, mine: AttachedVolume, new_id: str) -> Successor:
    old, new = (store.lock(conn, volume_id) for volume_id in sorted((mine.volume_id, new_id)))
    if old.id == new_id:
        old, new = new, old
    if mine.read_only or old.spec.multi_attach or new.spec.multi_attach:
        raise VolumeNotSwappable(
            f"Volume {old.id} cannot be replaced by {new.id}: what several instances may have, or one only "
            "reads, is not copied. Detach it and attach the other one."
        )
    if new.size_gib < old.size_gib:
        raise VolumeTooSmall(new.id, new.size_gib, old.size_gib)
    swap_id = str(uuid.uuid4())
    host = pairs.hold(conn, record, new, swap_id)
    return Successor(
        volume_id=new.id,
        swap_id=swap_id,
        backend=new.spec.backend,
        size_gib=new.size_gib,
        host=host,
        made=new.made_gib > 0,
    )


async def cancel(
    db: Database, instance_id: str, version: int, volume_id: str, message: str
) -> InstanceRecord:
    """Ask the host to give up, because of `message`, which ends the action. Which volume is attached is
    known when the host has answered. Raises InstanceNotFound, VolumeNotAttached, ConcurrentUpdate."""

    def transaction(conn: sa.Connection) -> InstanceRecord:
        record = live_row(conn, instance_id)
        if record.version != version:
            raise ConcurrentUpdate("Instance", instance_id, f"version {version}", f"version {record.version}")
        mine = pairs.of_instance(record, volume_id)
        if mine.successor is None or mine.successor.cancel:
            return record
        moment = now()
        journal.ended(conn, record, mine, moment, message)
        cancelled = replace(mine, action_id=None, successor=replace(mine.successor, cancel=True))
        changed = tuple(cancelled if one == mine else one for one in record.volumes)
        return compare_and_set(conn, record, moment=moment, volumes=changed)

    return await db.run(transaction)


def settled(
    conn: sa.Connection, record: InstanceRecord, volume: AttachedVolume, moment: datetime, message: str | None
) -> AttachedVolume:
    """Inside a transaction: the host has swapped it, or (`message`) has not. The one that is attached now;
    the other one is free. What has taken a root volume's place may be booted from like that."""
    successor = volume.successor
    assert successor is not None  # noqa: S101 - what is swapping has one
    journal.ended(conn, record, volume, moment, message)
    kept = replace(volume, change=None, since=None, action_id=None, successor=None)
    if message is not None:
        pairs.let_go(conn, record.id, [successor.volume_id])
        return kept
    pairs.let_go(conn, record.id, [volume.volume_id])
    if volume.boot_index == 0:
        store.note_bootable(conn, successor.volume_id)
    pairs.rename(conn, successor.swap_id, volume.attachment_id)
    return replace(
        kept,
        volume_id=successor.volume_id,
        backend=successor.backend,
        size_gib=successor.size_gib,
        host=successor.host,
        made=True,
    )
