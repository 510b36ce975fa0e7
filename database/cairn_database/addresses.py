"""Giving instances their interfaces, and taking them back.

An interface is a port that has the instance's id (`networking.ports`). One that was made beforehand keeps its
address when the instance goes; those made here go with it.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import bindparam

from cairn_crds.network import NetworkSpec
from cairn_database import history
from cairn_database.engine import Database
from cairn_database.errors import ConcurrentUpdate, MacInUse, NetworkNotFound
from cairn_database.networking import groups, pools
from cairn_database.networking.errors import PortInUse, PortNotFound
from cairn_database.networking.pools import count_usable, gateway, usable
from cairn_database.networking.tables import floating_ips, port_security_groups, ports
from cairn_database.records import InstanceRecord, InterfaceRecord, TaskState
from cairn_database.rows import compare_and_set, load, load_in_task, now
from cairn_database.tables import addresses

__all__ = [
    "InterfaceWant",
    "allocate_interfaces",
    "count_usable",
    "gateway",
    "mac_of",
    "port_id_of",
    "release",
    "usable",
]

MAC_PREFIX = "fa:16:3e"
"""Nova's and Neutron's own."""
MAC_CANDIDATES = 8
DEFAULT_ZONE = "nova"


@dataclass(frozen=True)
class InterfaceWant:
    """One interface to give the instance."""

    network: str
    address: str | None = None
    """A certain one, inside the network; the longest free one of its pools when None."""
    mac: str | None = None
    port: str | None = None
    """A port that was made beforehand: it is used as it is."""
    tag: str | None = None
    """What the guest knows it by."""


_MACS = sa.select(ports.c.mac).where(
    ports.c.network == bindparam("network"), ports.c.mac.in_(bindparam("macs", expanding=True))
)
_ADD_PORT = sa.insert(ports)
_HOLD = sa.insert(addresses)
_ADD_GROUPS = sa.insert(port_security_groups)
_LOCK_PORT = sa.select(ports).where(ports.c.id == bindparam("port")).with_for_update()
_ADDRESSES_OF = (
    sa.select(addresses.c.address)
    .where(addresses.c.port_id == bindparam("port"))
    .order_by(addresses.c.address)
)
_BIND = sa.update(ports).where(ports.c.id == bindparam("port"), ports.c.instance_id.is_(None))
_PORTS_OF = sa.select(ports.c.id, ports.c.transient).where(ports.c.instance_id == bindparam("instance"))
_HELD_BY = sa.select(addresses.c.network, addresses.c.address).where(
    addresses.c.port_id.in_(bindparam("port_ids", expanding=True))
)
_LET_GO = sa.update(ports).where(
    ports.c.instance_id == bindparam("instance"), ports.c.id.in_(bindparam("kept", expanding=True))
)
_DISASSOCIATE = sa.update(floating_ips).where(
    floating_ips.c.fixed_port_id.in_(bindparam("port_ids", expanding=True))
)
_DROPS = tuple(
    sa.delete(table).where(column.in_(bindparam("port_ids", expanding=True)))
    for table, column in (
        (addresses, addresses.c.port_id),
        (port_security_groups, port_security_groups.c.port_id),
        (ports, ports.c.id),
    )
)


async def allocate_interfaces(
    db: Database, instance_id: str, version: int, wants: Sequence[InterfaceWant]
) -> InstanceRecord:
    """Give the instance its interfaces, in order, and move it from task networking to spawning.

    New ports are in the security groups that the instance asks for (`default` without). Idempotent: an
    instance that has them already (same networks, task spawning) is returned as it is. Raises
    NetworkNotFound, SecurityGroupNotFound, AddressesExhausted, AddressInUse, MacInUse, PortNotFound,
    PortInUse, InstanceNotFound, ConcurrentUpdate.
    """

    def transaction(conn: sa.Connection) -> InstanceRecord:
        record = load(conn, instance_id)
        if record.task_state == TaskState.SPAWNING and record.version == version + 1:
            if [item.network for item in record.interfaces] == [want.network for want in wants]:
                return record
            raise ConcurrentUpdate("Instance", instance_id, "the same interfaces", "others")
        record = load_in_task(conn, instance_id, version, TaskState.NETWORKING)
        moment = now()
        giving = Giving(conn, record, moment)
        after = compare_and_set(
            conn,
            record,
            moment=moment,
            task_state=TaskState.SPAWNING,
            interfaces=tuple(giving.interface(ordinal, want) for ordinal, want in enumerate(wants)),
        )
        history.add_events(conn, history.event_of(record, moment))
        return after

    return await db.run(transaction)


def release(conn: sa.Connection, record: InstanceRecord, moment: datetime) -> None:
    """Inside a transaction: the instance's ports go, and their addresses are free again; those that were made
    beforehand stay, and belong to nobody. The caller empties `interfaces`."""
    if not record.interfaces:
        return
    rows = conn.execute(_PORTS_OF, {"instance": record.id}).all()
    _let_go(conn, record.id, [(row.id, row.transient) for row in rows], moment)


def release_ports(
    conn: sa.Connection, record: InstanceRecord, port_ids: Collection[str], moment: datetime
) -> None:
    """As `release`, of these of its ports alone."""
    rows = conn.execute(_PORTS_OF, {"instance": record.id}).all()
    _let_go(conn, record.id, [(row.id, row.transient) for row in rows if row.id in port_ids], moment)


def _let_go(
    conn: sa.Connection, instance_id: str, held: Sequence[tuple[str, bool]], moment: datetime
) -> None:
    """`held`: (port, whether it goes with the instance)."""
    kept = [port_id for port_id, transient in held if not transient]
    if kept:
        conn.execute(
            _LET_GO.values(
                instance_id=None,
                ordinal=None,
                device_owner="",
                updated_at=moment,
                revision=ports.c.revision + 1,
            ),
            {"instance": instance_id, "kept": kept},
        )
    drop_ports(conn, [port_id for port_id, transient in held if transient], moment)


def drop_ports(conn: sa.Connection, port_ids: Sequence[str], moment: datetime) -> None:
    """Inside a transaction: these ports are no more, and what they held is free."""
    if not port_ids:
        return
    chosen = {"port_ids": list(port_ids)}
    held = [(row.network, row.address) for row in conn.execute(_HELD_BY, chosen)]
    conn.execute(
        _DISASSOCIATE.values(
            fixed_port_id=None,
            fixed_address=None,
            updated_at=moment,
            revision=floating_ips.c.revision + 1,
        ),
        chosen,
    )
    for statement in _DROPS:
        conn.execute(statement, chosen)
    pools.give_back(conn, held)


def hold_more(conn: sa.Connection, port_id: str, network: str, address: str) -> None:
    """Inside a transaction that has taken `address` from the network: the port holds it besides others."""
    conn.execute(_HOLD, {"network": network, "address": address, "port_id": port_id})


def drop_address(conn: sa.Connection, port_ids: Sequence[str], address: str, moment: datetime) -> bool:
    """Inside a transaction: the address is free, and no floating one leads to it; False where none of these
    ports holds it."""
    mine = sa.and_(addresses.c.address == address, addresses.c.port_id.in_(port_ids))
    row = conn.execute(sa.select(addresses.c.network, addresses.c.port_id).where(mine)).first()
    if row is None:
        return False
    fixed = floating_ips.c
    conn.execute(
        sa.update(floating_ips)
        .where(fixed.fixed_port_id == row.port_id, fixed.fixed_address == address)
        .values(fixed_port_id=None, fixed_address=None, updated_at=moment, revision=fixed.revision + 1)
    )
    conn.execute(sa.delete(addresses).where(mine, addresses.c.network == row.network))
    pools.give_back(conn, [(row.network, address)])
    return True


def mac_of(instance_id: str, ordinal: int, attempt: int = 0) -> str:
    """The MAC address of an instance's interface: the same at every attempt to build it."""
    digest = hashlib.sha256(f"{instance_id}/{ordinal}/{attempt}".encode()).digest()
    return ":".join([MAC_PREFIX, *(f"{byte:02x}" for byte in digest[:3])])


