"""What instances are plugged into, as the APIs show it: one question for any number of instances."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy import bindparam

from cairn_database.engine import Database
from cairn_database.networking.tables import floating_ips, port_security_groups, ports, security_groups
from cairn_database.rows import CHUNK
from cairn_database.tables import addresses, networks


class GroupName(NamedTuple):
    """A security group that a port is in."""

    id: str
    name: str
    """The API's."""


class Interface(NamedTuple):
    """One network interface of an instance: a port."""

    port_id: str
    network: str
    """The resource's name."""
    network_id: str
    network_name: str
    """The API's: what `addresses` of a server is keyed by."""
    subnet_id: str
    mac: str
    ordinal: int
    transient: bool
    """Made for the instance, and goes with it."""
    addresses: tuple[str, ...]
    """Fixed ones, the first is the main one."""
    floating: tuple[str, ...]
    security_groups: tuple[GroupName, ...]


_MINE = ports.c.instance_id.in_(bindparam("instances", expanding=True))
_INTERFACES = (
    sa.select(
        ports.c.instance_id,
        ports.c.id,
        ports.c.network,
        networks.c.id,
        networks.c.display_name,
        networks.c.subnet_id,
        ports.c.mac,
        ports.c.ordinal,
        ports.c.transient,
        addresses.c.address,
    )
    .join_from(ports, networks, networks.c.name == ports.c.network)
    .join(addresses, addresses.c.port_id == ports.c.id, isouter=True)
    .where(_MINE)
)
_GROUPS = (
    sa.select(ports.c.id, security_groups.c.id, security_groups.c.display_name)
    .join_from(ports, port_security_groups, port_security_groups.c.port_id == ports.c.id)
    .join(security_groups, security_groups.c.id == port_security_groups.c.group_id)
    .where(_MINE)
)
_FLOATING = (
    sa.select(ports.c.id, floating_ips.c.address)
    .join_from(ports, floating_ips, floating_ips.c.fixed_port_id == ports.c.id)
    .where(_MINE)
)


async def interfaces_of(db: Database, instance_ids: Iterable[str]) -> dict[str, list[Interface]]:
    """The interfaces of these instances, in their order; instances without any are left out."""
    ids = list(instance_ids)
    return await db.read(lambda conn: read_interfaces(conn, ids))


def read_interfaces(conn: sa.Connection, instance_ids: list[str]) -> dict[str, list[Interface]]:
    """As `interfaces_of`, inside a query."""
    found: dict[str, list[Interface]] = {}
    for start in range(0, len(instance_ids), CHUNK):
        _read(conn, {"instances": instance_ids[start : start + CHUNK]}, found)
    return found


def _read(conn: sa.Connection, parameters: dict[str, list[str]], found: dict[str, list[Interface]]) -> None:
    held: dict[str, list[str]] = {}
    groups: dict[str, list[GroupName]] = {}
    floating: dict[str, list[str]] = {}
    rows = conn.execute(_INTERFACES, parameters).all()
    if not rows:
        return
    for port_id, group_id, name in conn.execute(_GROUPS, parameters):
        groups.setdefault(port_id, []).append(GroupName(group_id, name))
    for port_id, address in conn.execute(_FLOATING, parameters):
        floating.setdefault(port_id, []).append(address)
    for row in rows:
        if row[9] is not None:
            held.setdefault(row[1], []).append(row[9])
    seen: set[str] = set()
    for instance_id, port_id, network, network_id, name, subnet_id, mac, ordinal, transient, _ in rows:
        if port_id in seen:
            continue
        seen.add(port_id)
        found.setdefault(instance_id, []).append(
            Interface(
                port_id,
                network,
                network_id or "",
                name,
                subnet_id or "",
                mac,
                ordinal or 0,
                transient,
                tuple(held.get(port_id, ())),
                tuple(sorted(floating.get(port_id, ()))),
                tuple(sorted(groups.get(port_id, ()), key=lambda group: group.name)),
            )
        )
    for items in found.values():
        items.sort(key=lambda item: item.ordinal)
