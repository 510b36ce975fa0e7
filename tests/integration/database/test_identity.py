"""People, roles and credentials; and the number that tells that something of them has changed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from cairn_crds.project import ProjectSpec
from cairn_database import Database, ProjectTaken, StillInUse, instances, tenants
from cairn_database.identity import (
    access,
    assignments,
    credentials,
    domains,
    groups,
    keys,
    roles,
    rows,
    users,
)
from cairn_database.identity.access import Claim
from cairn_database.identity.errors import (
    IdentityNotFound,
    IdentityRefused,
    IdentityTaken,
    NotAuthentic,
)
from cairn_database.identity.records import (
    DEFAULT_DOMAIN,
    SYSTEM,
    ApplicationCredential,
    Assignment,
    Credential,
    Domain,
    Group,
    Role,
    User,
)
from cairn_database.identity.revision import Revision
from cairn_database.rows import now
from integration.database.support import make_cloud, new

Change = Callable[[], Awaitable[object]]


def a_user(name: str = "ann", **changes: Any) -> User:
    made = User(
        id=rows.new_id(),
        domain_id=DEFAULT_DOMAIN,
        name=name,
        enabled=True,
        description=None,
        email=None,
        default_project_id=None,
        password_hash="$hash",
        generation=0,
        extra={"phone": "42"},
        created_at=now(),
    )
    return replace(made, **changes)


class Town:
    """A domain, the first roles, and project `blue` in which ann is manager."""

    def __init__(self, db: Database) -> None:
        self.db = db
        self.roles: dict[str, str] = {}

    async def build(self) -> Town:
        await domains.create_domain(self.db, Domain(DEFAULT_DOMAIN, "Default", "", enabled=True))
        for name in roles.FIRST_ROLES:
            self.roles[name] = (await roles.create_role(self.db, Role(rows.new_id(), name, None))).id
        for prior, implied in roles.FIRST_ROLES.items():
            if implied:
                await roles.imply(self.db, self.roles[prior], self.roles[implied])
        await make_cloud(self.db, hosts=0)
        project = await tenants.get_project(self.db, "blue")
        assert project is not None
        self.project = project.id
        self.ann = await users.create_user(self.db, a_user())
        await self.grant("manager")
        return self

    def assignment(self, role: str, **changes: Any) -> Assignment:
        given = Assignment("user", self.ann.id, "project", self.project, self.roles[role])
        return replace(given, **changes)

    async def grant(self, role: str, **changes: Any) -> None:
        await assignments.grant(self.db, self.assignment(role, **changes))

    async def roles_of(self, **claim: Any) -> set[str]:
        where = claim or {"project_id": self.project}
        standing = await access.stand(self.db, Claim(self.ann.id, **where))
        return {role.name for role in standing.roles}


@pytest.fixture
async def town(db: Database) -> Town:
    return await Town(db).build()


async def test_a_user_comes_back_as_it_was_made(town: Town) -> None:
    assert await users.get_user(town.db, town.ann.id) == town.ann
    assert await users.find_user(town.db, name="ann", domain_name="Default") == town.ann
    assert await users.find_user(town.db, name="Ann", domain_id=DEFAULT_DOMAIN) is None
    assert await users.list_users(town.db, name="ann", enabled=True) == [town.ann]
    with pytest.raises(IdentityTaken):
        await users.create_user(town.db, a_user())
    with pytest.raises(IdentityNotFound, match="domain"):
        await users.create_user(town.db, a_user(domain_id="none"))


async def test_one_of_many_gets_a_name(databases: list[Database]) -> None:
    town = await Town(databases[0]).build()
    made = await asyncio.gather(
        *(users.create_user(db, a_user("bob")) for db in databases), return_exceptions=True
    )
    assert sorted(type(result).__name__ for result in made) == ["IdentityTaken"] * 3 + ["User"]
    assert len(await users.list_users(town.db, name="bob")) == 1


async def test_roles_come_with_what_they_imply(town: Town) -> None:
    assert await town.roles_of() == {"manager", "member", "reader"}
    with pytest.raises(NotAuthentic):
        await town.roles_of(system=True)
    await town.grant("admin", target="system", target_id=SYSTEM)
    assert await town.roles_of(system=True) == {"admin", "manager", "member", "reader"}
    assert await town.roles_of(project_id=None) == set()


async def test_projects_inherit_from_their_domain(town: Town) -> None:
    await assignments.revoke(town.db, town.assignment("manager"))
    await town.grant("reader", target="domain", target_id=DEFAULT_DOMAIN, inherited=True)
    assert await town.roles_of() == {"reader"}
    with pytest.raises(NotAuthentic):
        await town.roles_of(domain_id=DEFAULT_DOMAIN)
    projects, found_domains, system = await access.places_of(town.db, town.ann.id)
    assert ([project.id for project in projects], found_domains, system) == ([town.project], [], False)
    effective = await assignments.list_effective(town.db, user_id=town.ann.id)
    assert effective == [town.assignment("reader")]


async def test_groups_give_their_roles(town: Town) -> None:
    group = await groups.create_group(town.db, Group(rows.new_id(), DEFAULT_DOMAIN, "crew", ""))
    await town.grant("service", actor="group", actor_id=group.id)
    assert "service" not in await town.roles_of()
    await groups.add_member(town.db, group.id, town.ann.id)
    await groups.add_member(town.db, group.id, town.ann.id)
    assert "service" in await town.roles_of()
    await groups.delete_group(town.db, group.id)
    assert "service" not in await town.roles_of()


async def test_a_circle_of_roles_is_refused(town: Town) -> None:
    with pytest.raises(IdentityRefused):
        await roles.imply(town.db, town.roles["reader"], town.roles["manager"])
    with pytest.raises(IdentityRefused):
        await roles.imply(town.db, town.roles["service"], town.roles["admin"])
    with pytest.raises(IdentityRefused):
        await roles.delete_role(town.db, town.roles["admin"])


async def test_whatever_can_end_a_token_raises_the_revision(town: Town) -> None:
    db, ann = town.db, town.ann.id
    role = await roles.create_role(db, Role(rows.new_id(), "operator", None))
    group = await groups.create_group(db, Group(rows.new_id(), DEFAULT_DOMAIN, "crew", ""))
    robot = ApplicationCredential(
        rows.new_id(), ann, "robot", None, town.project, "$hash", [role.id], False, None
    )
    await credentials.create_application_credential(db, robot)
    spec = ProjectSpec(enabled=False)
    changes: list[Change] = [
        lambda: access.revoke_token(db, "audit", now() + timedelta(hours=1)),
        lambda: users.update_user(db, ann, {"password_hash": "$other"}),
        lambda: users.update_user(db, ann, {"name": "anna"}),
        lambda: groups.add_member(db, group.id, ann),
        lambda: groups.remove_member(db, group.id, ann),
        lambda: assignments.revoke(db, town.assignment("manager")),
        lambda: assignments.grant(db, town.assignment("admin")),
        lambda: roles.imply(db, role.id, town.roles["service"]),
        lambda: roles.stop_implying(db, role.id, town.roles["service"]),
        lambda: roles.update_role(db, role.id, {"name": "operators"}),
        lambda: roles.delete_role(db, role.id),
        lambda: groups.delete_group(db, group.id),
        lambda: credentials.delete_application_credential(db, ann, robot.id),
        lambda: domains.update_domain(db, DEFAULT_DOMAIN, {"enabled": True}),
        lambda: tenants.upsert_project(db, "blue", spec),
        lambda: tenants.remove_project(db, "blue"),
        lambda: users.delete_user(db, ann),
        lambda: keys.rotate(db, keys.TOKENS, "key", 3),
    ]
    revision = Revision(db)
    before = await revision.now()
    for number, change in enumerate(changes):
        await change()
        after = await revision.now()
        assert after > before, f"change {number}"
        before = after
    revision.close()


async def test_every_process_sees_the_revision_at_once(databases: list[Database]) -> None:
    town = await Town(databases[0]).build()
    revisions = [Revision(db) for db in databases]
    for number in range(20):
        await users.update_user(databases[number % 4], town.ann.id, {"description": str(number)})
        seen = await asyncio.gather(*(revision.now() for revision in revisions for _ in range(5)))
        assert len(set(seen)) == 1
    for revision in revisions:
        revision.close()


async def test_concurrent_changes_each_count(databases: list[Database]) -> None:
    town = await Town(databases[0]).build()
    revision = Revision(databases[0])
    before = await revision.now()
    await asyncio.gather(
        *(
            users.update_user(databases[number % 4], town.ann.id, {"password_hash": f"${number}"})
            for number in range(12)
        )
    )
    assert await revision.now() == before + 12
    assert (await users.get_user(town.db, town.ann.id)).generation == 12
    revision.close()


async def test_a_claim_ends_with_what_it_is_about(town: Town) -> None:
    db = town.db
    claim = Claim(town.ann.id, project_id=town.project, generation=0, audit_id="audit")
    assert (await access.stand(db, claim)).user == town.ann
    await access.revoke_token(db, "other", now() + timedelta(hours=1))
    await access.stand(db, claim)
    await access.revoke_token(db, "audit", now() + timedelta(hours=1))
    with pytest.raises(NotAuthentic, match="revoked"):
        await access.stand(db, claim)
    claim = replace(claim, audit_id="new")
    await users.update_user(db, town.ann.id, {"enabled": False})
    await users.update_user(db, town.ann.id, {"enabled": True})
    with pytest.raises(NotAuthentic, match="ended"):
        await access.stand(db, claim)
    claim = replace(claim, generation=1)
    await domains.update_domain(db, DEFAULT_DOMAIN, {"enabled": False})
    with pytest.raises(NotAuthentic, match="domain"):
        await access.stand(db, claim)


async def test_expired_revocations_are_dropped(town: Town) -> None:
    claim = Claim(town.ann.id, audit_id="old")
    await access.revoke_token(town.db, "old", now() - timedelta(seconds=1))
    with pytest.raises(NotAuthentic):
        await access.stand(town.db, claim)
    await access.revoke_token(town.db, "new", now() + timedelta(hours=1))
    await access.revoke_token(town.db, "new", now() + timedelta(hours=1))
    await access.stand(town.db, claim)


async def test_a_removed_project_takes_roles_and_credentials_along(town: Town) -> None:
    db = town.db
    await users.update_user(db, town.ann.id, {"default_project_id": town.project})
    await credentials.create_credential(
        db, Credential(rows.new_id(), town.ann.id, town.project, "ec2", "sealed")
    )
    record = await instances.register(db, new())
    with pytest.raises(StillInUse):
        await tenants.remove_project(db, "blue")
    assert await tenants.count_instances(db, "blue") == 1
    assert await town.roles_of(), "nothing was taken"
    assert record.project == "blue"
    await tenants.upsert_project(db, "green", ProjectSpec())
    green = await tenants.get_project(db, "green")
    assert green is not None
    await town.grant("reader", target_id=green.id)
    await tenants.remove_project(db, "green")
    assert await tenants.get_project_by_id(db, green.id) is None
    assert await assignments.list_assignments(db, target_id=green.id) == []
    assert await tenants.namespace_of(db, "green") == "green"


async def test_project_names_are_had_once_in_a_domain(db: Database) -> None:
    one = ProjectSpec(id="one", display_name="Same")
    await tenants.upsert_project(db, "first", one)
    assert not await tenants.upsert_project(db, "first", one, uid="another")
    for name, spec in {
        "second": ProjectSpec(display_name="Same"),
        "third": ProjectSpec(id="one"),
        "Same": ProjectSpec(),
    }.items():
        with pytest.raises(ProjectTaken):
            await tenants.upsert_project(db, name, spec)
    await tenants.upsert_project(db, "east", ProjectSpec(display_name="Same", domain="east"))
    await tenants.remove_project(db, "first")
    await tenants.upsert_project(db, "second", one)
    found = await tenants.get_project_by_id(db, "one")
    assert found is not None
    assert found.name == "second"


async def test_a_project_keeps_its_id_and_a_new_one_gets_its_own(db: Database) -> None:
    await tenants.upsert_project(db, "blue", ProjectSpec(), uid="aaaa-1")
    await tenants.upsert_project(db, "blue", ProjectSpec(description="x"), uid="bbbb-2")
    record = await tenants.get_project(db, "blue")
    assert record is not None
    assert record.id == "aaaa1"
    await tenants.remove_project(db, "blue")
    await tenants.upsert_project(db, "blue", ProjectSpec(), uid="bbbb-2")
    record = await tenants.get_project(db, "blue")
    assert record is not None
    assert record.id == "bbbb2"


async def test_a_domain_with_an_id_of_another_is_refused(town: Town) -> None:
    made = await domains.create_domain(town.db, Domain(rows.new_id(), "north", "", enabled=True))
    with pytest.raises(IdentityTaken, match=f"with the id {made.id}"):
        await domains.create_domain(town.db, Domain(made.id, "south", "", enabled=True))
    with pytest.raises(IdentityTaken, match="with the name north"):
        await domains.create_domain(town.db, Domain(rows.new_id(), "north", "", enabled=True))


async def test_a_domain_goes_with_its_people(town: Town) -> None:
    db = town.db
    east = await domains.create_domain(db, Domain(rows.new_id(), "east", "", enabled=False))
    user = await users.create_user(db, a_user("eve", domain_id=east.id))
    await town.grant("reader", actor_id=user.id)
    for refused in (DEFAULT_DOMAIN,):
        with pytest.raises(IdentityRefused):
            await domains.delete_domain(db, refused)
    await tenants.upsert_project(db, "ranch", ProjectSpec(domain=east.id))
    with pytest.raises(IdentityRefused, match="projects"):
        await domains.delete_domain(db, east.id)
    await tenants.remove_project(db, "ranch")
    await domains.delete_domain(db, east.id)
    assert await assignments.list_assignments(db, actor_id=user.id) == []


async def test_the_newest_keys_are_kept(databases: list[Database]) -> None:
    first = await asyncio.gather(
        *(keys.ensure_key(db, keys.TOKENS, f"k{number}") for number, db in enumerate(databases))
    )
    assert len({found[0].secret for found in first}) == 1
    for number in range(5):
        await keys.rotate(databases[number % 4], keys.TOKENS, f"r{number}", 3)
    left = await keys.list_keys(databases[0], keys.TOKENS)
    assert [key.secret for key in left] == ["r4", "r3", "r2"]
    assert await keys.list_keys(databases[0], keys.CREDENTIALS) == []
    assert "r4" not in repr(left)
