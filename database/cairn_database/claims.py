"""Placing instances on hosts: the scheduler's transaction, and giving back what it took.

A claim writes the allocation, the host's sums and the instance's host together. Hosts are locked in the order
of their names (SQLite: the whole database), what fits is worked out from the rows as they are then, and each
UPDATE repeats the condition: allocations can never exceed a host's limits, with any number of schedulers.
"""

from __future__ import annotations

import enum
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import bindparam

from cairn_crds.server_group import GroupPolicy
from cairn_database import addresses, history
from cairn_database.engine import Database, RunAgain
from cairn_database.errors import ServerGroupNotFound
from cairn_database.records import InstanceRecord, TaskState, VmState
from cairn_database.rows import CHUNK, compare_and_set, live, load_in_task, load_many, now
from cairn_database.tables import allocations, compute_nodes, instances, server_groups

CHANGED_OVERLAP_US = 2_000_000
"""`load_hosts(changed_since=...)` looks this far behind: transactions commit in another order than they stamp
rows, and clocks of replicas differ a little."""

NO_VALID_HOST = "No valid host was found. "

IO_TASKS = (
    TaskState.NETWORKING,
    TaskState.BLOCK_DEVICE_MAPPING,
    TaskState.SPAWNING,
    TaskState.RESIZE_PREP,
    TaskState.RESIZE_MIGRATING,
    TaskState.REBUILDING,
    TaskState.IMAGE_SNAPSHOT,
    TaskState.IMAGE_BACKUP,
    TaskState.UNSHELVING,
    TaskState.RESCUING,
)
"""Tasks that load a host's disks (Nova: `nova/compute/stats.py`, io_workload)."""


@dataclass(frozen=True)
class GroupRule:
    """What the scheduler decided on about the instance's server group."""

    group_id: str
    policy: GroupPolicy
    max_per_host: int
    """With anti-affinity: how many members a host may have."""
    group_generation: int
    """Of the group when the scheduler looked (`group_hosts`). It is raised by every member's claim."""


@dataclass(frozen=True)
class ClaimRequest:
    """One instance, and the host chosen for it."""

    instance_id: str
    version: int
    host: str
    vcpus: int
    memory_mib: int
    disk_gib: int
    group: GroupRule | None = None


class Refusal(enum.StrEnum):
    """Why a claim was not granted."""

    HOST_FULL = "HostFull"
    """Others were faster: read the host again, take the next one."""
    HOST_GONE = "HostGone"
    """Disabled, forced down or removed."""
    STATE_CHANGED = "StateChanged"
    """The instance is no longer waiting at that version: deleted, or placed by another scheduler."""
    GROUP_POLICY = "GroupPolicy"
    """The group has changed, or the host may not have this member: read `group_hosts` again."""


@dataclass(frozen=True)
class Claimed:
    """Granted: the instance has the host."""

    request: ClaimRequest
    record: InstanceRecord


@dataclass(frozen=True)
class Refused:
    """Not granted: nothing was changed for this request."""

    request: ClaimRequest
    reason: Refusal


ClaimOutcome = Claimed | Refused


@dataclass(frozen=True)
class HostUsage:
    """How much of a host may be given out, and is."""

    name: str
    vcpus_limit: int
    memory_limit_mib: int
    disk_limit_gib: int
    vcpus_used: int
    memory_used_mib: int
    disk_used_gib: int
    instances: int
    generation: int
    """Raised by every change of what is used."""
    build_failures: int
    """Builds that failed on it since one succeeded."""
    disabled: bool
    forced_down: bool
    removed: bool
    changed: int
    """Give the largest to the next `load_hosts(changed_since=...)`."""


