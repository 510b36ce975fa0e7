"""Volumes: asked for, made, grown, deleted. `attaching.py` gives them to instances.

A Volume resource is taken in by `upsert`; what the Compute API asks for is a row first (`create`), whose
resource is made afterwards. Their files are made by hosts: `placed` says which, `note_made` what is there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from cairn_crds.volume import VolumeBackend, VolumeSpec
from cairn_database.engine import Database
from cairn_database.errors import NameTaken
from cairn_database.records import AttachedVolume, InstanceRecord, Json
from cairn_database.rows import (
    CHUNK,
    compare_and_set,
    hold_project,
    load_many,
    now,
    release,
    was_released,
)
from cairn_database.volumes.errors import VolumeInUse, VolumeNotFound
from cairn_database.volumes.tables import volume_attachments, volumes
from cairn_database.volumes.wants import NewVolume

_AT = sa.select(volumes).where(
    volumes.c.namespace == sa.bindparam("in_namespace"), volumes.c.name == sa.bindparam("called")
)
_LOCK_AT = _AT.with_for_update()


@dataclass(frozen=True, kw_only=True)
class VolumeRecord:
    """A row of `volumes`."""

    id: str
    project: str
    namespace: str
    name: str
    spec: VolumeSpec
    image: Json | None
    """What it is made from."""
    size_gib: int
    """What is asked for."""
    made_gib: int
    """What is there; 0: nothing yet."""
    host: str | None
    """The host that keeps it; None until one has been chosen."""
    deleting: bool
    message: str | None
    """Why it cannot be made, or grown."""
    resource_uid: str | None
    version: int
    created_at: datetime
    updated_at: datetime
    instance_ids: tuple[str, ...] = ()
    """Who has it."""

    @property
    def is_bootable(self) -> bool:
        """Whether an instance may boot from it."""
        return self.spec.bootable or self.image is not None

    @property
    def has_failed(self) -> bool:
        """Whether its host has given up making it."""
        return self.made_gib == 0 and self.message is not None

    @property
    def is_local(self) -> bool:
        return self.spec.backend is VolumeBackend.LOCAL


async def upsert(db: Database, new: NewVolume) -> VolumeRecord:
    """Take a resource in: a new row, or the size and the names that it has now. What has become larger, or
    bootable, since the resource was written stays so. The row of that name is its own from now on. Raises
    NameTaken for a row that another resource has, VolumeNotFound where it has been deleted meanwhile."""

    def transaction(conn: sa.Connection) -> VolumeRecord:
        row = conn.execute(_LOCK_AT, {"in_namespace": new.namespace, "called": new.name}).one_or_none()
        if row is None:
            hold_project(conn, new.project)
            if any(was_released(conn, uid) for uid in (new.id, new.resource_uid) if uid is not None):
                raise VolumeNotFound(new.id)
            return add(conn, new)
        if row.resource_uid not in (None, new.resource_uid) and row.id != new.id:
            raise NameTaken(new.namespace, new.name, row.id)
        size = max(new.spec.size_gib, row.size_gib)
        bootable = new.spec.bootable or bool(row.spec.get("bootable"))
        spec = new.spec.model_copy(update={"size_gib": size, "bootable": bootable}).to_api()
        changes = {"spec": spec, "size_gib": size, "resource_uid": new.resource_uid}
        if all(getattr(row, name) == value for name, value in changes.items()):
            return read(conn, [row.id])[0]
        update(conn, row.id, message=None, **changes)
        _resize_in_instances(conn, row.id, size_gib=size)
        return read(conn, [row.id])[0]

    return await db.run(transaction)


def add(conn: sa.Connection, new: NewVolume) -> VolumeRecord:
    """Inside a transaction: a new volume, whose file is still to be made."""
    moment = now()
    conn.execute(
        sa.insert(volumes),
        {
            "id": new.id,
            "project": new.project,
            "namespace": new.namespace,
            "name": new.name,
            "spec": new.spec.to_api(),
            "image": new.image,
            "size_gib": new.spec.size_gib,
            "made_gib": 0,
            "host": new.spec.host,
            "deleting": False,
            "message": None,
            "resource_uid": new.resource_uid,
            "version": 1,
            "created_at": moment,
            "updated_at": moment,
        },
    )
    return read(conn, [new.id])[0]


async def grow(db: Database, volume_id: str, size_gib: int) -> VolumeRecord:
    """Make it that large; a smaller size changes nothing. Raises VolumeNotFound."""

    def transaction(conn: sa.Connection) -> VolumeRecord:
        record = lock(conn, volume_id)
        if size_gib > record.size_gib:
            spec = record.spec.model_copy(update={"size_gib": size_gib}).to_api()
            update(conn, volume_id, size_gib=size_gib, spec=spec)
            _resize_in_instances(conn, volume_id, size_gib=size_gib)
        return read(conn, [volume_id])[0]

    return await db.run(transaction)


async def place(db: Database, volume_id: str, host: str) -> VolumeRecord:
    """That host keeps it, unless another one does already. Raises VolumeNotFound."""

    def transaction(conn: sa.Connection) -> VolumeRecord:
        record = lock(conn, volume_id)
        if record.host is None:
            update(conn, volume_id, host=host)
        return read(conn, [volume_id])[0]

    return await db.run(transaction)


async def keep_elsewhere(db: Database, volume_id: str, lost: str, host: str) -> VolumeRecord:
    """A shared one whose host is lost is looked after by another. Raises VolumeNotFound."""

    def transaction(conn: sa.Connection) -> VolumeRecord:
        record = lock(conn, volume_id)
        if record.host == lost and not record.is_local:
            update(conn, volume_id, host=host)
        return read(conn, [volume_id])[0]

    return await db.run(transaction)


async def note_made(db: Database, volume_id: str, size_gib: int) -> VolumeRecord | None:
    """Its file is there and so large; the instances that have it may be told. None where it is gone."""

    def transaction(conn: sa.Connection) -> VolumeRecord | None:
        found = read(conn, [volume_id], for_update=True)
        if not found:
            return None
        if found[0].made_gib != size_gib or found[0].message is not None:
            update(conn, volume_id, made_gib=size_gib, message=None)
        _resize_in_instances(conn, volume_id, made=True)
        return read(conn, [volume_id])[0]

    return await db.run(transaction)


async def note_failed(db: Database, volume_id: str, message: str) -> None:
    """Its host cannot make it, or not as large."""

    def transaction(conn: sa.Connection) -> None:
        found = read(conn, [volume_id], for_update=True)
        if found and found[0].message != message[:1024]:
            update(conn, volume_id, message=message[:1024])

    await db.run(transaction)


async def begin_delete(db: Database, volume_id: str) -> VolumeRecord | None:
    """From now on nobody gets it. None where there is no such volume. Raises VolumeInUse."""

    def transaction(conn: sa.Connection) -> VolumeRecord | None:
        found = read(conn, [volume_id], for_update=True)
        if not found:
            return None
        if found[0].instance_ids:
            raise VolumeInUse(volume_id, list(found[0].instance_ids))
        if not found[0].deleting:
            update(conn, volume_id, deleting=True)
        return read(conn, [volume_id])[0]

    return await db.run(transaction)


async def finish_delete(db: Database, volume_id: str) -> None:
    """Its file is gone, and so is the row, for good. Raises VolumeInUse."""

    def transaction(conn: sa.Connection) -> None:
        found = read(conn, [volume_id], for_update=True)
        if found and found[0].instance_ids:
            raise VolumeInUse(volume_id, list(found[0].instance_ids))
        conn.execute(sa.delete(volumes).where(volumes.c.id == volume_id))
        for record in found:
            release(conn, record.resource_uid or record.id)

    await db.run(transaction)


async def release_resource(db: Database, resource_uid: str, project: str | None) -> bool:
    """A Volume of that project goes without a row, and gets none from now on. False: it has one by now."""

    def transaction(conn: sa.Connection) -> bool:
        hold_project(conn, project)
        its = (volumes.c.id == resource_uid) | (volumes.c.resource_uid == resource_uid)
        if conn.execute(sa.select(volumes.c.id).where(its)).first() is not None:
            return False
        release(conn, resource_uid)
        return True

    return await db.run(transaction)


def note_bootable(conn: sa.Connection, volume_id: str) -> None:
    """Inside a transaction: it has got what an instance boots from. Raises VolumeNotFound."""
    record = lock(conn, volume_id)
    if not record.spec.bootable:
        update(conn, volume_id, spec=record.spec.model_copy(update={"bootable": True}).to_api())


# --- reading ---------------------------------------------------------------------------------------------


async def get(db: Database, volume_id: str) -> VolumeRecord | None:
    """The volume of that id."""
    found = await db.read(lambda conn: read(conn, [volume_id]))
    return found[0] if found else None


async def get_many(db: Database, volume_ids: Iterable[str]) -> dict[str, VolumeRecord]:
    """By id; unknown ones are left out."""
    ids = list(volume_ids)
    return {record.id: record for record in await db.read(lambda conn: read(conn, ids))}


async def at(db: Database, namespace: str, name: str) -> VolumeRecord | None:
    """The volume of that resource."""

    def query(conn: sa.Connection) -> VolumeRecord | None:
        row = conn.execute(_AT, {"in_namespace": namespace, "called": name}).one_or_none()
        return read(conn, [row.id])[0] if row else None

    return await db.read(query)


async def find(db: Database, project: str, word: str) -> VolumeRecord | None:
    """The project's volume of that id, or of that name (the resource's)."""
    columns = volumes.c
    statement = sa.select(columns.id).where(
        columns.project == project, sa.or_(columns.id == word.lower(), columns.name == word)
    )

    def query(conn: sa.Connection) -> VolumeRecord | None:
        ids = list(conn.scalars(statement))
        ids.sort(key=lambda one: one != word.lower())
        return read(conn, ids[:1])[0] if ids else None

    return await db.read(query)


async def keys(db: Database) -> list[tuple[str, str, bool]]:
    """(namespace, name, whether something is to be done: it is deleted, made or grown) of every volume."""
    columns = volumes.c
    unmade = sa.and_(columns.host.is_not(None), columns.made_gib < columns.size_gib)
    statement = sa.select(columns.namespace, columns.name, sa.or_(columns.deleting, unmade))
    return await db.read(lambda conn: [tuple(row) for row in conn.execute(statement)])


def read(conn: sa.Connection, volume_ids: Sequence[str], *, for_update: bool = False) -> list[VolumeRecord]:
    """Inside a query: the volumes of these ids, in their order; unknown ones are left out."""
    found: dict[str, VolumeRecord] = {}
    ids = sorted(set(volume_ids))
    for start in range(0, len(ids), CHUNK):
        chunk = ids[start : start + CHUNK]
        statement = sa.select(volumes).where(volumes.c.id.in_(chunk)).order_by(volumes.c.id)
        rows = conn.execute(statement.with_for_update() if for_update else statement).all()
        users: dict[str, list[str]] = {}
        pairs = volume_attachments.c
        for volume_id, instance_id in conn.execute(
            sa.select(pairs.volume_id, pairs.instance_id).where(pairs.volume_id.in_(chunk))
        ):
            users.setdefault(volume_id, []).append(instance_id)
        for row in rows:
            values = {**row._mapping, "spec": VolumeSpec.model_validate(row.spec)}
            found[row.id] = VolumeRecord(**values, instance_ids=tuple(sorted(users.get(row.id, ()))))
    return [found[volume_id] for volume_id in volume_ids if volume_id in found]


def lock(conn: sa.Connection, volume_id: str) -> VolumeRecord:
    """Inside a transaction: the volume, which stays as it is until the transaction ends. Raises
    VolumeNotFound."""
    found = read(conn, [volume_id], for_update=True)
    if not found:
        raise VolumeNotFound(volume_id)
    return found[0]


def update(conn: sa.Connection, volume_id: str, **values: Any) -> None:
    """Inside a transaction that has locked it: write, and raise its version."""
    conn.execute(
        sa.update(volumes)
        .where(volumes.c.id == volume_id)
        .values(**values, version=volumes.c.version + 1, updated_at=now())
    )


def _resize_in_instances(conn: sa.Connection, volume_id: str, **changes: Any) -> list[InstanceRecord]:
    """What the rows of the instances that have it say of it, too."""
    pairs = volume_attachments.c
    ids = list(conn.scalars(sa.select(pairs.instance_id).where(pairs.volume_id == volume_id)))
    written = []
    for record in load_many(conn, ids, lock=True).values():
        mine = tuple(_changed(one, volume_id, changes) for one in record.volumes)
        if mine != record.volumes and not record.is_deleted:
            written.append(compare_and_set(conn, record, moment=now(), volumes=mine))
    return written


def _changed(one: AttachedVolume, volume_id: str, changes: dict[str, Any]) -> AttachedVolume:
    if one.volume_id == volume_id:
        return replace(one, **changes)
    if one.successor is not None and one.successor.volume_id == volume_id:
        return replace(one, successor=replace(one.successor, **changes))
    return one
