"""Whether the books balance: what every transaction keeps true, looked at all at once.

For the fault tests, and for an operator after editing the database by hand. Reads everything; in a cloud
that is busy, a finding that is gone at the next look was a transaction in between.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address
from typing import Any

import sqlalchemy as sa

from cairn_database.allocations import MOVE
from cairn_database.engine import Database
from cairn_database.networking.tables import floating_ips, port_security_groups, ports
from cairn_database.rows import COLUMNS, live, record_of
from cairn_database.tables import (
    addresses,
    allocations,
    compute_nodes,
    free_addresses,
    instances,
    projects,
    server_groups,
)
from cairn_database.volumes.tables import volume_attachments, volumes


async def findings(db: Database) -> list[str]:
    """What does not balance, one sentence each; empty when all is well."""
    return await db.read(lambda conn: [finding for check in CHECKS for finding in check(conn)])


def _hosts(conn: sa.Connection) -> Iterator[str]:
    """A host's counters are the sums of its allocations."""
    sums: dict[str, Counter[str]] = {}
    for row in conn.execute(sa.select(allocations)):
        sums.setdefault(row.host, Counter()).update(
            vcpus_used=row.vcpus, memory_mib_used=row.memory_mib, disk_gib_used=row.disk_gib, instances=1
        )
    for host in conn.execute(sa.select(compute_nodes)):
        held = sums.pop(host.name, Counter())
        for name in ("vcpus_used", "memory_mib_used", "disk_gib_used", "instances"):
            if host._mapping[name] != held[name]:
                yield f"host {host.name}: {name} is {host._mapping[name]}, allocations add up to {held[name]}"
    for name in sums:
        yield f"allocations on {name}, which is no host"


def _projects(conn: sa.Connection) -> Iterator[str]:
    """A project's counters are the sums of its live instances."""
    sums: dict[str, Counter[str]] = {}
    for row in conn.execute(sa.select(*COLUMNS).where(live())):
        record = record_of(row)
        sums.setdefault(record.project, Counter()).update(
            instances_used=1, cores_used=record.counted_vcpus, memory_mib_used=record.counted_memory_mib
        )
    for project in conn.execute(sa.select(projects)):
        used = sums.get(project.name, Counter())
        for name in ("instances_used", "cores_used", "memory_mib_used"):
            if project._mapping[name] != used[name]:
                count = project._mapping[name]
                yield f"project {project.name}: {name} is {count}, instances use {used[name]}"


def _groups(conn: sa.Connection) -> Iterator[str]:
    """A server group's counter is the number of its live instances."""
    members = Counter(conn.scalars(sa.select(instances.c.group_id).where(live())))
    for group in conn.execute(sa.select(server_groups)):
        if group.members != members[group.id]:
            yield f"server group {group.id}: members is {group.members}, it has {members[group.id]}"


def _instances(conn: sa.Connection) -> Iterator[str]:
    """What an instance's row says of its host and interfaces is what it holds."""
    hosts: dict[str, str] = {}
    others: dict[str, str] = {}
    for row in conn.execute(sa.select(allocations)):
        (others if row.purpose == MOVE else hosts)[row.instance_id] = row.host
    held: dict[str, set[tuple[str, str, int]]] = {}
    addressed: dict[str, set[str]] = {}
    joined = sa.select(ports, addresses.c.address).join_from(
        ports, addresses, addresses.c.port_id == ports.c.id, isouter=True
    )
    for row in conn.execute(joined.where(ports.c.instance_id.is_not(None))):
        held.setdefault(row.instance_id, set()).add((row.network, row.mac, row.ordinal))
        addressed.setdefault(row.instance_id, set()).add(row.address)
    for row in conn.execute(
        sa.select(*(instances.c[n] for n in ("id", "host", "move", "interfaces"))).where(live())
    ):
        if hosts.pop(row.id, None) != row.host:
            yield f"instance {row.id}: its host is {row.host}, its allocation is elsewhere or missing"
        other = others.pop(row.id, None)
        if other is not None and (
            row.move is None or other not in {row.move["source"], row.move["destination"]}
        ):
            yield f"instance {row.id}: an allocation on {other}, to which it does not move"
        said = {(item["network"], item["mac"], item["ordinal"]) for item in row.interfaces}
        if said != held.pop(row.id, set()):
            yield f"instance {row.id}: its interfaces are not the ports that it holds"
        elif not {item["address"] for item in row.interfaces} <= addressed.get(row.id, set()):
            yield f"instance {row.id}: its interfaces' addresses are not those of its ports"
    yield from (f"allocation of {owner}, which does not live" for owner in hosts | others)
    yield from (f"ports of {owner}, which does not live" for owner in held)


