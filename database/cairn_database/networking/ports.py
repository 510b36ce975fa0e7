"""Ports in SQL: made, changed and deleted through the Network API, or made by an instance's boot.

A port holds its addresses from the moment it is made. `addresses.py` binds ports to instances.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from cairn_database import addresses
from cairn_database.engine import Database
from cairn_database.errors import NetworkNotFound
from cairn_database.networking import pools
from cairn_database.networking.errors import PortInUse, PortNotFound
from cairn_database.networking.limits import check_quota
from cairn_database.networking.tables import floating_ips, port_security_groups, ports
from cairn_database.records import Json
from cairn_database.rows import CHUNK, now
from cairn_database.tables import addresses as held

FLOATING_OWNER = "network:floatingip"
DEFAULT_MAC_ORDINAL = 0


@dataclass(frozen=True, kw_only=True)
class NewPort:
    """What `create` takes."""

    id: str
    network: str
    """The resource's name."""
    project: str | None
    name: str = ""
    mac: str | None = None
    addresses: Sequence[str | None] = (None,)
    """The fixed ones, in order; None: the longest free one."""
    security_groups: Sequence[str] = ()
    """Ids."""
    device_id: str = ""
    device_owner: str = ""
    details: Json = field(default_factory=dict)
    """What is kept for clients and nothing acts on; see `PortRecord.details`."""


@dataclass(frozen=True, kw_only=True)
class PortRecord:
    """A port."""

    id: str
    network: str
    project: str | None
    name: str
    mac: str
    instance_id: str | None
    ordinal: int | None
    transient: bool
    device_id: str
    """What a caller wrote; `instance_id` goes before it."""
    device_owner: str
    details: Json
    """`description`, `adminStateUp`, `portSecurity`, `dnsName`, `allowedAddressPairs`, `vnicType`, `profile`,
    `tags`, each where it was given."""
    created_at: datetime
    updated_at: datetime
    revision: int
    addresses: tuple[str, ...] = ()
    security_groups: tuple[str, ...] = ()
    """Ids."""


async def create(db: Database, new: Sequence[NewPort]) -> list[PortRecord]:
    """Make the ports, all or none, within their projects' quotas.

    Raises NetworkNotFound, AddressesExhausted, AddressInUse, MacInUse, NetworkQuotaExceeded.
    """

    def transaction(conn: sa.Connection) -> list[PortRecord]:
        for project, count in sorted(Counter(port.project for port in new if port.project).items()):
            check_quota(conn, project, "port", count)
        for port in new:
            add(conn, port, now())
        return read(conn, [port.id for port in new])

    return await db.run(transaction)


def add(conn: sa.Connection, port: NewPort, moment: datetime) -> list[str]:
    """Inside a transaction: the port; its addresses."""
    spec = pools.spec_for_use(conn, port.network)
    if spec is None:
        raise NetworkNotFound(port.network)
    taken = [pools.take(conn, port.network, address, spec) for address in port.addresses]
    values = {
        "id": port.id,
        "network": port.network,
        "project": port.project,
        "name": port.name,
        "mac": addresses.free_mac(conn, port.network, port.id, DEFAULT_MAC_ORDINAL, port.mac),
        "instance_id": None,
        "ordinal": None,
        "transient": False,
        "device_id": port.device_id,
        "device_owner": port.device_owner,
        "details": port.details,
        "created_at": moment,
        "updated_at": moment,
        "revision": 1,
    }
    conn.execute(sa.insert(ports), values)
    _hold(conn, port.id, port.network, taken)
    set_groups(conn, port.id, port.security_groups)
    return taken


def set_groups(conn: sa.Connection, port_id: str, group_ids: Sequence[str]) -> None:
    """Inside a transaction: the port is in these groups, and in no other."""
    links = port_security_groups
    conn.execute(sa.delete(links).where(links.c.port_id == port_id))
    if group_ids:
        rows = [{"port_id": port_id, "group_id": group_id} for group_id in dict.fromkeys(group_ids)]
        conn.execute(sa.insert(links), rows)


@dataclass(frozen=True, kw_only=True)
class PortChange:
    """What `update` changes; None: stays."""

    name: str | None = None
    mac: str | None = None
    addresses: Sequence[str | None] | None = None
    security_groups: Sequence[str] | None = None
    device_id: str | None = None
    device_owner: str | None = None
    details: Json | None = None
    """All of them."""


async def update(db: Database, port_id: str, change: PortChange) -> PortRecord:
    """Change a port. Raises PortNotFound, PortInUse (an instance's interface keeps address and MAC),
    AddressesExhausted, AddressInUse, MacInUse."""

    def transaction(conn: sa.Connection) -> PortRecord:
        row = conn.execute(sa.select(ports).where(ports.c.id == port_id).with_for_update()).one_or_none()
        if row is None:
            raise PortNotFound(port_id)
        values: Json = {
            name: getattr(change, name)
            for name in ("name", "device_id", "device_owner", "details")
            if getattr(change, name) is not None
        }
        if change.mac is not None and change.mac != row.mac:
            _refuse_bound(row)
            values["mac"] = addresses.free_mac(conn, row.network, port_id, DEFAULT_MAC_ORDINAL, change.mac)
        if change.addresses is not None:
            _change_addresses(conn, row, change.addresses)
        if change.security_groups is not None:
            set_groups(conn, port_id, change.security_groups)
        values |= {"updated_at": now(), "revision": row.revision + 1}
        conn.execute(sa.update(ports).where(ports.c.id == port_id).values(values))
        return read(conn, [port_id])[0]

    return await db.run(transaction)