_HOST_COLUMNS = (
    compute_nodes.c.name,
    compute_nodes.c.vcpus_limit,
    compute_nodes.c.memory_mib_limit,
    compute_nodes.c.disk_gib_limit,
    compute_nodes.c.vcpus_used,
    compute_nodes.c.memory_mib_used,
    compute_nodes.c.disk_gib_used,
    compute_nodes.c.instances,
    compute_nodes.c.generation,
    compute_nodes.c.build_failures,
    compute_nodes.c.disabled,
    compute_nodes.c.forced_down,
    compute_nodes.c.removed_at,
    compute_nodes.c.changed,
)
_HOSTS = sa.select(*_HOST_COLUMNS).where(compute_nodes.c.removed_at.is_(None))
_HOSTS_CHANGED = sa.select(*_HOST_COLUMNS).where(compute_nodes.c.changed >= bindparam("since"))
_HOSTS_NAMED = sa.select(*_HOST_COLUMNS).where(compute_nodes.c.name.in_(bindparam("names", expanding=True)))
_LOCK_HOSTS = _HOSTS_NAMED.order_by(compute_nodes.c.name).with_for_update()


def _plus(name: str) -> Any:
    return compute_nodes.c[name] + bindparam(f"more_{name}", type_=sa.BigInteger)


def _room(resource: str) -> sa.ColumnElement[bool]:
    more = bindparam(f"more_{resource}_used", type_=sa.BigInteger)
    return sa.or_(
        more == 0, compute_nodes.c[f"{resource}_used"] + more <= compute_nodes.c[f"{resource}_limit"]
    )


_USED = ("vcpus_used", "memory_mib_used", "disk_gib_used", "instances")
_ADD_USAGE = (
    sa.update(compute_nodes)
    .where(compute_nodes.c.name == bindparam("host"))
    .values(
        {
            **{compute_nodes.c[name]: _plus(name) for name in _USED},
            compute_nodes.c.generation: compute_nodes.c.generation + 1,
            compute_nodes.c.changed: bindparam("stamp", type_=sa.BigInteger),
        }
    )
)
_TAKE_ROOM = _ADD_USAGE.where(
    compute_nodes.c.disabled.is_(sa.false()),
    compute_nodes.c.forced_down.is_(sa.false()),
    compute_nodes.c.removed_at.is_(None),
    *(_room(name) for name in ("vcpus", "memory_mib", "disk_gib")),
)
_PLACE = (
    sa.update(instances)
    .where(instances.c.id == bindparam("instance"), instances.c.version == bindparam("expected_version"))
    .values(
        host=bindparam("to_host"),
        fencing_epoch=instances.c.fencing_epoch + 1,
        attempts=instances.c.attempts + 1,
        task_state=TaskState.NETWORKING.value,
        placement_message=None,
        version=instances.c.version + 1,
        updated_at=bindparam("moment", type_=instances.c.updated_at.type),
    )
)
_ALLOCATE = sa.insert(allocations)
_ALLOCATION = sa.select(allocations).where(allocations.c.instance_id == bindparam("instance"))
_DROP_ALLOCATION = sa.delete(allocations).where(allocations.c.instance_id == bindparam("instance"))
_GROUP_GENERATION = sa.select(server_groups.c.generation).where(
    server_groups.c.id == bindparam("group"), server_groups.c.removed_at.is_(None)
)
_GROUP_HOSTS = (
    sa.select(instances.c.host, sa.func.count())
    .where(instances.c.group_id == bindparam("group"), live(), instances.c.host.is_not(None))
    .group_by(instances.c.host)
)
_RAISE_GROUP = (
    sa.update(server_groups)
    .where(
        server_groups.c.id == bindparam("group"),
        server_groups.c.generation == bindparam("seen"),
        server_groups.c.removed_at.is_(None),
    )
    .values(generation=server_groups.c.generation + bindparam("added", type_=sa.BigInteger))
)
_IO_OPS = (
    sa.select(instances.c.host, sa.func.count())
    .where(
        instances.c.task_state.in_([task.value for task in IO_TASKS]), live(), instances.c.host.is_not(None)
    )
    .group_by(instances.c.host)
)
_COUNT_FAILURE = (
    sa.update(compute_nodes)
    .where(compute_nodes.c.name == bindparam("host"))
    .values(
        build_failures=compute_nodes.c.build_failures + 1, changed=bindparam("stamp", type_=sa.BigInteger)
    )
)
_FORGET_FAILURES = (
    sa.update(compute_nodes)
    .where(compute_nodes.c.name == bindparam("host"), compute_nodes.c.build_failures > 0)
    .values(build_failures=0, changed=bindparam("stamp", type_=sa.BigInteger))
)


