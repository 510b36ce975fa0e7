"""What is asked of an instance that takes it to another host or flavor: resize, migrate, evacuate.

Each is one transaction, as in `asking`: judged by the table of legality, and begun. The scheduler finds the
host, the conductor takes the steps (`cairn_operator.conductor.flows`).
"""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from cairn_crds.instance import DesiredPower
from cairn_database import allocations, capabilities, legality, moves, quotas, steps
from cairn_database.asking import Asked, act, live_row, with_spec
from cairn_database.engine import Database, clock
from cairn_database.errors import ConcurrentUpdate, DatabaseError
from cairn_database.records import (
    InstanceRecord,
    Json,
    Move,
    MoveKind,
    TaskState,
    VmState,
)
from cairn_database.rows import now
from cairn_database.tables import compute_nodes
from cairn_database.volumes.attaching import refuse_to_leave

FENCING_MARGIN_SECONDS = 60
"""On top of what a host takes to fence itself: its watchdog comes a quarter of that after its agent, and a
conductor that did not hear a heartbeat that got through (its watch was broken) hears of it by then."""


class HostStillInUse(DatabaseError):
    """An instance cannot be evacuated, because its host may be running it."""

    def __init__(self, host: str, *, up: bool, wait: int | None = None) -> None:
        """`wait`: seconds until a host that fences itself has done so for certain."""
        self.host = host
        if up:
            why = "It reports: migrate the instance, or drain the host."
        elif wait is not None:
            why = f"It is silent, and will have powered its guests off in {wait} s: try again then."
        else:
            why = "It is silent, but its guests may be running: make sure that it is off, then force it down."
        super().__init__(f"Compute service of {host} is still in use. {why}")


class UnknownHost(DatabaseError):
    """There is no such compute host, or it is the one that the instance is on."""


async def resize(
    db: Database,
    instance_id: str,
    asked: Asked,
    *,
    flavor: Json,
    details: Json | None = None,
    migration_id: str | None = None,
) -> InstanceRecord:
    """To another flavor, on whichever host has room. What does not fit (a smaller disk) is for the caller to
    refuse (`admission.check_resize`). `details`: what of these changes with it.

    Nova API: resize. Raises InstanceNotFound, ActionRefused, InstanceLocked, QuotaExceeded, ConcurrentUpdate.
    """

    def change(conn: sa.Connection, record: InstanceRecord) -> dict[str, Any]:
        capabilities.judge(conn, "resize", record, overrides_lock=asked.overrides_lock)
        move = Move(
            id=migration_id or str(uuid.uuid4()),
            kind=MoveKind.RESIZE,
            source=record.host,
            vm_state=record.vm_state,
            old_flavor=record.flavor,
            new_flavor=flavor,
            wanted_host=record.pinned_host,
        )
        after = replace(record, move=move)
        more = quotas.Demand(
            0,
            after.counted_vcpus - record.counted_vcpus,
            after.counted_memory_mib - record.counted_memory_mib,
        )
        quotas.take(conn, record.project, more, record.user_id)
        changes = _begin(conn, record, move, asked)
        return {
            **changes,
            "request": with_spec(record, flavor=flavor["name"]),
            "details": {**record.details, **(details or {})},
        }

    return await act(db, instance_id, "resize", asked, change)


async def migrate(
    db: Database,
    instance_id: str,
    asked: Asked,
    *,
    host: str | None = None,
    migration_id: str | None = None,
    resource_uid: str | None = None,
    confirms: bool = False,
) -> InstanceRecord:
    """Shut down, and to another host; to be confirmed, or `confirms`: by itself.

    Nova API: migrate. Raises InstanceNotFound, ActionRefused, InstanceLocked, UnknownHost, ConcurrentUpdate.
    """

    def change(conn: sa.Connection, record: InstanceRecord) -> dict[str, Any]:
        capabilities.judge(conn, "migrate", record, overrides_lock=asked.overrides_lock)
        refuse_to_leave(record)
        _check_destination(conn, record, host)
        move = Move(
            id=migration_id or str(uuid.uuid4()),
            kind=MoveKind.MIGRATION,
            source=record.host,
            vm_state=record.vm_state,
            wanted_host=host,
            confirms=confirms,
        )
        return _begin(conn, record, move, asked, resource_uid)

    return await act(db, instance_id, "migrate", asked, change)


