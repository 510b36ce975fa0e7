"""Networks in SQL: the mirror of the Network resources, and drafts of networks that have no subnet yet.

A Network resource is a network with its one IPv4 subnet. The Network API makes the two one after the other,
so what has no subnet is a draft, a row alone; with its subnet it becomes a resource of the same id, and when
the subnet is deleted a draft again. Whoever decides that a network goes marks its row first: from then on
nobody can begin to use it, and a resource whose row is marked is deleted by whoever meets it.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from cairn_crds.network import NetworkSpec
from cairn_database import mirroring
from cairn_database.engine import Database
from cairn_database.errors import StillInUse
from cairn_database.mirroring import SpecTable
from cairn_database.networking import pools
from cairn_database.networking.errors import NetworkInUse, SubnetInUse
from cairn_database.networking.tables import network_drafts, ports
from cairn_database.records import Json
from cairn_database.rows import now
from cairn_database.tables import networks

_IDS = uuid.UUID("3c1d9a6e-0d4f-4b6e-8f0b-7f2f5f0d7c55")


class ResourceGoing(StillInUse):
    """The row of this very resource was let go of: the resource is to be deleted, not taken in again."""

    def __init__(self, name: str) -> None:
        super().__init__("Network", name, 0)


class NetworkIdTaken(StillInUse):
    """Another network has the id that the resource says (`spec.id`)."""

    def __init__(self, name: str, network_id: str, other: str) -> None:
        super().__init__("Network", name, 0)
        self.message = f"spec.id {network_id} is Network '{other}' already. Leave it out, or say another."


@dataclass(frozen=True)
class NetworkRecord:
    """A network: one that has its subnet, or a draft."""

    id: str
    display_name: str
    owner: str | None
    """The project's name; None: the operator's."""
    name: str | None
    """The Network resource's; None for a draft."""
    spec: NetworkSpec | None
    """None for a draft."""
    draft: Json
    """A draft's NetworkSpec in API form, without cidr."""
    shared: bool
    external: bool
    subnet_id: str | None
    created_at: datetime
    updated_at: datetime


def subnet_id_of(network_id: str, cidr: str) -> str:
    """The id of a network's subnet: the same as long as its range is."""
    return str(uuid.uuid5(uuid.UUID(network_id), f"subnet/{cidr}"))


def owner_of(spec: NetworkSpec) -> str | None:
    """The project that the network belongs to."""
    return spec.owner or (spec.projects[0] if len(spec.projects) == 1 else None)


class NetworkTable(SpecTable[NetworkSpec]):
    """The mirror, with the free addresses of the networks' pools. Changed pools count from now on; addresses
    in use stay with their ports."""

    async def take_in(self, db: Database, name: str, spec: NetworkSpec, uid: str) -> bool:
        """As `upsert`, of the resource with that uid. Raises ResourceGoing, NetworkIdTaken."""
        return await db.run(lambda conn: write(conn, name, spec, uid))

    def _upsert(self, conn: sa.Connection, name: str, spec: NetworkSpec) -> bool:
        return write(conn, name, spec, None)

    def _remove(self, conn: sa.Connection, name: str) -> None:
        if let_go(conn, name):
            mirroring.refuse_use("Network", name, users(conn, name))


def write(conn: sa.Connection, name: str, spec: NetworkSpec, uid: str | None) -> bool:
    """Make the row hold `spec`; a draft of the same id ends. Returns whether anything changed."""
    statement = sa.select(networks).where(networks.c.name == name).with_for_update()
    row: Any = conn.execute(statement).one_or_none()
    moment = now()
    living = row is not None and row.removed_at is None
    if row is not None and not living and uid is not None and row.resource_uid == uid:
        raise ResourceGoing(name)
    same = living and (uid is None or row.resource_uid in (None, uid))
    network_id = spec.id or (row.id if same else None) or uid or str(uuid.uuid5(_IDS, name))
    other = conn.scalar(
        sa.select(networks.c.name).where(networks.c.id == network_id, networks.c.name != name)
    )
    if other is not None:
        raise NetworkIdTaken(name, network_id, other)
    values = {
        "id": network_id,
        "display_name": spec.display_name or name,
        "owner": owner_of(spec),
        "shared": not spec.projects,
        "external": spec.external,
        "subnet_id": subnet_id_of(network_id, spec.cidr),
        "resource_uid": uid or (row.resource_uid if same else None),
        "spec": spec.to_api(),
    }
    if living and all(row._mapping[column] == value for column, value in values.items()):
        return False
    conn.execute(sa.delete(network_drafts).where(network_drafts.c.id == network_id))
    if row is None:
        conn.execute(
            sa.insert(networks), {**values, "name": name, "created_at": moment, "updated_at": moment}
        )
    else:
        times = {"updated_at": moment, "removed_at": None} | ({} if living else {"created_at": moment})
        conn.execute(sa.update(networks).where(networks.c.name == name).values({**values, **times}))
    if not living or pools.usable(NetworkSpec.model_validate(row.spec)) != pools.usable(spec):
        pools.rebuild_free(conn, name, spec)
    return True


def let_go(conn: sa.Connection, name: str) -> bool:
    """Mark the row, which keeps new users out, and give out no more addresses. Whether it was there."""
    moment = now()
    marked = conn.execute(
        sa.update(networks)
        .where(networks.c.name == name, networks.c.removed_at.is_(None))
        .values(removed_at=moment, updated_at=moment, id=None, subnet_id=None)
    )
    pools.drop_free(conn, name)
    return marked.rowcount > 0


