"""Tenants, mirrored into SQL: projects, and the server groups of their namespaces."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from cairn_crds.project import ProjectSpec
from cairn_crds.server_group import GroupPolicy, ServerGroupSpec
from cairn_database import mirroring, quotas
from cairn_database.engine import Database
from cairn_database.rows import live
from cairn_database.tables import instances, projects, server_groups


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


# --- projects --------------------------------------------------------------------------------------------


async def upsert_project(db: Database, name: str, spec: ProjectSpec) -> bool:
    """Take the project in: its namespace, whether it is enabled, and its limits from now on."""
    limits = quotas.limits_of(spec.quotas)
    values = {
        "namespace": spec.namespace or name,
        "enabled": spec.enabled,
        "spec": spec.to_api(),
        "instances_limit": limits["instances"],
        "cores_limit": limits["cores"],
        "memory_mib_limit": limits["memory_mib"],
        "server_group_members_limit": limits["server_group_members"],
    }
    unused = {"instances_used": 0, "cores_used": 0, "memory_mib_used": 0}
    return await db.run(lambda conn: mirroring.upsert(conn, projects, {"name": name}, values, unused))


async def remove_project(db: Database, name: str) -> None:
    """Let go of it. Raises StillInUse while it has instances."""

    def transaction(conn: sa.Connection) -> None:
        if mirroring.remove(conn, projects, {"name": name}):
            users = mirroring.count(conn, instances, instances.c.project == name, live())
            mirroring.refuse_use("Project", name, users)

    await db.run(transaction)


async def get_project(db: Database, name: str) -> ProjectRecord | None:
    """The project, unless it is removed."""
    row = await mirroring.one(db, projects, projects.c.name == name)
    return None if row is None else _project(row)


async def project_of_namespace(db: Database, namespace: str) -> ProjectRecord | None:
    """The project whose instances live in that namespace."""
    row = await mirroring.one(db, projects, projects.c.namespace == namespace)
    return None if row is None else _project(row)


async def list_projects(db: Database) -> list[ProjectRecord]:
    """All that are not removed, by name."""
    return [_project(row) for row in await mirroring.select(db, projects)]


def _project(row: Any) -> ProjectRecord:
    return ProjectRecord(row.name, row.namespace, row.enabled, ProjectSpec.model_validate(row.spec))


# --- server groups ---------------------------------------------------------------------------------------


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
                mirroring.key_matches(server_groups, key),
                server_groups.c.removed_at.is_not(None),
                server_groups.c.id != group_id,
            )
        )
        mirroring.upsert(conn, server_groups, key, values, {"id": group_id, "generation": 0, "members": 0})
        return _group(
            conn.execute(sa.select(server_groups).where(mirroring.key_matches(server_groups, key))).one()
        )

    return await db.run(transaction)


async def remove_server_group(db: Database, namespace: str, name: str) -> None:
    """Let go of it; its members live on (as in Nova)."""
    await db.run(lambda conn: mirroring.remove(conn, server_groups, {"namespace": namespace, "name": name}))


async def get_server_group(db: Database, namespace: str, name: str) -> ServerGroupRecord | None:
    """The group of that name, unless it is removed."""
    row = await mirroring.one(
        db, server_groups, server_groups.c.namespace == namespace, server_groups.c.name == name
    )
    return None if row is None else _group(row)


async def list_server_groups(db: Database, namespace: str | None = None) -> list[ServerGroupRecord]:
    """The groups that are not removed, of one namespace or of all."""
    conditions = () if namespace is None else (server_groups.c.namespace == namespace,)
    return [_group(row) for row in await mirroring.select(db, server_groups, *conditions)]


def _group(row: Any) -> ServerGroupRecord:
    return ServerGroupRecord(
        row.id, row.namespace, row.name, GroupPolicy(row.policy), row.max_per_host or 1, row.members
    )
