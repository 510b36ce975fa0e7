"""Interfaces of an instance that has been made: attached and detached while it runs, or is off.

As in Nova there is no task_state for it: the row says at once what is asked for, each interface of the row
says whether its host is still at it (`InterfaceRecord.change`), and `settle` writes down how that went. An
address is free again only when the host has taken the interface from the machine.

`request.networks` has a Network's spec for each of the row's interfaces, in their order; `spec.networks`
what is asked for: an entry for each interface that is not on its way out.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import zip_longest

import sqlalchemy as sa

from cairn_database import addresses, capabilities, history, legality
from cairn_database.addresses import Giving, InterfaceWant
from cairn_database.asking import Asked, check_version, live_row
from cairn_database.engine import Database
from cairn_database.errors import ConcurrentUpdate
from cairn_database.networking import pools
from cairn_database.networking.errors import PortNotFound, TooManyInterfaces
from cairn_database.networking.limits import check_quota
from cairn_database.records import InstanceRecord, InterfaceRecord, Json
from cairn_database.rows import compare_and_set, now

ATTACHING, DETACHING = "attaching", "detaching"
MOST_INTERFACES = 16
"""Of one instance (`GuestSpec.networks`)."""


@dataclass(frozen=True)
class Plug:
    """One interface as it is asked for."""

    request: Json
    """The NetworkRequest, in API form."""
    network: Json
    """The Network's spec in API form, with `name` and `id`."""

    @property
    def want(self) -> InterfaceWant:
        """As `addresses` takes it."""
        asked = self.request.get
        return InterfaceWant(
            self.network["name"], asked("address"), asked("mac"), asked("port"), asked("tag")
        )


@dataclass(frozen=True)
class Socket:
    """One interface that there is, with what the request says of it."""

    interface: InterfaceRecord
    network: Json
    request: Json

    def serves(self, plug: Plug) -> bool:
        """Whether it is what `plug` asks for."""
        asked, mine = plug.request.get, self.interface
        return plug.network["name"] == mine.network and all(
            wanted in (None, has)
            for wanted, has in (
                (asked("address"), mine.address),
                (asked("mac"), mine.mac),
                (asked("port"), mine.port_id),
            )
        )


def sockets(record: InstanceRecord) -> list[Socket]:
    """The interfaces of the row, those on their way out too (their `request` is empty)."""
    networks = record.request.get("networks", [])
    asked = iter(record.spec.get("networks") or ())
    found = []
    for interface, network in zip_longest(record.interfaces, networks):
        if interface is None:
            break
        request: Json = {}
        if interface.change != DETACHING:
            request = next(asked, {}) or {"network": interface.network}
        found.append(Socket(interface, network or {"name": interface.network}, request))
    return found


async def attach(db: Database, instance_id: str, asked: Asked, plug: Plug) -> InstanceRecord:
    """One more interface; it is the last one of the record's.

    Nova API: POST /servers/{id}/os-interface. Raises InstanceNotFound, ActionRefused, InstanceLocked,
    TooManyInterfaces, NetworkQuotaExceeded, and what `addresses.allocate_interfaces` raises.
    """

    def transaction(conn: sa.Connection) -> InstanceRecord:
        change = _Change(conn, live_row(conn, instance_id), asked)
        change.attach(plug)
        return change.write()

    return await db.run(transaction)


async def detach(db: Database, instance_id: str, asked: Asked, port_id: str) -> InstanceRecord:
    """Take that interface away; one that is on its way out already stays so.

    Nova API: DELETE /servers/{id}/os-interface/{port_id}. Raises InstanceNotFound, ActionRefused,
    InstanceLocked, PortNotFound.
    """

    def transaction(conn: sa.Connection) -> InstanceRecord:
        change = _Change(conn, live_row(conn, instance_id), asked)
        for socket in change.sockets:
            if socket.interface.port_id == port_id:
                change.detach(socket)
                return change.write()
        raise PortNotFound(port_id)

    return await db.run(transaction)


async def rewire(db: Database, instance_id: str, asked: Asked, plugs: Sequence[Plug]) -> InstanceRecord:
    """These interfaces and no others, in this order: what is there stays, the rest is attached or detached.

    An edit of `spec.networks`. Raises what `attach` and `detach` raise.
    """

    def transaction(conn: sa.Connection) -> InstanceRecord:
        change = _Change(conn, live_row(conn, instance_id), asked)
        change.rewire(plugs)
        return change.write()

    return await db.run(transaction)


