"""Whose things are: project ids for rows that name Project resources, and the policy's targets."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from cairn_database.networking import owners
from cairn_database.networking.owners import Owner
from cairn_gateway.http.call import Call
from cairn_gateway.network.faults import Bad, Denied, missing

Target = dict[str, str | None]


class Owners:
    """Project ids by the Project resources' names."""

    def __init__(self, ids: dict[str, str]) -> None:
        self._ids = ids

    @classmethod
    async def of(cls, call: Call, names: Iterable[str | None]) -> Owners:
        """For these names; the caller's own project costs no query."""
        caller = call.caller
        known: dict[str, str] = {}
        if caller.project is not None and caller.project_id is not None:
            known[caller.project] = caller.project_id
        others = {name for name in names if name is not None} - known.keys()
        return cls({**known, **(await owners.ids_of(call.services.db, others))})

    def id_of(self, name: str | None) -> str:
        """The project's id; empty for nobody's."""
        return "" if name is None else self._ids.get(name, name)


async def owner_for(call: Call, wanted: str | None) -> Owner:
    """The project that something new belongs to: the one asked for, else the caller's own. Raises Bad,
    Forbidden. Whether the caller may is the policy's to say."""
    caller = call.caller
    if wanted in (None, caller.project_id):
        project_id = call.project_id
        if caller.project is None or caller.namespace is None:
            raise Bad("ProjectNotFound", f"Project {project_id} could not be found.")
        return Owner(project_id, caller.project, caller.namespace)
    if not call.is_admin:
        raise Denied("PolicyNotAuthorized", "Only administrators make things for other projects.")
    found = await owners.by_id(call.services.db, wanted or "")
    if found is None:
        raise Bad("ProjectNotFound", f"Project {wanted} could not be found.")
    return found


async def names_for(call: Call, project_ids: Iterable[str]) -> list[str]:
    """The Project resources' names of these ids, for a filter; unknown ones match nothing."""
    caller, names = call.caller, []
    for project_id in project_ids:
        if project_id == caller.project_id and caller.project is not None:
            names.append(caller.project)
        elif (found := await owners.by_id(call.services.db, project_id)) is not None:
            names.append(found.name)
    return names


def target(view: dict[str, Any], **more: str | None) -> Target:
    """What the policy is told of something shown so."""
    return {
        "project_id": view["project_id"] or None,
        "tenant_id": view["project_id"] or None,
        "shared": str(view.get("shared", False)),
        "router:external": str(view.get("router:external", False)),
        **more,
    }


def enforce(call: Call, resource: str, kind: str, verb: str, at: Target) -> None:
    """Ask the policy for `verb`_`resource`: who may not even see it is told that it is not there."""
    if call.allows(f"{verb}_{resource}", at):
        return
    if verb == "get" or not call.allows(f"get_{resource}", at):
        raise missing(kind, call.params.get("id", ""))
    raise Denied("PolicyNotAuthorized", f"({verb}_{resource}) is disallowed by policy.")


def enforce_attributes(call: Call, rules: Iterable[str], at: Target) -> None:
    """Ask the policy for each rule about a field that was sent. Raises Denied."""
    for rule in rules:
        if not call.allows(rule, at):
            raise Denied("PolicyNotAuthorized", f"({rule}) is disallowed by policy.")


__all__ = [
    "Owner",
    "Owners",
    "Target",
    "enforce",
    "enforce_attributes",
    "names_for",
    "owner_for",
    "target",
]
