"""`/v3/groups` (Keystone API: Groups)."""

from __future__ import annotations

from typing import Any

from cairn_database.identity import groups, rows, users
from cairn_database.identity.records import Group
from cairn_gateway.http.call import Answer, Call
from cairn_gateway.http.faults import BadRequest
from cairn_gateway.identity import documents
from cairn_gateway.identity.models import GroupCreate, GroupUpdate, NewGroup
from cairn_gateway.identity.routing import NO_CONTENT, collection, enforce, filters, readable, route
from cairn_gateway.identity.users import home_domain


async def _load(call: Call) -> Group:
    group = await groups.get_group(call.services.db, call.params["group_id"])
    enforce(call, target__group__id=group.id, target__group__domain_id=group.domain_id)
    return group


async def list_groups(call: Call) -> Answer:
    """The groups; those of a domain for who has a token of a domain."""
    home = call.caller.domain_id
    wanted = filters(call, "domain_id", "name")
    domain_id = home or wanted.get("domain_id")
    enforce(call, target__domain_id=domain_id)
    found = await groups.list_groups(call.services.db, domain_id=domain_id, name=wanted.get("name"))
    return collection(call, "groups", [documents.group(call, group) for group in found])


async def show_group(call: Call) -> Answer:
    """A group."""
    return Answer({"group": documents.group(call, await _load(call))})


async def create_group(call: Call) -> Answer:
    """Make a group."""
    asked: NewGroup = call.checked.group
    domain_id = asked.domain_id or home_domain(call)
    enforce(call, target__group__domain_id=domain_id)
    made = Group(rows.new_id(), domain_id, asked.name, asked.description or "")
    return Answer({"group": documents.group(call, await groups.create_group(call.services.db, made))})


async def update_group(call: Call) -> Answer:
    """Change a group's name or description."""
    group = await _load(call)
    given = call.checked.group.given()
    if given.get("domain_id", group.domain_id) != group.domain_id:
        raise BadRequest("The domain of a group cannot be changed.")
    changes: dict[str, Any] = {name: given[name] or "" for name in ("name", "description") if name in given}
    changed = await groups.update_group(call.services.db, group.id, changes)
    return Answer({"group": documents.group(call, changed)})


async def delete_group(call: Call) -> Answer:
    """Delete a group; its members live on, without its roles."""
    group = await _load(call)
    await groups.delete_group(call.services.db, group.id)
    return Answer(status=NO_CONTENT)


async def list_members(call: Call) -> Answer:
    """The users in a group."""
    group = await _load(call)
    wanted = filters(call, "name")
    found = await users.list_users(call.services.db, group_id=group.id, name=wanted.get("name"))
    return collection(
        call, "users", [documents.user(call, user) for user in found], f"groups/{group.id}/users"
    )


async def _membership(call: Call) -> tuple[str, str]:
    group = await groups.get_group(call.services.db, call.params["group_id"])
    user = await users.get_user(call.services.db, call.params["user_id"])
    enforce(
        call,
        target__group__id=group.id,
        target__group__domain_id=group.domain_id,
        target__user__id=user.id,
        target__user__domain_id=user.domain_id,
    )
    return group.id, user.id


async def check_member(call: Call) -> Answer:
    """Whether a user is in a group: 204 or 404."""
    await groups.check_member(call.services.db, *await _membership(call))
    return Answer(status=NO_CONTENT)


async def add_member(call: Call) -> Answer:
    """Put a user into a group."""
    await groups.add_member(call.services.db, *await _membership(call))
    return Answer(status=NO_CONTENT)


async def remove_member(call: Call) -> Answer:
    """Take a user out of a group."""
    await groups.remove_member(call.services.db, *await _membership(call))
    return Answer(status=NO_CONTENT)


MEMBER = "/groups/{group_id}/users/{user_id}"
ROUTES = (
    *readable("/groups", list_groups, "list_groups"),
    route("POST", "/groups", create_group, "create_group", status=201, body=GroupCreate),
    *readable("/groups/{group_id}", show_group, "get_group"),
    route("PATCH", "/groups/{group_id}", update_group, "update_group", body=GroupUpdate),
    route("DELETE", "/groups/{group_id}", delete_group, "delete_group"),
    *readable("/groups/{group_id}/users", list_members, "list_users_in_group"),
    *readable(MEMBER, check_member, "check_user_in_group"),
    route("PUT", MEMBER, add_member, "add_user_to_group"),
    route("DELETE", MEMBER, remove_member, "remove_user_from_group"),
)
