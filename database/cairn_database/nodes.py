"""Compute nodes, mirrored into SQL: what the admin and the agent say of a host, and the limits that follow.

What is used of a host stands in the same row; `hosts` reads it.
"""

from __future__ import annotations

import math
import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import bindparam

from cairn_crds.compute_node import ComputeNodeSpec, ComputeNodeStatus
from cairn_crds.conditions import ConditionStatus, find_condition
from cairn_database import hosts, mirroring
from cairn_database.engine import Database, clock
from cairn_database.tables import allocations, compute_nodes

INVENTORY_FIELDS = {
    "hypervisor_type",
    "hypervisor_version",
    "hostname",
    "address",
    "boot_time",
    "architecture",
    "vcpus",
    "memory_mib",
    "disk_gib",
    "cpu_model",
    "traits",
    "capabilities",
}
"""The part of ComputeNodeStatus that is kept in SQL; heartbeat and metrics are not. Of the conditions only
whether it is up: a heartbeat that says nothing new writes nothing."""


@dataclass(frozen=True)
class ComputeNodeRecord:
    """A host: what the admin says of it, and what it has."""

    name: str
    spec: ComputeNodeSpec
    inventory: ComputeNodeStatus
    """Without heartbeat, metrics and conditions, which live in the resource only."""
    id: str
    """A UUID: what the Compute API calls the hypervisor and its service since 2.53."""
    number: int
    """The same for older clients."""
    up: bool
    """Whether its agent is heard of."""
    updated_at: datetime
    """When anything but what is used last changed."""
    vcpus_used: int
    """By instances, as the two below; what is reserved for the host itself is not counted."""
    memory_mib_used: int
    disk_gib_used: int
    instances: int

    @property
    def hypervisor_hostname(self) -> str:
        """What the hypervisor calls itself; the resource's name where it does not say."""
        return self.inventory.hostname or self.name

    @property
    def disabled(self) -> bool:
        """Whether it takes no new instances: an administrator says so, or it is being drained."""
        return self.spec.disabled or self.spec.drain

    @property
    def disabled_reason(self) -> str | None:
        """Why, as the Compute API shows it."""
        drained = "It is being drained: its instances are moved to other hosts." if self.spec.drain else None
        return self.spec.disabled_reason or drained

    @property
    def alive(self) -> bool:
        """Whether it counts as up (Nova: a service that is forced down is down)."""
        return self.up and not self.spec.forced_down


async def upsert_compute_node(
    db: Database, name: str, spec: ComputeNodeSpec, status: ComputeNodeStatus, uid: str | None = None
) -> bool:
    """Take the host in: limits are (total - reserved) x ratio. A heartbeat alone changes nothing.

    Limits below what is used move nothing away; they keep further instances out.

    `uid` is the resource's. A host that was removed and comes back with another one is a new service and
    hypervisor to the Compute API.
    """
    inventory = status.model_dump(mode="json", by_alias=True, exclude_none=True, include=INVENTORY_FIELDS)
    up = find_condition(status.conditions, "Up")
    values = {
        "spec": spec.to_api(),
        "inventory": inventory,
        "disabled": spec.disabled or spec.drain,
        "forced_down": spec.forced_down,
        "up": up is not None and up.status is ConditionStatus.TRUE,
        "self_fence_seconds": status.self_fence_seconds or 0,
        "vcpus_limit": limit(status.vcpus, spec.reserved.vcpus, spec.ratios.cpu),
        "memory_mib_limit": limit(status.memory_mib, spec.reserved.memory_mib, spec.ratios.memory),
        "disk_gib_limit": limit(status.disk_gib, spec.reserved.disk_gib, spec.ratios.disk),
    }
    fresh = dict.fromkeys(
        (
            "vcpus_used",
            "memory_mib_used",
            "disk_gib_used",
            "instances",
            "generation",
            "build_failures",
            "changed",
        ),
        0,
    )

    def transaction(conn: sa.Connection) -> bool:
        more = {**_identity(conn, name, uid), "down_since": _down_since(conn, name, up=bool(values["up"]))}
        changed = mirroring.upsert(conn, compute_nodes, {"name": name}, values | more, fresh)
        if changed:
            _touch_host(conn, name)
        return changed

    return await db.run(transaction)