async def live_migrate(
    db: Database,
    instance_id: str,
    asked: Asked,
    *,
    host: str | None = None,
    copy_disks: bool | None = None,
    migration_id: str | None = None,
    resource_uid: str | None = None,
) -> InstanceRecord:
    """To another host while it runs.

    Nova API: os-migrateLive. Raises InstanceNotFound, ActionRefused, InstanceLocked, UnknownHost,
    ConcurrentUpdate.
    """

    def change(conn: sa.Connection, record: InstanceRecord) -> dict[str, Any]:
        capabilities.judge(
            conn, "live_migrate", record, overrides_lock=asked.overrides_lock, called="os-migrateLive"
        )
        refuse_to_leave(record)
        _check_destination(conn, record, host)
        move = Move(
            id=migration_id or str(uuid.uuid4()),
            kind=MoveKind.LIVE,
            source=record.host,
            vm_state=record.vm_state,
            wanted_host=host,
            copy_disks=copy_disks,
        )
        return _begin(conn, record, move, asked, resource_uid)

    return await act(db, instance_id, "live-migration", asked, change)


async def evacuate(
    db: Database,
    instance_id: str,
    asked: Asked,
    *,
    host: str | None = None,
    spec: Json | None = None,
    migration_id: str | None = None,
    resource_uid: str | None = None,
) -> InstanceRecord:
    """To another host, because its own is down for good: an administrator has forced it down, or it fences
    itself and has been silent for longer than that takes.
    `spec`: what of the spec changes with it.

    Nova API: evacuate. Raises InstanceNotFound, ActionRefused, HostStillInUse, UnknownHost, ConcurrentUpdate.
    """

    def change(conn: sa.Connection, record: InstanceRecord) -> dict[str, Any]:
        legality.check("evacuate", record, overrides_lock=asked.overrides_lock)
        refuse_to_leave(record)
        if record.host is None or record.task_state is TaskState.DELETING:
            raise legality.ActionRefused("evacuate", record.id, "task_state", record.task_state)
        node = node_of(conn, record.host)
        if node is not None and not node.forced_down:
            wait = _fencing_wait(conn, node)
            if wait is None or wait > 0:
                raise HostStillInUse(record.host, up=bool(node.up), wait=wait)
        _check_destination(conn, record, host)
        move = Move(
            id=migration_id or str(uuid.uuid4()),
            kind=MoveKind.EVACUATION,
            source=record.host,
            vm_state=record.vm_state,
            wanted_host=host,
        )
        changes = _begin(conn, record, move, asked, resource_uid)
        as_it_is = replace(record, request=changes.get("request", record.request))
        return {**changes, "operation": None, "request": with_spec(as_it_is, **(spec or {}))}

    return await act(db, instance_id, "evacuate", asked, change)


async def confirm_resize(db: Database, instance_id: str, asked: Asked) -> InstanceRecord:
    """Stay on the new flavor or host. Raises InstanceNotFound, ActionRefused (HostNotUp: the host that it has
    left is to clean up), InstanceLocked."""

    def change(conn: sa.Connection, record: InstanceRecord) -> dict[str, Any]:
        capabilities.judge(
            conn, "confirm_resize", record, overrides_lock=asked.overrides_lock, called="confirmResize"
        )
        if record.move is not None:
            moves.update(conn, record.move.id, "confirming")
        return {"task_state": TaskState.RESIZE_CONFIRMING, "operation": None}

    return await act(db, instance_id, "confirmResize", asked, change)


