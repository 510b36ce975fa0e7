"""Volumes of instances: attached and detached while they run, are off, or are on no host.

As with interfaces (`networking.plugging`) there is no task_state for it: the row says at once what is asked
for, each volume of the row says whether the host is still at it, and `settle` writes down how that went. A
volume is somebody else's to have only when the host has taken it from the machine.
"""

from __future__ import annotations

import string
import uuid
from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import datetime

import sqlalchemy as sa

from cairn_database import capabilities
from cairn_database.asking import Asked, check_version, live_row
from cairn_database.engine import Database
from cairn_database.errors import ConcurrentUpdate
from cairn_database.records import AttachedVolume, InstanceRecord, Json
from cairn_database.rows import compare_and_set, now
from cairn_database.volumes import journal, pairs, store, swapping
from cairn_database.volumes.errors import (
    RESCUE_PROPERTIES,
    RescueNotStable,
    RootVolume,
    TooManyVolumes,
    VolumeBacked,
    VolumeElsewhere,
    VolumeNotBootable,
    VolumesStay,
    VolumeSwapping,
)
from cairn_database.volumes.journal import ATTACHING, DETACHING, SWAPPING
from cairn_database.volumes.pairs import of_instance
from cairn_database.volumes.wants import VolumeWant

__all__ = ["ATTACHING", "DETACHING", "SWAPPING", "of_instance"]
MOST_VOLUMES = 20
"""Of one instance."""


async def attach(db: Database, instance_id: str, asked: Asked, want: VolumeWant) -> InstanceRecord:
    """One more volume; it is the last one of the record's.

    Nova API: POST /servers/{id}/os-volume_attachments. Raises InstanceNotFound, ActionRefused,
    InstanceLocked, VolumeNotFound, VolumeInUse, VolumeGoing, VolumeElsewhere, TooManyVolumes.
    """

    def transaction(conn: sa.Connection) -> InstanceRecord:
        record = live_row(conn, instance_id)
        check_version(record, asked)
        capabilities.judge(conn, "attach_volume", record, overrides_lock=asked.overrides_lock)
        moment = now()
        given = give(conn, record, want)
        if record.host is not None:
            given = journal.begun(conn, record, given, ATTACHING, asked)
        else:
            journal.noted(conn, record, ATTACHING, asked, moment)
        return compare_and_set(
            conn, record, moment=moment, request_id=asked.request_id, volumes=(*record.volumes, given)
        )

    return await db.run(transaction)


def give(conn: sa.Connection, record: InstanceRecord, want: VolumeWant) -> AttachedVolume:
    """Inside a transaction: the volume is the instance's; the caller writes it into the row. A local one that
    has no host yet gets the instance's. Raises as `attach`, and VolumeNotBootable."""
    if len(record.volumes) >= MOST_VOLUMES:
        raise TooManyVolumes(record.id, MOST_VOLUMES)
    volume = store.lock(conn, want.volume_id)
    attachment_id = want.attachment_id or str(uuid.uuid4())
    host = pairs.hold(conn, record, volume, attachment_id)
    if want.boot_index == 0 and not volume.is_bootable:
        raise VolumeNotBootable(volume.id)
    return AttachedVolume(
        volume_id=volume.id,
        attachment_id=attachment_id,
        backend=volume.spec.backend,
        size_gib=volume.size_gib,
        device=_device(record, want),
        host=host,
        boot_index=want.boot_index,
        read_only=want.read_only or volume.spec.multi_attach,
        delete_on_termination=want.delete_on_termination,
        tag=want.tag,
        bus=want.bus,
        made=volume.made_gib > 0,
    )


def _device(record: InstanceRecord, want: VolumeWant) -> str:
    """The name that is asked for, if it is free; else the next free one after the machine's own disks."""
    used = {one.device for one in record.volumes}
    if want.device is not None and want.device not in used:
        return want.device
    if want.boot_index == 0:
        return "/dev/vda"
    flavor, spec = record.flavor, record.spec
    own = 1 + bool(flavor.get("ephemeralGiB")) + bool(flavor.get("swapMiB"))
    own += bool(spec.get("configDrive", True))
    letters = string.ascii_lowercase[own:] + string.ascii_lowercase[1:own]
    return next(name for letter in letters if (name := f"/dev/vd{letter}") not in used)


async def detach(db: Database, instance_id: str, asked: Asked, volume_id: str) -> InstanceRecord:
    """Take that volume away; one that is on its way out already stays so.

    Nova API: DELETE /servers/{id}/os-volume_attachments/{volume_id}. Raises InstanceNotFound, ActionRefused,
    InstanceLocked, VolumeNotAttached, RootVolume, VolumeSwapping.
    """

    def transaction(conn: sa.Connection) -> InstanceRecord:
        record = live_row(conn, instance_id)
        check_version(record, asked)
        mine = of_instance(record, volume_id)
        capabilities.judge(conn, "detach_volume", record, overrides_lock=asked.overrides_lock)
        if mine.boot_index == 0:
            raise RootVolume(volume_id)
        if mine.change == DETACHING:
            return record
        if mine.change == SWAPPING:
            raise VolumeSwapping(volume_id, SWAPPING)
        moment = now()
        journal.ended(conn, record, mine, moment, "It was detached meanwhile.")
        if record.host is None:
            journal.noted(conn, record, DETACHING, asked, moment)
            rest = tuple(one for one in record.volumes if one != mine)
            pairs.let_go(conn, record.id, [volume_id])
        else:
            leaving = journal.begun(conn, record, mine, DETACHING, asked)
            rest = tuple(leaving if one == mine else one for one in record.volumes)
        return compare_and_set(conn, record, moment=moment, request_id=asked.request_id, volumes=rest)

    return await db.run(transaction)


