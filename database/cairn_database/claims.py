"""Placing instances on hosts: the scheduler's transaction, and giving back what it took.

A claim writes the allocation, the host's sums and the instance's host together. Hosts are locked in the order
of their names (SQLite: the whole database), what fits is worked out from the rows as they are then, and each
UPDATE repeats the condition: allocations can never exceed a host's limits, with any number of schedulers.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy import bindparam

from cairn_crds.server_group import GroupPolicy
from cairn_database import addresses, allocations, history, hosts, steps
from cairn_database.engine import Database
from cairn_database.errors import ConcurrentUpdate
from cairn_database.records import InstanceRecord, MoveKind, TaskState, VmState
from cairn_database.rows import compare_and_set, execute_exactly, load_expected, load_many, now
from cairn_database.tables import instances, server_groups

NO_VALID_HOST = "No valid host was found. "


@dataclass(frozen=True)
class GroupRule:
    """What the scheduler decided on about the instance's server group."""

    group_id: str
    policy: GroupPolicy
    max_per_host: int
    """With anti-affinity: how many members a host may have."""
    group_generation: int
    """Of the group when the scheduler looked (`hosts.group_hosts`). Raised by every member's claim."""


@dataclass(frozen=True)
class ClaimRequest:
    """One instance, and the host chosen for it."""

    instance_id: str
    version: int
    host: str
    vcpus: int
    memory_mib: int
    disk_gib: int
    group: GroupRule | None = None


class Refusal(enum.StrEnum):
    """Why a claim was not granted."""

    HOST_FULL = "HostFull"
    """Others were faster: read the host again, take the next one."""
    HOST_GONE = "HostGone"
    """Disabled, forced down or removed."""
    STATE_CHANGED = "StateChanged"
    """The instance is no longer waiting at that version: deleted, or placed by another scheduler."""
    GROUP_POLICY = "GroupPolicy"
    """The group has changed, or the host may not have this member: read `hosts.group_hosts` again."""


@dataclass(frozen=True)
class Claimed:
    """Granted: the instance has the host."""

    request: ClaimRequest
    record: InstanceRecord


@dataclass(frozen=True)
class Refused:
    """Not granted: nothing was changed for this request."""

    request: ClaimRequest
    reason: Refusal


ClaimOutcome = Claimed | Refused


_PLACE = (
    sa.update(instances)
    .where(instances.c.id == bindparam("instance"), instances.c.version == bindparam("expected_version"))
    .values(
        host=bindparam("to_host"),
        fencing_epoch=instances.c.fencing_epoch + 1,
        attempts=instances.c.attempts + 1,
        task_state=TaskState.NETWORKING.value,
        awaiting_host=False,
        placement_message=None,
        version=instances.c.version + 1,
        updated_at=bindparam("moment", type_=instances.c.updated_at.type),
    )
)
_RAISE_GROUP = (
    sa.update(server_groups)
    .where(
        server_groups.c.id == bindparam("group"),
        server_groups.c.generation == bindparam("seen"),
        server_groups.c.removed_at.is_(None),
    )
    .values(generation=server_groups.c.generation + bindparam("added", type_=sa.BigInteger))
)


async def claim_many(db: Database, requests: Sequence[ClaimRequest]) -> list[ClaimOutcome]:
    """Place instances that wait in building/scheduling, all in one transaction; outcomes in the given order.

    A granted one that is new, or shelved, has its host, the next fencing epoch and an allocation; the new
    one is in task `networking`. One that moves has an allocation at the destination of its move, no more.
    One that is refused changes nothing and stands in nobody's way.
    """
    if not requests:
        return []
    return await db.run(lambda conn: _claim(conn, requests))


