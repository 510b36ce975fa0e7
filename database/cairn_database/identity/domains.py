"""Domains: where users, groups and projects have their names."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from cairn_database import mirroring, tables
from cairn_database.engine import Database
from cairn_database.identity import revision, rows
from cairn_database.identity.errors import IdentityRefused
from cairn_database.identity.groups import forget_group
from cairn_database.identity.records import DEFAULT_DOMAIN, Domain, Group, User
from cairn_database.identity.tables import domains, role_assignments, user_groups, users
from cairn_database.identity.users import forget_user


async def create_domain(db: Database, domain: Domain) -> Domain:
    """Raises IdentityTaken."""

    def transaction(conn: sa.Connection) -> None:
        rows.refuse_known(conn, domains, "domain", domain.id)
        rows.refuse_taken(conn, domains, "domain", domain.name)
        rows.insert(conn, domains, domain)

    await db.run(transaction)
    return domain


async def get_domain(db: Database, domain_id: str) -> Domain:
    """Raises IdentityNotFound."""
    return await db.read(lambda conn: require_domain(conn, domain_id))


def require_domain(conn: sa.Connection, domain_id: str) -> Domain:
    """Raises IdentityNotFound."""
    return rows.require(conn, domains, Domain, "domain", domain_id)


async def list_domains(db: Database) -> list[Domain]:
    """All of them."""
    return await db.read(lambda conn: rows.every(conn, domains, Domain))


async def update_domain(db: Database, domain_id: str, changes: dict[str, Any]) -> Domain:
    """Raises IdentityNotFound, IdentityTaken."""

    def transaction(conn: sa.Connection) -> Domain:
        require_domain(conn, domain_id)
        if "name" in changes:
            rows.refuse_taken(conn, domains, "domain", changes["name"], but=domain_id)
        rows.update(conn, domains, domain_id, changes)
        revision.bump(conn)
        return require_domain(conn, domain_id)

    return await db.run(transaction)


async def delete_domain(db: Database, domain_id: str) -> None:
    """With its users and groups. Raises IdentityNotFound, and IdentityRefused while it is enabled, has
    projects, or is the default one."""

    def transaction(conn: sa.Connection) -> None:
        domain = require_domain(conn, domain_id)
        if domain_id == DEFAULT_DOMAIN:
            raise IdentityRefused(
                "Cannot delete the default domain: users and projects without one are in it."
            )
        if domain.enabled:
            raise IdentityRefused("Cannot delete a domain that is enabled, please disable it first.")
        projects = tables.projects.c
        if mirroring.count(
            conn, tables.projects, projects.domain_id == domain_id, projects.removed_at.is_(None)
        ):
            raise IdentityRefused("Cannot delete a domain that has projects: delete them first.")
        for user in rows.every(conn, users, User, users.c.domain_id == domain_id):
            forget_user(conn, user.id)
        for group in rows.every(conn, user_groups, Group, user_groups.c.domain_id == domain_id):
            forget_group(conn, group.id)
        assigned = role_assignments.c
        conn.execute(
            sa.delete(role_assignments).where(assigned.target == "domain", assigned.target_id == domain_id)
        )
        conn.execute(sa.delete(domains).where(domains.c.id == domain_id))
        revision.bump(conn)

    await db.run(transaction)