def users(conn: sa.Connection, name: str) -> int:
    """How many instances, and ports of nobody's, are on the network."""
    holders = sa.func.count(sa.func.coalesce(ports.c.instance_id, ports.c.id).distinct())
    return int(conn.scalar(sa.select(holders).where(ports.c.network == name)) or 0)


# --- drafts ----------------------------------------------------------------------------------------------


def add_draft(conn: sa.Connection, network_id: str, owner: str, display_name: str, spec: Json) -> None:
    """Inside a transaction: a network without a subnet."""
    moment = now()
    conn.execute(
        sa.insert(network_drafts),
        {
            "id": network_id,
            "owner": owner,
            "display_name": display_name,
            "spec": spec,
            "created_at": moment,
            "updated_at": moment,
        },
    )


async def change_draft(db: Database, network_id: str, display_name: str, spec: Json) -> bool:
    """Whether there (still) is a draft of that id; it says this from now on."""
    statement = (
        sa.update(network_drafts)
        .where(network_drafts.c.id == network_id)
        .values(display_name=display_name, spec=spec, updated_at=now())
    )
    return await db.run(lambda conn: conn.execute(statement).rowcount > 0)


async def drop_draft(db: Database, network_id: str) -> bool:
    """Whether there was a draft of that id; it is gone."""
    statement = sa.delete(network_drafts).where(network_drafts.c.id == network_id)
    return await db.run(lambda conn: conn.execute(statement).rowcount > 0)


async def begin_removal(db: Database, record: NetworkRecord, *, keep_draft: bool) -> None:
    """The network's row is marked: nobody can begin to use it, and its resource is to be deleted next.

    `keep_draft`: only its subnet goes. Raises NetworkInUse, SubnetInUse.
    """
    name, spec = record.name, record.spec
    if name is None or spec is None:
        raise ValueError(f"network {record.id} has no subnet")

    def transaction(conn: sa.Connection) -> None:
        if not let_go(conn, name):
            return
        count = users(conn, name)
        if count and keep_draft:
            raise SubnetInUse(record.subnet_id or "", count)
        if count:
            raise NetworkInUse(record.id, count)
        if keep_draft:
            add_draft(conn, record.id, record.owner or "", record.display_name, draft_of(spec))

    await db.run(transaction)


SUBNET_FIELDS = frozenset(
    ("cidr", "gateway", "dns", "pools", "dhcp", "subnetName", "subnetDescription", "id", "displayName")
)


def draft_of(spec: NetworkSpec) -> Json:
    """What a draft keeps of a network's spec."""
    return {name: value for name, value in spec.to_api().items() if name not in SUBNET_FIELDS}


# --- reading ---------------------------------------------------------------------------------------------


async def find(
    db: Database,
    *,
    network_id: str | None = None,
    subnet_id: str | None = None,
    name: str | None = None,
    visible_to: str | None = None,
) -> list[NetworkRecord]:
    """Networks in the order of their age: those of that id, subnet or resource name; all without.

    `visible_to`: a project's name; only those that it owns or may use, and external ones.
    """
    columns, drafts = networks.c, network_drafts.c
    conditions: list[sa.ColumnElement[bool]] = [columns.removed_at.is_(None), columns.id.is_not(None)]
    conditions += [columns.id == network_id] if network_id is not None else []
    conditions += [columns.subnet_id == subnet_id] if subnet_id is not None else []
    conditions += [columns.name == name] if name is not None else []
    statement = sa.select(networks).where(*conditions).order_by(columns.created_at, columns.name)
    of_drafts = [drafts.id == network_id] if network_id is not None else []
    of_drafts += [drafts.owner == visible_to] if visible_to is not None else []
    draft_statement = sa.select(network_drafts).where(*of_drafts).order_by(drafts.created_at, drafts.id)

    def query(conn: sa.Connection) -> list[NetworkRecord]:
        found = [_record(row) for row in conn.execute(statement)]
        if subnet_id is None and name is None:
            found += [_draft_record(row) for row in conn.execute(draft_statement)]
        return found

    return [record for record in await db.read(query) if visible_to is None or visible(record, visible_to)]


def visible(record: NetworkRecord, project: str | None) -> bool:
    """Whether a project sees the network."""
    return record.external or usable_by(record, project)


def usable_by(record: NetworkRecord, project: str | None) -> bool:
    """Whether a project may put ports on the network."""
    return (
        record.shared
        or (project is not None and record.owner == project)
        or (record.spec is not None and project in record.spec.projects)
    )


def _record(row: Any) -> NetworkRecord:
    return NetworkRecord(
        id=row.id,
        display_name=row.display_name,
        owner=row.owner,
        name=row.name,
        spec=NetworkSpec.model_validate(row.spec),
        draft={},
        shared=row.shared,
        external=row.external,
        subnet_id=row.subnet_id,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def _draft_record(row: Any) -> NetworkRecord:
    return NetworkRecord(
        id=row.id,
        display_name=row.display_name,
        owner=row.owner or None,
        name=None,
        spec=None,
        draft=row.spec,
        shared=not row.spec.get("projects"),
        external=bool(row.spec.get("external")),
        subnet_id=None,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )
