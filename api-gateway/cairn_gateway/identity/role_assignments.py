"""`/v3/role_assignments`: who has which role where (Keystone API: List role assignments)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cairn_database import tenants
from cairn_database.identity import assignments, domains, groups, roles, users
from cairn_database.identity.records import SYSTEM, Assignment
from cairn_gateway.http.call import Answer, Call
from cairn_gateway.http.faults import BadRequest
from cairn_gateway.identity.routing import collection, enforce, filters, flag, readable, url

FILTERS = ("user.id", "group.id", "scope.project.id", "scope.domain.id", "role.id")
INHERITED = "scope.OS-INHERIT:inherited_to"


async def list_assignments(call: Call) -> Answer:
    """All that match; `?effective` for what they come to, `?include_names` with names."""
    home = call.caller.domain_id
    enforce(call, target__domain_id=home)
    wanted = filters(call, *FILTERS, INHERITED)
    _refuse_nonsense(call, wanted)
    target, target_id = _target(wanted, flag(call, "scope.system"))
    found = await _find(call, wanted, target, target_id)
    names = await _Names.load(call)
    if home is not None:
        found = [item for item in found if names.domain_of(item) == home]
    with_names = flag(call, "include_names")
    shown = [_document(call, item, names, with_names=with_names) for item in found]
    return collection(call, "role_assignments", shown)


def _refuse_nonsense(call: Call, wanted: Mapping[str, str]) -> None:
    if "user.id" in wanted and "group.id" in wanted:
        raise BadRequest("Specify a user or a group, not both.")
    if flag(call, "effective") and "group.id" in wanted:
        raise BadRequest("Effective assignments are users': a group cannot be asked for.")
    places = [name for name in ("scope.project.id", "scope.domain.id") if name in wanted]
    if len(places) + flag(call, "scope.system") > 1:
        raise BadRequest("Specify one of project, domain and system as the scope.")


async def _find(
    call: Call, wanted: Mapping[str, str], target: str | None, target_id: str | None
) -> list[Assignment]:
    db, user, group, role = call.services.db, *map(wanted.get, ("user.id", "group.id", "role.id"))
    if flag(call, "effective"):
        return await assignments.list_effective(
            db, user_id=user, target=target, target_id=target_id, role_id=role
        )
    return await assignments.list_assignments(
        db,
        actor="group" if group else "user" if user else None,
        actor_id=group or user,
        target=target,
        target_id=target_id,
        role_id=role,
        inherited=True if INHERITED in wanted else None,
    )


def _target(wanted: Mapping[str, str], system: bool) -> tuple[str | None, str | None]:
    if "scope.project.id" in wanted:
        return "project", wanted["scope.project.id"]
    if "scope.domain.id" in wanted:
        return "domain", wanted["scope.domain.id"]
    return ("system", SYSTEM) if system else (None, None)


class _Names:
    """What ids are called."""

    def __init__(self) -> None:
        self.named: dict[str, dict[str, tuple[str, str | None]]] = {}

    @classmethod
    async def load(cls, call: Call) -> _Names:
        """Everything that assignments can name."""
        db, names = call.services.db, cls()
        names.named = {
            "user": {user.id: (user.name, user.domain_id) for user in await users.list_users(db)},
            "group": {group.id: (group.name, group.domain_id) for group in await groups.list_groups(db)},
            "role": {role.id: (role.name, None) for role in await roles.list_roles(db)},
            "domain": {domain.id: (domain.name, None) for domain in await domains.list_domains(db)},
            "project": {
                project.id: (project.display_name, project.domain_id)
                for project in await tenants.list_projects(db)
            },
        }
        return names

    def of(self, kind: str, key: str, *, full: bool) -> dict[str, Any]:
        """`{"id": …}`, with the name and the domain where `full`."""
        if not full:
            return {"id": key}
        name, domain_id = self.named[kind].get(key, ("", None))
        shown: dict[str, Any] = {"id": key, "name": name}
        if domain_id is not None:
            shown["domain"] = {"id": domain_id, "name": self.named["domain"].get(domain_id, ("", None))[0]}
        return shown

    def domain_of(self, item: Assignment) -> str | None:
        """The domain that an assignment's target is in; None for the system."""
        if item.target == "project":
            return self.named["project"].get(item.target_id, ("", None))[1]
        return item.target_id if item.target == "domain" else None


def _document(call: Call, item: Assignment, names: _Names, *, with_names: bool) -> dict[str, Any]:
    if item.target == "system":
        scope: dict[str, Any] = {"system": {"all": True}}
        path = ["system", f"{item.actor}s", item.actor_id, "roles", item.role_id]
    else:
        scope = {item.target: names.of(item.target, item.target_id, full=with_names)}
        path = [f"{item.target}s", item.target_id, f"{item.actor}s", item.actor_id, "roles", item.role_id]
    if item.inherited:
        scope["OS-INHERIT:inherited_to"] = "projects"
        path = ["OS-INHERIT", *path, "inherited_to_projects"]
    return {
        "role": names.of("role", item.role_id, full=with_names),
        item.actor: names.of(item.actor, item.actor_id, full=with_names),
        "scope": scope,
        "links": {"assignment": url(call, *path)},
    }


ROUTES = readable("/role_assignments", list_assignments, "list_role_assignments")
