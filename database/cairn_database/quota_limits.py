"""How much projects and users may have: a user's limit, else the project's, else that of the class `default`.

A project's own limits are what its Project resource says (`spec.quotas`); classes and users' limits are rows
that the Compute API writes. What is counted in the projects row itself (instances, cores, memory, members of
server groups) has its limit there too, worked out whenever the resource or the class changes, so that
`quotas.take` needs one statement.

Names are those of `cairn_crds.project.Quotas`; the Compute API's differ in `ram` only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from cairn_crds.project import ProjectSpec, Quotas
from cairn_database.engine import Database
from cairn_database.errors import ProjectNotFound
from cairn_database.rows import now
from cairn_database.tables import projects, quota_classes, user_quotas

UNLIMITED = -1
DEFAULT_CLASS = "default"
COUNTED: dict[str, int] = {
    "instances": 10,
    "cores": 20,
    "memory_mib": 51200,
    "key_pairs": 100,
    "server_groups": 10,
    "server_group_members": 10,
    "metadata_items": 128,
    "injected_files": 5,
    "injected_file_content_bytes": 10240,
    "injected_file_path_bytes": 255,
}
"""What is enforced, with Nova's own figures."""
OTHERS = ("fixed_ips", "floating_ips", "security_group_rules", "security_groups")
"""What the Compute API shows and lets administrators set, though nothing counts it any more."""
DEFAULTS: dict[str, int] = {**COUNTED, **dict.fromkeys(OTHERS, UNLIMITED)}
IN_ROW = ("instances", "cores", "memory_mib", "server_group_members")
"""Whose limits the projects row repeats, as `<name>_limit`."""

Limits = dict[str, int]

_CLASS = sa.select(quota_classes.c.resource, quota_classes.c.hard_limit).where(
    quota_classes.c.class_name == sa.bindparam("of_class")
)
_USER = sa.select(user_quotas.c.resource, user_quotas.c.hard_limit).where(
    user_quotas.c.project == sa.bindparam("of_project"), user_quotas.c.user_id == sa.bindparam("of_user")
)
_PROJECT_SPEC = sa.select(projects.c.spec).where(
    projects.c.name == sa.bindparam("of_project"), projects.c.removed_at.is_(None)
)


# --- in a transaction ------------------------------------------------------------------------------------


def of_class(conn: sa.Connection, name: str = DEFAULT_CLASS) -> Limits:
    """The limits of a class; what it does not say is built in."""
    return {**DEFAULTS, **_rows(conn.execute(_CLASS, {"of_class": name}))}


def of_spec(conn: sa.Connection, spec: Quotas) -> Limits:
    """A project's limits, by what its resource says."""
    return {**of_class(conn), **own_limits(spec)}


def of_project(conn: sa.Connection, project: str) -> Limits:
    """The project's limits. Raises ProjectNotFound."""
    spec = conn.scalar(_PROJECT_SPEC, {"of_project": project})
    if spec is None:
        raise ProjectNotFound(project)
    return of_spec(conn, ProjectSpec.model_validate(spec).quotas)


def own_of_user(conn: sa.Connection, project: str, user_id: str) -> Limits:
    """What was set for this user in that project; often nothing."""
    return _rows(conn.execute(_USER, {"of_project": project, "of_user": user_id}))


def of_user(conn: sa.Connection, project: str, user_id: str) -> Limits:
    """The user's limits in that project. Raises ProjectNotFound."""
    return {**of_project(conn, project), **own_of_user(conn, project, user_id)}


def row_limits(conn: sa.Connection, spec: Quotas) -> dict[str, int]:
    """The columns of the projects row."""
    limits = of_spec(conn, spec)
    return {f"{name}_limit": limits[name] for name in IN_ROW}


def own_limits(spec: Quotas) -> Limits:
    """Only what the resource says itself."""
    own = {name: getattr(spec, name) for name in COUNTED}
    said = {name: limit for name, limit in own.items() if limit is not None}
    return {**said, **{name: limit for name, limit in spec.others.items() if name in OTHERS}}


def _rows(result: Any) -> Limits:
    return {row.resource: int(row.hard_limit) for row in result if row.resource in DEFAULTS}


# --- for the API -----------------------------------------------------------------------------------------


async def class_limits(db: Database, name: str = DEFAULT_CLASS) -> Limits:
    """As `of_class`."""
    return await db.read(lambda conn: of_class(conn, name))


async def project_limits(db: Database, project: str) -> Limits:
    """As `of_project`."""
    return await db.read(lambda conn: of_project(conn, project))


async def user_limits(db: Database, project: str, user_id: str) -> Limits:
    """As `of_user`."""
    return await db.read(lambda conn: of_user(conn, project, user_id))


async def set_class(db: Database, name: str, limits: Mapping[str, int]) -> Limits:
    """Change limits of a class, and of the projects that follow it; what it says afterwards."""

    def transaction(conn: sa.Connection) -> Limits:
        for resource, limit in limits.items():
            _put(conn, quota_classes, {"class_name": name, "resource": resource}, limit)
        if name == DEFAULT_CLASS:
            _follow(conn)
        return of_class(conn, name)

    return await db.run(transaction)


async def set_user(db: Database, project: str, user_id: str, limits: Mapping[str, int]) -> Limits:
    """Change the limits of a user in a project; all of the user's afterwards. Raises ProjectNotFound."""

    def transaction(conn: sa.Connection) -> Limits:
        lock_project(conn, project)
        for resource, limit in limits.items():
            key = {"project": project, "user_id": user_id, "resource": resource}
            _put(conn, user_quotas, key, limit)
        return of_user(conn, project, user_id)

    return await db.run(transaction)


async def forget_user(db: Database, project: str, user_id: str) -> None:
    """The user has no limits but the project's."""
    condition = sa.and_(user_quotas.c.project == project, user_quotas.c.user_id == user_id)
    await db.run(lambda conn: conn.execute(sa.delete(user_quotas).where(condition)))


async def sum_of_users(db: Database, project: str, besides: str) -> Limits:
    """What the limits of the project's other users add up to; unlimited ones count nothing."""
    statement = (
        sa.select(user_quotas.c.resource, sa.func.sum(user_quotas.c.hard_limit).label("hard_limit"))
        .where(
            user_quotas.c.project == project,
            user_quotas.c.user_id != besides,
            user_quotas.c.hard_limit > 0,
        )
        .group_by(user_quotas.c.resource)
    )
    return await db.read(lambda conn: _rows(conn.execute(statement)))


def lock_project(conn: sa.Connection, project: str) -> Any:
    """The project's row, which nobody else changes before this transaction ends. Raises ProjectNotFound."""
    row = conn.execute(sa.select(projects).where(projects.c.name == project).with_for_update()).one_or_none()
    if row is None or row.removed_at is not None:
        raise ProjectNotFound(project)
    return row


def _put(conn: sa.Connection, table: sa.Table, key: Mapping[str, str], limit: int) -> None:
    values = {"hard_limit": limit, "updated_at": now()}
    matches = sa.and_(*(table.c[name] == value for name, value in key.items()))
    if conn.execute(sa.update(table).where(matches).values(values)).rowcount == 0:
        conn.execute(sa.insert(table), {**key, **values})


def _follow(conn: sa.Connection) -> None:
    """Write the new defaults into the rows of all projects that leave something to them."""
    statement = sa.select(projects.c.name, projects.c.spec).order_by(projects.c.name).with_for_update()
    for row in conn.execute(statement).all():
        limits = row_limits(conn, ProjectSpec.model_validate(row.spec).quotas)
        conn.execute(sa.update(projects).where(projects.c.name == row.name).values(limits))
