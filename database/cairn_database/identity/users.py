"""Users: who can sign in."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from cairn_database.engine import Database
from cairn_database.identity import revision, rows
from cairn_database.identity.errors import IdentityNotFound
from cairn_database.identity.records import User
from cairn_database.identity.tables import (
    application_credentials,
    credentials,
    domains,
    group_members,
    role_assignments,
    users,
)


async def create_user(db: Database, user: User) -> User:
    """Raises IdentityNotFound (its domain), IdentityTaken."""

    def transaction(conn: sa.Connection) -> None:
        if conn.execute(sa.select(domains.c.id).where(domains.c.id == user.domain_id)).first() is None:
            raise IdentityNotFound("domain", user.domain_id)
        rows.refuse_taken(conn, users, "user", user.name, users.c.domain_id == user.domain_id)
        rows.insert(conn, users, user)

    await db.run(transaction)
    return user


async def get_user(db: Database, user_id: str) -> User:
    """Raises IdentityNotFound."""
    return await db.read(lambda conn: require_user(conn, user_id))


def require_user(conn: sa.Connection, user_id: str, *, lock: bool = False) -> User:
    """Raises IdentityNotFound. `lock`: nobody else changes it before this transaction ends."""
    if lock:
        conn.execute(sa.select(users.c.id).where(users.c.id == user_id).with_for_update())
    return rows.require(conn, users, User, "user", user_id)


async def find_user(
    db: Database,
    *,
    user_id: str | None = None,
    name: str | None = None,
    domain_id: str | None = None,
    domain_name: str | None = None,
) -> User | None:
    """The user of that id, or of that name in the domain of that id or name."""

    def query(conn: sa.Connection) -> User | None:
        if user_id is not None:
            return rows.first(conn, users, User, users.c.id == user_id)
        home = domain_id
        if home is None:
            home = conn.scalar(sa.select(domains.c.id).where(domains.c.name == domain_name))
        if home is None or name is None:
            return None
        return rows.first(conn, users, User, users.c.domain_id == home, users.c.name == name)

    return await db.read(query)


async def list_users(
    db: Database,
    *,
    domain_id: str | None = None,
    name: str | None = None,
    enabled: bool | None = None,
    group_id: str | None = None,
) -> list[User]:
    """Those that match."""
    conditions: list[sa.ColumnElement[bool]] = []
    if domain_id is not None:
        conditions.append(users.c.domain_id == domain_id)
    if name is not None:
        conditions.append(users.c.name == name)
    if enabled is not None:
        conditions.append(users.c.enabled == enabled)
    if group_id is not None:
        members = sa.select(group_members.c.user_id).where(group_members.c.group_id == group_id)
        conditions.append(users.c.id.in_(members))
    return await db.read(lambda conn: rows.every(conn, users, User, *conditions))


async def update_user(db: Database, user_id: str, changes: dict[str, Any]) -> User:
    """Change columns; a new password or a disabled account ends all of the user's tokens.

    Raises IdentityNotFound, IdentityTaken.
    """

    def transaction(conn: sa.Connection) -> User:
        user = require_user(conn, user_id, lock=True)
        if "name" in changes:
            rows.refuse_taken(
                conn, users, "user", changes["name"], users.c.domain_id == user.domain_id, but=user_id
            )
        ends_tokens = "password_hash" in changes or changes.get("enabled") is False
        values = {**changes, "generation": user.generation + 1} if ends_tokens else changes
        rows.update(conn, users, user_id, values)
        revision.bump(conn)
        return require_user(conn, user_id)

    return await db.run(transaction)


async def delete_user(db: Database, user_id: str) -> None:
    """With the roles, memberships and credentials. Raises IdentityNotFound."""

    def transaction(conn: sa.Connection) -> None:
        require_user(conn, user_id)
        forget_user(conn, user_id)
        revision.bump(conn)

    await db.run(transaction)


def forget_user(conn: sa.Connection, user_id: str) -> None:
    """Remove the user and whatever is the user's. The caller bumps the revision."""
    assigned = role_assignments.c
    conn.execute(sa.delete(role_assignments).where(assigned.actor == "user", assigned.actor_id == user_id))
    for table in (group_members, credentials, application_credentials):
        conn.execute(sa.delete(table).where(table.c.user_id == user_id))
    conn.execute(sa.delete(users).where(users.c.id == user_id))