async def claim_many(db: Database, requests: Sequence[ClaimRequest]) -> list[ClaimOutcome]:
    """Place instances that wait in building/scheduling, all in one transaction; outcomes in the given order.

    A granted one has its host, the next fencing epoch, an allocation, and is in task `networking`. One that
    is refused changes nothing and stands in nobody's way.
    """
    if not requests:
        return []
    return await db.run(lambda conn: _claim(conn, requests))


async def place_failed(db: Database, instance_id: str, version: int, message: str) -> InstanceRecord:
    """No host will do: vm_state error, fault 500 "No valid host was found. `message`" (Nova's wording).

    Raises InstanceNotFound, ConcurrentUpdate.
    """

    def transaction(conn: sa.Connection) -> InstanceRecord:
        record = load_in_task(conn, instance_id, version, TaskState.SCHEDULING)
        moment = now()
        fault = NO_VALID_HOST + message
        after = compare_and_set(
            conn,
            record,
            moment=moment,
            vm_state=VmState.ERROR,
            task_state=None,
            placement_message=message,
            fault_code=500,
            fault_message=fault,
            fault_at=moment,
            action_id=None,
        )
        history.add_events(conn, history.event_of(record, moment, result=history.ERROR, message=fault))
        history.finish_action(conn, record.action_id, moment, history.ERROR, fault)
        return after

    return await db.run(transaction)


async def note_waiting(db: Database, instance_id: str, version: int, message: str) -> InstanceRecord:
    """It stays in building/scheduling, and `placement_message` says what it waits for.

    Raises InstanceNotFound, ConcurrentUpdate.
    """

    def transaction(conn: sa.Connection) -> InstanceRecord:
        record = load_in_task(conn, instance_id, version, TaskState.SCHEDULING)
        if record.placement_message == message:
            return record
        return compare_and_set(conn, record, moment=now(), placement_message=message)

    return await db.run(transaction)


async def load_hosts(
    db: Database, changed_since: int | None = None, names: Iterable[str] | None = None
) -> list[HostUsage]:
    """Hosts with what is used of them.

    All that are not removed; or those that may have changed since a HostUsage.changed seen earlier (some come
    twice: compare generations; removed ones come once more with `removed`); or those named.
    """

    def query(conn: sa.Connection) -> list[HostUsage]:
        if names is not None:
            rows: Iterable[Any] = conn.execute(_HOSTS_NAMED, {"names": list(names)})
        elif changed_since is not None:
            rows = conn.execute(_HOSTS_CHANGED, {"since": changed_since - CHANGED_OVERLAP_US})
        else:
            rows = conn.execute(_HOSTS)
        return [_host_usage(row) for row in rows]

    return await db.read(query)


async def io_ops_per_host(db: Database) -> dict[str, int]:
    """How many instances are being built, copied or imaged per host (Nova's num_io_ops); 0 is left out."""
    return await db.read(lambda conn: {host: int(count) for host, count in conn.execute(_IO_OPS)})


async def group_hosts(db: Database, group_id: str) -> tuple[int, dict[str, int]]:
    """A server group's generation, and how many of its members each host has. Raises ServerGroupNotFound."""

    def query(conn: sa.Connection) -> tuple[int, dict[str, int]]:
        # The generation first: a member placed in between makes the claim refuse, never pass.
        generation = conn.scalar(_GROUP_GENERATION, {"group": group_id})
        if generation is None:
            raise ServerGroupNotFound(group_id)
        return int(generation), _members(conn, group_id)

    return await db.read(query)


def release(conn: sa.Connection, instance_id: str) -> None:
    """Inside a transaction: give back what the instance holds of its host; nothing when it holds nothing."""
    row = conn.execute(_ALLOCATION, {"instance": instance_id}).one_or_none()
    if row is None or conn.execute(_DROP_ALLOCATION, {"instance": instance_id}).rowcount == 0:
        return
    conn.execute(
        _ADD_USAGE,
        {
            "host": row.host,
            "more_vcpus_used": -row.vcpus,
            "more_memory_mib_used": -row.memory_mib,
            "more_disk_gib_used": -row.disk_gib,
            "more_instances": -1,
            "stamp": stamp(),
        },
    )


