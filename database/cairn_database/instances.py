"""Instances: being born, being found, and what is asked of them.

A transaction that changes an instance is compare-and-set, raises the row's version, writes the history and
returns the new record, so that nobody need read it again. A life goes through these modules:

    instances.register ── building/scheduling ── claims.claim_many ── networking
        ── addresses.allocate_interfaces ── spawning ── tasks.finish_task ── active
        ── tasks.begin_task … tasks.finish_task … ── removal.begin_delete ── removal.finish_delete

    failures.fail, reschedule and retry lead out of it and back.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy import bindparam

from cairn_crds.instance import PowerState
from cairn_database import history, quotas
from cairn_database.engine import Database
from cairn_database.errors import ConcurrentUpdate, InstanceNotFound, NameTaken
from cairn_database.records import (
    InstanceKey,
    InstanceRecord,
    Json,
    NewInstance,
    TaskState,
    VmState,
)
from cairn_database.rows import (
    COLUMNS,
    columns_of,
    compare_and_set,
    find,
    index_columns,
    live,
    load_expected,
    load_many,
    now,
    record_of,
    was_released,
    write_labels,
)
from cairn_database.tables import LIVE, allocations, instances
from cairn_database.volumes import attaching, store

_INSERT = sa.insert(instances)
_EXISTING = sa.select(instances.c.id, instances.c.namespace, instances.c.name).where(
    sa.or_(
        instances.c.id == bindparam("instance"),
        sa.and_(
            instances.c.namespace == bindparam("in_namespace"),
            instances.c.name == bindparam("called"),
            instances.c.deleted == LIVE,
        ),
    )
)
_BY_NAME = sa.select(*COLUMNS).where(
    instances.c.namespace == bindparam("in_namespace"),
    instances.c.name == bindparam("called"),
    live(),
)
_LIVE = (
    sa.select(*COLUMNS)
    .where(live())
    .order_by(instances.c.deleted, instances.c.id)
    .limit(bindparam("maximum"))
)
_LIVE_AFTER = _LIVE.where(instances.c.id > bindparam("after"))
_KEYS = (
    sa.select(
        instances.c.id,
        instances.c.namespace,
        instances.c.name,
        instances.c.host,
        instances.c.task_state,
        instances.c.version,
    )
    .where(live())
    .order_by(instances.c.deleted, instances.c.id)
    .limit(bindparam("maximum"))
)
_KEYS_AFTER = _KEYS.where(instances.c.id > bindparam("after"))
_ON_HOST = (
    sa.select(*COLUMNS).where(instances.c.host == bindparam("on_host"), live()).order_by(instances.c.id)
)
_UNSCHEDULED = (
    sa.select(*COLUMNS)
    .where(instances.c.awaiting_host.is_(sa.true()))
    .order_by(instances.c.awaiting_host, instances.c.created_at, instances.c.id)
    .limit(bindparam("maximum"))
)
_AWAITING = (
    sa.select(instances.c.id)
    .where(instances.c.awaiting_host.is_(sa.true()))
    .order_by(instances.c.awaiting_host, instances.c.created_at, instances.c.id)
    .limit(bindparam("maximum"))
)
_VERSION = sa.select(instances.c.version).where(instances.c.id == bindparam("instance"), live())
_COUNT = (
    sa.select(instances.c.vm_state, instances.c.task_state, sa.func.count())
    .where(live())
    .group_by(instances.c.vm_state, instances.c.task_state)
)


# --- reading ---------------------------------------------------------------------------------------------


async def get(db: Database, instance_id: str) -> InstanceRecord:
    """The row, also of a deleted instance until it is purged. Raises InstanceNotFound."""
    record = await db.read(lambda conn: find(conn, instance_id))
    if record is None:
        raise InstanceNotFound(instance_id)
    return record


async def get_by_name(db: Database, namespace: str, name: str) -> InstanceRecord | None:
    """The live instance of that name."""

    def query(conn: sa.Connection) -> InstanceRecord | None:
        row = conn.execute(_BY_NAME, {"in_namespace": namespace, "called": name}).one_or_none()
        return None if row is None else record_of(row)

    return await db.read(query)


async def check_version(db: Database, instance_id: str, version: int) -> None:
    """Raise ConcurrentUpdate where the row is at another version, InstanceNotFound where it is deleted."""

    def query(conn: sa.Connection) -> None:
        found = conn.execute(_VERSION, {"instance": instance_id}).scalar_one_or_none()
        if found is None:
            raise InstanceNotFound(instance_id)
        if found != version:
            raise ConcurrentUpdate("Instance", instance_id, f"version {version}", f"version {found}")

    await db.read(query)


async def get_many(db: Database, instance_ids: Iterable[str]) -> dict[str, InstanceRecord]:
    """Rows by id, deleted ones too; ids that never were are left out."""
    ids = list(instance_ids)
    return await db.read(lambda conn: load_many(conn, ids))


async def list_live(db: Database, after_id: str | None = None, limit: int = 500) -> list[InstanceRecord]:
    """A page of all live instances in the order of their ids; the next one starts after the last id."""
    if after_id is None:
        return await _list(db, _LIVE, maximum=limit)
    return await _list(db, _LIVE_AFTER, maximum=limit, after=after_id)


async def list_by_host(db: Database, host: str) -> list[InstanceRecord]:
    """The live instances that the host has."""
    return await _list(db, _ON_HOST, on_host=host)


async def list_holding(db: Database, host: str) -> list[InstanceRecord]:
    """The live instances that the host has or holds room for: at either end of a move."""
    ids = sa.select(allocations.c.instance_id).where(allocations.c.host == host)
    held = await db.read(lambda conn: list(conn.scalars(ids)))
    found = await get_many(db, held)
    return sorted(
        (record for record in found.values() if not record.is_deleted),
        key=lambda record: (record.created_at, record.id),
    )


async def list_unscheduled(db: Database, limit: int = 100) -> list[InstanceRecord]:
    """The scheduler's queue: what awaits a host, new or about to move, oldest first."""
    return await _list(db, _UNSCHEDULED, maximum=limit)


