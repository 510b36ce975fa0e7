"""Giving and taking roles: `…/users/{user_id}/roles/{role_id}` of projects, domains and the system, for
groups likewise, and what projects inherit from their domain (`/v3/OS-INHERIT`)."""

from __future__ import annotations

from collections.abc import Iterator

from cairn_database import tenants
from cairn_database.identity import assignments, domains, groups, roles, users
from cairn_database.identity.errors import IdentityNotFound
from cairn_database.identity.records import SYSTEM, Assignment
from cairn_gateway.http.call import Answer, Call
from cairn_gateway.http.routes import Route
from cairn_gateway.identity import documents
from cairn_gateway.identity.routing import NO_CONTENT, collection, enforce, readable, route


async def _assignment(call: Call, role_id: str) -> Assignment:
    """What the path is about, if the caller may; the role may be left out ("")."""
    db, params = call.services.db, call.params
    target: dict[str, str | None] = {}
    if "user_id" in params:
        user = await users.get_user(db, params["user_id"])
        actor, actor_id = "user", user.id
        target |= {"target__user__id": user.id, "target__user__domain_id": user.domain_id}
    else:
        group = await groups.get_group(db, params["group_id"])
        actor, actor_id = "group", group.id
        target |= {"target__group__id": group.id, "target__group__domain_id": group.domain_id}
    if "project_id" in params:
        project = await tenants.get_project_by_id(db, params["project_id"])
        if project is None:
            raise IdentityNotFound("project", params["project_id"])
        place, place_id = "project", project.id
        target |= {"target__project__id": project.id, "target__project__domain_id": project.domain_id}
    elif "domain_id" in params:
        domain = await domains.get_domain(db, params["domain_id"])
        place, place_id = "domain", domain.id
        target["target__domain__id"] = domain.id
    else:
        place, place_id = "system", SYSTEM
    if role_id:
        role = await roles.get_role(db, role_id)
        target |= {"target__role__id": role.id, "target__role__name": role.name}
    enforce(call, **target)
    return Assignment(actor, actor_id, place, place_id, role_id, "OS-INHERIT" in call.path)


async def check_grant(call: Call) -> Answer:
    """Whether the role was given: 204 or 404."""
    await assignments.check(call.services.db, await _assignment(call, call.params["role_id"]))
    return Answer(status=NO_CONTENT)


async def create_grant(call: Call) -> Answer:
    """Give the role."""
    await assignments.grant(call.services.db, await _assignment(call, call.params["role_id"]))
    return Answer(status=NO_CONTENT)


async def revoke_grant(call: Call) -> Answer:
    """Take the role back."""
    await assignments.revoke(call.services.db, await _assignment(call, call.params["role_id"]))
    return Answer(status=NO_CONTENT)


async def list_grants(call: Call) -> Answer:
    """The roles that were given there."""
    asked = await _assignment(call, "")
    found = await assignments.list_assignments(
        call.services.db,
        actor=asked.actor,
        actor_id=asked.actor_id,
        target=asked.target,
        target_id=asked.target_id,
        inherited=asked.inherited,
    )
    named = {role.id: role for role in await roles.list_roles(call.services.db)}
    shown = [documents.role(call, named[item.role_id]) for item in found if item.role_id in named]
    return collection(call, "roles", shown, call.path.partition("/v3/")[2])


def _routes() -> Iterator[Route]:
    for actor in ("user", "group"):
        who = f"{actor}s/{{{actor}_id}}/roles"
        for prefix, ending in (("", ""), ("/OS-INHERIT", "/inherited_to_projects")):
            for place in ("/projects/{project_id}", "/domains/{domain_id}"):
                yield from _of(f"{prefix}{place}/{who}", ending, "{}_grant")
        yield from _of(f"/system/{who}", "", f"{{}}_system_grant_for_{actor}")


def _of(path: str, ending: str, rule: str) -> Iterator[Route]:
    """`rule` with the verb left out."""
    one = f"{path}/{{role_id}}{ending}"
    yield from readable(path + ending, list_grants, rule.format("list").replace("grant", "grants"))
    yield from readable(one, check_grant, rule.format("check"))
    yield route("PUT", one, create_grant, rule.format("create"))
    yield route("DELETE", one, revoke_grant, rule.format("revoke"))


ROUTES = tuple(_routes())