def _ports(conn: sa.Connection) -> Iterator[str]:
    """An address is held by a port on its network, what refers to ports refers to such as there are."""
    networks_of = {row.id: row.network for row in conn.execute(sa.select(ports.c.id, ports.c.network))}
    transient = sa.select(ports.c.id).where(ports.c.transient.is_(True), ports.c.instance_id.is_(None))
    yield from (
        f"port {port_id} was made for an instance, and has none" for port_id in conn.scalars(transient)
    )
    held: set[tuple[str, str, str]] = set()
    for row in conn.execute(sa.select(addresses)):
        held.add((row.network, row.address, row.port_id))
        if networks_of.get(row.port_id) != row.network:
            yield f"address {row.address} of network {row.network}: port {row.port_id} is not there"
    for port_id in conn.scalars(sa.select(port_security_groups.c.port_id).distinct()):
        if port_id not in networks_of:
            yield f"security groups of port {port_id}, which is not there"
    for row in conn.execute(sa.select(floating_ips)):
        if (row.network, row.address, row.port_id) not in held:
            yield f"floating address {row.address}: its port {row.port_id} does not hold it"
        if row.fixed_port_id is not None and row.fixed_port_id not in networks_of:
            yield f"floating address {row.address} leads to port {row.fixed_port_id}, which is not there"


def _free_addresses(conn: sa.Connection) -> Iterator[str]:
    """An address is in use or free, and free once only."""
    used: dict[str, set[int]] = {}
    for row in conn.execute(sa.select(addresses.c.network, addresses.c.address)):
        used.setdefault(row.network, set()).add(int(IPv4Address(row.address)))
    ranges = sa.select(free_addresses).order_by(free_addresses.c.network, free_addresses.c.first)
    before: Any = None
    for row in conn.execute(ranges):
        if before is not None and before.network == row.network and row.first <= before.last:
            yield f"network {row.network}: {IPv4Address(row.first)} is free twice"
        for number in used.get(row.network, ()):
            if row.first <= number <= row.last:
                yield f"network {row.network}: {IPv4Address(number)} is in use and free"
        before = row


def _volumes(conn: sa.Connection) -> Iterator[str]:
    """An instance has the volumes that its row says; a volume has one holder, or several that only read."""
    pairs: dict[tuple[str, str], str] = {}
    holders: Counter[str] = Counter()
    for row in conn.execute(sa.select(volume_attachments)):
        pairs[(row.instance_id, row.volume_id)] = row.id
        holders[row.volume_id] += 1
    for row in conn.execute(sa.select(instances.c.id, instances.c.volumes).where(live())):
        for item in row.volumes or ():
            if pairs.pop((row.id, item["volume_id"]), None) != item["attachment_id"]:
                yield f"instance {row.id}: volume {item['volume_id']} is not attached to it"
            coming = item.get("successor")
            if coming and pairs.pop((row.id, coming["volume_id"]), None) != coming["swap_id"]:
                yield f"instance {row.id}: volume {coming['volume_id']} is not held for it"
    for owner, volume in pairs:
        yield f"attachment of volume {volume} to {owner}, which says nothing of it"
    known = {row.id: row.spec for row in conn.execute(sa.select(volumes.c.id, volumes.c.spec))}
    for volume, count in holders.items():
        if volume not in known:
            yield f"attachments of volume {volume}, which is not there"
        elif count > 1 and not known[volume].get("multiAttach"):
            yield f"volume {volume} is attached {count} times"


CHECKS: tuple[Callable[[sa.Connection], Iterator[str]], ...] = (
    _hosts,
    _projects,
    _groups,
    _instances,
    _ports,
    _free_addresses,
    _volumes,
)
