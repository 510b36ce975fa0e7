"""Going wrong: to error, to another host, or anew with mended input."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa

from cairn_crds.instance import PowerState
from cairn_database import claims, history, hosts, quotas
from cairn_database.engine import Database
from cairn_database.errors import ConcurrentUpdate
from cairn_database.records import InstanceRecord, Json, KeyPairRecord, TaskState, VmState
from cairn_database.rows import compare_and_set, load_expected, load_in_task, now

MAX_ATTEMPTS = 3
"""How many hosts a build is tried on (Nova: [scheduler] max_attempts)."""

_BUILD_TASKS = (TaskState.NETWORKING, TaskState.BLOCK_DEVICE_MAPPING, TaskState.SPAWNING)


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
            hosts.count_build_failure(conn, record.host)
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
                awaiting_host=True,
                host=None,
                interfaces=(),
                excluded_hosts=(*record.excluded_hosts, exclude_host),
                fault_message=message,
            )
            claims.release_everything(conn, record, moment)
            history.add_events(conn, history.event_of(record, moment, result=history.ERROR, message=message))
        hosts.count_build_failure(conn, exclude_host)
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
            conn,
            record.project,
            quotas.Demand(0, vcpus - record.counted_vcpus, memory_mib - record.counted_memory_mib),
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
            vm_state=VmState.BUILDING,
            task_state=TaskState.SCHEDULING,
            awaiting_host=True,
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
        "awaiting_host": False,
        "operation": None,
    }
    if not keep_host:
        changes |= {"host": None, "interfaces": (), "power_state": PowerState.NO_STATE}
    after = compare_and_set(conn, record, moment=moment, **changes)
    if not keep_host:
        claims.release_everything(conn, record, moment)
    history.end_in_error(conn, record, moment, message)
    return after