async def revert_resize(db: Database, instance_id: str, asked: Asked) -> InstanceRecord:
    """Back to the old flavor or host. Raises InstanceNotFound, ActionRefused, InstanceLocked."""

    def change(conn: sa.Connection, record: InstanceRecord) -> dict[str, Any]:
        legality.check("revert_resize", record, overrides_lock=asked.overrides_lock, called="revertResize")
        changes: dict[str, Any] = {"task_state": TaskState.RESIZE_REVERTING, "operation": None}
        move = record.move
        if move is not None:
            moves.update(conn, move.id, "reverting")
            if move.old_flavor is not None:
                changes["request"] = with_spec(record, flavor=move.old_flavor["name"])
        return changes

    return await act(db, instance_id, "revertResize", asked, change)


async def abort_live_migration(
    db: Database, instance_id: str, asked: Asked, *, migration_id: str | None = None
) -> InstanceRecord:
    """Let it run on where it is. Nova API: DELETE /servers/{id}/migrations/{id}. Raises InstanceNotFound,
    ActionRefused, InstanceLocked, MigrationNotFound (it is not the one under way)."""

    def change(_conn: sa.Connection, record: InstanceRecord) -> dict[str, Any]:
        legality.check(
            "live_migrate_abort",
            record,
            overrides_lock=asked.overrides_lock,
            called="abort live migration",
        )
        return {"move": replace(_live_move(record, migration_id), abort=True)}

    return await act(db, instance_id, "live_migration_cancel", asked, change, at_once=True)


async def force_complete(
    db: Database, instance_id: str, asked: Asked, *, migration_id: str | None = None
) -> InstanceRecord:
    """Finish the live migration now. Nova API: POST /servers/{id}/migrations/{id}/action `force_complete`.
    Raises InstanceNotFound, ActionRefused, InstanceLocked, MigrationNotFound."""

    def change(_conn: sa.Connection, record: InstanceRecord) -> dict[str, Any]:
        legality.check(
            "live_migrate_force_complete",
            record,
            overrides_lock=asked.overrides_lock,
            called="force_complete",
        )
        return {"move": replace(_live_move(record, migration_id), force_complete=True)}

    return await act(db, instance_id, "live_migration_force_complete", asked, change, at_once=True)


async def soft_delete(db: Database, instance_id: str, asked: Asked) -> InstanceRecord:
    """Stop it, and delete it only after a time in which it can be restored. Raises InstanceNotFound,
    ActionRefused, InstanceLocked.

    So is one that has no machine that could be stopped and started again just like that: which is rescued, in
    error, shelved, or in a move; and one that is being deleted for good.
    """

    def change(_conn: sa.Connection, record: InstanceRecord) -> dict[str, Any]:
        legality.check("soft_delete", record, overrides_lock=asked.overrides_lock, called="delete")
        if record.task_state is TaskState.DELETING:
            raise legality.ActionRefused("delete", record.id, "task_state", record.task_state)
        if record.move is not None or record.host is None or record.vm_state not in _RESTORABLE:
            raise legality.ActionRefused("delete", record.id, "vm_state", record.vm_state)
        return {
            "task_state": TaskState.SOFT_DELETING,
            "operation": None,
            "request": with_spec(record, powerState=DesiredPower.STOPPED.value),
            "details": {**record.details, "softDeletedAt": now().isoformat()},
        }

    return await act(db, instance_id, "delete", asked, change)


async def restore(db: Database, instance_id: str, asked: Asked) -> InstanceRecord:
    """Bring back what was soft-deleted. Raises InstanceNotFound, ActionRefused, InstanceLocked."""

    def change(_conn: sa.Connection, record: InstanceRecord) -> dict[str, Any]:
        legality.check("restore", record, overrides_lock=asked.overrides_lock)
        details = {name: value for name, value in record.details.items() if name != "softDeletedAt"}
        return {
            "task_state": TaskState.RESTORING,
            "request": with_spec(record, powerState=DesiredPower.RUNNING.value),
            "details": details,
        }

    return await act(db, instance_id, "restore", asked, change)