def _down_since(conn: sa.Connection, name: str, *, up: bool) -> int | None:
    """Since when it is down, by the database's clock: those of replicas differ."""
    if up:
        return None
    columns = compute_nodes.c
    row = conn.execute(sa.select(columns.up, columns.down_since).where(columns.name == name)).one_or_none()
    if row is not None and not row.up and row.down_since is not None:
        return int(row.down_since)
    return clock(conn)


def _identity(conn: sa.Connection, name: str, uid: str | None) -> dict[str, Any]:
    """The UUID and the number of a host that is new; nothing for one that keeps its own. Two that come at the
    same moment cannot take one number: the second is run again and sees the first."""
    columns = compute_nodes.c
    row = conn.execute(sa.select(columns.id, columns.removed_at).where(columns.name == name)).one_or_none()
    if row is not None and (row.removed_at is None or uid in (None, row.id)):
        return {}
    last = conn.scalar(sa.select(sa.func.max(columns.number))) or 0
    return {"id": uid or str(uuid.uuid4()), "number": int(last) + 1}


async def remove_compute_node(db: Database, name: str) -> None:
    """Let go of it. Raises StillInUse while it has instances."""

    def transaction(conn: sa.Connection) -> None:
        if mirroring.remove(conn, compute_nodes, {"name": name}):
            users = mirroring.count(conn, allocations, allocations.c.host == name)
            mirroring.refuse_use("ComputeNode", name, users)
        _touch_host(conn, name)

    await db.run(transaction)


async def get_compute_node(db: Database, name: str) -> ComputeNodeRecord | None:
    """The host, unless it is removed."""
    row = await mirroring.one(db, compute_nodes, compute_nodes.c.name == name)
    return None if row is None else _compute_node(row)


async def find_compute_node(
    db: Database, *, id: str | None = None, number: int | None = None
) -> ComputeNodeRecord | None:
    """The host that the Compute API calls `id`, or `number`, unless it is removed."""
    condition = compute_nodes.c.id == id if id is not None else compute_nodes.c.number == number
    row = await mirroring.one(db, compute_nodes, condition)
    return None if row is None else _compute_node(row)


async def page_of_compute_nodes(db: Database, after: int, limit: int) -> list[ComputeNodeRecord]:
    """At most `limit` that are not removed, oldest first, of those with a number above `after`."""
    columns = compute_nodes.c
    statement = (
        sa.select(compute_nodes)
        .where(columns.removed_at.is_(None), columns.number > after)
        .order_by(columns.number)
        .limit(limit)
    )
    return await db.read(lambda conn: [_compute_node(row) for row in conn.execute(statement)])


async def list_compute_nodes(db: Database) -> list[ComputeNodeRecord]:
    """All that are not removed, by name."""
    return [_compute_node(row) for row in await mirroring.select(db, compute_nodes)]


def limit(total: int, reserved: int, ratio: float) -> int:
    """How much may be given out (Nova's placement: (total - reserved) x allocation_ratio)."""
    return max(0, math.floor(max(0, total - reserved) * ratio))


def _compute_node(row: Any) -> ComputeNodeRecord:
    return ComputeNodeRecord(
        name=row.name,
        spec=ComputeNodeSpec.model_validate(row.spec),
        inventory=ComputeNodeStatus.model_validate(row.inventory),
        id=row.id,
        number=row.number,
        up=row.up,
        updated_at=row.updated_at,
        vcpus_used=row.vcpus_used,
        memory_mib_used=row.memory_mib_used,
        disk_gib_used=row.disk_gib_used,
        instances=row.instances,
    )


def _touch_host(conn: sa.Connection, name: str) -> None:
    conn.execute(
        sa.update(compute_nodes)
        .where(compute_nodes.c.name == bindparam("host"))
        .values(generation=compute_nodes.c.generation + 1, changed=bindparam("stamp", type_=sa.BigInteger)),
        {"host": name, "stamp": hosts.stamp()},
    )