def release_everything(conn: sa.Connection, record: InstanceRecord, moment: datetime) -> None:
    """Inside a transaction: addresses and allocation."""
    addresses.release(conn, record, moment)
    release(conn, record.id)


def count_build_failure(conn: sa.Connection, host: str) -> None:
    """Inside a transaction: building failed there (what BuildFailureWeigher reads)."""
    conn.execute(_COUNT_FAILURE, {"host": host, "stamp": stamp()})


def forget_build_failures(conn: sa.Connection, host: str) -> None:
    """Inside a transaction: building succeeded there."""
    conn.execute(_FORGET_FAILURES, {"host": host, "stamp": stamp()})


def stamp() -> int:
    """What `compute_nodes.changed` is set to: microseconds since 1970."""
    return time.time_ns() // 1000


def _host_usage(row: Any) -> HostUsage:
    values: list[Any] = [*row]
    values[-2] = row.removed_at is not None
    return HostUsage(*values)


def _members(conn: sa.Connection, group_id: str) -> dict[str, int]:
    return {host: int(count) for host, count in conn.execute(_GROUP_HOSTS, {"group": group_id})}


def _claim(conn: sa.Connection, requests: Sequence[ClaimRequest]) -> list[ClaimOutcome]:
    records = load_many(conn, (request.instance_id for request in requests), lock=True)
    groups = _Groups(conn, requests)
    hosts = _Hosts(conn, requests)
    granted: dict[int, InstanceRecord] = {}
    refused: dict[int, Refusal] = {}
    for index, request in enumerate(requests):
        record = records.get(request.instance_id)
        refusal = _state_refusal(record, request) or hosts.refusal(request) or groups.refusal(request)
        if refusal is not None or record is None:
            refused[index] = refusal or Refusal.STATE_CHANGED
            continue
        hosts.take(request)
        groups.take(request)
        granted[index] = record
        records[record.id] = replace(record, version=record.version + 1)  # named twice: the second is refused
    if not granted:
        return [Refused(request, refused[index]) for index, request in enumerate(requests)]
    groups.write(conn)
    placed = _place(conn, [(requests[index], record) for index, record in granted.items()])
    hosts.write(conn)
    return [
        Claimed(request, placed[request.instance_id])
        if index in granted
        else Refused(request, refused[index])
        for index, request in enumerate(requests)
    ]


def _state_refusal(record: InstanceRecord | None, request: ClaimRequest) -> Refusal | None:
    waiting = (
        record is not None
        and not record.is_deleted
        and record.version == request.version
        and record.vm_state == VmState.BUILDING
        and record.task_state == TaskState.SCHEDULING
    )
    return None if waiting else Refusal.STATE_CHANGED


class _Hosts:
    """The hosts of a batch, locked: what is left of each, and what the batch takes."""

    def __init__(self, conn: sa.Connection, requests: Sequence[ClaimRequest]) -> None:
        names = sorted({request.host for request in requests})
        self._left: dict[str, list[int]] = {}
        self._taken: dict[str, list[int]] = {}
        for start in range(0, len(names), CHUNK):
            for row in conn.execute(_LOCK_HOSTS, {"names": names[start : start + CHUNK]}):
                host = _host_usage(row)
                if not (host.disabled or host.forced_down or host.removed):
                    self._left[host.name] = [
                        host.vcpus_limit - host.vcpus_used,
                        host.memory_limit_mib - host.memory_used_mib,
                        host.disk_limit_gib - host.disk_used_gib,
                    ]

    def refusal(self, request: ClaimRequest) -> Refusal | None:
        left = self._left.get(request.host)
        if left is None:
            return Refusal.HOST_GONE
        full = any(amount > room for amount, room in zip(_amounts(request), left, strict=True) if amount)
        return Refusal.HOST_FULL if full else None

    def take(self, request: ClaimRequest) -> None:
        taken = self._taken.setdefault(request.host, [0, 0, 0, 0])
        left = self._left[request.host]
        for index, amount in enumerate(_amounts(request)):
            left[index] -= amount
            taken[index] += amount
        taken[3] += 1

    def write(self, conn: sa.Connection) -> None:
        moment = stamp()
        rows = [
            {
                "host": host,
                "more_vcpus_used": taken[0],
                "more_memory_mib_used": taken[1],
                "more_disk_gib_used": taken[2],
                "more_instances": taken[3],
                "stamp": moment,
            }
            for host, taken in sorted(self._taken.items())
        ]
        _execute_exactly(conn, _TAKE_ROOM, rows)


