"""From an instance's row to a request: the flavor and image that it carries, its group, its hints."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from cairn_crds.server_group import GroupPolicy
from cairn_database import Database, InstanceRecord, ServerGroupNotFound, claims, hosts, instances, tenants
from cairn_database.legality import NEEDS
from cairn_database.records import MoveKind
from cairn_operator.scheduler.request import (
    ExtraSpecs,
    Group,
    InvalidRequest,
    PlacementRequest,
    disk_gib,
    names,
    pairs,
    read_extra_specs,
    read_query,
)

ENFORCED = (GroupPolicy.AFFINITY, GroupPolicy.ANTI_AFFINITY)
"""The policies that a claim checks; the soft ones are wishes."""

KNOWN_POLICIES = 4096
"""How many groups' policies are remembered; they cannot change."""


@dataclass
class GroupState:
    """A server group as of now, with this scheduler's own picks in it. One object per group and pass."""

    id: str
    policy: GroupPolicy
    max_per_host: int
    generation: int = 0
    hosts: dict[str, int] = field(default_factory=dict)

    def add(self, host: str, members: int) -> None:
        """Count members that are about to be placed there, or, below 0, that were refused."""
        self.hosts[host] = self.hosts.get(host, 0) + members
        if self.hosts[host] <= 0:
            del self.hosts[host]

    def place(self, record: InstanceRecord, host: str, sign: int = 1) -> None:
        """Count a member that is about to go to `host`; with `sign` -1: it was refused. Where members are
        kept together, one that moves no longer counts where it was."""
        self.add(host, sign)
        if record.host is not None and self.policy in (GroupPolicy.AFFINITY, GroupPolicy.SOFT_AFFINITY):
            self.add(record.host, -sign)

    def rule(self) -> claims.GroupRule | None:
        """What the claim is to check."""
        if self.policy not in ENFORCED:
            return None
        return claims.GroupRule(self.id, self.policy, self.max_per_host, self.generation)


@dataclass
class Job:
    """One instance of a pass."""

    record: InstanceRecord
    request: PlacementRequest
    group: GroupState | None = None


@dataclass(frozen=True)
class Unreadable:
    """An instance whose row makes no sense as a request."""

    record: InstanceRecord
    message: str


class Intake:
    """Makes jobs of rows. Reads SQL only for instances that have a group or such hints."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._policies: dict[str, tuple[GroupPolicy, int]] = {}

    async def jobs(self, records: Iterable[InstanceRecord]) -> tuple[list[Job], list[Unreadable]]:
        """A job for each row that can be read, in the same order; and the others, with what is wrong."""
        jobs: list[Job] = []
        unreadable: list[Unreadable] = []
        groups: dict[str, GroupState] = {}
        for record in records:
            try:
                jobs.append(await self._job(record, groups))
            except InvalidRequest as error:
                unreadable.append(Unreadable(record, str(error)))
        return jobs, unreadable

    async def refresh_groups(self, jobs: Iterable[Job]) -> None:
        """Read the groups of these jobs anew; nothing of their own picks is left in them."""
        states = {job.group.id: job.group for job in jobs if job.group}
        for state in states.values():
            with contextlib.suppress(InvalidRequest):  # gone: claims are refused, and the next pass says why
                await self._read_members(state)

    async def _job(self, record: InstanceRecord, groups: dict[str, GroupState]) -> Job:
        group = await self._group(record, groups)
        hints = record.hints
        different = await self._hosts_of(record, hint(hints, "differentHost", "different_host"))
        same = await self._hosts_of(record, hint(hints, "sameHost", "same_host"))
        return Job(record, read_record(record, group, different, same), group)

    async def _group(self, record: InstanceRecord, groups: dict[str, GroupState]) -> GroupState | None:
        if record.group_id is None:
            return None
        state = groups.get(record.group_id)
        if state is None:
            policy, max_per_host = await self._policy(record)
            state = GroupState(record.group_id, policy, max_per_host)
            await self._read_members(state)
            groups[record.group_id] = state
        return state

    async def _read_members(self, state: GroupState) -> None:
        try:
            generation, members = await hosts.group_hosts(self._db, state.id, state.policy)
        except ServerGroupNotFound as error:
            raise InvalidRequest(str(error)) from error
        state.generation = generation
        state.hosts.clear()
        state.hosts.update(members)

    async def _policy(self, record: InstanceRecord) -> tuple[GroupPolicy, int]:
        assert record.group_id is not None  # noqa: S101 - the caller looked
        if record.group_id not in self._policies:
            if len(self._policies) > KNOWN_POLICIES:
                self._policies.clear()
            for group in await tenants.list_server_groups(self._db, record.namespace):
                self._policies[group.id] = (group.policy, group.max_per_host)
        try:
            return self._policies[record.group_id]
        except KeyError:
            raise InvalidRequest(str(ServerGroupNotFound(record.group_id))) from None

    async def _hosts_of(self, record: InstanceRecord, wanted: tuple[str, ...]) -> frozenset[str] | None:
        """The hosts of instances that a hint names, by id or by name in the same namespace."""
        if not wanted:
            return None
        found = await instances.get_many(self._db, wanted)
        found_on = set()
        for name in wanted:
            other = found.get(name) or await instances.get_by_name(self._db, record.namespace, name)
            if other is not None and other.host is not None and not other.is_deleted:
                found_on.add(other.host)
        return frozenset(found_on)


def hint(hints: Mapping[str, Any], *spellings: str) -> tuple[str, ...]:
    """A hint that holds names; Instances and Nova's API spell it differently."""
    for spelling in spellings:
        if value := hints.get(spelling):
            return names(value)
    return ()


