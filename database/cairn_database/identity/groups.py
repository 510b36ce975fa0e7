"""Groups: users who have roles together."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from cairn_database.engine import Database
from cairn_database.identity import revision, rows
from cairn_database.identity.errors import IdentityNotFound
from cairn_database.identity.records import Group
from cairn_database.identity.tables import domains, group_members, role_assignments, user_groups
from cairn_database.identity.users import require_user


async def create_group(db: Database, group: Group) -> Group:
    """Raises IdentityNotFound (its domain), IdentityTaken."""

    def transaction(conn: sa.Connection) -> None:
        if conn.execute(sa.select(domains.c.id).where(domains.c.id == group.domain_id)).first() is None:
            raise IdentityNotFound("domain", group.domain_id)
        same_domain = user_groups.c.domain_id == group.domain_id
        rows.refuse_taken(conn, user_groups, "group", group.name, same_domain)
        rows.insert(conn, user_groups, group)

    await db.run(transaction)
    return group


async def get_group(db: Database, group_id: str) -> Group:
    """Raises IdentityNotFound."""
    return await db.read(lambda conn: require_group(conn, group_id))


def require_group(conn: sa.Connection, group_id: str) -> Group:
    """Raises IdentityNotFound."""
    return rows.require(conn, user_groups, Group, "group", group_id)


async def list_groups(
    db: Database, *, domain_id: str | None = None, name: str | None = None, user_id: str | None = None
) -> list[Group]:
    """Those that match."""
    conditions: list[sa.ColumnElement[bool]] = []
    if domain_id is not None:
        conditions.append(user_groups.c.domain_id == domain_id)
    if name is not None:
        conditions.append(user_groups.c.name == name)
    if user_id is not None:
        mine = sa.select(group_members.c.group_id).where(group_members.c.user_id == user_id)
        conditions.append(user_groups.c.id.in_(mine))
    return await db.read(lambda conn: rows.every(conn, user_groups, Group, *conditions))


async def update_group(db: Database, group_id: str, changes: dict[str, Any]) -> Group:
    """Raises IdentityNotFound, IdentityTaken."""

    def transaction(conn: sa.Connection) -> Group:
        group = require_group(conn, group_id)
        if "name" in changes:
            same_domain = user_groups.c.domain_id == group.domain_id
            rows.refuse_taken(conn, user_groups, "group", changes["name"], same_domain, but=group_id)
        rows.update(conn, user_groups, group_id, changes)
        return require_group(conn, group_id)

    return await db.run(transaction)


async def delete_group(db: Database, group_id: str) -> None:
    """With the roles that it has. Raises IdentityNotFound."""

    def transaction(conn: sa.Connection) -> None:
        require_group(conn, group_id)
        forget_group(conn, group_id)
        revision.bump(conn)

    await db.run(transaction)


def forget_group(conn: sa.Connection, group_id: str) -> None:
    """Remove the group and whatever is the group's. The caller bumps the revision."""
    assigned = role_assignments.c
    conn.execute(sa.delete(role_assignments).where(assigned.actor == "group", assigned.actor_id == group_id))
    conn.execute(sa.delete(group_members).where(group_members.c.group_id == group_id))
    conn.execute(sa.delete(user_groups).where(user_groups.c.id == group_id))


async def add_member(db: Database, group_id: str, user_id: str) -> None:
    """Raises IdentityNotFound. Nothing happens to one who is a member already."""

    def transaction(conn: sa.Connection) -> None:
        require_group(conn, group_id)
        require_user(conn, user_id)
        if not _is_member(conn, group_id, user_id):
            conn.execute(sa.insert(group_members), {"group_id": group_id, "user_id": user_id})
            revision.bump(conn)

    await db.run(transaction)


async def remove_member(db: Database, group_id: str, user_id: str) -> None:
    """Raises IdentityNotFound where the user is no member."""

    def transaction(conn: sa.Connection) -> None:
        require_member(conn, group_id, user_id)
        conn.execute(sa.delete(group_members).where(_membership(group_id, user_id)))
        revision.bump(conn)

    await db.run(transaction)


async def check_member(db: Database, group_id: str, user_id: str) -> None:
    """Raises IdentityNotFound where the user is no member."""
    await db.read(lambda conn: require_member(conn, group_id, user_id))


def require_member(conn: sa.Connection, group_id: str, user_id: str) -> None:
    """Raises IdentityNotFound."""
    require_group(conn, group_id)
    require_user(conn, user_id)
    if not _is_member(conn, group_id, user_id):
        raise IdentityNotFound("user in group", user_id)


def _membership(group_id: str, user_id: str) -> sa.ColumnElement[bool]:
    return sa.and_(group_members.c.group_id == group_id, group_members.c.user_id == user_id)


def _is_member(conn: sa.Connection, group_id: str, user_id: str) -> bool:
    statement = sa.select(group_members.c.user_id).where(_membership(group_id, user_id))
    return conn.execute(statement).first() is not None
