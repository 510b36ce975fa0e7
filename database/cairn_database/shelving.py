"""What is asked of an instance that is kept on no host for a while and comes back: shelve, offload, unshelve.

Each is one transaction, as in `asking`.
"""

from __future__ import annotations

import uuid
from typing import Any

import sqlalchemy as sa

from cairn_crds.guest_operation import OperationKind
from cairn_crds.instance import DesiredPower
from cairn_database import capabilities, legality
from cairn_database.asking import Asked, act, with_spec
from cairn_database.engine import Database
from cairn_database.moving import UnknownHost, node_of
from cairn_database.records import InstanceRecord, Move, MoveKind, Operation, TaskState, VmState
from cairn_database.volumes.attaching import refuse_to_leave, refuse_volume_backed


async def shelve(db: Database, instance_id: str, asked: Asked, *, image_id: str, url: str) -> InstanceRecord:
    """Keep it as the image `image_id` (made by the caller, queued), which takes it at `url`, and on no host.

    Nova API: shelve. Raises InstanceNotFound, ActionRefused, InstanceLocked.
    """

    def change(conn: sa.Connection, record: InstanceRecord) -> dict[str, Any]:
        capabilities.judge(conn, "shelve", record, overrides_lock=asked.overrides_lock)
        refuse_volume_backed("shelve", record)
        assert record.host is not None  # noqa: S101 - legality lets only instances pass that have one
        given = {"imageId": image_id, "url": url, "shutDown": True}
        return {
            "task_state": TaskState.SHELVING,
            "request": with_spec(record, powerState=DesiredPower.SHELVED.value),
            "operation": Operation(str(uuid.uuid4()), OperationKind.SNAPSHOT, record.host, given),
        }

    return await act(db, instance_id, "shelve", asked, change)


async def shelve_volume_backed(db: Database, instance_id: str, asked: Asked) -> InstanceRecord:
    """As `shelve` for one that boots from a volume: what there is of it is on that, so that no image is made,
    and it leaves its host at once. Raises InstanceNotFound, ActionRefused, InstanceLocked."""

    def change(_conn: sa.Connection, record: InstanceRecord) -> dict[str, Any]:
        legality.check("shelve", record, overrides_lock=asked.overrides_lock)
        return {
            "task_state": TaskState.SHELVING,
            "request": with_spec(record, powerState=DesiredPower.SHELVED.value),
            "operation": None,
        }

    return await act(db, instance_id, "shelve", asked, change)


async def shelve_offload(db: Database, instance_id: str, asked: Asked) -> InstanceRecord:
    """Take a shelved one off its host. Raises InstanceNotFound, ActionRefused, InstanceLocked."""

    def change(_conn: sa.Connection, record: InstanceRecord) -> dict[str, Any]:
        legality.check("shelve_offload", record, overrides_lock=asked.overrides_lock, called="shelveOffload")
        return {"task_state": TaskState.SHELVING_OFFLOADING, "operation": None}

    return await act(db, instance_id, "shelveOffload", asked, change)


async def unshelve(
    db: Database,
    instance_id: str,
    asked: Asked,
    *,
    zone: str | None = None,
    unpin: bool = False,
    host: str | None = None,
) -> InstanceRecord:
    """Back onto a host. `zone`: pinned to that availability zone from now on; `unpin`: to none; `host`: only
    there.

    Nova API: unshelve. Raises InstanceNotFound, ActionRefused, InstanceLocked, UnknownHost.
    """

    def change(conn: sa.Connection, record: InstanceRecord) -> dict[str, Any]:
        legality.check("unshelve", record, overrides_lock=asked.overrides_lock)
        changes: dict[str, Any] = {
            "task_state": TaskState.UNSHELVING,
            "operation": None,
            "request": with_spec(record, powerState=DesiredPower.RUNNING.value),
        }
        if record.vm_state is VmState.SHELVED_OFFLOADED:
            if host is not None and node_of(conn, host) is None:
                raise UnknownHost(f"Compute host {host} could not be found.")
            if host is not None and host != record.pinned_host:
                refuse_to_leave(record)
            changes["awaiting_host"] = True
            changes["move"] = Move(
                id=str(uuid.uuid4()),
                kind=MoveKind.UNSHELVE,
                source=None,
                vm_state=record.vm_state,
                wanted_host=host,
            )
        if zone is not None or unpin:
            changes["availability_zone"] = zone
        return changes

    return await act(db, instance_id, "unshelve", asked, change)
