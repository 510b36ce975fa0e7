"""Giving instances their addresses, and taking them back.

`addresses` holds those in use, `free_addresses` the ranges nobody uses, longest free first: taking one costs
the same however full the network is, and an address just given back is the last to be given out again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from ipaddress import IPv4Address, IPv4Network
from typing import Any

import sqlalchemy as sa
from sqlalchemy import bindparam

from cairn_crds.network import NetworkSpec
from cairn_database import history
from cairn_database.engine import Database, RunAgain
from cairn_database.errors import (
    AddressesExhausted,
    AddressInUse,
    ConcurrentUpdate,
    MacInUse,
    NetworkNotFound,
)
from cairn_database.records import InstanceRecord, InterfaceRecord, TaskState
from cairn_database.rows import compare_and_set, load, load_in_task, next_id, now
from cairn_database.tables import addresses, free_addresses, networks

Range = tuple[int, int]
"""Addresses as numbers, both ends included."""

MAC_PREFIX = "fa:16:3e"
"""Nova's and Neutron's own."""
MAC_CANDIDATES = 8


@dataclass(frozen=True)
class InterfaceWant:
    """One interface to give the instance."""

    network: str
    address: str | None = None
    """A certain one, inside the network; the longest free one of its pools when None."""
    mac: str | None = None


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
_USE = sa.insert(addresses)
_USED = sa.select(addresses.c.address).where(addresses.c.network == bindparam("network"))
_HOLDER = sa.select(addresses.c.instance_id).where(
    addresses.c.network == bindparam("network"), addresses.c.address == bindparam("address")
)
_MACS = sa.select(addresses.c.mac).where(
    addresses.c.network == bindparam("network"), addresses.c.mac.in_(bindparam("macs", expanding=True))
)
_DROP = sa.delete(addresses).where(addresses.c.instance_id == bindparam("instance"))


async def allocate_interfaces(
    db: Database, instance_id: str, version: int, wants: Sequence[InterfaceWant]
) -> InstanceRecord:
    """Give the instance its interfaces, in order, and move it from task networking to spawning.

    Idempotent: an instance that has them already (same networks, task spawning) is returned as it is. Raises
    NetworkNotFound, AddressesExhausted, AddressInUse, MacInUse, InstanceNotFound, ConcurrentUpdate.
    """

    def transaction(conn: sa.Connection) -> InstanceRecord:
        record = load(conn, instance_id)
        if record.task_state == TaskState.SPAWNING and record.version == version + 1:
            if [item.network for item in record.interfaces] == [want.network for want in wants]:
                return record
            raise ConcurrentUpdate("Instance", instance_id, "the same interfaces", "others")
        record = load_in_task(conn, instance_id, version, TaskState.NETWORKING)
        moment = now()
        after = compare_and_set(
            conn,
            record,
            moment=moment,
            task_state=TaskState.SPAWNING,
            interfaces=tuple(_give(conn, instance_id, ordinal, want) for ordinal, want in enumerate(wants)),
        )
        history.add_events(conn, history.event_of(record, moment))
        return after

    return await db.run(transaction)


def release(conn: sa.Connection, record: InstanceRecord, moment: datetime) -> None:
    """Inside a transaction: take back every address of the instance. The caller empties `interfaces`."""
    if not record.interfaces or conn.execute(_DROP, {"instance": record.id}).rowcount == 0:
        return
    pools: dict[str, list[Range]] = {}
    for item in sorted(record.interfaces, key=lambda item: item.network):
        if item.network not in pools:
            spec = conn.scalar(_NETWORK_SHARED, {"network": item.network})
            pools[item.network] = [] if spec is None else usable(NetworkSpec.model_validate(spec))
    rows = []
    for item in record.interfaces:
        number = int(IPv4Address(item.address))
        if any(first <= number <= last for first, last in pools[item.network]):
            rows.append({"id": next_id(), "network": item.network, "first": number, "last": number})
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
    lowest, highest = _bounds(cidr)
    pools = [(int(IPv4Address(pool.start)), int(IPv4Address(pool.end))) for pool in spec.pools]
    ranges = _merged((max(first, lowest), min(last, highest)) for first, last in pools or [(lowest, highest)])
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


def mac_of(instance_id: str, ordinal: int, attempt: int = 0) -> str:
    """The MAC address of an instance's interface: the same at every attempt to build it."""
    digest = hashlib.sha256(f"{instance_id}/{ordinal}/{attempt}".encode()).digest()
    return ":".join([MAC_PREFIX, *(f"{byte:02x}" for byte in digest[:3])])


def _bounds(cidr: IPv4Network) -> Range:
    first, last = int(cidr.network_address), int(cidr.broadcast_address)
    return (first, last) if cidr.prefixlen >= 31 else (first + 1, last - 1)


def _merged(ranges: Iterable[Range]) -> list[Range]:
    merged: list[Range] = []
    for first, last in sorted(ranges):
        if first > last:
            continue
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        else:
            merged.append((first, last))
    return merged


def _give(conn: sa.Connection, instance_id: str, ordinal: int, want: InterfaceWant) -> InterfaceRecord:
    spec = conn.scalar(_NETWORK_SHARED, {"network": want.network})
    if spec is None:
        raise NetworkNotFound(want.network)
    if want.address is None:
        address = str(IPv4Address(_take_next(conn, want.network)))
    else:
        address = str(IPv4Address(want.address))
        _take(conn, want.network, address, NetworkSpec.model_validate(spec))
    mac = _free_mac(conn, instance_id, ordinal, want)
    conn.execute(
        _USE,
        {
            "network": want.network,
            "address": address,
            "mac": mac,
            "instance_id": instance_id,
            "ordinal": ordinal,
        },
    )
    return InterfaceRecord(want.network, address, mac, ordinal)


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


def _take(conn: sa.Connection, network: str, address: str, spec: NetworkSpec) -> None:
    """A certain address, which may lie outside the pools."""
    wanted = IPv4Address(address)
    number = int(wanted)
    lowest, highest = _bounds(IPv4Network(spec.cidr, strict=False))
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


def _free_mac(conn: sa.Connection, instance_id: str, ordinal: int, want: InterfaceWant) -> str:
    candidates = (
        [want.mac]
        if want.mac
        else [mac_of(instance_id, ordinal, attempt) for attempt in range(MAC_CANDIDATES)]
    )
    taken = set(conn.scalars(_MACS, {"network": want.network, "macs": candidates}))
    for mac in candidates:
        if mac not in taken:
            return mac
    raise MacInUse(want.network, candidates[0])