def _group(group: GroupState, record: InstanceRecord) -> Group:
    """The other members: one that moves leaves its host."""
    hosts = group.hosts
    if record.host in hosts:
        hosts = {**hosts, record.host: hosts[record.host] - 1}
        hosts = {host: members for host, members in hosts.items() if members}
    return Group(group.id, group.policy, group.max_per_host, hosts)


MOVES = {MoveKind.LIVE: "live_migrate", MoveKind.MIGRATION: "migrate", MoveKind.RESIZE: "resize"}
"""The actions that moves are; the destination has to be capable of them as the source is."""


def _extra(record: InstanceRecord, specs: ExtraSpecs) -> ExtraSpecs:
    """The flavor's extra specs, and what the move asks of its destination."""
    action = MOVES.get(record.move.kind) if record.move is not None else None
    return (
        specs if action is None else replace(specs, required_traits=specs.required_traits | {NEEDS[action]})
    )


def _wanted_host(record: InstanceRecord) -> str | None:
    """The only host that will do: the one whose own disk has a volume of it; of a move, the one that was
    asked for with it."""
    if record.pinned_host is not None:
        return record.pinned_host
    if record.move is not None:
        return record.move.wanted_host
    host: str | None = (record.request.get("spec") or {}).get("host")
    return host


def _left_hosts(record: InstanceRecord) -> frozenset[str]:
    """The host that it is to leave; only a resize may stay where it is."""
    move = record.move
    if move is None or move.source is None or move.kind is MoveKind.RESIZE:
        return frozenset()
    return frozenset({move.source})


def read_record(
    record: InstanceRecord,
    group: GroupState | None = None,
    different_host: frozenset[str] | None = None,
    same_host: frozenset[str] | None = None,
) -> PlacementRequest:
    """The request in a row. Raises InvalidRequest where it makes no sense."""
    flavor, image, move = record.flavor, record.image, record.move
    if move is not None and move.new_flavor is not None:
        flavor = move.new_flavor
    try:
        properties = pairs(image.get("properties") or {})
        return PlacementRequest(
            instance_id=record.id,
            vcpus=int(flavor["vcpus"]),
            memory_mib=int(flavor["memoryMiB"]),
            disk_gib=disk_gib(
                int(flavor.get("diskGiB", 0)),
                int(flavor.get("ephemeralGiB", 0)),
                int(flavor.get("swapMiB", 0)),
            ),
            project=record.project,
            flavor=str(flavor.get("name", "")),
            image=str(image.get("name", "")),
            extra=_extra(record, read_extra_specs(pairs(flavor.get("extraSpecs") or {}), properties)),
            image_properties=properties,
            zone=record.availability_zone,
            host=_wanted_host(record),
            group=_group(group, record) if group else None,
            excluded_hosts=frozenset(record.excluded_hosts) | _left_hosts(record),
            different_host=different_host,
            same_host=same_host,
            query=read_query(record.hints.get("query")),
            request_id=record.request_id,
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InvalidRequest(
            f"What the instance asks for cannot be read ({type(error).__name__}: {error}). "
            "Check its flavor, image and scheduler hints, and create it again."
        ) from error