class _Groups:
    """The server groups of a batch: generation and members per host, with what the batch adds."""

    def __init__(self, conn: sa.Connection, requests: Sequence[ClaimRequest]) -> None:
        self._generations: dict[str, int | None] = {}
        self._hosts: dict[str, dict[str, int]] = {}
        self._added: dict[str, int] = {}
        for group_id in sorted({request.group.group_id for request in requests if request.group}):
            generation = conn.scalar(_GROUP_GENERATION.with_for_update(), {"group": group_id})
            self._generations[group_id] = generation
            self._hosts[group_id] = _members(conn, group_id)

    def refusal(self, request: ClaimRequest) -> Refusal | None:
        rule = request.group
        if rule is None:
            return None
        # Members placed earlier in this batch were known to the scheduler that made it.
        if self._generations[rule.group_id] != rule.group_generation:
            return Refusal.GROUP_POLICY
        hosts = self._hosts[rule.group_id]
        if rule.policy is GroupPolicy.ANTI_AFFINITY and hosts.get(request.host, 0) >= rule.max_per_host:
            return Refusal.GROUP_POLICY
        if rule.policy is GroupPolicy.AFFINITY and hosts and request.host not in hosts:
            return Refusal.GROUP_POLICY
        return None

    def take(self, request: ClaimRequest) -> None:
        if request.group is None:
            return
        group_id = request.group.group_id
        hosts = self._hosts[group_id]
        hosts[request.host] = hosts.get(request.host, 0) + 1
        self._added[group_id] = self._added.get(group_id, 0) + 1

    def write(self, conn: sa.Connection) -> None:
        rows = [
            {"group": group_id, "seen": self._generations[group_id], "added": count}
            for group_id, count in sorted(self._added.items())
        ]
        if rows:
            _execute_exactly(conn, _RAISE_GROUP, rows)


def _amounts(request: ClaimRequest) -> tuple[int, int, int]:
    return request.vcpus, request.memory_mib, request.disk_gib


def _place(
    conn: sa.Connection, granted: list[tuple[ClaimRequest, InstanceRecord]]
) -> dict[str, InstanceRecord]:
    """Write the instances, their allocations and the history; returns the new records."""
    moment = now()
    _execute_exactly(
        conn,
        _PLACE,
        [
            {
                "instance": record.id,
                "expected_version": record.version,
                "to_host": request.host,
                "moment": moment,
            }
            for request, record in granted
        ],
    )
    conn.execute(
        _ALLOCATE,
        [
            {
                "instance_id": request.instance_id,
                "host": request.host,
                "vcpus": request.vcpus,
                "memory_mib": request.memory_mib,
                "disk_gib": request.disk_gib,
            }
            for request, _ in granted
        ],
    )
    history.add_events(
        conn, *(history.event_of(record, moment, host=request.host) for request, record in granted)
    )
    return {
        record.id: replace(
            record,
            host=request.host,
            fencing_epoch=record.fencing_epoch + 1,
            attempts=record.attempts + 1,
            task_state=TaskState.NETWORKING,
            placement_message=None,
            version=record.version + 1,
            updated_at=moment,
        )
        for request, record in granted
    }


def _execute_exactly(conn: sa.Connection, statement: sa.Update, rows: list[dict[str, Any]]) -> None:
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
