"""Going away: task deleting, and once no host has anything of it, everything given back."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa

from cairn_crds.instance import PowerState
from cairn_database import claims, history, moves, quotas
from cairn_database.engine import Database
from cairn_database.errors import ConcurrentUpdate, InstanceNotFound
from cairn_database.networking import plugging
from cairn_database.records import InstanceRecord, TaskState, VmState
from cairn_database.rows import compare_and_set, find, hold_project, now, release
from cairn_database.tables import released_resources
from cairn_database.volumes import attaching


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
            history.end_in_error(conn, record, moment, "The instance was deleted meanwhile.")
        plugging.abandon(conn, record, moment, "The instance was deleted meanwhile.")
        attaching.abandon(conn, record, moment, "The instance was deleted meanwhile.")
        if record.move is not None:
            moves.update(conn, record.move.id, "error", message="The instance was deleted meanwhile.")
        return compare_and_set(
            conn,
            record,
            moment=moment,
            task_state=TaskState.DELETING,
            awaiting_host=False,
            request_id=request_id,
            action_id=history.start_action(conn, instance_id, "delete", request_id, moment),
        )

    return await db.run(transaction)


async def release_resource(db: Database, resource_uid: str, project: str | None) -> bool:
    """A resource of that project goes without ever having had a row, and gets none from now on: not even from
    a process that was held up on its way to `instances.register`. False: it has a live one by now.

    `project` None: there is none that it could have been registered in.
    """

    def transaction(conn: sa.Connection) -> bool:
        # Whoever registers it holds the project, until the row is there to be seen.
        hold_project(conn, project)
        record = find(conn, resource_uid)
        if record is not None:
            return record.is_deleted
        release(conn, resource_uid)
        return True

    return await db.run(transaction)


async def forget_released(db: Database, before: datetime) -> None:
    """Nobody who was held up then is still on the way."""
    old = sa.delete(released_resources).where(released_resources.c.released_at < before)
    await db.run(lambda conn: conn.execute(old) and None)


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
            volumes=(),
            move=None,
            operation=None,
            terminated_at=moment,
            deleted_at=moment,
            action_id=None,
        )
        claims.release_everything(conn, record, moment)
        attaching.release(conn, record)
        if record.group_id is not None:
            quotas.leave_group(conn, record.group_id)
        quotas.give_back(
            conn, record.project, quotas.Demand(1, record.counted_vcpus, record.counted_memory_mib)
        )
        history.add_events(conn, history.event_of(record, moment))
        history.finish_action(conn, record.action_id, moment)
        return after

    return await db.run(transaction)