async def place_failed(db: Database, instance_id: str, version: int, message: str) -> InstanceRecord:
    """No host will do: vm_state error, fault 500 "No valid host was found. `message`" (Nova's wording).

    Where hosts have tried to build it, what the last of them ran into is part of the fault. What was to move
    is what it was before, and its action says Error. Raises InstanceNotFound, ConcurrentUpdate.
    """

    def transaction(conn: sa.Connection) -> InstanceRecord:
        record = load_expected(conn, instance_id, version)
        if not record.awaiting_host:
            raise ConcurrentUpdate("Instance", instance_id, "awaiting a host", "not any more")
        if record.move is not None:
            return steps.give_up(conn, record, NO_VALID_HOST + message)
        moment = now()
        fault = NO_VALID_HOST + message
        if record.excluded_hosts and record.fault_message:
            fault += f" The last one said: {record.fault_message}"
        after = compare_and_set(
            conn,
            record,
            moment=moment,
            vm_state=VmState.ERROR,
            task_state=None,
            awaiting_host=False,
            placement_message=message,
            fault_code=500,
            fault_message=fault,
            fault_at=moment,
            action_id=None,
        )
        history.end_in_error(conn, record, moment, fault)
        return after

    return await db.run(transaction)


async def note_waiting(db: Database, instance_id: str, version: int, message: str) -> InstanceRecord:
    """It goes on awaiting a host, and `placement_message` says what it waits for.

    Raises InstanceNotFound, ConcurrentUpdate.
    """

    def transaction(conn: sa.Connection) -> InstanceRecord:
        record = load_expected(conn, instance_id, version)
        if record.placement_message == message:
            return record
        return compare_and_set(conn, record, moment=now(), placement_message=message)

    return await db.run(transaction)


def release_everything(conn: sa.Connection, record: InstanceRecord, moment: datetime) -> None:
    """Inside a transaction: addresses and allocation."""
    addresses.release(conn, record, moment)
    allocations.release(conn, record.id)


def _claim(conn: sa.Connection, requests: Sequence[ClaimRequest]) -> list[ClaimOutcome]:
    records = load_many(conn, (request.instance_id for request in requests), lock=True)
    groups = _Groups(conn, requests)
    rooms = _Rooms(conn, requests)
    granted: dict[int, InstanceRecord] = {}
    refused: dict[int, Refusal] = {}
    for index, request in enumerate(requests):
        record = records.get(request.instance_id)
        refusal = _state_refusal(record, request) or rooms.refusal(request) or groups.refusal(request, record)
        if refusal is not None or record is None:
            refused[index] = refusal or Refusal.STATE_CHANGED
            continue
        rooms.take(request)
        groups.take(request, record)
        granted[index] = record
        records[record.id] = replace(record, version=record.version + 1)  # named twice: the second is refused
    if not granted:
        return [Refused(request, refused[index]) for index, request in enumerate(requests)]
    groups.write(conn)
    placed = _place(conn, [(requests[index], record) for index, record in granted.items()])
    rooms.write(conn)
    return [
        Claimed(request, placed[request.instance_id])
        if index in granted
        else Refused(request, refused[index])
        for index, request in enumerate(requests)
    ]


def _state_refusal(record: InstanceRecord | None, request: ClaimRequest) -> Refusal | None:
    waiting = (
        record is not None
        and not record.is_deleted
        and record.version == request.version
        and record.awaiting_host
    )
    return None if waiting else Refusal.STATE_CHANGED


class _Rooms:
    """The hosts of a batch, locked: what is left of each, and what the batch takes."""

    def __init__(self, conn: sa.Connection, requests: Sequence[ClaimRequest]) -> None:
        self._left: dict[str, list[int]] = {}
        self._taken: dict[str, list[int]] = {}
        for host in hosts.lock(conn, (request.host for request in requests)):
            if not (host.disabled or host.forced_down or host.removed):
                self._left[host.name] = [
                    host.vcpus_limit - host.vcpus_used,
                    host.memory_limit_mib - host.memory_used_mib,
                    host.disk_limit_gib - host.disk_used_gib,
                ]

    def refusal(self, request: ClaimRequest) -> Refusal | None:
        left = self._left.get(request.host)
        if left is None:
            return Refusal.HOST_GONE
        full = any(amount > room for amount, room in zip(_amounts(request), left, strict=True) if amount)
        return Refusal.HOST_FULL if full else None

    def take(self, request: ClaimRequest) -> None:
        taken = self._taken.setdefault(request.host, [0, 0, 0, 0])
        left = self._left[request.host]
        for index, amount in enumerate(_amounts(request)):
            left[index] -= amount
            taken[index] += amount
        taken[3] += 1

    def write(self, conn: sa.Connection) -> None:
        hosts.take(conn, {host: hosts.Amounts(*taken) for host, taken in self._taken.items()})


