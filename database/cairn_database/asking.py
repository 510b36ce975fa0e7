"""What people ask of an instance through the Compute API, each in one transaction with the check of the table
of legality: no version is needed, because the row is read, judged and changed at once.

The conductor does what is asked: a row in a task is its work, and the resource's spec follows the row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from cairn_crds.guest_operation import OperationKind
from cairn_crds.instance import DesiredPower, RebootType
from cairn_database import capabilities, history, legality
from cairn_database.aggregates import DEFAULT_ZONE
from cairn_database.engine import Database
from cairn_database.errors import ConcurrentUpdate, DatabaseError, InstanceNotFound
from cairn_database.records import InstanceRecord, Json, TaskState, VmState
from cairn_database.rows import compare_and_set, find, now

POWER_TASKS: dict[str, tuple[TaskState, DesiredPower]] = {
    "start": (TaskState.POWERING_ON, DesiredPower.RUNNING),
    "stop": (TaskState.POWERING_OFF, DesiredPower.STOPPED),
    "pause": (TaskState.PAUSING, DesiredPower.PAUSED),
    "unpause": (TaskState.UNPAUSING, DesiredPower.RUNNING),
    "suspend": (TaskState.SUSPENDING, DesiredPower.SUSPENDED),
    "resume": (TaskState.RESUMING, DesiredPower.RUNNING),
}
"""By Nova's name of the action: the task it begins, and what the spec says from then on."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """By whom, and how, something is asked for."""

    request_id: str
    user_id: str | None = None
    overrides_lock: bool = False
    """An administrator asks, or somebody who may edit the resource itself."""
    version: int | None = None
    """Only for the row as it was at this version; None: whatever it is now."""
    seen: Json | None = None
    """What the row knows of the resource's spec from now on: `generation`, `shown` and so on."""


class PinRefused(DatabaseError):
    """An instance cannot be pinned to that availability zone."""


REBOOT_TASKS = {RebootType.SOFT: TaskState.REBOOTING, RebootType.HARD: TaskState.REBOOTING_HARD}


async def change_power(db: Database, instance_id: str, action: str, asked: Asked) -> InstanceRecord:
    """start, stop, pause, unpause, suspend, resume.

    Raises InstanceNotFound, ActionRefused, NotCapable, InstanceLocked.
    """
    task, power = POWER_TASKS[action]

    def change(conn: sa.Connection, record: InstanceRecord) -> dict[str, Any]:
        capabilities.judge(conn, action, record, overrides_lock=asked.overrides_lock)
        return {"task_state": task, "request": with_spec(record, powerState=power.value)}

    return await act(db, instance_id, action, asked, change)


async def reboot(db: Database, instance_id: str, kind: RebootType, asked: Asked) -> InstanceRecord:
    """Raises InstanceNotFound, ActionRefused, InstanceLocked."""

    def change(_conn: sa.Connection, record: InstanceRecord) -> dict[str, Any]:
        hard = kind is RebootType.HARD
        legality.check(
            "reboot_hard" if hard else "reboot", record, overrides_lock=asked.overrides_lock, called="reboot"
        )
        wanted = {"generation": record.reboot_generation + 1, "type": kind.value}
        request = with_spec(record, reboot=wanted, powerState=DesiredPower.RUNNING.value)
        return {"task_state": REBOOT_TASKS[kind], "request": request}

    return await act(db, instance_id, "reboot", asked, change)


async def lock(
    db: Database, instance_id: str, *, reason: str | None, by_admin: bool, request_id: str
) -> InstanceRecord:
    """Only administrators may change it from now on. Raises InstanceNotFound."""

    def change(_conn: sa.Connection, record: InstanceRecord) -> dict[str, Any]:
        legality.check("lock", record)
        details = {**record.details, "lockedBy": "admin" if by_admin else "owner"}
        return {"request": with_spec(record, locked=True, lockedReason=reason), "details": details}

    return await act(db, instance_id, "lock", Asked(request_id=request_id), change, at_once=True)


async def unlock(db: Database, instance_id: str, *, request_id: str) -> InstanceRecord:
    """Raises InstanceNotFound. Whether the caller may, where an administrator locked it, is policy."""

    def change(_conn: sa.Connection, record: InstanceRecord) -> dict[str, Any]:
        legality.check("unlock", record)
        details = {name: value for name, value in record.details.items() if name != "lockedBy"}
        return {"request": with_spec(record, locked=False, lockedReason=None), "details": details}

    return await act(db, instance_id, "unlock", Asked(request_id=request_id), change, at_once=True)


