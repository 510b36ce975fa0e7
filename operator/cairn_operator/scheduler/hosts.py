"""What the scheduler knows of every host, as columns: one array per figure, one row per host.

Three sources write here, each for its own columns, at a cost of what changed only: SQL (limits, usage,
instances, failed builds), ComputeNode resources (what the host is, admin's switches, heartbeats)
and HostAggregate resources. The scheduler's own picks are added at once by `take`; the next reading from
SQL replaces them.

Rows are never moved: a removed host leaves a row that is not `valid`, to be used by the next new one.
Arrays are as long as `capacity`; a mask is valid for rows that are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from cairn_crds.compute_node import ComputeNode
from cairn_crds.conditions import ConditionStatus, find_condition
from cairn_operator.scheduler.aggregates import Aggregate, AggregateMap, Membership
from cairn_operator.scheduler.interning import BoolArray, FloatArray, IntArray, Interner
from cairn_operator.scheduler.profile import HostProfile

VCPU, MEMORY, DISK = range(3)
"""Rows of the resource arrays: vCPUs, MiB of memory, GiB of disk."""

Amounts = tuple[int, int, int]
"""vCPUs, MiB of memory, GiB of disk."""

TOLERATED_SKEW_SECONDS = 600.0
"""How far clocks may be apart before a host that is alive is taken for dead, until its next heartbeat."""

_LONG_AGO = -1e18


@dataclass(frozen=True)
class HostUsage:
    """What SQL says of one host."""

    name: str
    limits: Amounts
    """(total - reserved) x ratio: what may be given out."""
    used: Amounts
    instances: int = 0
    build_failures: int = 0
    withdrawn: bool = False
    """SQL has it as disabled, forced down or removed: a claim would be refused."""


class HostTable:
    """All hosts. Not thread-safe: it belongs to the event loop."""

    def __init__(self, service_down_time: float = 60.0) -> None:
        self.service_down_time = service_down_time
        self.version = 0
        """Rises with every change that is not usage: what masks that outlive one decision were made from."""
        self.capacity = 0
        self.rows: dict[str, int] = {}
        self.names: list[str] = []
        """Row → host; '' where the row is not in use."""
        self.profiles: Interner[HostProfile] = Interner()
        self.memberships: Interner[Membership] = Interner()
        self._aggregates = AggregateMap()
        self._spare: list[int] = []
        self._nodes: set[str] = set()
        self._stamps: dict[str, str] = {}
        self._numbers: dict[tuple[str, float], FloatArray | float] = {}
        """Answers of `aggregate_number`, good for `_numbers_version`."""
        self._numbers_version = -1
        self._no_profile = self.profiles.acquire(HostProfile())
        self._no_aggregates = self.memberships.acquire(Membership())

        self.valid: BoolArray = np.zeros(0, np.bool_)
        self.disabled: BoolArray = np.zeros(0, np.bool_)
        """By its ComputeNode, or because it is being drained."""
        self.forced_down: BoolArray = np.zeros(0, np.bool_)
        self.withdrawn: BoolArray = np.zeros(0, np.bool_)
        """Disabled, forced down or removed as SQL has it, which is what a claim goes by."""
        self.up: BoolArray = np.zeros(0, np.bool_)
        """Heard of within `service_down_time` and not forced down, as of the last `refresh_liveness`."""
        self.heard_at: FloatArray = np.zeros(0)
        self.limits: IntArray = np.zeros((3, 0), np.int64)
        self.used: IntArray = np.zeros((3, 0), np.int64)
        self.total: IntArray = np.zeros((3, 0), np.int64)
        """What the host has, from its agent."""
        self.usable: IntArray = np.zeros((3, 0), np.int64)
        """`total` less what is reserved, without the allocation ratio."""
        self.instances: IntArray = np.zeros(0, np.int64)
        self.io_ops: IntArray = np.zeros(0, np.int64)
        self.build_failures: IntArray = np.zeros(0, np.int64)
        self.hypervisor_version: IntArray = np.zeros(0, np.int64)
        self.profile_of: IntArray = np.zeros(0, np.int64)
        self.membership_of: IntArray = np.zeros(0, np.int64)
        self.metrics: dict[str, FloatArray] = {}
        """Metric name → its value per host, NaN where the host does not report it."""

    def __len__(self) -> int:
        return len(self.rows)

    # What the filters and weighers ask

    def by_profile(self, predicate: Callable[[HostProfile], bool]) -> BoolArray:
        """The answer per host, worked out once per kind of host."""
        return self.profiles.test(predicate)[self.profile_of]

    def by_membership(self, predicate: Callable[[Membership], bool]) -> BoolArray:
        """The answer per host, worked out once per set of aggregates."""
        return self.memberships.test(predicate)[self.membership_of]

    def aggregate_number(self, key: str, default: float) -> FloatArray | float:
        """The aggregates' figure under `key` per host; just `default` where no aggregate has one."""
        if self._numbers_version != self.version:
            self._numbers.clear()
            self._numbers_version = self.version
        if (key, default) not in self._numbers:
            figures = self.memberships.measure(lambda membership: membership.number(key, default))
            known = figures[~np.isnan(figures)]
            self._numbers[key, default] = figures[self.membership_of] if (known != default).any() else default
        return self._numbers[key, default]

    def by_name(self, names: Iterable[str]) -> BoolArray:
        """True for these hosts."""
        mask = np.zeros(self.capacity, np.bool_)
        mask[[self.rows[name] for name in names if name in self.rows]] = True
        return mask

    def spread(self, figures: Iterable[tuple[str, int]]) -> IntArray:
        """A figure for some hosts, 0 for the others."""
        column = np.zeros(self.capacity, np.int64)
        for name, figure in figures:
            row = self.rows.get(name)
            if row is not None:
                column[row] = figure
        return column

    # From SQL

    def set_usage(self, usage: HostUsage) -> None:
        """Take in what SQL says of a host; whatever `take` had added is in it by now."""
        row = self._row(usage.name)
        self.limits[:, row] = usage.limits
        self.used[:, row] = usage.used
        self.instances[row] = usage.instances
        self.build_failures[row] = usage.build_failures
        self._set_flag(self.withdrawn, row, usage.withdrawn)

    def remove_usage(self, name: str) -> None:
        """SQL has let go of a host. It stays, out of use, while there is a ComputeNode."""
        if name not in self._nodes:
            self._remove(name)
        elif (row := self.rows.get(name)) is not None:
            self._set_flag(self.withdrawn, row, True)

    def set_io_ops(self, operations: Iterable[tuple[str, int]]) -> None:
        """Take in how many instances are being built, moved or copied, per host; hosts left out have none."""
        self.io_ops = self.spread(operations)

    def take(self, host: str, amounts: Amounts) -> None:
        """Count an instance that is about to be claimed there."""
        self._add(host, amounts, 1)

    def give_back(self, host: str, amounts: Amounts) -> None:
        """Undo `take`: the claim was refused."""
        self._add(host, amounts, -1)

    def _add(self, host: str, amounts: Amounts, sign: int) -> None:
        row = self.rows.get(host)
        if row is None:  # removed meanwhile
            return
        for resource, amount in enumerate(amounts):
            self.used[resource, row] += sign * amount
        self.instances[row] += sign
        self.io_ops[row] += sign

    # From ComputeNode resources

    def set_node(self, node: ComputeNode, now: float, wall_clock: float) -> None:
        """Take in a ComputeNode as it is now.

        `now` is the local monotonic clock. A heartbeat counts from the moment its *change* was seen, so that
        a wrong clock does no harm. Of the first one seen nobody knows how old it is: it counts, unless the
        conductor has found the host silent (its condition `Up`), or `wall_clock` says that it is older than
        clocks can be apart.
        """
        row = self._row(node.metadata.name)
        self._nodes.add(node.metadata.name)
        status, spec = node.status, node.spec
        self._heartbeat(row, node, now, wall_clock)
        self._set_flag(self.disabled, row, spec.disabled or spec.drain)
        self._set_flag(self.forced_down, row, spec.forced_down)
        total = (status.vcpus, status.memory_mib, status.disk_gib)
        reserved = (spec.reserved.vcpus, spec.reserved.memory_mib, spec.reserved.disk_gib)
        self.total[:, row] = total
        self.usable[:, row] = [have - keep for have, keep in zip(total, reserved, strict=True)]
        self._set_metrics(row, status.metrics)
        self._set_profile(row, HostProfile.of(status))

    def remove_node(self, name: str) -> None:
        """Its ComputeNode is gone. While its row in SQL lives on, that adds it again, as down."""
        self._nodes.discard(name)
        self._remove(name)

    def refresh_liveness(self, now: float) -> None:
        """Work out which hosts are up at `now` (the local monotonic clock)."""
        up = self.valid & ~self.forced_down & (now - self.heard_at < self.service_down_time)
        if not np.array_equal(up, self.up):
            self.up = up
            self.version += 1

    def excuse(self, seconds: float) -> None:
        """For so long no heartbeat could have been seen: it does not count against anybody."""
        self.heard_at += seconds

    def _remove(self, name: str) -> None:
        row = self.rows.pop(name, None)
        if row is None:
            return
        self.names[row] = ""
        self._stamps.pop(name, None)
        self.profiles.release(int(self.profile_of[row]))
        self.memberships.release(int(self.membership_of[row]))
        self._clear(row)
        self._spare.append(row)
        self.version += 1

    # From HostAggregate resources

    def set_aggregate(self, aggregate: Aggregate) -> None:
        """Add or replace an aggregate."""
        self._set_memberships(self._aggregates.put(aggregate))

    def remove_aggregate(self, name: str) -> None:
        """Forget an aggregate."""
        self._set_memberships(self._aggregates.remove(name))

    # Inside

    def _row(self, name: str) -> int:
        row = self.rows.get(name)
        if row is None:
            if not self._spare:
                self._grow()
            row = self._spare.pop()
            self.rows[name] = row
            self.names[row] = name
            self.valid[row] = True
            self.profile_of[row] = self.profiles.acquire(HostProfile())
            self.membership_of[row] = self.memberships.acquire(self._aggregates.membership(name))
            self.version += 1
        return row

    def _grow(self) -> None:
        more = max(64, self.capacity // 4)
        for field in _COLUMNS:
            column = getattr(self, field)
            wider = np.zeros((*column.shape[:-1], more), column.dtype)
            setattr(self, field, np.concatenate((column, wider), axis=-1))
        for name, figures in self.metrics.items():
            self.metrics[name] = np.concatenate((figures, np.full(more, np.nan)))
        self.names += [""] * more
        self._spare += range(self.capacity + more - 1, self.capacity - 1, -1)
        for row in range(self.capacity, self.capacity + more):
            self._clear(row)
        self.capacity += more
        self.version += 1

    def _clear(self, row: int) -> None:
        for field in _COLUMNS:
            getattr(self, field)[..., row] = 0
        self.heard_at[row] = _LONG_AGO
        self.profile_of[row] = self._no_profile
        self.membership_of[row] = self._no_aggregates
        for figures in self.metrics.values():
            figures[row] = np.nan

    def _set_flag(self, column: BoolArray, row: int, value: bool) -> None:
        if bool(column[row]) != value:
            column[row] = value
            self.version += 1

    def _heartbeat(self, row: int, node: ComputeNode, now: float, wall_clock: float) -> None:
        beat = node.status.heartbeat_time
        if beat is None:
            return
        name, stamp = node.metadata.name, beat.isoformat()
        known = self._stamps.get(name)
        if known == stamp:
            return
        self._stamps[name] = stamp
        if known is None and (_is_down(node) or wall_clock - beat.timestamp() > TOLERATED_SKEW_SECONDS):
            return
        self.heard_at[row] = now

    def _set_metrics(self, row: int, metrics: dict[str, float]) -> None:
        for name in metrics.keys() - self.metrics.keys():
            self.metrics[name] = np.full(self.capacity, np.nan)
        for name, figures in self.metrics.items():
            figures[row] = metrics.get(name, np.nan)

    def _set_profile(self, row: int, profile: HostProfile) -> None:
        before = int(self.profile_of[row])
        number = self.profiles.acquire(profile)
        self.profiles.release(before)
        if number != before:
            self.profile_of[row] = number
            self.hypervisor_version[row] = profile.version_number
            self.version += 1

    def _set_memberships(self, hosts: Iterable[str]) -> None:
        for host in hosts:
            row = self.rows.get(host)
            if row is None:
                continue
            before = int(self.membership_of[row])
            self.membership_of[row] = self.memberships.acquire(self._aggregates.membership(host))
            self.memberships.release(before)
            self.version += 1


def _is_down(node: ComputeNode) -> bool:
    up = find_condition(node.status.conditions, "Up")
    return up is not None and up.status is ConditionStatus.FALSE


_COLUMNS = (
    "valid",
    "disabled",
    "forced_down",
    "withdrawn",
    "up",
    "heard_at",
    "limits",
    "used",
    "total",
    "usable",
    "instances",
    "io_ops",
    "build_failures",
    "hypervisor_version",
    "profile_of",
    "membership_of",
)
"""The arrays that are as long as there are rows; the metrics are apart."""
