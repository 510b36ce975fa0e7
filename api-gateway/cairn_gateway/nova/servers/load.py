"""Finding the server that a call is about, and what surrounds servers that are shown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol, TypeVar

from cairn_database import InstanceNotFound, InstanceRecord, instances
from cairn_database.listing import Page, look_up
from cairn_database.networking import owners
from cairn_database.networking.interfaces import Interface, interfaces_of
from cairn_gateway.http.call import Call
from cairn_gateway.http.faults import NotFound
from cairn_gateway.nova.servers.hosts import host_facts
from cairn_gateway.nova.servers.view import Surroundings

UUID = re.compile(r"[0-9a-fA-F]{8}-?(?:[0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}")


class Owned(Protocol):
    """What is read of an instance to decide on who may have it: a record, or a list's entry."""

    @property
    def project(self) -> str: ...
    @property
    def user_id(self) -> str | None: ...
    @property
    def host(self) -> str | None: ...
    @property
    def is_deleted(self) -> bool: ...


AnyServer = TypeVar("AnyServer", bound=Owned)


async def server_of(call: Call, *, deleted: bool = False) -> InstanceRecord:
    """The server that the path names. Raises NotFound for none, and for another project's.

    `deleted`: a deleted one will do, for those who may see it.
    """
    try:
        record = await instances.get(call.services.db, _id_of(call))
    except InstanceNotFound as error:
        raise missing(call) from error
    return _reachable(call, record, deleted=deleted)


async def page_of(call: Call) -> Page:
    """The server that the path names, to be shown. Raises NotFound as `server_of`."""
    page = await look_up(call.services.db, _id_of(call))
    for one in page.instances:
        _reachable(call, one)
        return page
    raise missing(call)


def _id_of(call: Call) -> str:
    server_id = call.params["server_id"]
    if not UUID.fullmatch(server_id):
        raise missing(call)
    return server_id


def missing(call: Call) -> NotFound:
    """What is said of a server that there is not, or not for the caller."""
    return NotFound(f"Instance {call.params['server_id']} could not be found.")


def _reachable(call: Call, server: AnyServer, *, deleted: bool = False) -> AnyServer:
    if server.is_deleted and not deleted:
        raise missing(call)
    if server.project != call.caller.project and not call.is_admin:
        raise missing(call)
    return server


def target_of(call: Call, server: Owned) -> dict[str, str | None]:
    """Whose it is, for the policy. The project's id is known for the caller's own; no other's equals it."""
    own = server.project == call.caller.project
    return {"project_id": call.caller.project_id if own else server.project, "user_id": server.user_id}


async def surroundings(call: Call, records: Iterable[InstanceRecord]) -> Surroundings:
    """What showing these servers needs beside their rows."""
    shown = list(records)
    plugged = [record.id for record in shown if record.interfaces]
    interfaces = await interfaces_of(call.services.db, plugged) if plugged else {}
    return await surroundings_with(call, shown, interfaces)


async def surroundings_with(
    call: Call, servers: Sequence[Owned], interfaces: Mapping[str, Sequence[Interface]]
) -> Surroundings:
    """As `surroundings`, with the interfaces already read."""
    caller = call.caller
    project_ids: dict[str, str] = {}
    if caller.project is not None and caller.project_id is not None:
        project_ids[caller.project] = caller.project_id
    others = {server.project for server in servers} - project_ids.keys()
    project_ids |= await owners.ids_of(call.services.db, others)
    placed = any(server.host for server in servers)
    hosts = await host_facts(call.services.db) if placed else {}
    return Surroundings(project_ids=project_ids, interfaces=interfaces, hosts=hosts)