async def reset_state(
    db: Database, instance_id: str, vm_state: VmState, *, request_id: str
) -> InstanceRecord:
    """An administrator says what it is: `active` or `error`, and nothing is under way.

    Nova API: os-resetState. A delete that has begun goes on, and so does a live migration that is copying:
    where its machine will be is not for anybody to say (abort it instead). What another host keeps for a move
    is kept until something else is done to the instance. Raises InstanceNotFound, ActionRefused.
    """

    def transaction(conn: sa.Connection) -> InstanceRecord:
        record = live_row(conn, instance_id)
        is_copying = record.operation is not None and record.operation.kind is OperationKind.LIVE_MIGRATE
        if record.task_state is TaskState.DELETING or is_copying:
            raise legality.ActionRefused("reset-state", record.id, "task_state", record.task_state)
        moment = now()
        if record.action_id is not None:
            history.end_in_error(conn, record, moment, "An administrator has reset the state.")
        action_id = history.start_action(conn, instance_id, "reset-state", request_id, moment)
        history.finish_action(conn, action_id, moment)
        held = {"heldInError": True} if vm_state is VmState.ERROR else {}
        details = {name: value for name, value in record.details.items() if name != "heldInError"}
        changes: dict[str, Any] = {
            "vm_state": vm_state,
            "task_state": None,
            "operation": None,
            "awaiting_host": False,
            "action_id": None,
            "details": {**details, **held},
        }
        if vm_state is VmState.ACTIVE:
            changes |= {"fault_code": None, "fault_message": None, "fault_at": None}
        elif record.fault_message is None:
            changes |= {
                "fault_code": 500,
                "fault_message": "An administrator has set the state to error.",
                "fault_at": moment,
            }
        return compare_and_set(conn, record, moment=moment, **changes)

    return await db.run(transaction)


async def change_labels(
    db: Database,
    instance_id: str,
    change: Callable[[InstanceRecord], tuple[Json, Json]],
    *,
    request_id: str | None = None,
) -> InstanceRecord:
    """Change what only describes it: `change` gives the fields of the spec and of the details that it sets
    (None removes one). It may refuse by raising. Nothing is written when nothing changes.
    """

    def transaction(conn: sa.Connection) -> InstanceRecord:
        record = live_row(conn, instance_id)
        spec, details = change(record)
        merged = {name: value for name, value in {**record.details, **details}.items() if value is not None}
        request = with_spec(record, **spec)
        if request == record.request and merged == record.details:
            return record
        changes: dict[str, Any] = {"request": request, "details": merged}
        if request_id is not None:
            changes["request_id"] = request_id
        return compare_and_set(conn, record, moment=now(), **changes)

    return await db.run(transaction)


async def pin(db: Database, instance_id: str, zone: str | None, zones: Mapping[str, str]) -> InstanceRecord:
    """From now on it is only placed in `zone`; None: anywhere. `zones` is what `aggregates.host_zones` says.

    It is pinned to the zone that it is in or to none, and never from one zone to another at once. What its
    resource's spec asked for in the beginning stays there. Nova API: PUT /servers/{server_id} from 2.104.
    Raises InstanceNotFound, PinRefused.
    """

    def transaction(conn: sa.Connection) -> InstanceRecord:
        record = live_row(conn, instance_id)
        if zone == record.availability_zone:
            return record
        if zone is not None:
            _refuse_pin(record, zone, zones)
        return compare_and_set(conn, record, moment=now(), availability_zone=zone)

    return await db.run(transaction)


def _refuse_pin(record: InstanceRecord, zone: str, zones: Mapping[str, str]) -> None:
    if record.availability_zone is not None:
        raise PinRefused(
            f"Instance {record.id} is pinned to availability zone '{record.availability_zone}' and cannot be "
            f"pinned to '{zone}' directly: unpin it first by setting pinned_availability_zone to null."
        )
    current = None if record.host is None else zones.get(record.host, DEFAULT_ZONE)
    if zone != current:
        place = f"in availability zone '{current}'" if current else "on no host yet"
        raise PinRefused(
            f"Instance {record.id} can only be pinned to the availability zone that it is in: it is {place}, "
            f"and '{zone}' was asked for."
        )


async def act(
    db: Database,
    instance_id: str,
    action: str,
    asked: Asked,
    change: Callable[[sa.Connection, InstanceRecord], dict[str, Any]],
    *,
    at_once: bool = False,
) -> InstanceRecord:
    """Judge and change, and write it into the history; `at_once`: nothing remains to be done.

    Raises InstanceNotFound, ConcurrentUpdate, and what `change` raises.
    """
    request_id = asked.request_id

    def transaction(conn: sa.Connection) -> InstanceRecord:
        record = live_row(conn, instance_id)
        check_version(record, asked)
        changes = change(conn, record)
        if asked.seen is not None:
            request = {**changes.get("request", record.request), **asked.seen}
            request.pop("projection", None)
            changes["request"] = request
        moment: datetime = now()
        if record.action_id is not None and not at_once:
            history.end_in_error(conn, record, moment, f"Cut short by {action}.")
        action_id = history.start_action(conn, instance_id, action, request_id, moment)
        if at_once:
            history.finish_action(conn, action_id, moment)
        else:
            changes["action_id"] = action_id
        return compare_and_set(conn, record, moment=moment, request_id=request_id, **changes)

    return await db.run(transaction)


def check_version(record: InstanceRecord, asked: Asked) -> None:
    """Raise ConcurrentUpdate for a row at another version than the asker knows."""
    if asked.version is not None and record.version != asked.version:
        raise ConcurrentUpdate("Instance", record.id, f"version {asked.version}", f"version {record.version}")


def live_row(conn: sa.Connection, instance_id: str) -> InstanceRecord:
    """The row, locked where the database locks rows. Raises InstanceNotFound."""
    record = find(conn, instance_id, lock=True)
    if record is None or record.is_deleted:
        raise InstanceNotFound(instance_id)
    return record


def with_spec(record: InstanceRecord, **fields: Any) -> Json:
    """The row's request with these fields of the spec; None removes one."""
    spec = {**record.spec, **fields}
    return {**record.request, "spec": {name: value for name, value in spec.items() if value is not None}}