def _refuse_bound(row: Any) -> None:
    if row.instance_id is not None:
        raise PortInUse(row.id, row.instance_id)


def _change_addresses(conn: sa.Connection, row: Any, wanted: Sequence[str | None]) -> None:
    mine = sa.select(held.c.address).where(held.c.port_id == row.id)
    there = set(conn.scalars(mine))
    keep = {address for address in wanted if address is not None} & there
    gone = there - keep
    new = [address for address in wanted if address not in keep]
    if not gone and not new:
        return
    _refuse_bound(row)
    spec = pools.spec_for_use(conn, row.network)
    if spec is None:
        raise NetworkNotFound(row.network)
    taken = [pools.take(conn, row.network, address, spec) for address in new]
    _hold(conn, row.id, row.network, taken)
    if gone:
        moment = now()
        fixed = floating_ips.c
        conn.execute(
            sa.update(floating_ips)
            .where(fixed.fixed_port_id == row.id, fixed.fixed_address.in_(gone))
            .values(fixed_port_id=None, fixed_address=None, updated_at=moment, revision=fixed.revision + 1)
        )
        conn.execute(sa.delete(held).where(held.c.port_id == row.id, held.c.address.in_(gone)))
        pools.give_back(conn, [(row.network, address) for address in gone])


def _hold(conn: sa.Connection, port_id: str, network: str, taken: Sequence[str]) -> None:
    if taken:
        rows = [{"network": network, "address": address, "port_id": port_id} for address in taken]
        conn.execute(sa.insert(held), rows)


async def delete(db: Database, port_id: str) -> None:
    """The port goes, and its addresses are free. Raises PortNotFound, PortInUse for an instance's interface
    and for a floating address's own port."""

    def transaction(conn: sa.Connection) -> None:
        row = conn.execute(sa.select(ports).where(ports.c.id == port_id).with_for_update()).one_or_none()
        if row is None:
            raise PortNotFound(port_id)
        _refuse_bound(row)
        if row.device_owner == FLOATING_OWNER:
            raise PortInUse(port_id, f"floating IP {row.device_id}")
        addresses.drop_ports(conn, [port_id], now())

    await db.run(transaction)


# --- reading ---------------------------------------------------------------------------------------------


async def get(db: Database, port_id: str) -> PortRecord | None:
    """The port of that id."""
    found = await db.read(lambda conn: read(conn, [port_id]))
    return found[0] if found else None


async def find(db: Database, *conditions: sa.ColumnElement[bool]) -> list[PortRecord]:
    """The ports that meet the conditions on `tables.ports`, oldest first."""
    statement = sa.select(ports.c.id).where(*conditions).order_by(ports.c.created_at, ports.c.id)
    return await db.read(lambda conn: read(conn, list(conn.scalars(statement))))


def with_address(address: str) -> sa.ColumnElement[bool]:
    """The condition that a port holds that address."""
    return ports.c.id.in_(sa.select(held.c.port_id).where(held.c.address == address))


def of_device(device_id: str) -> sa.ColumnElement[bool]:
    """The condition that a port is an instance's, or whatever else its device_id says."""
    return sa.or_(ports.c.instance_id == device_id, ports.c.device_id == device_id)


def in_group(group_id: str) -> sa.ColumnElement[bool]:
    """The condition that a port is in that security group."""
    links = port_security_groups.c
    return ports.c.id.in_(sa.select(links.port_id).where(links.group_id == group_id))


def read(conn: sa.Connection, port_ids: Sequence[str]) -> list[PortRecord]:
    """Inside a query: the ports of these ids, in their order; unknown ones are left out."""
    rows: dict[str, Any] = {}
    addresses_of: dict[str, list[str]] = {}
    groups_of: dict[str, list[str]] = {}
    for start in range(0, len(port_ids), CHUNK):
        chunk = port_ids[start : start + CHUNK]
        rows |= {row.id: row for row in conn.execute(sa.select(ports).where(ports.c.id.in_(chunk)))}
        statement = sa.select(held.c.port_id, held.c.address).where(held.c.port_id.in_(chunk))
        _collect(addresses_of, conn.execute(statement))
        links = port_security_groups.c
        _collect(
            groups_of,
            conn.execute(sa.select(links.port_id, links.group_id).where(links.port_id.in_(chunk))),
        )
    return [
        PortRecord(
            **rows[port_id]._mapping,
            addresses=tuple(sorted(addresses_of.get(port_id, ()))),
            security_groups=tuple(sorted(groups_of.get(port_id, ()))),
        )
        for port_id in port_ids
        if port_id in rows
    ]


def _collect(into: dict[str, list[str]], pairs: Iterable[Any]) -> None:
    for key, value in pairs:
        into.setdefault(key, []).append(value)
