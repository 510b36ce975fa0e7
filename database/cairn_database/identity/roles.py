"""Roles, and which role implies which."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import sqlalchemy as sa

from cairn_database.engine import Database
from cairn_database.identity import revision, rows
from cairn_database.identity.errors import IdentityNotFound, IdentityRefused
from cairn_database.identity.records import Role
from cairn_database.identity.tables import implied_roles, role_assignments, roles

FIRST_ROLES: Final = {
    "admin": "manager",
    "manager": "member",
    "member": "reader",
    "reader": None,
    "service": None,
}
"""The roles that every cloud has, each with the one it implies (Keystone: cmd/bootstrap.py)."""
ADMIN: Final = "admin"


async def create_role(db: Database, role: Role) -> Role:
    """Raises IdentityTaken."""

    def transaction(conn: sa.Connection) -> None:
        rows.refuse_taken(conn, roles, "role", role.name)
        rows.insert(conn, roles, role)

    await db.run(transaction)
    return role


async def get_role(db: Database, role_id: str) -> Role:
    """Raises IdentityNotFound."""
    return await db.read(lambda conn: require_role(conn, role_id))


def require_role(conn: sa.Connection, role_id: str) -> Role:
    """Raises IdentityNotFound."""
    return rows.require(conn, roles, Role, "role", role_id)


async def list_roles(db: Database, name: str | None = None) -> list[Role]:
    """All, or the one of that name."""
    conditions = () if name is None else (roles.c.name == name,)
    return await db.read(lambda conn: rows.every(conn, roles, Role, *conditions))


async def update_role(db: Database, role_id: str, changes: dict[str, Any]) -> Role:
    """Raises IdentityNotFound, IdentityTaken, and IdentityRefused for another name of a first role."""

    def transaction(conn: sa.Connection) -> Role:
        role = require_role(conn, role_id)
        if changes.get("name", role.name) != role.name:
            _refuse_first(role)
            rows.refuse_taken(conn, roles, "role", changes["name"], but=role_id)
        rows.update(conn, roles, role_id, changes)
        revision.bump(conn)
        return require_role(conn, role_id)

    return await db.run(transaction)


async def delete_role(db: Database, role_id: str) -> None:
    """Nobody has it afterwards. Raises IdentityNotFound, and IdentityRefused for a first role."""

    def transaction(conn: sa.Connection) -> None:
        _refuse_first(require_role(conn, role_id))
        conn.execute(sa.delete(role_assignments).where(role_assignments.c.role_id == role_id))
        implied = implied_roles.c
        conn.execute(
            sa.delete(implied_roles).where(sa.or_(implied.prior_id == role_id, implied.implied_id == role_id))
        )
        conn.execute(sa.delete(roles).where(roles.c.id == role_id))
        revision.bump(conn)

    await db.run(transaction)


def _refuse_first(role: Role) -> None:
    if role.name in FIRST_ROLES:
        raise IdentityRefused(f"The role {role.name} is one that Cairn's policies name: it stays as it is.")


# --- what implies what -----------------------------------------------------------------------------------


async def list_implications(db: Database) -> list[tuple[str, str]]:
    """(prior, implied) of all of them, as ids."""
    return await db.read(implications)


def implications(conn: sa.Connection) -> list[tuple[str, str]]:
    """(prior, implied) of all of them, as ids."""
    implied = implied_roles.c
    statement = sa.select(implied.prior_id, implied.implied_id).order_by(implied.prior_id, implied.implied_id)
    return [(row.prior_id, row.implied_id) for row in conn.execute(statement)]


def with_implied(role_ids: Iterable[str], pairs: Iterable[tuple[str, str]]) -> set[str]:
    """The roles, and all that they imply, however far."""
    follows: dict[str, list[str]] = {}
    for prior, implied in pairs:
        follows.setdefault(prior, []).append(implied)
    found: set[str] = set()
    waiting = list(role_ids)
    while waiting:
        role = waiting.pop()
        if role not in found:
            found.add(role)
            waiting.extend(follows.get(role, ()))
    return found


async def imply(db: Database, prior_id: str, implied_id: str) -> None:
    """Whoever has the one has the other, too. Raises IdentityNotFound, and IdentityRefused for what would
    make somebody an administrator unawares, or a circle."""

    def transaction(conn: sa.Connection) -> None:
        require_role(conn, prior_id)
        implied = require_role(conn, implied_id)
        if implied.name == ADMIN:
            raise IdentityRefused("The role admin cannot be an implied role.")
        pairs = implications(conn)
        if (prior_id, implied_id) in pairs:
            return
        if prior_id in with_implied([implied_id], pairs):
            raise IdentityRefused("A role cannot imply itself, not by way of another role either.")
        conn.execute(sa.insert(implied_roles), {"prior_id": prior_id, "implied_id": implied_id})
        revision.bump(conn)

    await db.run(transaction)


async def stop_implying(db: Database, prior_id: str, implied_id: str) -> None:
    """Raises IdentityNotFound."""
    implied = implied_roles.c

    def transaction(conn: sa.Connection) -> None:
        gone = conn.execute(
            sa.delete(implied_roles).where(implied.prior_id == prior_id, implied.implied_id == implied_id)
        )
        if gone.rowcount == 0:
            raise IdentityNotFound("implied role", implied_id)
        revision.bump(conn)

    await db.run(transaction)
