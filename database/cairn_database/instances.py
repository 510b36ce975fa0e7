"""The transactions that change an instance's state. Each is compare-and-set, raises the row's version, writes
the history and returns the new record, so that nobody need read it again.

    register ── building/scheduling ── claims.claim_many ── networking ── addresses.allocate_interfaces
        ── spawning ── finish_task ── active ── begin_task … finish_task … ── begin_delete ── finish_delete
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import bindparam

from cairn_crds.instance import PowerState
from cairn_database import claims, history, quotas
from cairn_database.engine import Database
from cairn_database.errors import ConcurrentUpdate, InstanceNotFound, NameTaken
from cairn_database.records import (
    InstanceKey,
    InstanceRecord,
    Json,
    KeyPairRecord,
    NewInstance,
    TaskState,
    VmState,
)
from cairn_database.rows import (
    COLUMNS,
    columns_of,
    compare_and_set,
    find,
    live,
    load_expected,
    load_in_task,
    load_many,
    now,
    record_of,
)
from cairn_database.tables import LIVE, instances

MAX_ATTEMPTS = 3
"""How many hosts a build is tried on (Nova: [scheduler] max_attempts)."""

_BUILD_TASKS = (TaskState.NETWORKING, TaskState.BLOCK_DEVICE_MAPPING, TaskState.SPAWNING)

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
        instances.c.id, instances.c.namespace, instances.c.name, instances.c.host, instances.c.task_state
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
    .where(
        instances.c.task_state == TaskState.SCHEDULING.value,
        instances.c.vm_state == VmState.BUILDING.value,
    )
    .order_by(instances.c.task_state, instances.c.created_at, instances.c.id)
    .limit(bindparam("maximum"))
)
_IN_TASK = (
    sa.select(instances.c.id, instances.c.version)
    .where(instances.c.task_state.in_(bindparam("tasks", expanding=True)))
    .order_by(instances.c.task_state, instances.c.created_at, instances.c.id)
    .limit(bindparam("maximum"))
)
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


async def list_unscheduled(db: Database, limit: int = 100) -> list[InstanceRecord]:
    """The scheduler's queue: building/scheduling, oldest first."""
    return await _list(db, _UNSCHEDULED, maximum=limit)


async def list_in_task(
    db: Database, task_states: Iterable[TaskState], limit: int = 1000
) -> list[tuple[str, int]]:
    """(id, version) of instances in these tasks, oldest first: cheap enough to ask every few milliseconds."""
    parameters = {"tasks": [task.value for task in task_states], "maximum": limit}
    return await db.read(lambda conn: [(row.id, row.version) for row in conn.execute(_IN_TASK, parameters)])


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


# --- being born ------------------------------------------------------------------------------------------


async def register(db: Database, new: NewInstance) -> InstanceRecord:
    """Accept an instance: quota, row in building/scheduling, group membership and action `create` in one.

    Idempotent: an instance of that id is returned as it is. Raises ProjectNotFound, ProjectDisabled,
    QuotaExceeded, NameTaken, ServerGroupNotFound.
    """
    return await db.run(lambda conn: _register(conn, new))


def _register(conn: sa.Connection, new: NewInstance) -> InstanceRecord:
    parameters = {"instance": new.id, "in_namespace": new.namespace, "called": new.name}
    for existing in conn.execute(_EXISTING, parameters).all():
        if existing.id != new.id:
            raise NameTaken(new.namespace, new.name, existing.id)
        record = find(conn, new.id)
        assert record is not None  # noqa: S101 - it was just read, in this transaction
        return record
    vcpus, memory_mib = int(new.flavor["vcpus"]), int(new.flavor["memoryMiB"])
    quotas.take(conn, new.project, quotas.Demand(1, vcpus, memory_mib))
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
    )
    values = columns_of({name: getattr(record, name) for name in (column.name for column in COLUMNS)})
    conn.execute(_INSERT, {**values, "deleted": LIVE, "vcpus": vcpus, "memory_mib": memory_mib})
    return record


async def rebind(db: Database, namespace: str, name: str, resource_uid: str) -> InstanceRecord:
    """The live instance of that name belongs to this resource from now on. Raises InstanceNotFound."""

    def transaction(conn: sa.Connection) -> InstanceRecord:
        row = conn.execute(_BY_NAME, {"in_namespace": namespace, "called": name}).one_or_none()
        if row is None:
            raise InstanceNotFound(f"{namespace}/{name}")
        record = record_of(row)
        if record.resource_uid == resource_uid:
            return record
        return compare_and_set(conn, record, moment=now(), resource_uid=resource_uid)

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


