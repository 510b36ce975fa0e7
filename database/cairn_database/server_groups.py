"""Server groups, mirrored into SQL: which instances belong together, whose groups they are, and how many
a project may have.

A group lives in its project's namespace. Its id is what the resource says (`spec.id`), else the resource's
uid; instances refer to it by that, and it stays. It is reserved, made and taken in as flavors are.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from cairn_crds.server_group import GroupPolicy, ServerGroupSpec
from cairn_database import mirroring, quota_limits
from cairn_database.engine import Database
from cairn_database.errors import IdTaken, QuotaExceeded
from cairn_database.rows import CHUNK, live, now
from cairn_database.tables import instances, projects, server_groups


@dataclass(frozen=True)
class ServerGroupRecord:
    """A server group, and the id that instances refer to it by."""

    id: str
    namespace: str
    name: str
    """The ServerGroup resource's."""
    policy: GroupPolicy
    max_per_host: int
    """With anti-affinity; 1 when the resource does not say."""
    members: int


@dataclass(frozen=True)
class OwnedServerGroup:
    """A server group as API clients see it."""

    id: str
    name: str
    """What people call it."""
    namespace: str
    resource: str
    policy: GroupPolicy
    max_per_host: int | None
    project_id: str | None
    user_id: str | None
    members: tuple[str, ...]
    """The ids of its live instances."""
    created_at: datetime


# --- mirroring -------------------------------------------------------------------------------------------


async def upsert_server_group(
    db: Database,
    namespace: str,
    name: str,
    spec: ServerGroupSpec,
    *,
    group_id: str,
    uid: str | None = None,
) -> ServerGroupRecord:
    """Take the group in under `spec.id`, else `group_id` (the resource's uid), or under the id that it
    already has in SQL.

    One that was removed and made anew under the same name is a new group. With `uid`, a resource that the API
    has deleted stays removed. Raises IdTaken.
    """

    def transaction(conn: sa.Connection) -> ServerGroupRecord:
        row = _lock(conn, namespace, name)
        if uid is not None and row is not None and row.removed_at is not None and row.resource_uid == uid:
            return _group(row)
        values = _values(name, spec)
        if uid is not None:
            values["resource_uid"] = uid
        _write(conn, namespace, name, values, spec.id or group_id)
        return _group(conn.execute(sa.select(server_groups).where(_key(namespace, name))).one())

    return await db.run(transaction)


async def reserve(db: Database, namespace: str, name: str, spec: ServerGroupSpec, project: str) -> bool:
    """Take a user's group in before its resource is made; False when the resource's name is taken. Raises
    QuotaExceeded, ProjectNotFound."""
    return await db.run(lambda conn: _reserve(conn, namespace, name, spec, project))


async def release(db: Database, namespace: str, name: str) -> None:
    """The resource could not be made: give up what was reserved, unless it has been made after all."""

    def transaction(conn: sa.Connection) -> None:
        row = _lock(conn, namespace, name)
        if row is not None and row.resource_uid is None:
            _mark_removed(conn, namespace, name, None)

    await db.run(transaction)


async def remove_server_group(
    db: Database, namespace: str, name: str, deleted_uid: str | None = None
) -> None:
    """Let go of it; its members live on (as in Nova). `deleted_uid`: of the resource that is known to be
    deleted."""
    await db.run(lambda conn: _mark_removed(conn, namespace, name, deleted_uid))


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


# --- for the API -----------------------------------------------------------------------------------------


async def owned(db: Database, namespace: str | None = None) -> list[OwnedServerGroup]:
    """The groups of one namespace, or of all, oldest first."""
    conditions = [] if namespace is None else [server_groups.c.namespace == namespace]
    return await db.read(lambda conn: _owned(conn, conditions))


async def by_id(db: Database, group_id: str) -> OwnedServerGroup | None:
    """The group of that id."""
    found = await db.read(lambda conn: _owned(conn, [server_groups.c.id == group_id]))
    return found[0] if found else None


def count_in(conn: sa.Connection, namespace: str, user_id: str | None = None) -> int:
    """How many groups the namespace has, or one user in it."""
    conditions = [server_groups.c.namespace == namespace, server_groups.c.removed_at.is_(None)]
    if user_id is not None:
        conditions.append(server_groups.c.user_id == user_id)
    return mirroring.count(conn, server_groups, *conditions)