async def settle(
    db: Database,
    instance_id: str,
    version: int,
    *,
    done: Collection[str | None],
    failed: Mapping[str | None, str],
) -> InstanceRecord:
    """How changes of interfaces went, by port: `done`, or `failed` and why.

    What has been detached is given back. What could not be attached is detached again, what could not be
    detached stays. Raises InstanceNotFound, ConcurrentUpdate.
    """

    def transaction(conn: sa.Connection) -> InstanceRecord:
        record = live_row(conn, instance_id)
        if record.version != version:
            raise ConcurrentUpdate("Instance", instance_id, f"version {version}", f"version {record.version}")
        return _settle(conn, record, done, failed)

    return await db.run(transaction)


def abandon(conn: sa.Connection, record: InstanceRecord, moment: datetime, message: str) -> None:
    """Inside a transaction: the instance goes, and with it whatever was being done to its interfaces."""
    for interface in record.interfaces:
        _end(conn, record, interface, moment, message)


def _settle(
    conn: sa.Connection,
    record: InstanceRecord,
    done: Collection[str | None],
    failed: Mapping[str | None, str],
) -> InstanceRecord:
    moment = now()
    kept: list[Socket] = []
    gone: list[str] = []
    for socket in sockets(record):
        one = socket.interface
        if one.change is None or (one.port_id not in done and one.port_id not in failed):
            kept.append(socket)
            continue
        message = failed.get(one.port_id)
        _end(conn, record, one, moment, message)
        settled = replace(one, change=None, since=None, action_id=None)
        if message is None and one.change == DETACHING:
            gone.append(one.port_id or "")
        elif message is None:
            kept.append(replace(socket, interface=settled))
        elif one.change == ATTACHING:
            leaving = replace(settled, change=DETACHING, since=moment.isoformat())
            kept.append(Socket(leaving, socket.network, {}))
        else:
            request = {"network": one.network, "address": one.address, "mac": one.mac}
            kept.append(Socket(settled, socket.network, request))
    addresses.release_ports(conn, record, gone, moment)
    return compare_and_set(conn, record, moment=moment, **_fields(record, kept))


def _end(
    conn: sa.Connection,
    record: InstanceRecord,
    interface: InterfaceRecord,
    moment: datetime,
    message: str | None,
) -> None:
    if interface.action_id is None:
        return
    word = "attach" if interface.change == ATTACHING else "detach"
    event = f"compute_{word}_interface"
    history.finish_change(
        conn, record, interface.action_id, interface.since, moment, event=event, message=message
    )


def _fields(record: InstanceRecord, kept: Sequence[Socket]) -> Json:
    """What the row says of these interfaces."""
    asked = [socket.request for socket in kept if socket.interface.change != DETACHING]
    request = {
        **record.request,
        "spec": {**record.spec, "networks": asked},
        "networks": [socket.network for socket in kept],
    }
    return {"interfaces": tuple(socket.interface for socket in kept), "request": request}


