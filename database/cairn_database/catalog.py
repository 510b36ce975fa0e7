"""What resources say, mirrored into SQL: projects, flavors, images, networks, keys, groups, hosts.

`upsert_*` take a resource in and return whether that changed anything (an unchanged one costs one read).
`remove_*` let go of one: the row stays, marked, so that what refers to it can still name it; what instances
live on (a project, a network, a host) raises StillInUse instead.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy import bindparam

from cairn_crds.base import Model
from cairn_crds.compute_node import ComputeNodeSpec, ComputeNodeStatus
from cairn_crds.flavor import FlavorSpec
from cairn_crds.host_aggregate import HostAggregateSpec
from cairn_crds.image import ImageSpec
from cairn_crds.key_pair import KeyPairSpec
from cairn_crds.network import NetworkSpec
from cairn_crds.project import ProjectSpec
from cairn_crds.server_group import GroupPolicy, ServerGroupSpec
from cairn_database import addresses, claims
from cairn_database.engine import Database
from cairn_database.errors import StillInUse
from cairn_database.records import Json
from cairn_database.rows import live, now
from cairn_database.tables import (
    addresses as addresses_table,
)
from cairn_database.tables import (
    aggregates,
    allocations,
    compute_nodes,
    flavors,
    images,
    instances,
    key_pairs,
    networks,
    projects,
    server_groups,
)

S = TypeVar("S", bound=Model)

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
class ProjectRecord:
    """A tenant."""

    name: str
    namespace: str
    enabled: bool
    spec: ProjectSpec


@dataclass(frozen=True)
class ServerGroupRecord:
    """A server group, and the id that instances refer to it by."""

    id: str
    namespace: str
    name: str
    policy: GroupPolicy
    max_per_host: int
    """With anti-affinity; 1 when the resource does not say."""
    members: int


@dataclass(frozen=True)
class ComputeNodeRecord:
    """A host: what the admin says of it, and what it has."""

    name: str
    spec: ComputeNodeSpec
    inventory: ComputeNodeStatus
    """Without heartbeat, metrics and conditions, which live in the resource only."""


# --- projects --------------------------------------------------------------------------------------------


async def upsert_project(db: Database, name: str, spec: ProjectSpec) -> bool:
    """Take the project in: its namespace, whether it is enabled, and its limits from now on."""
    quotas = spec.quotas
    values = {
        "namespace": spec.namespace or name,
        "enabled": spec.enabled,
        "spec": spec.to_api(),
        "instances_limit": quotas.instances,
        "cores_limit": quotas.cores,
        "memory_mib_limit": quotas.memory_mib,
        "server_group_members_limit": quotas.server_group_members,
    }
    unused = {"instances_used": 0, "cores_used": 0, "memory_mib_used": 0}
    return await db.run(lambda conn: _upsert(conn, projects, {"name": name}, values, unused))


async def remove_project(db: Database, name: str) -> None:
    """Let go of it. Raises StillInUse while it has instances."""
    await db.run(
        lambda conn: _remove(
            conn,
            projects,
            {"name": name},
            in_use=lambda: ("Project", name, _count(conn, instances, instances.c.project == name, live())),
        )
    )


async def get_project(db: Database, name: str) -> ProjectRecord | None:
    """The project, unless it is removed."""
    row = await _one(db, projects, projects.c.name == name)
    return None if row is None else _project(row)


async def project_of_namespace(db: Database, namespace: str) -> ProjectRecord | None:
    """The project whose instances live in that namespace."""
    row = await _one(db, projects, projects.c.namespace == namespace)
    return None if row is None else _project(row)


async def list_projects(db: Database) -> list[ProjectRecord]:
    """All that are not removed, by name."""
    return [_project(row) for row in await _select(db, projects)]


def _project(row: Any) -> ProjectRecord:
    return ProjectRecord(row.name, row.namespace, row.enabled, ProjectSpec.model_validate(row.spec))


# --- flavors, images, aggregates: a name and a spec --------------------------------------------------------


async def upsert_flavor(db: Database, name: str, spec: FlavorSpec) -> bool:
    """Take the flavor in. Instances keep the one they were made with."""
    return await _upsert_spec(db, flavors, name, spec)


async def remove_flavor(db: Database, name: str) -> None:
    """Let go of it; instances keep their copy."""
    await db.run(lambda conn: _remove(conn, flavors, {"name": name}))


async def get_flavor(db: Database, name: str) -> FlavorSpec | None:
    """The flavor, unless it is removed."""
    return await _get_spec(db, flavors, name, FlavorSpec)


async def list_flavors(db: Database) -> dict[str, FlavorSpec]:
    """All that are not removed, by name."""
    return await _list_specs(db, flavors, FlavorSpec)


async def upsert_image(db: Database, name: str, spec: ImageSpec) -> bool:
    """Take the image in. Instances keep the one they were made with."""
    return await _upsert_spec(db, images, name, spec)


async def remove_image(db: Database, name: str) -> None:
    """Let go of it; instances keep their copy."""
    await db.run(lambda conn: _remove(conn, images, {"name": name}))


async def get_image(db: Database, name: str) -> ImageSpec | None:
    """The image, unless it is removed."""
    return await _get_spec(db, images, name, ImageSpec)


async def list_images(db: Database) -> dict[str, ImageSpec]:
    """All that are not removed, by name."""
    return await _list_specs(db, images, ImageSpec)


async def upsert_aggregate(db: Database, name: str, spec: HostAggregateSpec) -> bool:
    """Take the host aggregate in."""
    return await _upsert_spec(db, aggregates, name, spec)


async def remove_aggregate(db: Database, name: str) -> None:
    """Let go of it."""
    await db.run(lambda conn: _remove(conn, aggregates, {"name": name}))


async def get_aggregate(db: Database, name: str) -> HostAggregateSpec | None:
    """The aggregate, unless it is removed."""
    return await _get_spec(db, aggregates, name, HostAggregateSpec)


async def list_aggregates(db: Database) -> dict[str, HostAggregateSpec]:
    """All that are not removed, by name."""
    return await _list_specs(db, aggregates, HostAggregateSpec)


MIRRORED: dict[str, sa.Table] = {
    "flavors": flavors,
    "images": images,
    "hostaggregates": aggregates,
    "keypairs": key_pairs,
    "servergroups": server_groups,
}
"""Kinds whose rows outlive a resource that is deleted while no controller runs, by plural."""


async def recorded_keys(db: Database, plural: str) -> set[tuple[str, str]]:
    """(namespace, name) of every row of the kind that is not removed; the namespace is empty where the kind
    has none."""
    rows = await _select(db, MIRRORED[plural])
    return {(getattr(row, "namespace", ""), row.name) for row in rows}


# --- networks --------------------------------------------------------------------------------------------


async def upsert_network(db: Database, name: str, spec: NetworkSpec) -> bool:
    """Take the network in; changed pools count from now on, addresses in use stay with their instances."""

    def transaction(conn: sa.Connection) -> bool:
        changed = _upsert(conn, networks, {"name": name}, {"spec": spec.to_api()})
        if changed:
            addresses.rebuild_free(conn, name, spec)
        return changed

    return await db.run(transaction)


async def remove_network(db: Database, name: str) -> None:
    """Let go of it. Raises StillInUse while instances have addresses of it."""

    def transaction(conn: sa.Connection) -> None:
        _remove(
            conn,
            networks,
            {"name": name},
            in_use=lambda: (
                "Network",
                name,
                int(
                    conn.scalar(
                        sa.select(sa.func.count(addresses_table.c.instance_id.distinct())).where(
                            addresses_table.c.network == name
                        )
                    )
                    or 0
                ),
            ),
        )
        addresses.drop_free(conn, name)

    await db.run(transaction)


async def get_network(db: Database, name: str) -> NetworkSpec | None:
    """The network, unless it is removed."""
    return await _get_spec(db, networks, name, NetworkSpec)


async def list_networks(db: Database) -> dict[str, NetworkSpec]:
    """All that are not removed, by name."""
    return await _list_specs(db, networks, NetworkSpec)


# --- key pairs and server groups: in a namespace -----------------------------------------------------------


async def upsert_key_pair(db: Database, namespace: str, name: str, spec: KeyPairSpec) -> bool:
    """Take the key in. Instances keep the one they were made with."""
    key = {"namespace": namespace, "name": name}
    return await db.run(lambda conn: _upsert(conn, key_pairs, key, {"spec": spec.to_api()}))


async def remove_key_pair(db: Database, namespace: str, name: str) -> None:
    """Let go of it; instances keep their copy."""
    await db.run(lambda conn: _remove(conn, key_pairs, {"namespace": namespace, "name": name}))


async def get_key_pair(db: Database, namespace: str, name: str) -> KeyPairSpec | None:
    """The key, unless it is removed."""
    row = await _one(db, key_pairs, key_pairs.c.namespace == namespace, key_pairs.c.name == name)
    return None if row is None else KeyPairSpec.model_validate(row.spec)


async def list_key_pairs(db: Database, namespace: str) -> dict[str, KeyPairSpec]:
    """The namespace's keys that are not removed, by name."""
    rows = await _select(db, key_pairs, key_pairs.c.namespace == namespace)
    return {row.name: KeyPairSpec.model_validate(row.spec) for row in rows}