def _owned(conn: sa.Connection, conditions: list[Any]) -> list[OwnedServerGroup]:
    of_project = sa.and_(projects.c.namespace == server_groups.c.namespace, projects.c.removed_at.is_(None))
    statement = (
        sa.select(server_groups, projects.c.id.label("project_id"))
        .select_from(server_groups.outerjoin(projects, of_project))
        .where(server_groups.c.removed_at.is_(None), *conditions)
    )
    rows = sorted(conn.execute(statement), key=lambda row: (row.created_at or row.updated_at, row.id))
    members = _members(conn, [row.id for row in rows])
    return [
        OwnedServerGroup(
            row.id,
            row.display_name or row.name,
            row.namespace,
            row.name,
            GroupPolicy(row.policy),
            row.max_per_host,
            row.project_id,
            row.user_id,
            tuple(members.get(row.id, ())),
            row.created_at or row.updated_at,
        )
        for row in rows
    ]


def _members(conn: sa.Connection, group_ids: list[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for start in range(0, len(group_ids), CHUNK):
        statement = (
            sa.select(instances.c.group_id, instances.c.id)
            .where(instances.c.group_id.in_(group_ids[start : start + CHUNK]), live())
            .order_by(instances.c.id)
        )
        for row in conn.execute(statement):
            found.setdefault(row.group_id, []).append(row.id)
    return found


# --- rows ------------------------------------------------------------------------------------------------


def _reserve(conn: sa.Connection, namespace: str, name: str, spec: ServerGroupSpec, project: str) -> bool:
    if spec.id is None:
        raise ValueError("a group that the API makes has an id")
    quota_limits.lock_project(conn, project)
    row = _lock(conn, namespace, name)
    if row is not None and row.removed_at is None:
        return False
    _check_quota(conn, namespace, project, spec.user)
    _write(conn, namespace, name, {**_values(name, spec), "resource_uid": None}, spec.id)
    return True


def _check_quota(conn: sa.Connection, namespace: str, project: str, user_id: str | None) -> None:
    limits: list[tuple[int, str | None]] = [(quota_limits.of_project(conn, project)["server_groups"], None)]
    if user_id is not None:
        own = quota_limits.own_of_user(conn, project, user_id).get("server_groups")
        limits += [] if own is None else [(own, user_id)]
    for limit, user in limits:
        used = count_in(conn, namespace, user)
        if 0 <= limit < used + 1:
            raise QuotaExceeded("server_groups", limit, used, 1)


def _values(name: str, spec: ServerGroupSpec) -> dict[str, Any]:
    return {
        "policy": spec.policy.value,
        "max_per_host": spec.max_server_per_host,
        "display_name": spec.display_name or name,
        "user_id": spec.user,
    }


def _write(conn: sa.Connection, namespace: str, name: str, values: dict[str, Any], group_id: str) -> None:
    gone = sa.and_(_key(namespace, name), server_groups.c.removed_at.is_not(None))
    conn.execute(sa.delete(server_groups).where(gone, server_groups.c.id != group_id))
    row = _lock(conn, namespace, name)
    if row is None:
        holder = conn.execute(sa.select(server_groups).where(server_groups.c.id == group_id)).first()
        if holder is not None:
            raise IdTaken("ServerGroup", group_id, f"{holder.namespace}/{holder.name}")
    when_new = {"id": group_id, "generation": 0, "members": 0, "created_at": now()}
    mirroring.upsert(conn, server_groups, {"namespace": namespace, "name": name}, values, when_new)


def _key(namespace: str, name: str) -> sa.ColumnElement[bool]:
    return mirroring.key_matches(server_groups, {"namespace": namespace, "name": name})


def _lock(conn: sa.Connection, namespace: str, name: str) -> Any:
    return conn.execute(sa.select(server_groups).where(_key(namespace, name)).with_for_update()).one_or_none()


def _mark_removed(conn: sa.Connection, namespace: str, name: str, deleted_uid: str | None) -> None:
    if mirroring.remove(conn, server_groups, {"namespace": namespace, "name": name}):
        conn.execute(sa.update(server_groups).where(_key(namespace, name)), {"resource_uid": deleted_uid})


def _group(row: Any) -> ServerGroupRecord:
    return ServerGroupRecord(
        row.id, row.namespace, row.name, GroupPolicy(row.policy), row.max_per_host or 1, row.members
    )
