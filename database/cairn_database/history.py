"""What was done to an instance, when, by which request and with what result (Nova's instance actions)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import bindparam

from cairn_database.engine import Database
from cairn_database.records import InstanceRecord, TaskState
from cairn_database.rows import next_id
from cairn_database.tables import (
    LIVE,
    instance_action_events,
    instance_actions,
    instance_metadata,
    instance_tags,
    instances,
)

SUCCESS = "Success"
ERROR = "Error"

EVENT_OF_TASK = {
    TaskState.SCHEDULING: "conductor_schedule_and_build_instances",
    TaskState.NETWORKING: "compute__build_networks_for_instance",
    TaskState.SPAWNING: "compute__do_build_and_run_instance",
    TaskState.POWERING_OFF: "compute_stop_instance",
    TaskState.POWERING_ON: "compute_start_instance",
    TaskState.REBOOTING: "compute_reboot_instance",
    TaskState.REBOOTING_HARD: "compute_reboot_instance",
    TaskState.PAUSING: "compute_pause_instance",
    TaskState.UNPAUSING: "compute_unpause_instance",
    TaskState.SUSPENDING: "compute_suspend_instance",
    TaskState.RESUMING: "compute_resume_instance",
    TaskState.DELETING: "compute_terminate_instance",
    TaskState.SOFT_DELETING: "compute_soft_delete_instance",
    TaskState.RESTORING: "compute_restore_instance",
    TaskState.RESIZE_PREP: "conductor_migrate_server",
    TaskState.RESIZE_MIGRATING: "compute_resize_instance",
    TaskState.RESIZE_FINISH: "compute_finish_resize",
    TaskState.RESIZE_CONFIRMING: "compute_confirm_resize",
    TaskState.RESIZE_REVERTING: "compute_revert_resize",
    TaskState.MIGRATING: "compute_live_migration",
    TaskState.REBUILDING: "compute_rebuild_instance",
    TaskState.REBUILD_SPAWNING: "compute_rebuild_instance",
    TaskState.RESCUING: "compute_rescue_instance",
    TaskState.UNRESCUING: "compute_unrescue_instance",
    TaskState.IMAGE_SNAPSHOT: "compute_snapshot_instance",
    TaskState.IMAGE_BACKUP: "compute_backup_instance",
    TaskState.UPDATING_PASSWORD: "compute_set_admin_password",
    TaskState.SHELVING: "compute_shelve_instance",
    TaskState.SHELVING_OFFLOADING: "compute_shelve_offload_instance",
    TaskState.UNSHELVING: "compute_unshelve_instance",
}
"""Nova's event names, where it has one."""


@dataclass(frozen=True)
class EventRecord:
    """A step of an action."""

    event: str
    started_at: datetime
    finished_at: datetime
    result: str
    """`Success` or `Error`."""
    host: str | None
    message: str | None


@dataclass(frozen=True)
class ActionRecord:
    """Something that somebody asked for: create, stop, reboot, delete …"""

    id: int
    instance_id: str
    action: str
    request_id: str | None
    started_at: datetime
    finished_at: datetime | None
    """None while it is being done."""
    result: str | None
    message: str | None
    events: tuple[EventRecord, ...]
    """Oldest first."""


_INSERT_ACTION = sa.insert(instance_actions)
_INSERT_EVENT = sa.insert(instance_action_events)
_FINISH_ACTION = sa.update(instance_actions).where(
    instance_actions.c.id == bindparam("action_key"), instance_actions.c.finished_at.is_(None)
)
_ACTIONS = (
    sa.select(instance_actions)
    .where(instance_actions.c.instance_id == bindparam("instance"))
    .order_by(instance_actions.c.id.desc())
)
_EVENTS = (
    sa.select(instance_action_events)
    .where(instance_action_events.c.instance_id == bindparam("instance"))
    .order_by(instance_action_events.c.id)
)
_OLD_INSTANCES = (
    sa.select(instances.c.id)
    .where(instances.c.deleted_at < bindparam("before"), instances.c.deleted != LIVE)
    .order_by(instances.c.deleted_at)
    .limit(bindparam("maximum"))
)