class _Change:
    """Some interfaces more, some fewer, in one transaction."""

    def __init__(self, conn: sa.Connection, record: InstanceRecord, asked: Asked) -> None:
        check_version(record, asked)
        self._conn = conn
        self._record = record
        self._asked = asked
        self._moment = now()
        self._giving = Giving(conn, record, self._moment)
        self.sockets = sockets(record)

    def attach(self, plug: Plug) -> Socket:
        """Take a port for it, or make one."""
        self._check("attach_interface")
        if len(self.sockets) >= MOST_INTERFACES:
            raise TooManyInterfaces(self._record.id, MOST_INTERFACES)
        want = plug.want
        if want.port is None:
            check_quota(self._conn, self._record.project, "port", 1)
        ordinal = max((socket.interface.ordinal for socket in self.sockets), default=-1) + 1
        made = self._giving.interface(ordinal, want, str(uuid.uuid4()))
        socket = Socket(self._begun(made, ATTACHING, "attach_interface"), plug.network, plug.request)
        self.sockets.append(socket)
        return socket

    def detach(self, socket: Socket) -> None:
        """Have the host take it away."""
        self._check("detach_interface")
        if socket.interface.change == DETACHING:
            return
        _end(self._conn, self._record, socket.interface, self._moment, "It was detached meanwhile.")
        leaving = self._begun(socket.interface, DETACHING, "detach_interface")
        self.sockets[self.sockets.index(socket)] = Socket(leaving, socket.network, {})

    def rewire(self, plugs: Sequence[Plug]) -> None:
        """As the function of that name."""
        free = [socket for socket in self.sockets if socket.interface.change != DETACHING]
        kept: list[Socket | None] = [None] * len(plugs)
        for exactly in (True, False):
            for index, plug in enumerate(plugs):
                fits = (
                    socket
                    for socket in free
                    if (socket.request == plug.request if exactly else socket.serves(plug))
                )
                if kept[index] is None and (found := next(fits, None)) is not None:
                    free.remove(found)
                    kept[index] = found
        for socket in free:
            self.detach(socket)
        leaving = [socket for socket in self.sockets if socket.interface.change == DETACHING]
        ordered = [
            self.attach(plug) if socket is None else replace(socket, request=plug.request)
            for socket, plug in zip(kept, plugs, strict=True)
        ]
        self.sockets = [*ordered, *leaving]

    def write(self) -> InstanceRecord:
        """The row, as it is now."""
        fields = _fields(self._record, self.sockets)
        if self._asked.seen is not None:
            fields["request"] = {**fields["request"], **self._asked.seen}
            fields["request"].pop("projection", None)
        return compare_and_set(
            self._conn, self._record, moment=self._moment, request_id=self._asked.request_id, **fields
        )

    def _check(self, action: str) -> None:
        capabilities.judge(self._conn, action, self._record, overrides_lock=self._asked.overrides_lock)

    def _begun(self, interface: InterfaceRecord, change: str, action: str) -> InterfaceRecord:
        action_id = history.start_action(
            self._conn, self._record.id, action, self._asked.request_id, self._moment
        )
        return replace(interface, change=change, since=self._moment.isoformat(), action_id=action_id)


# --- addresses of an interface ---------------------------------------------------------------------------


async def add_address(db: Database, instance_id: str, asked: Asked, network: str) -> InstanceRecord:
    """One more fixed address for the instance's first interface on `network` (the resource's name).

    Nova API: addFixedIp. Raises InstanceNotFound, InstanceLocked, PortNotFound, AddressesExhausted.
    """

    def transaction(conn: sa.Connection) -> InstanceRecord:
        record = live_row(conn, instance_id)
        legality.check("add_fixed_ip", record, overrides_lock=asked.overrides_lock)
        spec = pools.spec_for_use(conn, network)
        mine = [one for one in record.interfaces if one.network == network and one.port_id is not None]
        if spec is None or not mine:
            raise PortNotFound(network)
        addresses.hold_more(conn, mine[0].port_id or "", network, pools.take(conn, network, None, spec))
        return _noted(conn, record, asked, "add_fixed_ip")

    return await db.run(transaction)


async def remove_address(db: Database, instance_id: str, asked: Asked, address: str) -> InstanceRecord:
    """Take a fixed address away that was added; the one that an interface began with goes with it alone.

    Nova API: removeFixedIp. Raises InstanceNotFound, InstanceLocked, PortNotFound.
    """

    def transaction(conn: sa.Connection) -> InstanceRecord:
        record = live_row(conn, instance_id)
        legality.check("remove_fixed_ip", record, overrides_lock=asked.overrides_lock)
        first = {one.address for one in record.interfaces}
        mine = [one.port_id for one in record.interfaces if one.port_id is not None]
        if address in first or not addresses.drop_address(conn, mine, address, now()):
            raise PortNotFound(address)
        return _noted(conn, record, asked, "remove_fixed_ip")

    return await db.run(transaction)


def _noted(conn: sa.Connection, record: InstanceRecord, asked: Asked, action: str) -> InstanceRecord:
    moment = now()
    action_id = history.start_action(conn, record.id, action, asked.request_id, moment)
    history.finish_action(conn, action_id, moment)
    return compare_and_set(conn, record, moment=moment, request_id=asked.request_id)
