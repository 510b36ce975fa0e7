"""How a migration looks in an answer, in both of Nova's forms.

Source: Nova API, GET /os-migrations and GET /servers/{server_id}/migrations.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from cairn_database import nodes, tenants
from cairn_database.moves import LIVE_UNDER_WAY, MigrationRecord
from cairn_database.nodes import ComputeNodeRecord
from cairn_database.records import MoveKind
from cairn_gateway.http.call import Call
from cairn_gateway.nova import microversions as since
from cairn_gateway.nova.moments import row_moment
from cairn_gateway.nova.paging import links

Json = dict[str, Any]
PROGRESS = {
    "memory_total_bytes": "memoryTotalBytes",
    "memory_processed_bytes": "memoryProcessedBytes",
    "memory_remaining_bytes": "memoryRemainingBytes",
    "disk_total_bytes": "diskTotalBytes",
    "disk_processed_bytes": "diskProcessedBytes",
    "disk_remaining_bytes": "diskRemainingBytes",
}
UNDER_WAY = LIVE_UNDER_WAY | {"post-migrating"}


@dataclass(frozen=True)
class Around:
    """What the rows of migrations do not say."""

    hosts: Mapping[str, ComputeNodeRecord] = field(default_factory=dict)
    project_ids: Mapping[str, str] = field(default_factory=dict)


async def around(call: Call, migrations: Iterable[MigrationRecord], *, hosts: bool) -> Around:
    """What showing these needs; `hosts`: whether the caller may know of those."""
    projects = {migration.project for migration in migrations}
    if not projects:
        return Around()
    found = await nodes.list_compute_nodes(call.services.db) if hosts else []
    ids = {project.name: project.id for project in await tenants.list_projects(call.services.db)}
    return Around({node.name: node for node in found}, ids)


def ends(migration: MigrationRecord, facts: Around, *, shown: bool) -> Json:
    """Where it leaves and where it goes: null for who may not know."""
    source = facts.hosts.get(migration.source or "")
    destination = facts.hosts.get(migration.destination or "")
    return {
        "dest_compute": migration.destination if shown else None,
        "dest_host": destination.inventory.address if shown and destination else None,
        "dest_node": destination.hypervisor_hostname if shown and destination else None,
        "source_compute": migration.source if shown else None,
        "source_node": source.hypervisor_hostname if shown and source else None,
    }


def of_server(call: Call, migration: MigrationRecord, facts: Around, *, hosts: bool) -> Json:
    """A live migration of a server, with its progress."""
    progress = migration.progress or {}
    shown: Json = {
        "id": migration.number,
        "server_uuid": migration.instance_id,
        "status": migration.status,
        "created_at": row_moment(migration.created_at),
        "updated_at": row_moment(migration.updated_at),
        **ends(migration, facts, shown=hosts),
        **{name: progress.get(key, 0) for name, key in PROGRESS.items()},
    }
    return {**shown, **_identity(call, migration, facts)}


def of_cloud(call: Call, migration: MigrationRecord, facts: Around, *, hosts: bool) -> Json:
    """Any migration, as the cloud's list has it."""
    shown: Json = {
        "id": migration.number,
        "instance_uuid": migration.instance_id,
        "status": migration.status,
        "old_instance_type_id": flavor_number(migration.old_flavor),
        "new_instance_type_id": flavor_number(migration.new_flavor),
        "created_at": row_moment(migration.created_at),
        "updated_at": row_moment(migration.updated_at),
        **ends(migration, facts, shown=hosts),
        **_identity(call, migration, facts),
    }
    if call.version >= since.MIGRATION_TYPE:
        shown["migration_type"] = migration.kind.value
        if migration.kind is MoveKind.LIVE and migration.status in UNDER_WAY:
            path = f"servers/{migration.instance_id}/migrations"
            shown["links"] = links(call, path, str(migration.number))
    return shown


def _identity(call: Call, migration: MigrationRecord, facts: Around) -> Json:
    found: Json = {}
    if call.version >= since.MIGRATION_UUID:
        found["uuid"] = migration.id
    if call.version >= since.MIGRATION_OWNER:
        found["user_id"] = migration.user_id or ""
        found["project_id"] = facts.project_ids.get(migration.project, migration.project)
    return found


def flavor_number(flavor: Json | None) -> int | None:
    """Nova has numbers here that no other call knows; ours tell the same flavor from another one, too."""
    if flavor is None:
        return None
    name = str(flavor.get("id") or flavor["name"])
    return int(name) if name.isascii() and name.isdigit() and len(name) < 10 else zlib.crc32(name.encode())
