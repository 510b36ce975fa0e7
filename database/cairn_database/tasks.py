"""Doing something to an instance: a task begins, ends or is given up, and what happens without one.

`begin_task` says what is being done (task_state) and opens the action in the history; `finish_task` and
`abandon_task` close both.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from cairn_crds.instance import PowerState
from cairn_database import history, hosts
from cairn_database.engine import Database
from cairn_database.records import InstanceRecord, Json, TaskState, VmState
from cairn_database.rows import compare_and_set, load_expected, load_in_task, now


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
            if "heldInError" in record.details:
                details = {name: value for name, value in record.details.items() if name != "heldInError"}
                changes["details"] = details
        if launched:
            changes["launched_at"] = moment
        if reboot_generation is not None:
            changes["reboot_generation"] = reboot_generation
        after = compare_and_set(conn, record, moment=moment, **changes)
        if launched and record.host is not None:
            hosts.forget_build_failures(conn, record.host)
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
        history.end_in_error(conn, record, moment, message)
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
