"""`/v3/users` (Keystone API: Users)."""

from __future__ import annotations

from typing import Any, Final

import orjson

from cairn_database import tenants
from cairn_database.identity import access, groups, rows, users
from cairn_database.identity.errors import IdentityNotFound
from cairn_database.identity.records import DEFAULT_DOMAIN, User
from cairn_database.rows import now
from cairn_gateway.http.call import Answer, Call
from cairn_gateway.http.faults import BadRequest
from cairn_gateway.identity import documents
from cairn_gateway.identity.builtin import challenge
from cairn_gateway.identity.models import NewUser, UserCreate, UserPassword, UserUpdate
from cairn_gateway.identity.routing import (
    NO_CONTENT,
    builtin,
    collection,
    enforce,
    filters,
    readable,
    route,
    truth,
)

MOST_EXTRA: Final = 16 * 1024
"""Bytes of the fields that Cairn has no meaning for."""
COLUMNS: Final = ("name", "enabled", "description", "email", "default_project_id")


async def load(call: Call, rule: str | None = None) -> User:
    """The user of the path, if the caller may do `rule` (the route's own) to it."""
    user = await users.get_user(call.services.db, call.params["user_id"])
    enforce_on(call, user, rule)
    return user


def enforce_on(call: Call, user: User, rule: str | None = None) -> None:
    """Ask the policy about something that is done to the user."""
    enforce(call, rule, user_id=user.id, target__user__id=user.id, target__user__domain_id=user.domain_id)


async def list_users(call: Call) -> Answer:
    """The users; those of a domain for who has a token of a domain."""
    home = call.caller.domain_id
    wanted = filters(call, "domain_id", "name", "enabled")
    enforce(call, target__domain_id=home or wanted.get("domain_id"))
    found = await users.list_users(
        call.services.db,
        domain_id=home or wanted.get("domain_id"),
        name=wanted.get("name"),
        enabled=truth(wanted.get("enabled")),
    )
    return collection(call, "users", [documents.user(call, user) for user in found])


async def show_user(call: Call) -> Answer:
    """A user."""
    return Answer({"user": documents.user(call, await load(call))})


async def create_user(call: Call) -> Answer:
    """Make a user."""
    asked: NewUser = call.checked.user
    domain_id = asked.domain_id or home_domain(call)
    enforce(call, target__user__domain_id=domain_id, target__user__id=None)
    await _require_project(call, asked.default_project_id)
    password = asked.password
    made = User(
        id=rows.new_id(),
        domain_id=domain_id,
        name=asked.name,
        enabled=asked.enabled,
        description=asked.description,
        email=asked.email,
        default_project_id=asked.default_project_id,
        password_hash=None if password is None else await builtin(call).passwords.hash(password),
        generation=0,
        extra=_extra(asked),
        created_at=now(),
    )
    return Answer({"user": documents.user(call, await users.create_user(call.services.db, made))})


async def update_user(call: Call) -> Answer:
    """Change a user; a new password, or disabling the user, ends all of the user's tokens."""
    user = await load(call)
    asked: NewUser = call.checked.user
    given = asked.given()
    if given.get("domain_id", user.domain_id) != user.domain_id:
        raise BadRequest("The domain of a user cannot be changed.")
    changes: dict[str, Any] = {name: given[name] for name in COLUMNS if name in given}
    await _require_project(call, changes.get("default_project_id"))
    if "password" in given:
        password = asked.password
        changes["password_hash"] = None if password is None else await builtin(call).passwords.hash(password)
    extra = _extra(asked)
    if extra:
        changes["extra"] = _bounded({**user.extra, **extra})
    return Answer({"user": documents.user(call, await users.update_user(call.services.db, user.id, changes))})


async def change_password(call: Call) -> Answer:
    """One's own password, by who knows the old one. All of the user's tokens end."""
    asked: UserPassword = call.checked
    identity, user_id = builtin(call), call.params["user_id"]
    enforce(call, user_id=user_id)
    attempt = identity.throttle.attempt(user_id, call.remote)
    user = await users.find_user(call.services.db, user_id=user_id)
    stored = user.password_hash if user is not None else None
    if not await identity.passwords.matches(asked.user.original_password, stored):
        raise challenge(call)
    attempt.succeeded()
    fresh = await identity.passwords.hash(asked.user.password)
    await users.update_user(call.services.db, user_id, {"password_hash": fresh})
    return Answer(status=NO_CONTENT)


async def delete_user(call: Call) -> Answer:
    """Delete a user, with all roles and credentials."""
    user = await load(call)
    await users.delete_user(call.services.db, user.id)
    return Answer(status=NO_CONTENT)


async def list_projects(call: Call) -> Answer:
    """The projects in which the user has a role."""
    user = await load(call)
    projects, _domains, _system = await access.places_of(call.services.db, user.id)
    shown = [documents.project(call, project) for project in projects]
    return collection(call, "projects", shown, f"users/{user.id}/projects")


async def list_groups(call: Call) -> Answer:
    """The user's groups."""
    user = await load(call)
    wanted = filters(call, "name")
    found = await groups.list_groups(call.services.db, user_id=user.id, name=wanted.get("name"))
    return collection(
        call, "groups", [documents.group(call, group) for group in found], f"users/{user.id}/groups"
    )


def home_domain(call: Call) -> str:
    """Where something new belongs that names no domain: the token's, as in Keystone."""
    caller = call.caller
    return caller.domain_id or caller.project_domain_id or DEFAULT_DOMAIN


async def _require_project(call: Call, project_id: str | None) -> None:
    if project_id is not None and await tenants.get_project_by_id(call.services.db, project_id) is None:
        raise IdentityNotFound("project", project_id)


def _extra(asked: NewUser) -> dict[str, Any]:
    hidden = {"id", "links", "password_expires_at", "original_password"}
    return _bounded({name: value for name, value in (asked.model_extra or {}).items() if name not in hidden})


def _bounded(extra: dict[str, Any]) -> dict[str, Any]:
    if len(orjson.dumps(extra)) > MOST_EXTRA:
        raise BadRequest(f"The user's further fields have more than {MOST_EXTRA} bytes.")
    return extra


ROUTES = (
    *readable("/users", list_users, "list_users"),
    route("POST", "/users", create_user, "create_user", status=201, body=UserCreate),
    *readable("/users/{user_id}", show_user, "get_user"),
    route("PATCH", "/users/{user_id}", update_user, "update_user", body=UserUpdate),
    route("DELETE", "/users/{user_id}", delete_user, "delete_user"),
    route("POST", "/users/{user_id}/password", change_password, "change_password", body=UserPassword),
    *readable("/users/{user_id}/projects", list_projects, "list_user_projects"),
    *readable("/users/{user_id}/groups", list_groups, "list_groups_for_user"),
)
