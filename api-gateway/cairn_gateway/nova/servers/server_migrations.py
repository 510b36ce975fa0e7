"""/servers/{server_id}/migrations: a server's live migrations that are under way: seen, aborted, hurried.

Source: Nova API (`nova/api/openstack/compute/server_migrations.py`).
"""

from __future__ import annotations

from cairn_database import InstanceRecord, legality, moves, moving
from cairn_database.moves import MigrationNotFound, MigrationRecord
from cairn_database.records import MoveKind
from cairn_gateway.http.call import Answer, Call
from cairn_gateway.http.faults import BadRequest, NotFound
from cairn_gateway.http.routes import Enforce, Route
from cairn_gateway.nova import microversions as since
from cairn_gateway.nova.ids import path_integer
from cairn_gateway.nova.migration_view import UNDER_WAY, around, of_server
from cairn_gateway.nova.queries import refuse_query
from cairn_gateway.nova.servers.actions import asked_by, begin, refusals
from cairn_gateway.nova.servers.load import server_of, target_of

RULE = "os_compute_api:servers:migrations:"
QUEUED = frozenset({"queued", "accepted", "preparing"})
"""States from which a live migration may be aborted from 2.65 on."""


async def index(call: Call) -> Answer:
    """Its live migrations that are under way."""
    record = await _server(call)
    refuse_query(call)
    found = await moves.list_migrations(call.services.db, instance_id=record.id)
    shown = moves.live_under_way(found)
    hosts = call.allows(f"{RULE}index:host", target_of(call, record))
    facts = await around(call, shown, hosts=hosts)
    return Answer({"migrations": [of_server(call, one, facts, hosts=hosts) for one in shown]})


async def show(call: Call) -> Answer:
    """One live migration that is under way."""
    record = await _server(call)
    refuse_query(call)
    wanted = call.params["migration_id"]
    found = await _find(call, record)
    if found is None:
        raise NotFound(f"In-progress live migration {wanted} is not found for server {record.id}.")
    if found.kind is not MoveKind.LIVE:
        raise NotFound(f"Migration {wanted} for server {record.id} is not live-migration.")
    if found.status not in UNDER_WAY:
        raise NotFound(f"Live migration {wanted} for server {record.id} is not in progress.")
    facts = await around(call, [found], hosts=True)
    return Answer({"migration": of_server(call, found, facts, hosts=True)})


async def abort(call: Call) -> Answer:
    """Give a live migration up; the server runs on where it is."""
    record = await _server(call)
    _check(call, record, "live_migrate_abort", "abort live migration")
    found = await _find(call, record)
    if found is None:
        raise NotFound(_missing(call, record))
    allowed = {"running"} | (QUEUED if call.version >= since.MIGRATION_ABORT_QUEUED else frozenset())
    _require(found, allowed, "abort live migration")
    try:
        await begin(
            call,
            record,
            lambda one: moving.abort_live_migration(
                call.services.db, one.id, asked_by(call), migration_id=found.id
            ),
        )
    except MigrationNotFound as error:
        raise NotFound(_missing(call, record)) from error
    return Answer()


async def force_complete(call: Call) -> Answer:
    """Finish a live migration now, though the server may stand still for a moment."""
    record = await _server(call)
    _check(call, record, "live_migrate_force_complete", "force_complete")
    found = await _find(call, record)
    if found is None:
        raise BadRequest(_missing(call, record))
    _require(found, {"running"}, "force complete")
    try:
        await begin(
            call,
            record,
            lambda one: moving.force_complete(
                call.services.db, one.id, asked_by(call), migration_id=found.id
            ),
        )
    except MigrationNotFound as error:
        raise BadRequest(_missing(call, record)) from error
    return Answer()


async def _server(call: Call) -> InstanceRecord:
    record = await server_of(call)
    call.enforce(target_of(call, record))
    return record


def _check(call: Call, record: InstanceRecord, action: str, called: str) -> None:
    """The server's state goes before the migration's. Raises Conflict."""
    with refusals():
        legality.check(action, record, overrides_lock=call.is_admin, called=called)


async def _find(call: Call, record: InstanceRecord) -> MigrationRecord | None:
    number = path_integer(call.params["migration_id"])
    for migration in await moves.list_migrations(call.services.db, instance_id=record.id):
        if migration.number == number:
            return migration
    return None


def _require(migration: MigrationRecord, allowed: set[str] | frozenset[str], what: str) -> None:
    if migration.kind is not MoveKind.LIVE or migration.status not in allowed:
        raise BadRequest(
            f"Migration {migration.number} state of instance {migration.instance_id} is {migration.status}. "
            f"Cannot {what} while the migration is in this state."
        )


def _missing(call: Call, record: InstanceRecord) -> str:
    return f"Migration {call.params['migration_id']} not found for instance {record.id}"


PATH = "/servers/{server_id}/migrations"
ROUTES = (
    Route("GET", PATH, index, f"{RULE}index", since=since.SERVER_MIGRATIONS, enforce=Enforce.HANDLER),
    Route(
        "GET",
        PATH + "/{migration_id}",
        show,
        f"{RULE}show",
        since=since.SERVER_MIGRATIONS,
        enforce=Enforce.HANDLER,
    ),
    Route(
        "DELETE",
        PATH + "/{migration_id}",
        abort,
        f"{RULE}delete",
        status=202,
        since=since.MIGRATION_ABORT,
        enforce=Enforce.HANDLER,
    ),
    Route(
        "POST",
        PATH + "/{migration_id}/action",
        force_complete,
        f"{RULE}force_complete",
        status=202,
        action="force_complete",
        since=since.MIGRATION_FORCE_COMPLETE,
        enforce=Enforce.HANDLER,
    ),
)