async def set_delete_on_termination(
    db: Database, instance_id: str, volume_id: str, wanted: bool
) -> InstanceRecord:
    """Whether the volume goes with the instance. Nova API: PUT /servers/{id}/os-volume_attachments/… from
    2.85. Raises InstanceNotFound, VolumeNotAttached."""

    def transaction(conn: sa.Connection) -> InstanceRecord:
        record = live_row(conn, instance_id)
        mine = of_instance(record, volume_id)
        if mine.delete_on_termination == wanted:
            return record
        after = replace(mine, delete_on_termination=wanted)
        kept = tuple(after if one == mine else one for one in record.volumes)
        return compare_and_set(conn, record, moment=now(), volumes=kept)

    return await db.run(transaction)


async def place(db: Database, instance_id: str, version: int) -> InstanceRecord:
    """The instance has got a host: local volumes that have none yet are to be made there, shared ones are
    looked after there. Raises VolumeElsewhere, InstanceNotFound, ConcurrentUpdate."""

    def transaction(conn: sa.Connection) -> InstanceRecord:
        record = live_row(conn, instance_id)
        if record.version != version or record.host is None:
            raise ConcurrentUpdate("Instance", instance_id, f"version {version}", f"version {record.version}")
        placed = []
        for one in record.volumes:
            volume = store.lock(conn, one.volume_id)
            if volume.host is None:
                store.update(conn, volume.id, host=record.host)
            host = volume.host or record.host
            if volume.is_local and host != record.host:
                raise VolumeElsewhere(volume.id, host, record.host)
            placed.append(replace(one, host=host if volume.is_local else None, made=volume.made_gib > 0))
        if tuple(placed) == record.volumes:
            return record
        return compare_and_set(conn, record, moment=now(), volumes=tuple(placed))

    return await db.run(transaction)


async def settle(
    db: Database, instance_id: str, version: int, *, done: Collection[str], failed: Mapping[str, str]
) -> InstanceRecord:
    """How changes went, by volume: `done`, or `failed` and why. What could not be attached is detached again,
    what could not be detached stays. Raises InstanceNotFound, ConcurrentUpdate."""

    def transaction(conn: sa.Connection) -> InstanceRecord:
        record = live_row(conn, instance_id)
        if record.version != version:
            raise ConcurrentUpdate("Instance", instance_id, f"version {version}", f"version {record.version}")
        moment = now()
        kept: list[AttachedVolume] = []
        gone: list[str] = []
        for one in record.volumes:
            if one.change is None or (one.volume_id not in done and one.volume_id not in failed):
                kept.append(one)
                continue
            message = failed.get(one.volume_id)
            if one.change == SWAPPING:
                kept.append(swapping.settled(conn, record, one, moment, message))
                continue
            journal.ended(conn, record, one, moment, message)
            settled = replace(one, change=None, since=None, action_id=None)
            if message is None and one.change == DETACHING:
                gone.append(one.volume_id)
            elif message is not None and one.change == ATTACHING:
                kept.append(replace(settled, change=DETACHING, since=moment.isoformat()))
            else:
                kept.append(settled)
        pairs.let_go(conn, record.id, gone)
        return compare_and_set(conn, record, moment=moment, volumes=tuple(kept))

    return await db.run(transaction)


def abandon(conn: sa.Connection, record: InstanceRecord, moment: datetime, message: str) -> None:
    """Inside a transaction: the instance goes, and with it whatever was being done to its volumes."""
    for one in record.volumes:
        journal.ended(conn, record, one, moment, message)


def release(conn: sa.Connection, record: InstanceRecord) -> None:
    """Inside a transaction: the instance is gone. Its volumes are free; those that go with it are deleted.
    The caller empties `volumes`."""
    if not record.volumes:
        return
    held = [one.volume_id for one in record.volumes]
    held += [one.successor.volume_id for one in record.volumes if one.successor is not None]
    pairs.let_go(conn, record.id, held)
    for one in record.volumes:
        found = store.read(conn, [one.volume_id], for_update=True) if one.delete_on_termination else []
        if found and not found[0].instance_ids:
            store.update(conn, one.volume_id, deleting=True)


def refuse_to_leave(record: InstanceRecord) -> None:
    """Raise VolumesStay where a local volume holds the instance on its host."""
    local = [one.volume_id for one in record.volumes if one.host is not None]
    if local:
        raise VolumesStay(record.id, local, record.pinned_host or "")


def refuse_volume_backed(action: str, record: InstanceRecord) -> None:
    """Raise VolumeBacked where the instance has no root disk of its own."""
    if record.boots_from_volume:
        raise VolumeBacked(action, record.id)


def refuse_unstable_rescue(record: InstanceRecord, image: Json) -> None:
    """Raise RescueNotStable where the instance boots from a volume and the rescue image says nothing of how
    its disk is put beside that."""
    properties = image.get("properties") or {}
    if record.boots_from_volume and not all(name in properties for name in RESCUE_PROPERTIES):
        raise RescueNotStable(record.id)
