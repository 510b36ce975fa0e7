"""What hosts have, and how much of it is used: read by the scheduler, counted inside claims.

The other half of a host's row, what the admin and the agent say of it, is mirrored by `nodes`.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy import bindparam

from cairn_crds.server_group import GroupPolicy
from cairn_database.engine import Database
from cairn_database.errors import ServerGroupNotFound
from cairn_database.records import MoveKind, TaskState
from cairn_database.rows import CHUNK, execute_exactly, live
from cairn_database.tables import allocations, compute_nodes, instances, server_groups

CHANGED_OVERLAP_US = 2_000_000
"""`load_hosts(changed_since=...)` looks this far behind: transactions commit in another order than they stamp
rows, and clocks of replicas differ a little."""

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


@dataclass(frozen=True)
class Amounts:
    """What instances take of a host."""

    vcpus: int
    memory_mib: int
    disk_gib: int
    instances: int


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
_IO_OPS = (
    sa.select(instances.c.host, sa.func.count())
    .where(
        instances.c.task_state.in_([task.value for task in IO_TASKS]), live(), instances.c.host.is_not(None)
    )
    .group_by(instances.c.host)
)
_TASKS = (
    sa.select(instances.c.host, sa.func.count())
    .where(instances.c.task_state.is_not(None), live(), instances.c.host.is_not(None))
    .group_by(instances.c.host)
)
_HOSTED = (
    sa.select(instances.c.id, instances.c.display_name, instances.c.host)
    .where(instances.c.host.in_(bindparam("hosts", expanding=True)), live())
    .order_by(instances.c.created_at, instances.c.id)
)
_SHARES = (
    sa.select(
        instances.c.project,
        sa.func.sum(allocations.c.vcpus),
        sa.func.sum(allocations.c.memory_mib),
        sa.func.sum(allocations.c.disk_gib),
    )
    .select_from(allocations.join(instances, instances.c.id == allocations.c.instance_id))
    .where(allocations.c.host == bindparam("host"))
    .group_by(instances.c.project)
    .order_by(instances.c.project)
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
_GROUP_GENERATION = sa.select(server_groups.c.generation).where(
    server_groups.c.id == bindparam("group"), server_groups.c.removed_at.is_(None)
)
_GROUP_HOSTS = sa.select(instances.c.host, instances.c.move, instances.c.task_state).where(
    instances.c.group_id == bindparam("group"), live()
)
_LAST = (GroupPolicy.AFFINITY, GroupPolicy.SOFT_AFFINITY)
"""Policies that go by where a member is in the end; the others by everywhere where it is or may yet be."""


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
        return [_usage(row) for row in rows]

    return await db.read(query)


async def io_ops_per_host(db: Database) -> dict[str, int]:
    """How many instances are being built, copied or imaged per host (Nova's num_io_ops); 0 is left out."""
    return await db.read(lambda conn: {host: int(count) for host, count in conn.execute(_IO_OPS)})


@dataclass(frozen=True)
class HostedInstance:
    """A live instance on a host, in short."""

    id: str
    display_name: str
    host: str


@dataclass(frozen=True)
class ProjectShare:
    """What a project's instances take of one host."""

    project: str
    vcpus: int
    memory_mib: int
    disk_gib: int


async def instances_on(db: Database, names: Iterable[str]) -> dict[str, list[HostedInstance]]:
    """The live instances of each of these hosts, oldest first; hosts without any are left out."""
    ordered = sorted(set(names))

    def query(conn: sa.Connection) -> dict[str, list[HostedInstance]]:
        found: dict[str, list[HostedInstance]] = {}
        for start in range(0, len(ordered), CHUNK):
            for row in conn.execute(_HOSTED, {"hosts": ordered[start : start + CHUNK]}):
                found.setdefault(row.host, []).append(HostedInstance(*row))
        return found

    return await db.read(query)


async def tasks_per_host(db: Database) -> dict[str, int]:
    """How many instances have a task under way per host (Nova's current_workload); 0 is left out."""
    return await db.read(lambda conn: {host: int(count) for host, count in conn.execute(_TASKS)})


async def shares_of_host(db: Database, name: str) -> list[ProjectShare]:
    """What each project's instances take of the host, by project."""
    return await db.read(
        lambda conn: [
            ProjectShare(row[0], int(row[1]), int(row[2]), int(row[3]))
            for row in conn.execute(_SHARES, {"host": name})
        ]
    )


async def group_hosts(
    db: Database, group_id: str, policy: GroupPolicy = GroupPolicy.ANTI_AFFINITY
) -> tuple[int, dict[str, int]]:
    """A server group's generation, and how many of its members each host has, as its policy counts them
    (`group_members`). Raises ServerGroupNotFound."""

    def query(conn: sa.Connection) -> tuple[int, dict[str, int]]:
        # The generation first: a member placed in between makes the claim refuse, never pass.
        generation = conn.scalar(_GROUP_GENERATION, {"group": group_id})
        if generation is None:
            raise ServerGroupNotFound(group_id)
        return int(generation), group_members(conn, group_id, policy)

    return await db.read(query)


def lock(conn: sa.Connection, names: Iterable[str]) -> list[HostUsage]:
    """Inside a transaction: these hosts, removed ones too, locked in the order of their names."""
    ordered = sorted(set(names))
    return [
        _usage(row)
        for start in range(0, len(ordered), CHUNK)
        for row in conn.execute(_LOCK_HOSTS, {"names": ordered[start : start + CHUNK]})
    ]


def take(conn: sa.Connection, wanted: Mapping[str, Amounts]) -> None:
    """Inside a transaction, of locked hosts: add to what is used. Raises RunAgain where it does not fit."""
    moment = stamp()
    rows = [_changes(host, amounts, moment) for host, amounts in sorted(wanted.items())]
    execute_exactly(conn, _TAKE_ROOM, rows)


def give_back(conn: sa.Connection, host: str, amounts: Amounts) -> None:
    """Inside a transaction: take off what is used."""
    less = Amounts(-amounts.vcpus, -amounts.memory_mib, -amounts.disk_gib, -amounts.instances)
    conn.execute(_ADD_USAGE, _changes(host, less, stamp()))


def lock_group(conn: sa.Connection, group_id: str) -> int | None:
    """Inside a transaction: the group's generation, its row locked; None when there is no such group."""
    generation: int | None = conn.scalar(_GROUP_GENERATION.with_for_update(), {"group": group_id})
    return generation


def group_members(conn: sa.Connection, group_id: str, policy: GroupPolicy) -> dict[str, int]:
    """Inside a transaction: how many of the group's members each host has.

    A member that moves, or has moved and may still be reverted, counts on both hosts where the policy keeps
    members apart: wherever it ends, it is alone. Where it keeps them together it counts where it is going.
    """
    members: dict[str, int] = {}
    for row in conn.execute(_GROUP_HOSTS, {"group": group_id}):
        for host in _ends(row, policy):
            members[host] = members.get(host, 0) + 1
    return members


def _ends(row: Any, policy: GroupPolicy) -> set[str]:
    move = row.move or {}
    if move.get("kind") == MoveKind.UNSHELVE:
        move = {}
    if policy not in _LAST:
        ends = {row.host, move.get("source"), move.get("destination")}
    else:
        goes_back = row.task_state == TaskState.RESIZE_REVERTING.value or move.get("failure")
        ends = {move.get("source") if goes_back else move.get("destination") or row.host}
    return {str(host) for host in ends if host}


def count_build_failure(conn: sa.Connection, host: str) -> None:
    """Inside a transaction: building failed there (what BuildFailureWeigher reads)."""
    conn.execute(_COUNT_FAILURE, {"host": host, "stamp": stamp()})


def forget_build_failures(conn: sa.Connection, host: str) -> None:
    """Inside a transaction: building succeeded there."""
    conn.execute(_FORGET_FAILURES, {"host": host, "stamp": stamp()})


def stamp() -> int:
    """What `compute_nodes.changed` is set to: microseconds since 1970."""
    return time.time_ns() // 1000


def _usage(row: Any) -> HostUsage:
    values: list[Any] = [*row]
    values[-2] = row.removed_at is not None
    return HostUsage(*values)


def _changes(host: str, more: Amounts, moment: int) -> dict[str, Any]:
    return {
        "host": host,
        "more_vcpus_used": more.vcpus,
        "more_memory_mib_used": more.memory_mib,
        "more_disk_gib_used": more.disk_gib,
        "more_instances": more.instances,
        "stamp": moment,
    }
