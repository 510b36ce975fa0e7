"""The first administrator of a cloud, and what has to be there before: `cairn identity bootstrap`.

Everything is a comparison; a second run changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from cairn_crds.project import ProjectSpec
from cairn_database import Database
from cairn_database.identity import assignments, domains, roles, rows, users
from cairn_database.identity.records import DEFAULT_DOMAIN, SYSTEM, Assignment, Domain, Role, User
from cairn_database.rows import now
from cairn_gateway.identity.passwords import PasswordHasher
from cairn_gateway.identity.settings import IdentitySettings
from cairn_gateway.identity.tenancy import ensure_project
from cairn_runtime.kubernetes import Kubernetes


@dataclass(frozen=True)
class Administrator:
    """Who is to be the first."""

    name: str = "admin"
    password: str = field(default="", repr=False)
    project: str = "admin"
    """The name of the Project resource."""


@dataclass(frozen=True)
class Bootstrapped:
    """What is there now."""

    user_id: str
    project_id: str


async def bootstrap(
    db: Database, kubernetes: Kubernetes, administrator: Administrator, settings: IdentitySettings
) -> Bootstrapped:
    """The domain Default, the roles and what they imply, the project (its resource, too), and the user, who
    is admin of both the project and the system and has this password from now on."""
    await _ensure_domain(db)
    role_ids = await _ensure_roles(db)
    project = await ensure_project(db, kubernetes, administrator.project, ProjectSpec())
    user_id = await _ensure_user(db, administrator, settings)
    for target, target_id in (("project", project.id), ("system", SYSTEM)):
        await assignments.grant(db, Assignment("user", user_id, target, target_id, role_ids[roles.ADMIN]))
    return Bootstrapped(user_id, project.id)


async def _ensure_domain(db: Database) -> None:
    if any(domain.id == DEFAULT_DOMAIN for domain in await domains.list_domains(db)):
        return
    await domains.create_domain(db, Domain(DEFAULT_DOMAIN, "Default", "The default domain", enabled=True))


async def _ensure_roles(db: Database) -> dict[str, str]:
    found = {role.name: role.id for role in await roles.list_roles(db)}
    for name in roles.FIRST_ROLES:
        if name not in found:
            found[name] = (await roles.create_role(db, Role(rows.new_id(), name, None))).id
    for prior, implied in roles.FIRST_ROLES.items():
        if implied is not None:
            await roles.imply(db, found[prior], found[implied])
    return found


async def _ensure_user(db: Database, administrator: Administrator, settings: IdentitySettings) -> str:
    hasher = PasswordHasher(settings)
    try:
        user = await users.find_user(db, name=administrator.name, domain_id=DEFAULT_DOMAIN)
        if user is None:
            made = User(
                id=rows.new_id(),
                domain_id=DEFAULT_DOMAIN,
                name=administrator.name,
                enabled=True,
                description=None,
                email=None,
                default_project_id=None,
                password_hash=await hasher.hash(administrator.password),
                generation=0,
                extra={},
                created_at=now(),
            )
            return (await users.create_user(db, made)).id
        if not user.enabled or not await hasher.matches(administrator.password, user.password_hash):
            fresh = await hasher.hash(administrator.password)
            await users.update_user(db, user.id, {"password_hash": fresh, "enabled": True})
        return user.id
    finally:
        hasher.close()