async def list_awaiting_host(db: Database, limit: int = 1000) -> list[str]:
    """The ids of `list_unscheduled`: cheap enough to ask every few milliseconds."""
    return await db.read(lambda conn: list(conn.scalars(_AWAITING, {"maximum": limit})))


async def list_keys(db: Database, after_id: str | None = None, limit: int = 1000) -> list[InstanceKey]:
    """As `list_live`, with only what tells whether its resources should be there."""
    statement, parameters = _KEYS if after_id is None else _KEYS_AFTER, {"maximum": limit, "after": after_id}

    def query(conn: sa.Connection) -> list[InstanceKey]:
        return [
            InstanceKey(
                row.id,
                row.namespace,
                row.name,
                row.host,
                TaskState(row.task_state) if row.task_state else None,
                row.version,
            )
            for row in conn.execute(statement, parameters)
        ]

    return await db.read(query)


async def count_by_state(db: Database) -> dict[tuple[VmState, TaskState | None], int]:
    """How many live instances are in each state. Reads every live row: for metrics, once in a while."""

    def query(conn: sa.Connection) -> dict[tuple[VmState, TaskState | None], int]:
        return {
            (VmState(vm_state), TaskState(task_state) if task_state else None): int(count)
            for vm_state, task_state, count in conn.execute(_COUNT)
        }

    return await db.read(query)


async def _list(db: Database, statement: sa.Select[Any], **parameters: Any) -> list[InstanceRecord]:
    return await db.read(lambda conn: [record_of(row) for row in conn.execute(statement, parameters)])


# --- being born, and what is asked of it -----------------------------------------------------------------


async def register(db: Database, new: NewInstance) -> InstanceRecord:
    """Accept an instance: quota, row in building/scheduling, group membership and action `create` in one.

    Idempotent: an instance of that id is returned as it is. Raises ProjectNotFound, ProjectDisabled,
    QuotaExceeded, NameTaken, ServerGroupNotFound, InstanceNotFound for a resource that was released
    meanwhile, and what `volumes.attaching.attach` raises.
    """
    return await db.run(lambda conn: _register(conn, new))


async def register_many(db: Database, new: Sequence[NewInstance], at_least: int) -> list[InstanceRecord]:
    """As `register`, for instances alike that are asked for at once: all of them, or as many as quota allows
    if those are `at_least` that many (Nova API: POST /servers with min_count and max_count); else none.

    Raises what `register` raises.
    """

    def transaction(conn: sa.Connection) -> list[InstanceRecord]:
        first = new[0]
        size = quotas.Demand(1, int(first.flavor["vcpus"]), int(first.flavor["memoryMiB"]))
        room = quotas.room_for(conn, first.project, size, first.user_id)
        count = len(new) if room is None or room >= len(new) else max(room, at_least)
        return [_register(conn, one) for one in new[:count]]

    return await db.run(transaction)