async def list_actions(db: Database, instance_id: str) -> list[ActionRecord]:
    """What was done to the instance, newest first (Nova API: GET /servers/{id}/os-instance-actions).

    Also of a deleted one, until it is purged; an empty list for an id that never was.
    """

    def query(conn: sa.Connection) -> list[ActionRecord]:
        events: dict[int | None, list[EventRecord]] = {}
        for row in conn.execute(_EVENTS, {"instance": instance_id}):
            events.setdefault(row.action_id, []).append(
                EventRecord(row.event, row.started_at, row.finished_at, row.result, row.host, row.message)
            )
        return [
            ActionRecord(
                id=row.id,
                instance_id=row.instance_id,
                action=row.action,
                request_id=row.request_id,
                started_at=row.started_at,
                finished_at=row.finished_at,
                result=row.result,
                message=row.message,
                events=tuple(events.get(row.id, ())),
            )
            for row in conn.execute(_ACTIONS, {"instance": instance_id})
        ]

    return await db.read(query)


async def purge(db: Database, before: datetime, limit: int = 1000) -> int:
    """Remove instances deleted before then, with their history, for good: at most `limit`, oldest first.

    Returns how many; call it again until that is less than `limit`.
    """

    def transaction(conn: sa.Connection) -> int:
        ids = list(conn.scalars(_OLD_INSTANCES, {"before": before, "maximum": limit}))
        for start in range(0, len(ids), 500):
            chunk = ids[start : start + 500]
            for table, column in (
                (instance_action_events, instance_action_events.c.instance_id),
                (instance_actions, instance_actions.c.instance_id),
                (instance_tags, instance_tags.c.instance_id),
                (instance_metadata, instance_metadata.c.instance_id),
                (instances, instances.c.id),
            ):
                conn.execute(sa.delete(table).where(column.in_(chunk)))
        return len(ids)

    return await db.run(transaction)


def start_action(
    conn: sa.Connection, instance_id: str, action: str, request_id: str | None, moment: datetime
) -> int:
    """Write that it has begun; returns the action's id, which the instance's row keeps meanwhile."""
    action_id = next_id()
    conn.execute(
        _INSERT_ACTION,
        {
            "id": action_id,
            "instance_id": instance_id,
            "action": action,
            "request_id": request_id,
            "started_at": moment,
        },
    )
    return action_id


def finish_action(
    conn: sa.Connection,
    action_id: int | None,
    moment: datetime,
    result: str = SUCCESS,
    message: str | None = None,
) -> None:
    """Write that it is over; nothing for an instance that has no action running."""
    if action_id is not None:
        conn.execute(
            _FINISH_ACTION,
            {"action_key": action_id, "finished_at": moment, "result": result, "message": message},
        )


def finish_change(
    conn: sa.Connection,
    record: InstanceRecord,
    action_id: int,
    since: str | None,
    moment: datetime,
    *,
    event: str,
    message: str | None,
) -> None:
    """Write that an action is over which ran beside the instance's task, `since` (ISO 8601) until `moment`;
    `message`: why it failed."""
    result = SUCCESS if message is None else ERROR
    started = datetime.fromisoformat(since) if since else record.updated_at
    before = replace(record, action_id=action_id, updated_at=started)
    add_events(conn, event_of(before, moment, event=event, result=result, message=message))
    finish_action(conn, action_id, moment, result, message)


def event_of(
    record: InstanceRecord,
    moment: datetime,
    *,
    event: str | None = None,
    result: str = SUCCESS,
    message: str | None = None,
    host: str | None = None,
) -> dict[str, Any]:
    """The event row for the task that `record` (as it was before) is in: it lasted until `moment`."""
    if event is None:
        task = record.task_state
        event = EVENT_OF_TASK.get(task, f"compute_{task}") if task else "compute_update"
    return {
        "id": next_id(),
        "instance_id": record.id,
        "action_id": record.action_id,
        "event": event,
        "host": host or record.host,
        "started_at": record.updated_at,
        "finished_at": moment,
        "result": result,
        "message": message,
    }


def add_events(conn: sa.Connection, *events: dict[str, Any]) -> None:
    """Write steps of actions."""
    if events:
        conn.execute(_INSERT_EVENT, list(events))


def end_in_error(conn: sa.Connection, record: InstanceRecord, moment: datetime, message: str) -> None:
    """The task that `record` (as it was before) is in failed, and with it the action."""
    add_events(conn, event_of(record, moment, result=ERROR, message=message))
    finish_action(conn, record.action_id, moment, ERROR, message)
