"""Moving servers to other hosts: shut down, while they run, or because their host is down for good.

Source: Nova API, the actions migrate, os-migrateLive and evacuate of POST /servers/{server_id}/action. What
`force` asks for (2.29 or 2.30 to 2.67) is not done: a host that somebody names is checked in any case.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidationInfo

from cairn_crds.instance import DesiredPower
from cairn_database import InstanceRecord, moving, nodes
from cairn_gateway.http.call import Answer, Call
from cairn_gateway.http.faults import BadRequest, NotFound
from cairn_gateway.http.models import Boolean, RequestModel, Since, Text255, Until
from cairn_gateway.nova import microversions as since
from cairn_gateway.nova.microversions import before
from cairn_gateway.nova.queries import HostName
from cairn_gateway.nova.servers.actions import action, asked_by, begin
from cairn_gateway.nova.servers.load import server_of, target_of
from cairn_gateway.nova.servers.passwords import AdminPassword, admin_password

MIGRATE = "os_compute_api:os-migrate-server:migrate"
MIGRATE_LIVE = "os_compute_api:os-migrate-server:migrate_live"
EVACUATE = "os_compute_api:os-evacuate"


def _block_migration(value: Any, info: ValidationInfo) -> Any:
    """`auto`, from 2.25 on, is None here."""
    version = (info.context or {}).get("version")
    if value == "auto" and version is not None and version >= since.LIVE_MIGRATE_BLOCK_AUTO:
        return None
    if value is None:
        raise ValueError("it is true or false")
    return value


class Destination(RequestModel):
    """The host to go to; the scheduler's choice when left out."""

    host: HostName | None = None


class Migrate(RequestModel):
    """`{"migrate": null}` or `{"migrate": {"host": "…"}}` (2.56)."""

    migrate: Destination | None = None


class LiveDestination(RequestModel):
    """Where to, and how."""

    host: HostName | None
    block_migration: Annotated[Boolean | None, BeforeValidator(_block_migration)]
    disk_over_commit: Annotated[
        Boolean | None, Until(before(since.LIVE_MIGRATE_DISK_OVER_COMMIT_REMOVED))
    ] = None
    force: Annotated[Boolean, Since(since.LIVE_MIGRATE_FORCE), Until(before(since.FORCED_MOVES_REMOVED))] = (
        False
    )


class MigrateLive(RequestModel):
    """`{"os-migrateLive": {"host": null, "block_migration": "auto"}}`."""

    wanted: Annotated[LiveDestination, Field(alias="os-migrateLive")]


class Refuge(RequestModel):
    """Where to, and with which password."""

    host: HostName | None = None
    on_shared_storage: Annotated[
        Boolean | None,
        Field(alias="onSharedStorage"),
        Until(before(since.EVACUATE_SHARED_STORAGE_REMOVED)),
    ] = None
    admin_pass: Annotated[Text255 | None, Field(alias="adminPass")] = None
    force: Annotated[Boolean, Since(since.EVACUATE_FORCE), Until(before(since.FORCED_MOVES_REMOVED))] = False


class Evacuate(RequestModel):
    """`{"evacuate": {"host": "…"}}`."""

    evacuate: Refuge


async def migrate(call: Call) -> Answer:
    """Shut it down and move it to another host; to be confirmed."""
    body: Migrate | None = call.checked
    host = body.migrate.host if body and body.migrate else None
    record = await server_of(call)
    call.enforce(target_of(call, record), f"{MIGRATE}:host" if host else MIGRATE)
    await begin(call, record, lambda one: moving.migrate(call.services.db, one.id, asked_by(call), host=host))
    return Answer()


async def migrate_live(call: Call) -> Answer:
    """Move it to another host while it runs."""
    body: MigrateLive = call.checked
    wanted = body.wanted
    if call.version < since.LIVE_MIGRATE_DISK_OVER_COMMIT_REMOVED and wanted.disk_over_commit is None:
        raise BadRequest(
            "Invalid input for field/attribute os-migrateLive: 'disk_over_commit' is a required property."
        )
    record = await server_of(call)
    call.enforce(target_of(call, record), f"{MIGRATE_LIVE}:host" if wanted.host else MIGRATE_LIVE)
    _refuse_force(wanted.force, wanted.host)
    await begin(
        call,
        record,
        lambda one: moving.live_migrate(
            call.services.db,
            one.id,
            asked_by(call),
            host=wanted.host,
            copy_disks=wanted.block_migration,
        ),
    )
    return Answer()


async def evacuate(call: Call) -> Answer:
    """Make it anew on another host, because its own is down for good."""
    body: Evacuate = call.checked
    wanted = body.evacuate
    record = await server_of(call)
    call.enforce(target_of(call, record))
    _refuse_force(wanted.force, wanted.host)
    password = await _password(call, wanted)
    await _require_other_host(call, record, wanted.host)
    spec: dict[str, Any] = {}
    if password is not None:
        spec["adminPasswordHash"] = password.hashed
    if call.version >= since.EVACUATE_STOPPED:
        spec["powerState"] = DesiredPower.STOPPED.value
    await begin(
        call,
        record,
        lambda one: moving.evacuate(call.services.db, one.id, asked_by(call), host=wanted.host, spec=spec),
    )
    told = call.version < since.EVACUATE_PASSWORD_REMOVED and password is not None
    if told and password and call.services.settings.gateway.enable_instance_password:
        return Answer({"adminPass": password.clear})
    return Answer()


def _refuse_force(force: bool, host: str | None) -> None:
    if force and host is None:
        raise BadRequest("Can't force to a non-provided destination")


async def _password(call: Call, wanted: Refuge) -> AdminPassword | None:
    """The one it is given; before 2.14 one is made where none is. Raises BadRequest."""
    if call.version >= since.EVACUATE_SHARED_STORAGE_REMOVED:
        return await admin_password(wanted.admin_pass, make=False)
    if wanted.on_shared_storage is None:
        raise BadRequest(
            "Invalid input for field/attribute evacuate: 'onSharedStorage' is a required property."
        )
    if wanted.on_shared_storage:
        if wanted.admin_pass is not None:
            raise BadRequest("admin password can't be changed on existing disk")
        raise BadRequest("Invalid state of instance files on shared storage: hosts of this cloud share none.")
    return await admin_password(wanted.admin_pass, make=True)


async def _require_other_host(call: Call, record: InstanceRecord, host: str | None) -> None:
    """Raises NotFound for a host that is none, BadRequest for its own (in this call alone, as in Nova)."""
    if host is None:
        return
    if host not in {node.name for node in await nodes.list_compute_nodes(call.services.db)}:
        raise NotFound(f"Compute host {host} not found.")
    if host == record.host:
        raise BadRequest("The target host can't be the same one.")


ROUTES = (
    action("migrate", migrate, MIGRATE, until=before(since.MIGRATE_TO_HOST)),
    action("migrate", migrate, MIGRATE, Migrate, since=since.MIGRATE_TO_HOST),
    action("os-migrateLive", migrate_live, MIGRATE_LIVE, MigrateLive),
    action("evacuate", evacuate, EVACUATE, Evacuate, status=200),
)