async def upsert_server_group(
    db: Database, namespace: str, name: str, spec: ServerGroupSpec, *, group_id: str
) -> ServerGroupRecord:
    """Take the group in under `group_id` (the resource's uid), or under the id that it already has in SQL.

    One that was removed and made anew under the same name is a new group: it gets `group_id`.
    """
    key = {"namespace": namespace, "name": name}
    values = {"policy": spec.policy.value, "max_per_host": spec.max_server_per_host}

    def transaction(conn: sa.Connection) -> ServerGroupRecord:
        conn.execute(
            sa.delete(server_groups).where(
                _key_matches(server_groups, key),
                server_groups.c.removed_at.is_not(None),
                server_groups.c.id != group_id,
            )
        )
        _upsert(conn, server_groups, key, values, {"id": group_id, "generation": 0, "members": 0})
        return _group(conn.execute(sa.select(server_groups).where(_key_matches(server_groups, key))).one())

    return await db.run(transaction)


async def remove_server_group(db: Database, namespace: str, name: str) -> None:
    """Let go of it; its members live on (as in Nova)."""
    await db.run(lambda conn: _remove(conn, server_groups, {"namespace": namespace, "name": name}))


async def get_server_group(db: Database, namespace: str, name: str) -> ServerGroupRecord | None:
    """The group of that name, unless it is removed."""
    row = await _one(db, server_groups, server_groups.c.namespace == namespace, server_groups.c.name == name)
    return None if row is None else _group(row)


