"""`/v3/roles` and what implies what (Keystone API: Roles)."""

from __future__ import annotations

from typing import Any

from cairn_database.identity import roles, rows
from cairn_database.identity.errors import IdentityNotFound
from cairn_database.identity.records import Role
from cairn_gateway.http.call import Answer, Call
from cairn_gateway.http.faults import NotImplementedYet
from cairn_gateway.identity import documents
from cairn_gateway.identity.models import NewRole, RoleCreate, RoleUpdate
from cairn_gateway.identity.routing import (
    NO_CONTENT,
    collection,
    enforce,
    filters,
    readable,
    route,
    url,
)


async def list_roles(call: Call) -> Answer:
    """The roles; there are none of single domains."""
    enforce(call, caller__domain_id=call.caller.domain_id)
    wanted = filters(call, "name", "domain_id")
    found = [] if "domain_id" in wanted else await roles.list_roles(call.services.db, wanted.get("name"))
    return collection(call, "roles", [documents.role(call, role) for role in found])


async def _load(call: Call) -> Role:
    role = await roles.get_role(call.services.db, call.params["role_id"])
    enforce(call, target__role__id=role.id, target__role__name=role.name)
    return role


async def show_role(call: Call) -> Answer:
    """A role."""
    return Answer({"role": documents.role(call, await _load(call))})


async def create_role(call: Call) -> Answer:
    """Make a role."""
    asked: NewRole = call.checked.role
    enforce(call)
    if asked.domain_id is not None:
        raise NotImplementedYet("Cairn's roles belong to no domain: leave domain_id out.")
    made = await roles.create_role(call.services.db, Role(rows.new_id(), asked.name, asked.description))
    return Answer({"role": documents.role(call, made)})


async def update_role(call: Call) -> Answer:
    """Change a role's name or description."""
    role = await _load(call)
    given = call.checked.role.given()
    changes: dict[str, Any] = {name: given[name] for name in ("name", "description") if name in given}
    changed = await roles.update_role(call.services.db, role.id, changes)
    return Answer({"role": documents.role(call, changed)})


async def delete_role(call: Call) -> Answer:
    """Delete a role; nobody has it afterwards."""
    role = await _load(call)
    await roles.delete_role(call.services.db, role.id)
    return Answer(status=NO_CONTENT)


# --- what implies what -----------------------------------------------------------------------------------


async def list_implied(call: Call) -> Answer:
    """The roles that a role implies directly."""
    enforce(call)
    prior = await roles.get_role(call.services.db, call.params["role_id"])
    return Answer(
        {"role_inference": await _inference(call, prior), "links": {"self": url(call, "roles", prior.id)}}
    )


async def list_inferences(call: Call) -> Answer:
    """For every role, those that it implies directly."""
    enforce(call)
    found = await roles.list_roles(call.services.db)
    inferences = [await _inference(call, role) for role in found]
    shown = [inference for inference in inferences if inference["implies"]]
    return Answer({"role_inferences": shown, "links": {"self": url(call, "role_inferences")}})


async def _inference(call: Call, prior: Role) -> dict[str, Any]:
    named = {role.id: role for role in await roles.list_roles(call.services.db)}
    pairs = await roles.list_implications(call.services.db)
    implied = [named[below] for above, below in pairs if above == prior.id and below in named]
    return {"prior_role": _short(call, prior), "implies": [_short(call, role) for role in implied]}


def _short(call: Call, role: Role) -> dict[str, Any]:
    return {"id": role.id, "name": role.name, "links": {"self": url(call, "roles", role.id)}}


async def _pair(call: Call) -> tuple[Role, Role]:
    enforce(call)
    prior = await roles.get_role(call.services.db, call.params["role_id"])
    return prior, await roles.get_role(call.services.db, call.params["implied_id"])


def _shown_pair(call: Call, prior: Role, implied: Role) -> dict[str, Any]:
    return {
        "role_inference": {"prior_role": _short(call, prior), "implies": _short(call, implied)},
        "links": {"self": url(call, "roles", prior.id, "implies", implied.id)},
    }


async def show_implied(call: Call) -> Answer:
    """That a role implies another: 404 where it does not."""
    prior, implied = await _pair(call)
    if (prior.id, implied.id) not in await roles.list_implications(call.services.db):
        raise IdentityNotFound("implied role", implied.id)
    if call.method == "HEAD":
        return Answer(status=NO_CONTENT)
    return Answer(_shown_pair(call, prior, implied))


async def create_implied(call: Call) -> Answer:
    """Make a role imply another."""
    prior, implied = await _pair(call)
    await roles.imply(call.services.db, prior.id, implied.id)
    return Answer(_shown_pair(call, prior, implied))


async def delete_implied(call: Call) -> Answer:
    """Make a role imply another no more."""
    prior, implied = await _pair(call)
    await roles.stop_implying(call.services.db, prior.id, implied.id)
    return Answer(status=NO_CONTENT)


PAIR = "/roles/{role_id}/implies/{implied_id}"
ROUTES = (
    *readable("/roles", list_roles, "list_roles"),
    route("POST", "/roles", create_role, "create_role", status=201, body=RoleCreate),
    *readable("/roles/{role_id}", show_role, "get_role"),
    route("PATCH", "/roles/{role_id}", update_role, "update_role", body=RoleUpdate),
    route("DELETE", "/roles/{role_id}", delete_role, "delete_role"),
    *readable("/roles/{role_id}/implies", list_implied, "list_implied_roles"),
    route("GET", PAIR, show_implied, "get_implied_role"),
    route("HEAD", PAIR, show_implied, "check_implied_role"),
    route("PUT", PAIR, create_implied, "create_implied_role", status=201),
    route("DELETE", PAIR, delete_implied, "delete_implied_role"),
    *readable("/role_inferences", list_inferences, "list_role_inference_rules"),
)