def port_id_of(instance_id: str, ordinal: int) -> str:
    """The id of the port that is made for an instance's interface: the same at every attempt to build it."""
    return str(uuid.uuid5(uuid.UUID(instance_id), f"port/{ordinal}"))


def free_mac(conn: sa.Connection, network: str, seed: str, ordinal: int, mac: str | None) -> str:
    """`mac`, or one made from `seed` when None, that no port of the network has. Raises MacInUse."""
    candidates = [mac] if mac else [mac_of(seed, ordinal, attempt) for attempt in range(MAC_CANDIDATES)]
    taken = set(conn.scalars(_MACS, {"network": network, "macs": candidates}))
    for candidate in candidates:
        if candidate not in taken:
            return candidate
    raise MacInUse(network, candidates[0])


class Giving:
    """Interfaces for one instance, in one transaction."""

    def __init__(self, conn: sa.Connection, record: InstanceRecord, moment: datetime) -> None:
        self._conn = conn
        self._record = record
        self._moment = moment
        self._specs: dict[str, NetworkSpec] = {}
        self._groups: list[str] | None = None
        self._owner = f"compute:{record.availability_zone or DEFAULT_ZONE}"

    def interface(self, ordinal: int, want: InterfaceWant, new_port: str | None = None) -> InterfaceRecord:
        """The interface; its port is the instance's from now on. `new_port`: the id of the port that is made;
        without, the same at every attempt to build the instance."""
        if want.port is not None:
            return self._bind(ordinal, want, want.port)
        spec = self._spec(want.network)
        address = pools.take(self._conn, want.network, want.address, spec)
        mac = free_mac(self._conn, want.network, new_port or self._record.id, ordinal, want.mac)
        port_id = new_port or port_id_of(self._record.id, ordinal)
        self._conn.execute(_ADD_PORT, self._port(port_id, ordinal, want.network, mac))
        self._conn.execute(_HOLD, {"network": want.network, "address": address, "port_id": port_id})
        groups_wanted = self._group_ids()
        if groups_wanted:
            rows = [{"port_id": port_id, "group_id": group_id} for group_id in groups_wanted]
            self._conn.execute(_ADD_GROUPS, rows)
        return InterfaceRecord(want.network, address, mac, ordinal, port_id, want.tag)

    def _spec(self, network: str) -> NetworkSpec:
        if network not in self._specs:
            spec = pools.spec_for_use(self._conn, network)
            if spec is None:
                raise NetworkNotFound(network)
            self._specs[network] = spec
        return self._specs[network]

    def _group_ids(self) -> list[str]:
        if self._groups is None:
            record = self._record
            names = record.request.get("spec", {}).get("securityGroups")
            names = [groups.DEFAULT] if names is None else names
            self._groups = groups.ids_of(self._conn, record.project, record.namespace, names, self._moment)
        return self._groups

    def _port(self, port_id: str, ordinal: int, network: str, mac: str) -> dict[str, Any]:
        return {
            "id": port_id,
            "network": network,
            "project": self._record.project,
            "name": "",
            "mac": mac,
            "instance_id": self._record.id,
            "ordinal": ordinal,
            "transient": True,
            "device_id": "",
            "device_owner": self._owner,
            "details": {},
            "created_at": self._moment,
            "updated_at": self._moment,
            "revision": 1,
        }

    def _bind(self, ordinal: int, want: InterfaceWant, port_id: str) -> InterfaceRecord:
        """A port that was made beforehand."""
        row = self._conn.execute(_LOCK_PORT, {"port": port_id}).one_or_none()
        if row is None or row.project != self._record.project or row.network != want.network:
            raise PortNotFound(port_id)
        if row.instance_id is not None or row.device_id not in ("", self._record.id):
            raise PortInUse(port_id, row.instance_id or row.device_id)
        held = list(self._conn.scalars(_ADDRESSES_OF, {"port": port_id}))
        if not held:
            raise PortNotFound(port_id)
        bound = self._conn.execute(
            _BIND.values(
                instance_id=self._record.id,
                ordinal=ordinal,
                device_owner=self._owner,
                updated_at=self._moment,
                revision=ports.c.revision + 1,
            ),
            {"port": port_id},
        )
        if bound.rowcount != 1:
            raise PortInUse(port_id, "another instance")
        return InterfaceRecord(want.network, held[0], row.mac, ordinal, port_id, want.tag)