async def list_server_groups(db: Database, namespace: str | None = None) -> list[ServerGroupRecord]:
    """The groups that are not removed, of one namespace or of all."""
    conditions = () if namespace is None else (server_groups.c.namespace == namespace,)
    return [_group(row) for row in await _select(db, server_groups, *conditions)]


def _group(row: Any) -> ServerGroupRecord:
    return ServerGroupRecord(
        row.id, row.namespace, row.name, GroupPolicy(row.policy), row.max_per_host or 1, row.members
    )


# --- hosts -----------------------------------------------------------------------------------------------


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
        changed = _upsert(conn, compute_nodes, {"name": name}, values, fresh)
        if changed:
            _touch_host(conn, name)
        return changed

    return await db.run(transaction)


async def remove_compute_node(db: Database, name: str) -> None:
    """Let go of it. Raises StillInUse while it has instances."""

    def transaction(conn: sa.Connection) -> None:
        _remove(
            conn,
            compute_nodes,
            {"name": name},
            in_use=lambda: ("ComputeNode", name, _count(conn, allocations, allocations.c.host == name)),
        )
        _touch_host(conn, name)

    await db.run(transaction)


async def get_compute_node(db: Database, name: str) -> ComputeNodeRecord | None:
    """The host, unless it is removed."""
    row = await _one(db, compute_nodes, compute_nodes.c.name == name)
    return None if row is None else _compute_node(row)


