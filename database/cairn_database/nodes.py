"""Compute nodes, mirrored into SQL: what the admin and the agent say of a host, and the limits that follow.

What is used of a host stands in the same row; `hosts` reads it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy import bindparam

from cairn_crds.compute_node import ComputeNodeSpec, ComputeNodeStatus
from cairn_database import hosts, mirroring
from cairn_database.engine import Database
from cairn_database.tables import allocations, compute_nodes

INVENTORY_FIELDS = {
    "hypervisor_type",
    "hypervisor_version",
    "hostname",
    "architecture",
    "vcpus",
    "memory_mib",
    "disk_gib",
    "cpu_model",
    "traits",
    "capabilities",
}
"""The part of ComputeNodeStatus that is kept in SQL; heartbeat and metrics are not."""


@dataclass(frozen=True)
class ComputeNodeRecord:
    """A host: what the admin says of it, and what it has."""

    name: str
    spec: ComputeNodeSpec
    inventory: ComputeNodeStatus
    """Without heartbeat, metrics and conditions, which live in the resource only."""


async def upsert_compute_node(
    db: Database, name: str, spec: ComputeNodeSpec, status: ComputeNodeStatus
) -> bool:
    """Take the host in: limits are (total - reserved) x ratio. A heartbeat alone changes nothing.

    Limits below what is used move nothing away; they keep further instances out.
    """
    inventory = status.model_dump(mode="json", by_alias=True, exclude_none=True, include=INVENTORY_FIELDS)
    values = {
        "spec": spec.to_api(),
        "inventory": inventory,
        "disabled": spec.disabled,
        "forced_down": spec.forced_down,
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
        changed = mirroring.upsert(conn, compute_nodes, {"name": name}, values, fresh)
        if changed:
            _touch_host(conn, name)
        return changed

    return await db.run(transaction)


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


async def list_compute_nodes(db: Database) -> list[ComputeNodeRecord]:
    """All that are not removed, by name."""
    return [_compute_node(row) for row in await mirroring.select(db, compute_nodes)]


def limit(total: int, reserved: int, ratio: float) -> int:
    """How much may be given out (Nova's placement: (total - reserved) x allocation_ratio)."""
    return max(0, math.floor(max(0, total - reserved) * ratio))


def _compute_node(row: Any) -> ComputeNodeRecord:
    return ComputeNodeRecord(
        row.name, ComputeNodeSpec.model_validate(row.spec), ComputeNodeStatus.model_validate(row.inventory)
    )


def _touch_host(conn: sa.Connection, name: str) -> None:
    conn.execute(
        sa.update(compute_nodes)
        .where(compute_nodes.c.name == bindparam("host"))
        .values(generation=compute_nodes.c.generation + 1, changed=bindparam("stamp", type_=sa.BigInteger)),
        {"host": name, "stamp": hosts.stamp()},
    )