def _register(conn: sa.Connection, new: NewInstance) -> InstanceRecord:
    parameters = {"instance": new.id, "in_namespace": new.namespace, "called": new.name}
    for existing in conn.execute(_EXISTING, parameters).all():
        if existing.id != new.id:
            raise NameTaken(new.namespace, new.name, existing.id)
        record = find(conn, new.id)
        assert record is not None  # noqa: S101 - it was just read, in this transaction
        return record
    vcpus, memory_mib = int(new.flavor["vcpus"]), int(new.flavor["memoryMiB"])
    quotas.take(conn, new.project, quotas.Demand(1, vcpus, memory_mib), new.user_id)
    # From here on the project is held: whoever releases the resource has done it, or waits.
    if new.resource_uid is not None and was_released(conn, new.resource_uid):
        raise InstanceNotFound(new.id)
    if new.group_id is not None:
        quotas.join_group(conn, new.project, new.group_id)
    moment = now()
    record = InstanceRecord(
        id=new.id,
        project=new.project,
        namespace=new.namespace,
        name=new.name,
        resource_uid=new.resource_uid,
        vm_state=VmState.BUILDING,
        task_state=TaskState.SCHEDULING,
        power_state=PowerState.NO_STATE,
        host=None,
        fencing_epoch=0,
        version=1,
        request=new.request,
        flavor=new.flavor,
        image=new.image,
        key_pair=new.key_pair,
        group_id=new.group_id,
        availability_zone=new.availability_zone,
        hints=new.hints,
        interfaces=(),
        reboot_generation=new.reboot_generation,
        attempts=0,
        excluded_hosts=(),
        fault_code=None,
        fault_message=None,
        fault_at=None,
        placement_message=None,
        created_at=moment,
        updated_at=moment,
        launched_at=None,
        terminated_at=None,
        deleted_at=None,
        request_id=new.request_id,
        action_id=history.start_action(conn, new.id, "create", new.request_id, moment),
        user_id=new.user_id,
        details=new.details,
        awaiting_host=True,
    )
    values = columns_of({name: getattr(record, name) for name in (column.name for column in COLUMNS)})
    values |= index_columns(record)
    conn.execute(_INSERT, {**values, "deleted": LIVE})
    write_labels(conn, record)
    return _give_volumes(conn, record, new) if new.volumes else record


def _give_volumes(conn: sa.Connection, record: InstanceRecord, new: NewInstance) -> InstanceRecord:
    for want in new.volumes:
        if want.new is not None:
            store.add(conn, want.new)
        record = replace(record, volumes=(*record.volumes, attaching.give(conn, record, want)))
    bare = replace(record, volumes=())
    return compare_and_set(conn, bare, moment=record.created_at, volumes=record.volumes)


async def bind(
    db: Database, instance_id: str, version: int, *, resource_uid: str, generation: int, shown: Json
) -> InstanceRecord:
    """The row belongs to the resource of that uid from now on, and has seen its spec up to `generation`, when
    `shown` was what of it may change.

    Raises InstanceNotFound, ConcurrentUpdate.
    """

    def transaction(conn: sa.Connection) -> InstanceRecord:
        record = load_expected(conn, instance_id, version)
        request = {**record.request, "generation": generation, "shown": shown}
        request.pop("projection", None)
        return compare_and_set(conn, record, moment=now(), resource_uid=resource_uid, request=request)

    return await db.run(transaction)


async def update_request(
    db: Database, instance_id: str, version: int, *, request: Json, hints: Json | None = None
) -> InstanceRecord:
    """Record an allowed edit of the spec. Raises InstanceNotFound, ConcurrentUpdate."""

    def transaction(conn: sa.Connection) -> InstanceRecord:
        record = load_expected(conn, instance_id, version)
        changes: dict[str, Any] = {"request": request}
        if hints is not None:
            changes["hints"] = hints
        if all(getattr(record, name) == value for name, value in changes.items()):
            return record
        return compare_and_set(conn, record, moment=now(), **changes)

    return await db.run(transaction)
