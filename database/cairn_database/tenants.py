"""Tenants, mirrored into SQL: projects, and the server groups of their namespaces."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from cairn_crds.project import ProjectSpec
from cairn_database import mirroring, quota_limits
from cairn_database.engine import Database
from cairn_database.errors import ProjectTaken
from cairn_database.identity import revision
from cairn_database.identity.records import DEFAULT_DOMAIN
from cairn_database.identity.tables import application_credentials, credentials, role_assignments, users
from cairn_database.rows import live
from cairn_database.server_groups import (
    ServerGroupRecord,
    get_server_group,
    list_server_groups,
    remove_server_group,
    upsert_server_group,
)
from cairn_database.tables import instances, projects

__all__ = [
    "ProjectRecord",
    "ServerGroupRecord",
    "count_instances",
    "find_by_id",
    "get_project",
    "get_project_by_id",
    "get_server_group",
    "list_projects",
    "list_server_groups",
    "project_ids_of_domain",
    "project_of_namespace",
    "remove_project",
    "remove_server_group",
    "upsert_project",
    "upsert_server_group",
]


@dataclass(frozen=True)
class ProjectRecord:
    """A tenant."""

    name: str
    """The Project resource's."""
    namespace: str
    enabled: bool
    spec: ProjectSpec
    id: str
    """What the OpenStack APIs call it. It never changes."""
    display_name: str
    """Its name in the OpenStack APIs, unique in its domain."""
    domain_id: str


# --- projects --------------------------------------------------------------------------------------------


async def upsert_project(
    db: Database,
    name: str,
    spec: ProjectSpec,
    *,
    uid: str | None = None,
    generation: int | None = None,
) -> bool:
    """Take the project in: its namespace, whether it is enabled, its names, and its limits from now on.

    A new one is known to the OpenStack APIs as `spec.id`, else by the resource's `uid`. Raises ProjectTaken
    where another project has that id, or the name in that domain. With `generation`, an older version of the
    resource than the one taken in changes nothing.
    """
    values: dict[str, Any] = {
        "domain_id": spec.domain or DEFAULT_DOMAIN,
        "display_name": spec.display_name or name,
        "namespace": spec.namespace or name,
        "enabled": spec.enabled,
        "spec": spec.to_api(),
    }
    if generation is not None:
        values |= {"resource_uid": uid, "resource_generation": generation}
    unused = {"instances_used": 0, "cores_used": 0, "memory_mib_used": 0}
    new_id = spec.id or (uid.replace("-", "") if uid else uuid.uuid4().hex)

    def transaction(conn: sa.Connection) -> bool:
        row = conn.execute(sa.select(projects).where(projects.c.name == name).with_for_update()).first()
        given = row.id if row is not None and row.removed_at is None else None
        if given and _is_newer(row, uid, generation):
            return False
        limits = quota_limits.of_spec(conn, spec.quotas)
        counted = {f"{field}_limit": limits[field] for field in quota_limits.IN_ROW}
        named = {**values, **counted, "id": given or new_id}
        _refuse_taken(conn, name, named)
        changed = mirroring.upsert(conn, projects, {"name": name}, named, unused)
        if changed:
            revision.bump(conn)
        return changed

    return await db.run(transaction)


def _is_newer(row: Any, uid: str | None, generation: int | None) -> bool:
    """Whether the row was written from a newer version of that same resource."""
    same = generation is not None and row.resource_uid == uid
    return same and (row.resource_generation or 0) > (generation or 0)


async def refuse_taken(db: Database, spec: ProjectSpec, but: str = "") -> None:
    """Raises ProjectTaken where a project other than `but` has the spec's id, or its name in its domain.

    Asked before a resource is written; `upsert_project` decides.
    """
    values = {
        "id": spec.id,
        "domain_id": spec.domain or DEFAULT_DOMAIN,
        "display_name": spec.display_name or but,
    }
    await db.read(lambda conn: _refuse_taken(conn, but, values, free=False))


