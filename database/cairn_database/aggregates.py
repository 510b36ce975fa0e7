"""Host aggregates, mirrored into SQL under the number and the UUID that the Compute API calls them by; and
the availability zones that follow from them."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from cairn_crds.host_aggregate import HostAggregateSpec
from cairn_database import mirroring
from cairn_database.engine import Database
from cairn_database.errors import IdTaken
from cairn_database.rows import now
from cairn_database.tables import aggregates

ZONE_KEY = "availability_zone"
"""In an aggregate's metadata: its zone, as Nova keeps it there."""
DEFAULT_ZONE = "nova"
"""The zone of hosts that no aggregate puts into another (Nova: `default_availability_zone`)."""


@dataclass(frozen=True)
class AggregateRecord:
    """Hosts that have something in common."""

    name: str
    """The resource's."""
    id: int
    uuid: str
    spec: HostAggregateSpec
    created_at: datetime
    updated_at: datetime
    """The same as `created_at` until something changes."""

    @property
    def display_name(self) -> str:
        """What the Compute API calls it."""
        return self.spec.display_name or self.name

    @property
    def zone(self) -> str | None:
        """The availability zone that it makes of its hosts."""
        return zone_of(self.spec)

    @property
    def metadata(self) -> dict[str, str]:
        """What is said of the hosts; the zone is part of it, as in Nova."""
        pairs = dict(self.spec.metadata)
        if self.zone:
            pairs[ZONE_KEY] = self.zone
        return pairs


async def upsert(
    db: Database, name: str, spec: HostAggregateSpec, uid: str | None = None
) -> tuple[AggregateRecord, bool]:
    """Take the aggregate in; returns it, and whether that changed anything.

    `uid` is the resource's. One that was removed and comes back with another `uid` is a new aggregate, with a
    number of its own. Raises IdTaken for a `spec.id` that another one has, or had.
    """
    return await db.run(lambda conn: _upsert(conn, name, spec, uid))


async def remove(db: Database, name: str) -> None:
    """Let go of it."""

    def transaction(conn: sa.Connection) -> None:
        mirroring.remove(conn, aggregates, {"name": name})

    await db.run(transaction)


async def get(db: Database, name: str) -> AggregateRecord | None:
    """The aggregate of that resource, unless it is removed."""
    row = await mirroring.one(db, aggregates, aggregates.c.name == name)
    return None if row is None else _record(row)


async def find(db: Database, aggregate_id: int) -> AggregateRecord | None:
    """The aggregate of that number, unless it is removed."""
    row = await mirroring.one(db, aggregates, aggregates.c.id == aggregate_id)
    return None if row is None else _record(row)


async def list_all(db: Database) -> list[AggregateRecord]:
    """All that are not removed, by number."""
    found = [_record(row) for row in await mirroring.select(db, aggregates)]
    return sorted(found, key=lambda record: record.id)


def zone_of(spec: HostAggregateSpec) -> str | None:
    """The availability zone that an aggregate makes of its hosts."""
    return spec.availability_zone or spec.metadata.get(ZONE_KEY)


def zones(specs: Iterable[HostAggregateSpec]) -> dict[str, str]:
    """The availability zone of each host that an aggregate puts into one; the others' is DEFAULT_ZONE.

    A host in several (kubectl does not stop anybody) has all their names, joined by commas, as in Nova.
    """
    found: dict[str, set[str]] = {}
    for spec in specs:
        if zone := zone_of(spec):
            for host in spec.hosts:
                found.setdefault(host, set()).add(zone)
    return {host: ",".join(sorted(names)) for host, names in found.items()}


async def host_zones(db: Database) -> dict[str, str]:
    """As `zones`, of all aggregates."""
    return zones(record.spec for record in await list_all(db))


def _upsert(
    conn: sa.Connection, name: str, spec: HostAggregateSpec, uid: str | None
) -> tuple[AggregateRecord, bool]:
    named = aggregates.c.name == name
    row = conn.execute(sa.select(aggregates).where(named).with_for_update()).one_or_none()
    known = row is not None and (row.removed_at is None or row.uuid == uid)
    document, moment = spec.to_api(), now()
    if row is not None and known and row.removed_at is None and row.spec == document:
        return _record(row), False
    values: dict[str, Any] = {"spec": document, "updated_at": moment, "removed_at": None}
    if not known:
        values |= {
            "id": _number(conn, name, spec.id),
            "uuid": uid or str(uuid.uuid4()),
            "created_at": moment,
        }
    if row is None:
        conn.execute(sa.insert(aggregates), {"name": name, **values})
    else:
        conn.execute(sa.update(aggregates).where(named), values)
    return _record(conn.execute(sa.select(aggregates).where(named)).one()), True


def _number(conn: sa.Connection, name: str, asked: int | None) -> int:
    """The number asked for, or the next one. The unique key lets no two have the same: who comes second is
    run again and sees the other's."""
    if asked is None:
        return int(conn.scalar(sa.select(sa.func.max(aggregates.c.id))) or 0) + 1
    holder = conn.scalar(sa.select(aggregates.c.name).where(aggregates.c.id == asked))
    if holder is not None and holder != name:
        raise IdTaken("HostAggregate", str(asked), holder)
    return asked


def _record(row: Any) -> AggregateRecord:
    spec = HostAggregateSpec.model_validate(row.spec)
    return AggregateRecord(row.name, row.id, row.uuid, spec, row.created_at, row.updated_at)