# --- doing something to it -------------------------------------------------------------------------------


async def begin_task(
    db: Database,
    instance_id: str,
    version: int,
    task_state: TaskState,
    *,
    expected_task_state: TaskState | None = None,
    action: str | None = None,
    request: Json | None = None,
    request_id: str | None = None,
) -> InstanceRecord:
    """Start to do something: `action` (Nova's name: stop, start, reboot …) opens an entry of the history.

    Without `action` the one that is running goes on. `request`: what the user asks for from now on, where the
    task comes from an edit of the spec. Raises InstanceNotFound, ConcurrentUpdate.
    """

    def transaction(conn: sa.Connection) -> InstanceRecord:
        record = load_in_task(conn, instance_id, version, expected_task_state)
        moment = now()
        changes: dict[str, Any] = {"task_state": task_state, **_new_request(request)}
        if action is not None:
            changes["action_id"] = history.start_action(conn, instance_id, action, request_id, moment)
            changes["request_id"] = request_id
        elif record.task_state is not None:
            history.add_events(conn, history.event_of(record, moment))
        return compare_and_set(conn, record, moment=moment, **changes)

    return await db.run(transaction)


async def finish_task(
    db: Database,
    instance_id: str,
    version: int,
    *,
    expected_task_state: TaskState | None,
    vm_state: VmState,
    power_state: PowerState,
    launched: bool = False,
    reboot_generation: int | None = None,
    request: Json | None = None,
) -> InstanceRecord:
    """It is done: no task, these states, no fault. `launched`: the machine has just been made and started.

    `request`: where it ended otherwise than the user had asked, what the spec is to say from now on.
    Raises InstanceNotFound, ConcurrentUpdate.
    """

    def transaction(conn: sa.Connection) -> InstanceRecord:
        record = load_in_task(conn, instance_id, version, expected_task_state)
        moment = now()
        changes: dict[str, Any] = {
            "vm_state": vm_state,
            "task_state": None,
            "power_state": power_state,
            "action_id": None,
            **_new_request(request),
        }
        if vm_state is not VmState.ERROR:
            changes |= {"fault_code": None, "fault_message": None, "fault_at": None}
        if launched:
            changes["launched_at"] = moment
        if reboot_generation is not None:
            changes["reboot_generation"] = reboot_generation
        after = compare_and_set(conn, record, moment=moment, **changes)
        if launched and record.host is not None:
            claims.forget_build_failures(conn, record.host)
        history.add_events(conn, history.event_of(record, moment))
        history.finish_action(conn, record.action_id, moment)
        return after

    return await db.run(transaction)


async def abandon_task(
    db: Database,
    instance_id: str,
    version: int,
    *,
    expected_task_state: TaskState,
    message: str,
    power_state: PowerState | None = None,
    reboot_generation: int | None = None,
    request: Json | None = None,
) -> InstanceRecord:
    """It could not be done and the instance is as it was: no task, same vm_state, the action says Error.

    Raises InstanceNotFound, ConcurrentUpdate.
    """

    def transaction(conn: sa.Connection) -> InstanceRecord:
        record = load_in_task(conn, instance_id, version, expected_task_state)
        moment = now()
        changes: dict[str, Any] = {"task_state": None, "action_id": None, **_new_request(request)}
        if power_state is not None:
            changes["power_state"] = power_state
        if reboot_generation is not None:
            changes["reboot_generation"] = reboot_generation
        after = compare_and_set(conn, record, moment=moment, **changes)
        _write_failure(conn, record, moment, message)
        return after

    return await db.run(transaction)


async def record_power(
    db: Database,
    instance_id: str,
    version: int,
    *,
    vm_state: VmState,
    power_state: PowerState,
    request: Json | None = None,
) -> InstanceRecord:
    """The machine changed without being asked to (somebody used the hypervisor, the guest shut down).

    `request`: what the spec is to say from now on. Leaves a running task alone. Raises InstanceNotFound,
    ConcurrentUpdate.
    """

    def transaction(conn: sa.Connection) -> InstanceRecord:
        record = load_expected(conn, instance_id, version)
        changes: dict[str, Any] = {"vm_state": vm_state, "power_state": power_state, **_new_request(request)}
        if all(getattr(record, name) == value for name, value in changes.items()):
            return record
        moment = now()
        if record.vm_state != vm_state:
            message = f"The hypervisor reports {power_state.value}: {record.vm_state} became {vm_state}."
            action_id = history.start_action(conn, instance_id, "power-sync", None, moment)
            history.finish_action(conn, action_id, moment, message=message)
        return compare_and_set(conn, record, moment=moment, **changes)

    return await db.run(transaction)


def _new_request(request: Json | None) -> dict[str, Any]:
    return {} if request is None else {"request": request}


# --- going wrong -----------------------------------------------------------------------------------------


async def fail(
    db: Database, instance_id: str, version: int, *, code: int, message: str, keep_host: bool
) -> InstanceRecord:
    """vm_state error with this fault, no task.

    `keep_host=False`: the machine was never made (or is gone): its claim and addresses are given back and it
    has no host. Quota stays used until it is deleted. Raises InstanceNotFound, ConcurrentUpdate.
    """

    def transaction(conn: sa.Connection) -> InstanceRecord:
        record = load_expected(conn, instance_id, version)
        moment = now()
        after = _to_error(conn, record, moment, code, message, keep_host=keep_host)
        if record.host is not None and record.task_state in _BUILD_TASKS:
            claims.count_build_failure(conn, record.host)
        return after

    return await db.run(transaction)


async def reschedule(
    db: Database,
    instance_id: str,
    version: int,
    *,
    exclude_host: str,
    message: str,
    max_attempts: int = MAX_ATTEMPTS,
) -> InstanceRecord:
    """Building it on `exclude_host` failed, and nothing of it is left there: back to the scheduler.

    Claim and addresses are given back, the host is not tried again. After `max_attempts` hosts: vm_state
    error. Raises InstanceNotFound, ConcurrentUpdate (also unless it is being built there).
    """

    def transaction(conn: sa.Connection) -> InstanceRecord:
        record = load_expected(conn, instance_id, version)
        if record.host != exclude_host or record.task_state not in _BUILD_TASKS:
            raise ConcurrentUpdate(
                "Instance",
                instance_id,
                f"being built on {exclude_host}",
                f"{record.task_state} on {record.host}",
            )
        moment = now()
        if record.attempts >= max_attempts:
            fault = (
                f"Exceeded maximum number of retries. Exceeded max scheduling attempts {max_attempts} "
                f"for instance {instance_id}. Last exception: {message}"
            )
            after = _to_error(conn, record, moment, 500, fault, keep_host=False)
        else:
            after = compare_and_set(
                conn,
                record,
                moment=moment,
                task_state=TaskState.SCHEDULING,
                host=None,
                interfaces=(),
                excluded_hosts=(*record.excluded_hosts, exclude_host),
            )
            claims.release_everything(conn, record, moment)
            history.add_events(conn, history.event_of(record, moment, result=history.ERROR, message=message))
        claims.count_build_failure(conn, exclude_host)
        return after

    return await db.run(transaction)


async def retry(
    db: Database,
    instance_id: str,
    version: int,
    *,
    request: Json,
    flavor: Json,
    image: Json,
    key_pair: KeyPairRecord | None = None,
    group_id: str | None = None,
    availability_zone: str | None = None,
    hints: Json | None = None,
    request_id: str | None = None,
) -> InstanceRecord:
    """In error without a host, and the input was mended: building/scheduling again with the new input.

    The quota difference is taken or given back, and the server group changed where `group_id` is another.
    Raises QuotaExceeded, ProjectDisabled, ProjectNotFound, ServerGroupNotFound, InstanceNotFound,
    ConcurrentUpdate (also when it is not in error, or has a host).
    """

    def transaction(conn: sa.Connection) -> InstanceRecord:
        record = load_in_task(conn, instance_id, version, None)
        if record.vm_state is not VmState.ERROR or record.host is not None:
            raise ConcurrentUpdate(
                "Instance", instance_id, "error without a host", f"{record.vm_state} on {record.host}"
            )
        vcpus, memory_mib = int(flavor["vcpus"]), int(flavor["memoryMiB"])
        quotas.take(
            conn, record.project, quotas.Demand(0, vcpus - record.vcpus, memory_mib - record.memory_mib)
        )
        if group_id != record.group_id:
            if record.group_id is not None:
                quotas.leave_group(conn, record.group_id)
            if group_id is not None:
                quotas.join_group(conn, record.project, group_id)
        moment = now()
        return compare_and_set(
            conn,
            record,
            moment=moment,
            columns={"vcpus": vcpus, "memory_mib": memory_mib},
            vm_state=VmState.BUILDING,
            task_state=TaskState.SCHEDULING,
            request=request,
            flavor=flavor,
            image=image,
            key_pair=key_pair,
            group_id=group_id,
            availability_zone=availability_zone,
            hints=hints or {},
            attempts=0,
            excluded_hosts=(),
            fault_code=None,
            fault_message=None,
            fault_at=None,
            placement_message=None,
            request_id=request_id,
            action_id=history.start_action(conn, instance_id, "create", request_id, moment),
        )

    return await db.run(transaction)


def _to_error(
    conn: sa.Connection, record: InstanceRecord, moment: datetime, code: int, message: str, *, keep_host: bool
) -> InstanceRecord:
    changes: dict[str, Any] = {
        "vm_state": VmState.ERROR,
        "task_state": None,
        "fault_code": code,
        "fault_message": message,
        "fault_at": moment,
        "action_id": None,
    }
    if not keep_host:
        changes |= {"host": None, "interfaces": (), "power_state": PowerState.NO_STATE}
    after = compare_and_set(conn, record, moment=moment, **changes)
    if not keep_host:
        claims.release_everything(conn, record, moment)
    _write_failure(conn, record, moment, message)
    return after


def _write_failure(conn: sa.Connection, record: InstanceRecord, moment: datetime, message: str) -> None:
    history.add_events(conn, history.event_of(record, moment, result=history.ERROR, message=message))
    history.finish_action(conn, record.action_id, moment, history.ERROR, message)


# --- going away ------------------------------------------------------------------------------------------


async def begin_delete(
    db: Database, instance_id: str, version: int | None = None, *, request_id: str | None = None
) -> InstanceRecord:
    """Task deleting, whatever the state; a running action ends as Error. Idempotent, on a deleted one too.

    With `version` it is compare-and-set. Raises InstanceNotFound for an id that never was, ConcurrentUpdate.
    """

    def transaction(conn: sa.Connection) -> InstanceRecord:
        record = find(conn, instance_id, lock=True)  # no version to lose against
        if record is None:
            raise InstanceNotFound(instance_id)
        if record.is_deleted or record.task_state is TaskState.DELETING:
            return record
        if version is not None and record.version != version:
            raise ConcurrentUpdate("Instance", instance_id, f"version {version}", f"version {record.version}")
        moment = now()
        if record.action_id is not None:
            _write_failure(conn, record, moment, "The instance was deleted meanwhile.")
        return compare_and_set(
            conn,
            record,
            moment=moment,
            task_state=TaskState.DELETING,
            request_id=request_id,
            action_id=history.start_action(conn, instance_id, "delete", request_id, moment),
        )

    return await db.run(transaction)


async def finish_delete(db: Database, instance_id: str) -> InstanceRecord:
    """Nothing of it is left on any host: give back allocation, addresses, quota and group membership, and
    soft-delete the row, in one transaction. Idempotent.

    Raises InstanceNotFound for an id that never was, ConcurrentUpdate unless `begin_delete` came first.
    """

    def transaction(conn: sa.Connection) -> InstanceRecord:
        record = find(conn, instance_id, lock=True)  # no version to lose against
        if record is None:
            raise InstanceNotFound(instance_id)
        if record.is_deleted:
            return record
        if record.task_state is not TaskState.DELETING:
            raise ConcurrentUpdate(
                "Instance", instance_id, "task deleting", f"task {record.task_state or 'none'}"
            )
        moment = now()
        after = compare_and_set(
            conn,
            record,
            moment=moment,
            columns={"deleted": record.id},
            vm_state=VmState.DELETED,
            task_state=None,
            power_state=PowerState.NO_STATE,
            interfaces=(),
            terminated_at=moment,
            deleted_at=moment,
            action_id=None,
        )
        claims.release_everything(conn, record, moment)
        if record.group_id is not None:
            quotas.leave_group(conn, record.group_id)
        quotas.give_back(conn, record.project, quotas.Demand(1, record.vcpus, record.memory_mib))
        history.add_events(conn, history.event_of(record, moment))
        history.finish_action(conn, record.action_id, moment)
        return after

    return await db.run(transaction)
