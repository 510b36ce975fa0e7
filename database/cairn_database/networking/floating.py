"""Floating addresses in SQL: taken from an external network's pools, and led to a port's fixed address.

The row and its address are kept here; packets do not follow it yet (see docs/networking.md), so every one is
shown as DOWN.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from cairn_database import addresses
from cairn_database.engine import Database
from cairn_database.networking import ports as port_rows
from cairn_database.networking.errors import FloatingIpInUse, FloatingIpNotFound, PortNotFound
from cairn_database.networking.limits import check_quota
from cairn_database.networking.ports import FLOATING_OWNER, NewPort
from cairn_database.networking.tables import floating_ips, ports
from cairn_database.rows import now
from cairn_database.tables import addresses as held


@dataclass(frozen=True)
class FloatingIpRecord:
    """A floating address."""

    id: str
    project: str
    network: str
    """The external network's resource."""
    address: str
    port_id: str
    """The port that holds the address in the external network."""
    fixed_port_id: str | None
    fixed_address: str | None
    description: str
    created_at: datetime
    updated_at: datetime
    revision: int


@dataclass(frozen=True)
class Lead:
    """Where a floating address leads."""

    port_id: str
    address: str | None = None
    """One of the port's; its first when None."""


@dataclass(frozen=True, kw_only=True)
class NewFloatingIp:
    """What `create` takes."""

    id: str
    port_id: str
    """The id of the port to make for it."""
    project: str
    network: str
    address: str | None = None
    description: str = ""
    lead: Lead | None = None


async def create(db: Database, new: NewFloatingIp, *, limited: bool = True) -> FloatingIpRecord:
    """Take an address, within the project's quota. Raises NetworkNotFound, AddressesExhausted, AddressInUse,
    NetworkQuotaExceeded, PortNotFound, FloatingIpInUse."""

    def transaction(conn: sa.Connection) -> FloatingIpRecord:
        if limited:
            check_quota(conn, new.project, "floatingip", 1)
        moment = now()
        port = NewPort(
            id=new.port_id,
            network=new.network,
            project=None,
            addresses=[new.address],
            device_id=new.id,
            device_owner=FLOATING_OWNER,
        )
        [address] = port_rows.add(conn, port, moment)
        leading = _lead(conn, new.id, new.lead)
        record = FloatingIpRecord(
            id=new.id,
            project=new.project,
            network=new.network,
            address=address,
            port_id=new.port_id,
            **leading,
            description=new.description,
            created_at=moment,
            updated_at=moment,
            revision=1,
        )
        conn.execute(sa.insert(floating_ips), vars(record))
        return record

    return await db.run(transaction)


def _lead(conn: sa.Connection, floating_ip: str, lead: Lead | None) -> dict[str, Any]:
    """The columns that say where it leads. Raises PortNotFound, FloatingIpInUse."""
    if lead is None:
        return {"fixed_port_id": None, "fixed_address": None}
    row = conn.execute(sa.select(ports).where(ports.c.id == lead.port_id).with_for_update()).one_or_none()
    mine = sa.select(held.c.address).where(held.c.port_id == lead.port_id).order_by(held.c.address)
    there = list(conn.scalars(mine))
    if row is None or not there or lead.address not in (None, *there):
        raise PortNotFound(lead.port_id)
    address = lead.address or there[0]
    columns = floating_ips.c
    taken = sa.select(columns.id).where(
        columns.fixed_port_id == lead.port_id, columns.fixed_address == address, columns.id != floating_ip
    )
    if conn.execute(taken).first() is not None:
        raise FloatingIpInUse(address, lead.port_id)
    return {"fixed_port_id": lead.port_id, "fixed_address": address}


async def associate(db: Database, floating_ip: str, lead: Lead | None) -> FloatingIpRecord:
    """Lead it there, or nowhere. Raises FloatingIpNotFound, PortNotFound, FloatingIpInUse."""
    return await _change(db, floating_ip, lambda conn: _lead(conn, floating_ip, lead))


async def describe(db: Database, floating_ip: str, description: str) -> FloatingIpRecord:
    """Change its description. Raises FloatingIpNotFound."""
    return await _change(db, floating_ip, lambda _conn: {"description": description})


async def _change(db: Database, floating_ip: str, changes: Any) -> FloatingIpRecord:
    mine = floating_ips.c.id == floating_ip

    def transaction(conn: sa.Connection) -> FloatingIpRecord:
        row = conn.execute(sa.select(floating_ips).where(mine).with_for_update()).one_or_none()
        if row is None:
            raise FloatingIpNotFound(floating_ip)
        values = {**changes(conn), "updated_at": now(), "revision": row.revision + 1}
        conn.execute(sa.update(floating_ips).where(mine).values(values))
        return FloatingIpRecord(**{**row._mapping, **values})

    return await db.run(transaction)


async def delete(db: Database, floating_ip: str) -> None:
    """Give it back to its pool. Raises FloatingIpNotFound."""
    mine = floating_ips.c.id == floating_ip

    def transaction(conn: sa.Connection) -> None:
        row = conn.execute(sa.select(floating_ips).where(mine).with_for_update()).one_or_none()
        if row is None:
            raise FloatingIpNotFound(floating_ip)
        conn.execute(sa.delete(floating_ips).where(mine))
        addresses.drop_ports(conn, [row.port_id], now())

    await db.run(transaction)


async def find(db: Database, *conditions: sa.ColumnElement[bool]) -> list[FloatingIpRecord]:
    """The floating addresses that meet the conditions on `tables.floating_ips`, oldest first."""
    statement = (
        sa.select(floating_ips).where(*conditions).order_by(floating_ips.c.created_at, floating_ips.c.id)
    )
    return await db.read(lambda conn: [FloatingIpRecord(**row._mapping) for row in conn.execute(statement)])


async def of_ports(db: Database, port_ids: Sequence[str]) -> list[FloatingIpRecord]:
    """Those that lead to these ports."""
    return await find(db, floating_ips.c.fixed_port_id.in_(list(port_ids)))