async def list_compute_nodes(db: Database) -> list[ComputeNodeRecord]:
    """All that are not removed, by name."""
    return [_compute_node(row) for row in await _select(db, compute_nodes)]


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
        {"host": name, "stamp": claims.stamp()},
    )


# --- the same for all ------------------------------------------------------------------------------------


async def _upsert_spec(db: Database, table: sa.Table, name: str, spec: Model) -> bool:
    values = {"spec": spec.to_api()}
    return await db.run(lambda conn: _upsert(conn, table, {"name": name}, values))


async def _get_spec(db: Database, table: sa.Table, name: str, model: type[S]) -> S | None:
    row = await _one(db, table, table.c.name == name)
    return None if row is None else model.model_validate(row.spec)


async def _list_specs(db: Database, table: sa.Table, model: type[S]) -> dict[str, S]:
    return {row.name: model.model_validate(row.spec) for row in await _select(db, table)}


async def _one(db: Database, table: sa.Table, *conditions: sa.ColumnElement[bool]) -> Any:
    """The row that is not removed; None when there is none."""
    statement = sa.select(table).where(table.c.removed_at.is_(None), *conditions)
    return await db.read(lambda conn: conn.execute(statement).first())


async def _select(db: Database, table: sa.Table, *conditions: sa.ColumnElement[bool]) -> list[Any]:
    statement = (
        sa.select(table).where(table.c.removed_at.is_(None), *conditions).order_by(*table.primary_key.columns)
    )
    return await db.read(lambda conn: list(conn.execute(statement)))


def _upsert(
    conn: sa.Connection,
    table: sa.Table,
    key: Json,
    values: Json,
    when_new: Json | None = None,
) -> bool:
    """Make the row hold `values`. Returns whether that changed it; a removed one is there again."""
    row = conn.execute(sa.select(table).where(_key_matches(table, key)).with_for_update()).one_or_none()
    moment = now()
    if row is None:
        conn.execute(sa.insert(table), {**key, **(when_new or {}), **values, "updated_at": moment})
        return True
    if row.removed_at is None and all(row._mapping[name] == value for name, value in values.items()):
        return False
    conn.execute(
        sa.update(table).where(_key_matches(table, key)), {**values, "updated_at": moment, "removed_at": None}
    )
    return True


def _remove(
    conn: sa.Connection,
    table: sa.Table,
    key: Json,
    *,
    in_use: Callable[[], tuple[str, str, int]] | None = None,
) -> None:
    """Mark the row, which keeps new users out, then see whether it had any."""
    moment: datetime = now()
    marked = conn.execute(
        sa.update(table).where(_key_matches(table, key), table.c.removed_at.is_(None)),
        {"removed_at": moment, "updated_at": moment},
    )
    if marked.rowcount == 0 or in_use is None:
        return
    kind, name, count = in_use()
    if count:
        raise StillInUse(kind, name, count)


def _key_matches(table: sa.Table, key: Json) -> sa.ColumnElement[bool]:
    return sa.and_(*(table.c[name] == value for name, value in key.items()))


def _count(conn: sa.Connection, table: sa.Table, *conditions: sa.ColumnElement[bool]) -> int:
    return int(conn.scalar(sa.select(sa.func.count()).select_from(table).where(*conditions)) or 0)