async def cancel(db: Database, instance_id: str, version: int, message: str) -> InstanceRecord:
    """Give up a move for which no host has been found yet. Raises InstanceNotFound, ConcurrentUpdate."""

    def transaction(conn: sa.Connection) -> InstanceRecord:
        record = live_row(conn, instance_id)
        if record.version != version or not record.awaiting_host or record.move is None:
            raise ConcurrentUpdate("Instance", instance_id, "a move that awaits a host", "another state")
        return steps.give_up(conn, record, message, "cancelled")

    return await db.run(transaction)


_RESTORABLE = (VmState.ACTIVE, VmState.STOPPED, VmState.PAUSED, VmState.SUSPENDED)
_BEGIN = {
    MoveKind.RESIZE: (TaskState.RESIZE_PREP, "pre-migrating"),
    MoveKind.MIGRATION: (TaskState.RESIZE_PREP, "pre-migrating"),
    MoveKind.LIVE: (TaskState.MIGRATING, "accepted"),
    MoveKind.EVACUATION: (TaskState.REBUILDING, "accepted"),
}
"""The task that a move begins with, and the migration's first status."""


def _begin(
    conn: sa.Connection, record: InstanceRecord, move: Move, asked: Asked, resource_uid: str | None = None
) -> dict[str, Any]:
    task_state, status = _BEGIN[move.kind]
    changes = _abandon(conn, record)
    moves.begin(
        conn,
        record,
        move,
        status,
        request_id=asked.request_id,
        user_id=asked.user_id,
        resource_uid=resource_uid,
    )
    return {**changes, "task_state": task_state, "move": move, "awaiting_host": True, "excluded_hosts": ()}


def _abandon(conn: sa.Connection, record: InstanceRecord) -> dict[str, Any]:
    """A move that is still noted is over: the host that the instance is on is lost, or the state was
    reset. What it took of the quota for another flavor goes back, and the request says the flavor that the
    instance has."""
    if record.move is None:
        return {}
    allocations.release(conn, record.id, allocations.MOVE)
    moves.update(conn, record.move.id, "error", message="Another move has begun instead.")
    without = replace(record, move=None)
    more = record.counted_vcpus - without.counted_vcpus
    memory_mib = record.counted_memory_mib - without.counted_memory_mib
    if more or memory_mib:
        quotas.give_back(conn, record.project, quotas.Demand(0, more, memory_mib))
    if record.move.new_flavor is None:
        return {}
    return {"request": with_spec(record, flavor=record.flavor["name"])}


def node_of(conn: sa.Connection, host: str) -> Any:
    """What is known of a compute host that decides about moves; None where there is no such host."""
    columns = compute_nodes.c
    query = sa.select(columns.up, columns.forced_down, columns.down_since, columns.self_fence_seconds).where(
        columns.name == host, columns.removed_at.is_(None)
    )
    return conn.execute(query).one_or_none()


def _fencing_wait(conn: sa.Connection, node: Any) -> int | None:
    """Seconds until nothing runs on a silent host that fences itself; None: it does not, or it reports."""
    if node.up or not node.self_fence_seconds or node.down_since is None:
        return None
    over_at = int(node.down_since) + int(node.self_fence_seconds) + FENCING_MARGIN_SECONDS
    return max(0, over_at - clock(conn))


def _check_destination(conn: sa.Connection, record: InstanceRecord, host: str | None) -> None:
    if host is None:
        return
    if node_of(conn, host) is None:
        raise UnknownHost(f"Compute host {host} could not be found.")
    if host == record.host:
        raise UnknownHost(f"Instance {record.id} is on host {host} already: choose another one.")


def _live_move(record: InstanceRecord, migration_id: str | None) -> Move:
    move = record.move
    if move is None or move.kind is not MoveKind.LIVE or (migration_id and move.id != migration_id):
        raise moves.MigrationNotFound(migration_id or "")
    return move
