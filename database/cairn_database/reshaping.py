"""What is asked of an instance on the host that it has: rebuild, rescue, password, crash dump, image of it.

Each is one transaction, as in `asking`: judged by the table of legality, and begun. The host does the rest.
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
from cairn_database.records import InstanceRecord, Json, KeyPairRecord, Operation, TaskState, VmState
from cairn_database.volumes.attaching import refuse_unstable_rescue


async def rebuild(
    db: Database,
    instance_id: str,
    asked: Asked,
    *,
    image: Json,
    spec: Json | None = None,
    details: Json | None = None,
    key_pair: KeyPairRecord | None = None,
) -> InstanceRecord:
    """Make its disks anew, from `image`; a volume that it boots from, too. `spec` and `details`: what else of
    these changes with it (None removes a field); `key_pair`: its key pair from now on.

    Nova API: rebuild. Raises InstanceNotFound, ActionRefused, NotCapable, InstanceLocked, ConcurrentUpdate.
    """

    def change(conn: sa.Connection, record: InstanceRecord) -> dict[str, Any]:
        capabilities.judge(conn, "rebuild", record, overrides_lock=asked.overrides_lock)
        generation = record.spec.get("rebuild", {}).get("generation", 0) + 1
        kept = {**record.details, **(details or {})}
        fields: Json = {"rebuild": {"generation": generation}, **(spec or {}), "image": image["name"]}
        if record.vm_state is VmState.ERROR:
            fields["powerState"] = DesiredPower.RUNNING.value
        return {
            "task_state": TaskState.REBUILDING,
            "image": _shown_image(record, image),
            "key_pair": key_pair,
            "details": {name: value for name, value in kept.items() if value is not None},
            "request": with_spec(record, **fields),
            "operation": _operation(OperationKind.REBUILD, record),
        }

    return await act(db, instance_id, "rebuild", asked, change)


async def rescue(
    db: Database, instance_id: str, asked: Asked, *, image: Json, given: Json | None = None
) -> InstanceRecord:
    """Boot it from `image`. `given`: `password`, the hash of the rescue system's.

    Nova API: rescue. Raises InstanceNotFound, ActionRefused, InstanceLocked, ConcurrentUpdate.
    """

    def change(conn: sa.Connection, record: InstanceRecord) -> dict[str, Any]:
        capabilities.judge(conn, "rescue", record, overrides_lock=asked.overrides_lock)
        refuse_unstable_rescue(record, image)
        wish = record.spec.get("rescue") or {}
        name = None if image["name"] == record.image["name"] else image["name"]
        wish = {"image": name} if name else {}
        return {
            "task_state": TaskState.RESCUING,
            "request": with_spec(record, rescue=wish, powerState=DesiredPower.RUNNING.value),
            "operation": _operation(OperationKind.RESCUE, record, image=image, **(given or {})),
        }

    return await act(db, instance_id, "rescue", asked, change)


async def unrescue(db: Database, instance_id: str, asked: Asked) -> InstanceRecord:
    """Boot it from its own disk again. Raises InstanceNotFound, ActionRefused, InstanceLocked."""

    def change(_conn: sa.Connection, record: InstanceRecord) -> dict[str, Any]:
        legality.check("unrescue", record, overrides_lock=asked.overrides_lock)
        return {
            "task_state": TaskState.UNRESCUING,
            "request": with_spec(record, rescue=None),
            "operation": _operation(OperationKind.UNRESCUE, record),
        }

    return await act(db, instance_id, "unrescue", asked, change)


async def set_password(
    db: Database, instance_id: str, asked: Asked, *, user: str, password_hash: str
) -> InstanceRecord:
    """Have the guest agent set a password. Nova API: changePassword. Raises InstanceNotFound, ActionRefused,
    InstanceLocked."""

    def change(conn: sa.Connection, record: InstanceRecord) -> dict[str, Any]:
        capabilities.judge(
            conn,
            "set_admin_password",
            record,
            overrides_lock=asked.overrides_lock,
            called="changePassword",
        )
        return {
            "task_state": TaskState.UPDATING_PASSWORD,
            "operation": _operation(
                OperationKind.SET_PASSWORD, record, password={"user": user, "hash": password_hash}
            ),
        }

    return await act(db, instance_id, "changePassword", asked, change)


async def crash_dump(db: Database, instance_id: str, asked: Asked) -> InstanceRecord:
    """Have the guest's kernel dump its memory. Nova API: trigger_crash_dump. Raises InstanceNotFound,
    ActionRefused, InstanceLocked."""

    def change(conn: sa.Connection, record: InstanceRecord) -> dict[str, Any]:
        capabilities.judge(conn, "trigger_crash_dump", record, overrides_lock=asked.overrides_lock)
        generation = record.spec.get("crashDump", {}).get("generation", 0) + 1
        return {"request": with_spec(record, crashDump={"generation": generation})}

    return await act(db, instance_id, "trigger_crash_dump", asked, change, at_once=True)


async def snapshot(
    db: Database,
    instance_id: str,
    asked: Asked,
    *,
    image_id: str,
    url: str,
    backup: Json | None = None,
) -> InstanceRecord:
    """Have an image made of it, into the image `image_id` (made by the caller, queued), which takes it at
    `url`.

    `backup`: `type` and `rotation`, where older ones are to go afterwards. Nova API: createImage,
    createBackup. Raises InstanceNotFound, ActionRefused, NotCapable, InstanceLocked.
    """
    called = "createImage" if backup is None else "createBackup"

    def change(conn: sa.Connection, record: InstanceRecord) -> dict[str, Any]:
        action = "snapshot" if backup is None else "backup"
        capabilities.judge(conn, action, record, overrides_lock=asked.overrides_lock, called=called)
        given: Json = {"imageId": image_id, "url": url}
        if backup is not None:
            given["backup"] = backup
        return {
            "task_state": TaskState.IMAGE_SNAPSHOT if backup is None else TaskState.IMAGE_BACKUP,
            "operation": _operation(OperationKind.SNAPSHOT, record, **given),
        }

    return await act(db, instance_id, called, asked, change)


def _shown_image(record: InstanceRecord, image: Json) -> Json:
    """A server that boots from a volume has no image that it would name, as in Nova."""
    return image if record.root_volume is None else {key: image[key] for key in image if key != "id"}


def _operation(kind: OperationKind, record: InstanceRecord, **given: Any) -> Operation:
    assert record.host is not None  # noqa: S101 - legality lets only instances pass that have one
    return Operation(str(uuid.uuid4()), kind, record.host, given)
