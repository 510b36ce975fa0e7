"""Reading an instance's row, and changing it by compare-and-set. Used by every transaction."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, fields, replace
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import bindparam

from cairn_crds.guest_operation import OperationKind
from cairn_crds.instance import PowerState
from cairn_crds.volume import VolumeBackend
from cairn_database.engine import RunAgain
from cairn_database.errors import ConcurrentUpdate, InstanceNotFound
from cairn_database.records import (
    AttachedVolume,
    InstanceRecord,
    InterfaceRecord,
    KeyPairRecord,
    Move,
    MoveKind,
    Operation,
    Successor,
    TaskState,
    VmState,
)
from cairn_database.tables import (
    LIVE,
    instance_metadata,
    instance_tags,
    instances,
    projects,
    released_resources,
)

FIELDS = tuple(field.name for field in fields(InstanceRecord))
COLUMNS = tuple(instances.c[name] for name in FIELDS)
CHUNK = 500
"""How many ids one IN (...) holds."""

_BY_ID = sa.select(*COLUMNS).where(instances.c.id == bindparam("instance"))
_LOCK_BY_ID = _BY_ID.with_for_update()
_BY_IDS = (
    sa.select(*COLUMNS)
    .where(instances.c.id.in_(bindparam("instances", expanding=True)))
    .order_by(instances.c.id)
)
_LOCK_BY_IDS = _BY_IDS.with_for_update()
_COMPARE_AND_SET = sa.update(instances).where(
    instances.c.id == bindparam("instance"), instances.c.version == bindparam("expected_version")
)


_RELEASED = sa.select(released_resources.c.uid).where(released_resources.c.uid == bindparam("resource"))


def now() -> datetime:
    return datetime.now(UTC)


class _Ids:
    """Ids that rise with time: microseconds since 2020, twelve low bits for order within one."""

    EPOCH_US = 1_577_836_800_000_000

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last = 0

    def __call__(self) -> int:
        with self._lock:
            base = (time.time_ns() // 1000 - self.EPOCH_US) << 12
            self._last = max(self._last + 1, base + (time.perf_counter_ns() & 0xFFF))
            return self._last


next_id = _Ids()
"""Keys for history and free ranges: made here, so that rows can be written without reading one back."""


def was_released(conn: sa.Connection, resource_uid: str) -> bool:
    """Whether that resource has gone, and is to have no row any more."""
    return conn.execute(_RELEASED, {"resource": resource_uid}).one_or_none() is not None


def release(conn: sa.Connection, resource: str) -> None:
    """That resource is to have no row from now on: not even from a process that was held up on its way to
    make one. Whoever makes rows holds the project (`hold_project`) from the look at this to the row."""
    if not was_released(conn, resource):
        conn.execute(sa.insert(released_resources).values(uid=resource, released_at=now()))


def hold_project(conn: sa.Connection, project: str | None) -> None:
    """Nobody else registers or releases anything of that project until the transaction ends."""
    conn.execute(sa.select(projects.c.name).where(projects.c.name == project).with_for_update()).all()


def record_of(row: Sequence[Any]) -> InstanceRecord:
    """The record of a row of COLUMNS."""
    values: dict[str, Any] = dict(zip(FIELDS, row, strict=True))
    values["vm_state"] = VmState(values["vm_state"])
    values["task_state"] = TaskState(values["task_state"]) if values["task_state"] else None
    values["power_state"] = PowerState(values["power_state"])
    values["key_pair"] = KeyPairRecord(**values["key_pair"]) if values["key_pair"] else None
    values["interfaces"] = tuple(InterfaceRecord(**item) for item in values["interfaces"])
    values["volumes"] = tuple(volume_of(item) for item in values["volumes"] or ())
    values["excluded_hosts"] = tuple(values["excluded_hosts"])
    values["move"] = move_of(values["move"]) if values["move"] else None
    values["operation"] = operation_of(values["operation"]) if values["operation"] else None
    values["awaiting_host"] = bool(values["awaiting_host"])
    return InstanceRecord(**values)


def columns_of(changes: dict[str, Any]) -> dict[str, Any]:
    """What the columns hold for these fields of a record."""
    return {name: _column_value(name, value) for name, value in changes.items()}


def _column_value(name: str, value: Any) -> Any:
    if value is None:
        return None
    if name in ("vm_state", "task_state", "power_state"):
        return str(value.value)
    if name in ("key_pair", "move", "operation"):
        return asdict(value)
    if name in ("interfaces", "volumes"):
        return [asdict(item) for item in value]
    if name == "excluded_hosts":
        return list(value)
    return value


def volume_of(document: dict[str, Any]) -> AttachedVolume:
    """An attached volume, as its column holds it."""
    successor = document.get("successor")
    if successor is not None:
        successor = Successor(**{**successor, "backend": VolumeBackend(successor["backend"])})
    backend = VolumeBackend(document["backend"])
    return AttachedVolume(**{**document, "backend": backend, "successor": successor})


def move_of(document: dict[str, Any]) -> Move:
    """A move, as its column holds it."""
    kind, vm_state = MoveKind(document["kind"]), VmState(document["vm_state"])
    return Move(**{**document, "kind": kind, "vm_state": vm_state})


def operation_of(document: dict[str, Any]) -> Operation:
    """An operation, as its column holds it."""
    return Operation(**{**document, "kind": OperationKind(document["kind"])})


def find(conn: sa.Connection, instance_id: str, *, lock: bool = False) -> InstanceRecord | None:
    """The row, deleted or not; locked where the database locks rows."""
    row = conn.execute(_LOCK_BY_ID if lock else _BY_ID, {"instance": instance_id}).one_or_none()
    return None if row is None else record_of(row)


def load(conn: sa.Connection, instance_id: str) -> InstanceRecord:
    """The live row. Raises InstanceNotFound."""
    record = find(conn, instance_id)
    if record is None or record.is_deleted:
        raise InstanceNotFound(instance_id)
    return record


def load_expected(conn: sa.Connection, instance_id: str, version: int) -> InstanceRecord:
    """The live row at this version. Raises InstanceNotFound, ConcurrentUpdate."""
    record = load(conn, instance_id)
    if record.version != version:
        raise ConcurrentUpdate("Instance", instance_id, f"version {version}", f"version {record.version}")
    return record


def load_in_task(
    conn: sa.Connection, instance_id: str, version: int, task_state: TaskState | None
) -> InstanceRecord:
    """The live row at this version and in this task. Raises InstanceNotFound, ConcurrentUpdate."""
    record = load_expected(conn, instance_id, version)
    if record.task_state != task_state:
        raise ConcurrentUpdate(
            "Instance", instance_id, f"task {task_state or 'none'}", f"task {record.task_state or 'none'}"
        )
    return record


def load_many(
    conn: sa.Connection, instance_ids: Iterable[str], *, lock: bool = False
) -> dict[str, InstanceRecord]:
    """Rows by id, deleted ones too; locked in the order of their ids where the database locks rows."""
    ids = sorted(set(instance_ids))
    statement = _LOCK_BY_IDS if lock else _BY_IDS
    found: dict[str, InstanceRecord] = {}
    for start in range(0, len(ids), CHUNK):
        for row in conn.execute(statement, {"instances": ids[start : start + CHUNK]}):
            record = record_of(row)
            found[record.id] = record
    return found


def compare_and_set(
    conn: sa.Connection,
    record: InstanceRecord,
    *,
    moment: datetime,
    columns: dict[str, Any] | None = None,
    **changes: Any,
) -> InstanceRecord:
    """Write `changes` (fields of the record) and raise its version. Raises ConcurrentUpdate.

    `columns` are columns that are no part of the record.
    """
    changes |= {"version": record.version + 1, "updated_at": moment}
    after = replace(record, **changes)
    values = {**columns_of(changes), **(columns or {})}
    if not changes.keys().isdisjoint(INDEXED):
        values |= index_columns(after)
    result = conn.execute(
        _COMPARE_AND_SET, {"instance": record.id, "expected_version": record.version, **values}
    )
    if result.rowcount != 1:
        raise ConcurrentUpdate("Instance", record.id, f"version {record.version}", "a newer one")
    if "request" in changes:
        write_labels(conn, after, record)
    return after


INDEXED = frozenset({"request", "flavor", "image", "key_pair", "details", "move"})
"""Fields of which `index_columns` repeats parts."""


def index_columns(record: InstanceRecord) -> dict[str, Any]:
    """The columns that lists are filtered and sorted by, of what the documents of `record` say."""
    spec, details = record.request.get("spec", {}), record.details
    return {
        "vcpus": record.counted_vcpus,
        "memory_mib": record.counted_memory_mib,
        "display_name": spec.get("displayName") or record.name,
        "description": spec.get("description"),
        "locked": bool(spec.get("locked")),
        "config_drive": bool(spec.get("configDrive", True)),
        "flavor_id": record.flavor.get("id") or record.flavor.get("name"),
        "image_id": record.image.get("id"),
        "key_name": record.key_pair.name if record.key_pair else None,
        "reservation_id": details.get("reservationId"),
        "launch_index": details.get("launchIndex", 0),
        "access_ip_v4": details.get("accessIPv4"),
        "access_ip_v6": details.get("accessIPv6"),
    }


def write_labels(conn: sa.Connection, record: InstanceRecord, before: InstanceRecord | None = None) -> None:
    """Tags and metadata of `record` as rows to be found by; nothing where `before` had the same."""
    spec, old = record.request.get("spec", {}), before.request.get("spec", {}) if before else {}
    tags, pairs = spec.get("tags") or [], spec.get("metadata") or {}
    if tags != (old.get("tags") or []):
        if old.get("tags"):
            conn.execute(sa.delete(instance_tags).where(instance_tags.c.instance_id == record.id))
        if tags:
            conn.execute(sa.insert(instance_tags), [{"instance_id": record.id, "tag": tag} for tag in tags])
    if pairs != (old.get("metadata") or {}):
        if old.get("metadata"):
            conn.execute(sa.delete(instance_metadata).where(instance_metadata.c.instance_id == record.id))
        if pairs:
            rows = [{"instance_id": record.id, "name": name, "value": pairs[name]} for name in pairs]
            conn.execute(sa.insert(instance_metadata), rows)


def execute_exactly(conn: sa.Connection, statement: sa.Update, rows: list[dict[str, Any]]) -> None:
    """Run it for every row. RunAgain when one of them met a row that is not as it was read.

    The rows are locked, so that cannot happen; it is the second lock on the door.
    """
    if len(rows) == 1 or conn.dialect.supports_sane_multi_rowcount:
        if conn.execute(statement, rows if len(rows) > 1 else rows[0]).rowcount != len(rows):
            raise RunAgain
        return
    for row in rows:
        if conn.execute(statement, row).rowcount != 1:
            raise RunAgain


def live() -> sa.ColumnElement[bool]:
    """The condition that an instance is not deleted."""
    return instances.c.deleted == LIVE
