"""The addresses of a network: which are free, which are held, taking one and giving one back.

`addresses` holds those in use, each by a port; `free_addresses` the ranges nobody uses, longest free first:
taking one costs the same however full the network is, and an address just given back is the last to be given
out again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network
from typing import Any

import sqlalchemy as sa
from sqlalchemy import bindparam

from cairn_crds.network import NetworkSpec
from cairn_database.engine import RunAgain
from cairn_database.errors import AddressesExhausted, AddressInUse
from cairn_database.rows import next_id
from cairn_database.tables import addresses, free_addresses, networks

Range = tuple[int, int]
"""Addresses as numbers, both ends included."""

_NETWORK = sa.select(networks.c.spec).where(
    networks.c.name == bindparam("network"), networks.c.removed_at.is_(None)
)
_NETWORK_SHARED = _NETWORK.with_for_update(read=True)
_FREE = free_addresses.c.network == bindparam("network")
_LONGEST_FREE = (
    sa.select(free_addresses.c.id, free_addresses.c.first, free_addresses.c.last)
    .where(_FREE)
    .order_by(free_addresses.c.network, free_addresses.c.id)
    .limit(1)
    .with_for_update()
)
_ANY_FREE = sa.select(free_addresses.c.id).where(_FREE).limit(1)
_RANGE_BELOW = (
    sa.select(free_addresses.c.id, free_addresses.c.first, free_addresses.c.last)
    .where(_FREE, free_addresses.c.first <= bindparam("number", type_=sa.BigInteger))
    .order_by(free_addresses.c.network.desc(), free_addresses.c.first.desc())
    .limit(1)
    .with_for_update()
)
_SHRINK = (
    sa.update(free_addresses)
    .where(free_addresses.c.id == bindparam("range"), free_addresses.c.first == bindparam("was_first"))
    .values(first=free_addresses.c.first + 1)
)
_DROP_RANGE = sa.delete(free_addresses).where(
    free_addresses.c.id == bindparam("range"),
    free_addresses.c.first == bindparam("was_first"),
    free_addresses.c.last == bindparam("was_last"),
)
_DROP_RANGES = sa.delete(free_addresses).where(_FREE)
_ADD_RANGE = sa.insert(free_addresses)
_USED = sa.select(addresses.c.address).where(addresses.c.network == bindparam("network"))
_HOLDER = sa.select(addresses.c.port_id).where(
    addresses.c.network == bindparam("network"), addresses.c.address == bindparam("address")
)


def spec_for_use(conn: sa.Connection, network: str) -> NetworkSpec | None:
    """The network's spec, which stays as it is until the transaction ends; None when there is no such one."""
    spec = conn.scalar(_NETWORK_SHARED, {"network": network})
    return None if spec is None else NetworkSpec.model_validate(spec)


def give_back(conn: sa.Connection, held: Iterable[tuple[str, str]]) -> None:
    """Inside a transaction that has dropped these rows of `addresses`: (network, address) are free again,
    those inside the pools."""
    pools: dict[str, list[Range]] = {}
    rows = []
    for network, address in sorted(held):
        if network not in pools:
            spec = spec_for_use(conn, network)
            pools[network] = [] if spec is None else usable(spec)
        number = int(IPv4Address(address))
        if any(first <= number <= last for first, last in pools[network]):
            rows.append({"id": next_id(), "network": network, "first": number, "last": number})
    if rows:
        conn.execute(_ADD_RANGE, rows)


def rebuild_free(conn: sa.Connection, network: str, spec: NetworkSpec) -> None:
    """Inside a transaction that holds the network's row: work the free ranges out anew."""
    conn.execute(_DROP_RANGES, {"network": network})
    used = sorted(int(IPv4Address(address)) for address in conn.scalars(_USED, {"network": network}))
    rows = [
        {"id": next_id(), "network": network, "first": first, "last": last}
        for first, last in subtract(usable(spec), used)
    ]
    if rows:
        conn.execute(_ADD_RANGE, rows)


def drop_free(conn: sa.Connection, network: str) -> None:
    """Inside a transaction: the network gives out no more addresses."""
    conn.execute(_DROP_RANGES, {"network": network})


