"""Who has which role on what."""

from __future__ import annotations

import sqlalchemy as sa

from cairn_database import tenants
from cairn_database.engine import Database
from cairn_database.identity import revision, rows
from cairn_database.identity.domains import require_domain
from cairn_database.identity.errors import IdentityNotFound
from cairn_database.identity.groups import require_group
from cairn_database.identity.records import SYSTEM, Assignment
from cairn_database.identity.roles import implications, require_role, with_implied
from cairn_database.identity.tables import group_members, role_assignments
from cairn_database.identity.users import require_user


async def grant(db: Database, assignment: Assignment) -> None:
    """Give the role. Raises IdentityNotFound. Nothing happens where it is had already."""

    def transaction(conn: sa.Connection) -> None:
        _require_parts(conn, assignment)
        if not _exists(conn, assignment):
            rows.insert(conn, role_assignments, assignment)
            revision.bump(conn)

    await db.run(transaction)


async def revoke(db: Database, assignment: Assignment) -> None:
    """Take the role back. Raises IdentityNotFound."""

    def transaction(conn: sa.Connection) -> None:
        if conn.execute(sa.delete(role_assignments).where(_is(assignment))).rowcount == 0:
            raise IdentityNotFound("role assignment", assignment.role_id)
        revision.bump(conn)

    await db.run(transaction)


async def check(db: Database, assignment: Assignment) -> None:
    """Raises IdentityNotFound unless it is so."""

    def query(conn: sa.Connection) -> None:
        _require_parts(conn, assignment)
        if not _exists(conn, assignment):
            raise IdentityNotFound("role assignment", assignment.role_id)

    await db.read(query)


async def list_assignments(
    db: Database,
    *,
    actor: str | None = None,
    actor_id: str | None = None,
    target: str | None = None,
    target_id: str | None = None,
    role_id: str | None = None,
    inherited: bool | None = None,
) -> list[Assignment]:
    """Those that match, as they were given."""
    wanted = {
        "actor": actor,
        "actor_id": actor_id,
        "target": target,
        "target_id": target_id,
        "role_id": role_id,
        "inherited": inherited,
    }
    conditions = [role_assignments.c[name] == value for name, value in wanted.items() if value is not None]
    return await db.read(lambda conn: rows.every(conn, role_assignments, Assignment, *conditions))


async def list_effective(
    db: Database,
    *,
    user_id: str | None = None,
    target: str | None = None,
    target_id: str | None = None,
    role_id: str | None = None,
) -> list[Assignment]:
    """What they come to for users: groups are taken apart, implied roles and those that projects inherit from
    their domain are said (Keystone API: `GET /v3/role_assignments?effective`)."""

    def query(conn: sa.Connection) -> list[Assignment]:
        pairs = implications(conn)
        found: dict[Assignment, None] = {}
        for given in rows.every(conn, role_assignments, Assignment):
            for user in [given.actor_id] if given.actor == "user" else _members(conn, given.actor_id):
                if user_id not in (None, user):
                    continue
                for kind, place in _places(conn, given):
                    if target not in (None, kind) or target_id not in (None, place):
                        continue
                    for role in sorted(with_implied([given.role_id], pairs)):
                        if role_id in (None, role):
                            found[Assignment("user", user, kind, place, role)] = None
        return list(found)

    return await db.read(query)


def roles_on(
    conn: sa.Connection, user_id: str, target: str, target_id: str, domain_id: str | None = None
) -> set[str]:
    """Ids of the roles a user has there: own ones, the groups', and those that a project inherits from its
    domain (`domain_id`); with what they imply."""
    given = role_assignments.c
    places = [sa.and_(given.target == target, given.target_id == target_id, given.inherited.is_(False))]
    if target == "project" and domain_id is not None:
        places.append(
            sa.and_(given.target == "domain", given.target_id == domain_id, given.inherited.is_(True))
        )
    statement = sa.select(given.role_id).where(has(user_id), sa.or_(*places))
    return with_implied([row.role_id for row in conn.execute(statement)], implications(conn))


def has(user_id: str) -> sa.ColumnElement[bool]:
    """The condition that an assignment is the user's, or one of the user's groups'."""
    given = role_assignments.c
    groups = sa.select(group_members.c.group_id).where(group_members.c.user_id == user_id)
    return sa.or_(
        sa.and_(given.actor == "user", given.actor_id == user_id),
        sa.and_(given.actor == "group", given.actor_id.in_(groups)),
    )


def _members(conn: sa.Connection, group_id: str) -> list[str]:
    statement = sa.select(group_members.c.user_id).where(group_members.c.group_id == group_id)
    return [row.user_id for row in conn.execute(statement.order_by(group_members.c.user_id))]


def _places(conn: sa.Connection, given: Assignment) -> list[tuple[str, str]]:
    if not given.inherited:
        return [(given.target, given.target_id)]
    if given.target != "domain":
        return []  # projects have no projects below them
    return [("project", str(project)) for project in tenants.project_ids_of_domain(conn, given.target_id)]


def _require_parts(conn: sa.Connection, assignment: Assignment) -> None:
    require_role(conn, assignment.role_id)
    (require_user if assignment.actor == "user" else require_group)(conn, assignment.actor_id)
    if assignment.target == "domain":
        require_domain(conn, assignment.target_id)
    elif assignment.target == "project":
        if tenants.find_by_id(conn, assignment.target_id) is None:
            raise IdentityNotFound("project", assignment.target_id)
    elif assignment.target_id != SYSTEM:
        raise IdentityNotFound("system", assignment.target_id)


def _is(assignment: Assignment) -> sa.ColumnElement[bool]:
    given = role_assignments.c
    return sa.and_(
        given.actor == assignment.actor,
        given.actor_id == assignment.actor_id,
        given.target == assignment.target,
        given.target_id == assignment.target_id,
        given.role_id == assignment.role_id,
        given.inherited.is_(assignment.inherited),
    )


def _exists(conn: sa.Connection, assignment: Assignment) -> bool:
    return conn.execute(sa.select(role_assignments.c.role_id).where(_is(assignment))).first() is not None