def _refuse_taken(conn: sa.Connection, name: str, values: dict[str, Any], *, free: bool = True) -> None:
    """Raises ProjectTaken. What only removed projects claim is taken from them (`free`)."""
    column = projects.c
    same_id = column.id == values["id"]
    same_name = sa.and_(
        column.domain_id == values["domain_id"], column.display_name == values["display_name"]
    )
    others = sa.select(column.name, column.id, column.removed_at).where(
        column.name != name, sa.or_(same_id, same_name)
    )
    for other in conn.execute(others).all():
        if other.removed_at is None:
            field = "id" if other.id == values["id"] else "display_name"
            raise ProjectTaken("id" if field == "id" else "name", values[field], other.name)
        if not free:
            continue
        freed = {"id": None, "domain_id": None, "display_name": None}
        conn.execute(sa.update(projects).where(column.name == other.name), freed)


async def remove_project(db: Database, name: str) -> None:
    """Let go of it, and of everybody's roles and credentials there.

    Raises StillInUse while it has instances.
    """

    def transaction(conn: sa.Connection) -> None:
        project_id = conn.scalar(sa.select(projects.c.id).where(projects.c.name == name))
        if mirroring.remove(conn, projects, {"name": name}):
            mirroring.refuse_use("Project", name, _instances(conn, name))
            if project_id is not None:
                _forget_people(conn, project_id)
            revision.bump(conn)

    await db.run(transaction)


async def count_instances(db: Database, name: str) -> int:
    """How many instances the project has."""
    return await db.read(lambda conn: _instances(conn, name))


def _instances(conn: sa.Connection, name: str) -> int:
    return mirroring.count(conn, instances, instances.c.project == name, live())


def _forget_people(conn: sa.Connection, project_id: str) -> None:
    """Nobody has roles, credentials or a home in the project any more."""
    given = role_assignments.c
    conn.execute(sa.delete(role_assignments).where(given.target == "project", given.target_id == project_id))
    for table in (credentials, application_credentials):
        conn.execute(sa.delete(table).where(table.c.project_id == project_id))
    conn.execute(
        sa.update(users).where(users.c.default_project_id == project_id), {"default_project_id": None}
    )


async def get_project(db: Database, name: str) -> ProjectRecord | None:
    """The project, unless it is removed."""
    row = await mirroring.one(db, projects, projects.c.name == name)
    return None if row is None else _project(row)


async def namespace_of(db: Database, name: str) -> str | None:
    """The namespace of that project, also when the project is removed already."""
    statement = sa.select(projects.c.namespace).where(projects.c.name == name)
    return await db.read(lambda conn: conn.scalar(statement))


async def get_project_by_id(db: Database, project_id: str) -> ProjectRecord | None:
    """The project that the OpenStack APIs call so, unless it is removed."""
    return await db.read(lambda conn: find_by_id(conn, project_id))


def find_by_id(conn: sa.Connection, project_id: str) -> ProjectRecord | None:
    """The project that the OpenStack APIs call so, unless it is removed."""
    row = conn.execute(
        sa.select(projects).where(projects.c.id == project_id, projects.c.removed_at.is_(None))
    ).first()
    return None if row is None else _project(row)


def project_ids_of_domain(conn: sa.Connection, domain_id: str) -> list[str]:
    """Ids of the domain's projects."""
    statement = sa.select(projects.c.id).where(
        projects.c.domain_id == domain_id, projects.c.removed_at.is_(None), projects.c.id.is_not(None)
    )
    return [row.id for row in conn.execute(statement.order_by(projects.c.id))]


async def project_of_namespace(db: Database, namespace: str) -> ProjectRecord | None:
    """The project whose instances live in that namespace."""
    row = await mirroring.one(db, projects, projects.c.namespace == namespace)
    return None if row is None else _project(row)


async def list_projects(
    db: Database,
    *,
    domain_id: str | None = None,
    display_name: str | None = None,
    enabled: bool | None = None,
) -> list[ProjectRecord]:
    """Those that match and are not removed, by name."""
    wanted = {"domain_id": domain_id, "display_name": display_name, "enabled": enabled}
    conditions = [projects.c[name] == value for name, value in wanted.items() if value is not None]
    return [_project(row) for row in await mirroring.select(db, projects, *conditions)]


def _project(row: Any) -> ProjectRecord:
    # Rows older than the columns have no names of their own until their resource is taken in again.
    return ProjectRecord(
        row.name,
        row.namespace,
        row.enabled,
        ProjectSpec.model_validate(row.spec),
        row.id or row.name,
        row.display_name or row.name,
        row.domain_id or DEFAULT_DOMAIN,
    )
