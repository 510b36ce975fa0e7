"""Finding the server that a call is about, and what surrounds servers that are shown."""

from __future__ import annotations

import re
from collections.abc import Iterable

from cairn_database import InstanceNotFound, InstanceRecord, instances, tenants
from cairn_database.networking.interfaces import interfaces_of
from cairn_gateway.http.call import Call
from cairn_gateway.http.faults import NotFound
from cairn_gateway.nova.servers.hosts import host_facts
from cairn_gateway.nova.servers.view import Surroundings

UUID = re.compile(r"[0-9a-fA-F]{8}-?(?:[0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}")


def is_admin(call: Call) -> bool:
    """Who may reach every project's servers (Nova's `context_is_admin`)."""
    return "admin" in call.caller.roles


async def server_of(call: Call, *, deleted: bool = False) -> InstanceRecord:
    """The server that the path names. Raises NotFound for none, and for another project's.

    `deleted`: a deleted one will do, for those who may see it.
    """
    server_id = call.params["server_id"]
    missing = NotFound(f"Instance {server_id} could not be found.")
    if not UUID.fullmatch(server_id):
        raise missing
    try:
        record = await instances.get(call.services.db, server_id)
    except InstanceNotFound as error:
        raise missing from error
    if record.is_deleted and not deleted:
        raise missing
    if record.project != call.caller.project and not is_admin(call):
        raise missing
    return record


def target_of(call: Call, record: InstanceRecord) -> dict[str, str | None]:
    """Whose it is, for the policy. The project's id is known for the caller's own; no other's equals it."""
    own = record.project == call.caller.project
    return {"project_id": call.caller.project_id if own else record.project, "user_id": record.user_id}


async def surroundings(call: Call, records: Iterable[InstanceRecord]) -> Surroundings:
    """What showing these servers needs beside their rows."""
    caller = call.caller
    shown = list(records)
    project_ids: dict[str, str] = {}
    if caller.project is not None and caller.project_id is not None:
        project_ids[caller.project] = caller.project_id
    for name in {record.project for record in shown} - project_ids.keys():
        project = await tenants.get_project(call.services.db, name)
        if project is not None:
            project_ids[name] = project.id
    plugged = [record.id for record in shown if record.interfaces]
    interfaces = await interfaces_of(call.services.db, plugged) if plugged else {}
    placed = any(record.host for record in shown)
    hosts = await host_facts(call.services.db) if placed else {}
    return Surroundings(project_ids=project_ids, interfaces=interfaces, hosts=hosts)
