"""What a token stands for: its user, where it counts, and with which roles.

Whoever keeps a Standing reads the revision before (revision.py): then it is at least as new."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from cairn_database import tables, tenants
from cairn_database.engine import Database
from cairn_database.identity import revision, rows
from cairn_database.identity.assignments import has, roles_on
from cairn_database.identity.errors import NotAuthentic
from cairn_database.identity.records import SYSTEM, ApplicationCredential, Domain, Role, User
from cairn_database.identity.roles import implications, with_implied
from cairn_database.identity.tables import (
    application_credentials,
    domains,
    revoked_tokens,
    role_assignments,
    roles,
    users,
)
from cairn_database.rows import now
from cairn_database.tenants import ProjectRecord


@dataclass(frozen=True)
class Claim:
    """What a token says of itself, or what somebody who has signed in wants a token for."""

    user_id: str
    project_id: str | None = None
    domain_id: str | None = None
    system: bool = False
    application_credential_id: str | None = None
    generation: int | None = None
    """The user's, when the token was issued or the password was checked."""
    audit_id: str | None = None
    """None for a token that is only about to be issued."""


@dataclass(frozen=True)
class Standing:
    """What is true of a claim."""

    user: User
    user_domain: Domain
    project: ProjectRecord | None
    project_domain: Domain | None
    domain: Domain | None
    system: bool
    roles: tuple[Role, ...]
    """With those that they imply; none without a scope."""
    application_credential: ApplicationCredential | None


async def stand(db: Database, claim: Claim) -> Standing:
    """What the claim comes to now. Raises NotAuthentic where it does not hold."""
    return await db.read(lambda conn: _stand(conn, claim))


def _stand(conn: sa.Connection, claim: Claim) -> Standing:
    _refuse_revoked(conn, claim)
    user, user_domain = _user(conn, claim)
    project, project_domain, domain = _scope(conn, claim)
    held: set[str] = set()
    if project is not None:
        held = roles_on(conn, user.id, "project", project.id, project.domain_id)
    elif domain is not None:
        held = roles_on(conn, user.id, "domain", domain.id)
    elif claim.system:
        held = roles_on(conn, user.id, "system", SYSTEM)
    scoped = bool(project or domain or claim.system)
    credential = _application_credential(conn, claim)
    if credential is not None:
        held &= with_implied(credential.roles, implications(conn))
    if scoped and not held:
        raise NotAuthentic(f"user {user.id} has no role there")
    named = rows.every(conn, roles, Role, roles.c.id.in_(sorted(held))) if held else []
    return Standing(
        user,
        user_domain,
        project,
        project_domain,
        domain,
        claim.system,
        tuple(sorted(named, key=lambda role: role.name)),
        credential,
    )


def _refuse_revoked(conn: sa.Connection, claim: Claim) -> None:
    if claim.audit_id is None:
        return
    revoked = revoked_tokens.c.audit_id
    if conn.execute(sa.select(revoked).where(revoked == claim.audit_id)).first() is not None:
        raise NotAuthentic("the token is revoked")


def _user(conn: sa.Connection, claim: Claim) -> tuple[User, Domain]:
    user = rows.first(conn, users, User, users.c.id == claim.user_id)
    if user is None or not user.enabled:
        raise NotAuthentic(f"user {claim.user_id} is unknown or disabled")
    if claim.generation is not None and claim.generation != user.generation:
        raise NotAuthentic(f"the tokens of user {user.id} were ended")
    return user, _enabled_domain(conn, user.domain_id)


def _scope(conn: sa.Connection, claim: Claim) -> tuple[ProjectRecord | None, Domain | None, Domain | None]:
    if claim.project_id is not None:
        project = tenants.find_by_id(conn, claim.project_id)
        if project is None or not project.enabled:
            raise NotAuthentic(f"project {claim.project_id} is unknown or disabled")
        return project, _enabled_domain(conn, project.domain_id), None
    if claim.domain_id is not None:
        return None, None, _enabled_domain(conn, claim.domain_id)
    return None, None, None


def _enabled_domain(conn: sa.Connection, domain_id: str) -> Domain:
    domain = rows.first(conn, domains, Domain, domains.c.id == domain_id)
    if domain is None or not domain.enabled:
        raise NotAuthentic(f"domain {domain_id} is unknown or disabled")
    return domain


def _application_credential(conn: sa.Connection, claim: Claim) -> ApplicationCredential | None:
    if claim.application_credential_id is None:
        return None
    same = application_credentials.c.id == claim.application_credential_id
    found = rows.first(conn, application_credentials, ApplicationCredential, same)
    if found is None or found.user_id != claim.user_id or found.project_id != claim.project_id:
        raise NotAuthentic("the application credential is deleted")
    if found.expires_at is not None and found.expires_at <= now():
        raise NotAuthentic("the application credential has expired")
    return found


async def find_scope(
    db: Database, *, name: str, domain_id: str | None = None, domain_name: str | None = None
) -> str | None:
    """The id of the project of that name in the domain of that id or name."""

    def query(conn: sa.Connection) -> str | None:
        home = domain_id
        if home is None:
            home = conn.scalar(sa.select(domains.c.id).where(domains.c.name == domain_name))
        columns = tables.projects.c
        return conn.scalar(
            sa.select(columns.id).where(
                columns.domain_id == home, columns.display_name == name, columns.removed_at.is_(None)
            )
        )

    return await db.read(query)


async def find_domain(db: Database, name: str) -> str | None:
    """The id of the domain of that name."""
    statement = sa.select(domains.c.id).where(domains.c.name == name)
    return await db.read(lambda conn: conn.scalar(statement))


async def places_of(db: Database, user_id: str) -> tuple[list[ProjectRecord], list[Domain], bool]:
    """Where the user has roles: enabled projects, enabled domains, and whether on the system."""

    def query(conn: sa.Connection) -> tuple[list[ProjectRecord], list[Domain], bool]:
        given = role_assignments.c
        statement = sa.select(given.target, given.target_id, given.inherited).where(has(user_id)).distinct()
        project_ids: set[str] = set()
        domain_ids: set[str] = set()
        system = False
        for row in conn.execute(statement).all():
            if row.inherited and row.target == "domain":
                project_ids.update(tenants.project_ids_of_domain(conn, row.target_id))
            elif not row.inherited:
                if row.target == "project":
                    project_ids.add(row.target_id)
                elif row.target == "domain":
                    domain_ids.add(row.target_id)
                else:
                    system = True
        projects = [tenants.find_by_id(conn, project) for project in sorted(project_ids)]
        homes = rows.every(conn, domains, Domain, domains.c.id.in_(sorted(domain_ids)))
        return (
            [project for project in projects if project is not None and project.enabled],
            [domain for domain in homes if domain.enabled],
            system,
        )

    return await db.read(query)


async def revoke_token(db: Database, audit_id: str, expires_at: datetime) -> None:
    """The token does not count any more. Revocations of tokens that have expired are dropped on the way."""

    def transaction(conn: sa.Connection) -> None:
        conn.execute(sa.delete(revoked_tokens).where(revoked_tokens.c.expires_at < now()))
        known = sa.select(revoked_tokens.c.audit_id).where(revoked_tokens.c.audit_id == audit_id)
        if conn.execute(known).first() is None:
            conn.execute(sa.insert(revoked_tokens), {"audit_id": audit_id, "expires_at": expires_at})
        revision.bump(conn)

    await db.run(transaction)