def gateway(spec: NetworkSpec) -> IPv4Address:
    """The network's gateway: its first address when none is given."""
    return IPv4Address(spec.gateway) if spec.gateway else IPv4Network(spec.cidr, strict=False)[1]


def usable(spec: NetworkSpec) -> list[Range]:
    """What instances may get without asking for it: the pools (or the network), never the network's own
    address, the broadcast address or the gateway."""
    cidr = IPv4Network(spec.cidr, strict=False)
    lowest, highest = bounds(cidr)
    pools = [(int(IPv4Address(pool.start)), int(IPv4Address(pool.end))) for pool in spec.pools]
    ranges = merged((max(first, lowest), min(last, highest)) for first, last in pools or [(lowest, highest)])
    return subtract(ranges, [int(gateway(spec))])


def count_usable(spec: NetworkSpec) -> int:
    """How many addresses instances may get."""
    return sum(last - first + 1 for first, last in usable(spec))


def subtract(ranges: Iterable[Range], numbers: Sequence[int]) -> list[Range]:
    """`ranges` (ascending, apart) without `numbers` (ascending)."""
    left: list[Range] = []
    for start, last in ranges:
        first = start
        for number in numbers:
            if first <= number <= last:
                if first < number:
                    left.append((first, number - 1))
                first = number + 1
        if first <= last:
            left.append((first, last))
    return left


def bounds(cidr: IPv4Network) -> Range:
    """The first and last address of a network, as numbers."""
    first, last = int(cidr.network_address), int(cidr.broadcast_address)
    return (first, last) if cidr.prefixlen >= 31 else (first + 1, last - 1)


def merged(ranges: Iterable[Range]) -> list[Range]:
    """The same ranges in order, those that touch or overlap made one."""
    merged: list[Range] = []
    for first, last in sorted(ranges):
        if first > last:
            continue
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        else:
            merged.append((first, last))
    return merged


def take(conn: sa.Connection, network: str, address: str | None, spec: NetworkSpec) -> str:
    """Inside a transaction: an address of the network, which the caller gives to a port at once.

    `address`: a certain one, which may lie outside the pools; None: the longest free one. Raises
    AddressesExhausted, AddressInUse.
    """
    if address is None:
        return str(IPv4Address(_take_next(conn, network)))
    wanted = str(IPv4Address(address))
    _take_this(conn, network, wanted, spec)
    return wanted


def _take_next(conn: sa.Connection, network: str) -> int:
    """The longest free address."""
    row = conn.execute(_LONGEST_FREE, {"network": network}).one_or_none()
    if row is None:
        # While this waited for the row, another took it whole; there may be more behind it.
        if conn.execute(_ANY_FREE, {"network": network}).first() is not None:
            raise RunAgain
        raise AddressesExhausted(network)
    if row.first < row.last:
        result: Any = conn.execute(_SHRINK, {"range": row.id, "was_first": row.first})
    else:
        result = conn.execute(_DROP_RANGE, {"range": row.id, "was_first": row.first, "was_last": row.last})
    if result.rowcount != 1:
        raise RunAgain
    return int(row.first)


def _take_this(conn: sa.Connection, network: str, address: str, spec: NetworkSpec) -> None:
    wanted = IPv4Address(address)
    number = int(wanted)
    lowest, highest = bounds(IPv4Network(spec.cidr, strict=False))
    if not lowest <= number <= highest:
        raise AddressInUse(network, address, f"is not an address for instances (outside {spec.cidr})")
    if wanted == gateway(spec):
        raise AddressInUse(network, address, "is the gateway")
    if conn.execute(_HOLDER, {"network": network, "address": address}).first() is not None:
        raise AddressInUse(network, address)
    row = conn.execute(_RANGE_BELOW, {"network": network, "number": number}).one_or_none()
    if row is None or row.last < number:
        return
    dropped = conn.execute(_DROP_RANGE, {"range": row.id, "was_first": row.first, "was_last": row.last})
    if dropped.rowcount != 1:
        raise RunAgain
    # What is left keeps its place in the queue: the lower part under the old id.
    pieces = subtract([(row.first, row.last)], [number])
    if pieces:
        conn.execute(
            _ADD_RANGE,
            [
                {"id": row.id if index == 0 else next_id(), "network": network, "first": first, "last": last}
                for index, (first, last) in enumerate(pieces)
            ],
        )