class _Groups:
    """The server groups of a batch: generation and members per host, with what the batch adds."""

    def __init__(self, conn: sa.Connection, requests: Sequence[ClaimRequest]) -> None:
        self._generations: dict[str, int | None] = {}
        self._members: dict[str, dict[str, int]] = {}
        self._added: dict[str, int] = {}
        policies = {request.group.group_id: request.group.policy for request in requests if request.group}
        for group_id, policy in sorted(policies.items()):
            self._generations[group_id] = hosts.lock_group(conn, group_id)
            self._members[group_id] = hosts.group_members(conn, group_id, policy)

    def refusal(self, request: ClaimRequest, record: InstanceRecord | None) -> Refusal | None:
        rule = request.group
        if rule is None:
            return None
        # Members placed earlier in this batch were known to the scheduler that made it.
        if self._generations[rule.group_id] != rule.group_generation:
            return Refusal.GROUP_POLICY
        members = dict(self._members[rule.group_id])
        if record is not None and record.host in members:  # it leaves there
            members[record.host] -= 1
            if not members[record.host]:
                del members[record.host]
        if rule.policy is GroupPolicy.ANTI_AFFINITY and members.get(request.host, 0) >= rule.max_per_host:
            return Refusal.GROUP_POLICY
        if rule.policy is GroupPolicy.AFFINITY and members and request.host not in members:
            return Refusal.GROUP_POLICY
        return None

    def take(self, request: ClaimRequest, record: InstanceRecord) -> None:
        if request.group is None:
            return
        group_id = request.group.group_id
        members = self._members[group_id]
        if request.group.policy is GroupPolicy.AFFINITY and record.host in members:  # it will not be there
            members[record.host] -= 1
            if not members[record.host]:
                del members[record.host]
        members[request.host] = members.get(request.host, 0) + 1
        self._added[group_id] = self._added.get(group_id, 0) + 1

    def write(self, conn: sa.Connection) -> None:
        rows = [
            {"group": group_id, "seen": self._generations[group_id], "added": count}
            for group_id, count in sorted(self._added.items())
        ]
        if rows:
            execute_exactly(conn, _RAISE_GROUP, rows)


def _amounts(request: ClaimRequest) -> tuple[int, int, int]:
    return request.vcpus, request.memory_mib, request.disk_gib


def _place(
    conn: sa.Connection, granted: list[tuple[ClaimRequest, InstanceRecord]]
) -> dict[str, InstanceRecord]:
    """Write the instances, their allocations and the history; returns the new records."""
    moment = now()
    allocations.add(conn, [_allocation(request, record) for request, record in granted])
    moving = [(request, record) for request, record in granted if record.move is not None]
    placed = {record.id: steps.take_host(conn, record, request.host, moment) for request, record in moving}
    built = [(request, record) for request, record in granted if record.move is None]
    return placed | (_place_new(conn, built, moment) if built else {})


def _allocation(request: ClaimRequest, record: InstanceRecord) -> dict[str, object]:
    leaves = record.move is not None and record.move.kind is not MoveKind.UNSHELVE
    return {
        "instance_id": request.instance_id,
        "purpose": allocations.MOVE if leaves else allocations.OWN,
        "host": request.host,
        "vcpus": request.vcpus,
        "memory_mib": request.memory_mib,
        "disk_gib": request.disk_gib,
    }


def _place_new(
    conn: sa.Connection, granted: list[tuple[ClaimRequest, InstanceRecord]], moment: datetime
) -> dict[str, InstanceRecord]:
    execute_exactly(
        conn,
        _PLACE,
        [
            {
                "instance": record.id,
                "expected_version": record.version,
                "to_host": request.host,
                "moment": moment,
            }
            for request, record in granted
        ],
    )
    history.add_events(
        conn, *(history.event_of(record, moment, host=request.host) for request, record in granted)
    )
    return {
        record.id: replace(
            record,
            host=request.host,
            fencing_epoch=record.fencing_epoch + 1,
            attempts=record.attempts + 1,
            task_state=TaskState.NETWORKING,
            awaiting_host=False,
            placement_message=None,
            version=record.version + 1,
            updated_at=moment,
        )
        for request, record in granted
    }
