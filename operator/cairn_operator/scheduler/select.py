"""The decision: filters, then weighers, then which of the best.

`Selector.select` is what Nova's `_get_sorted_hosts` is. What filters say from the kind of request alone
(flavor, image, zone …) is kept until something about the hosts other than their usage changes.
"""

from __future__ import annotations

import random
from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np

from cairn_operator.scheduler.filters import Filter, build_filters
from cairn_operator.scheduler.hosts import HostTable
from cairn_operator.scheduler.interning import BoolArray, FloatArray, IntArray
from cairn_operator.scheduler.request import PlacementRequest
from cairn_operator.scheduler.settings import SchedulerSettings
from cairn_operator.scheduler.weighers import build_weighers

KEPT_MASKS = 512
"""How many kinds of request are remembered; at 10,000 hosts a mask takes 10 kB."""

FEW = 8
"""Up to here it is faster to look for the best again and again than to sort."""


@dataclass(frozen=True)
class Candidate:
    """A host that will do."""

    host: str
    row: int
    weight: float


@dataclass(frozen=True)
class Removal:
    """What one filter did."""

    filter: str
    removed: int
    left: int
    reason: str


@dataclass(frozen=True)
class Selection:
    """The answer to one request."""

    hosts: int
    """How many were looked at."""
    candidates: tuple[Candidate, ...]
    """The best first; no more than anybody would try."""
    removed: tuple[Removal, ...] = ()
    """What each filter removed, in the order of `enabled_filters`; worked out only where no host was left."""


class Selector:
    """Filters and weighers as the settings say. One per process."""

    def __init__(self, settings: SchedulerSettings, rng: random.Random | None = None) -> None:
        """Raises UnknownFilter."""
        self._settings = settings
        self._filters = build_filters(settings)
        self._weighers = build_weighers(settings)
        self._rng = rng or random.Random(settings.seed)  # noqa: S311 - spreading load, not a secret
        self._kept: dict[tuple[Hashable, ...], BoolArray] = {}
        self._kept_version = -1

    def select(self, hosts: HostTable, request: PlacementRequest) -> Selection:
        """Which hosts `request` may have, best first. Raises InvalidRequest."""
        rows = np.flatnonzero(self._mask(hosts, request))
        if not len(rows):
            return Selection(len(hosts), (), self._removals(hosts, request))
        weights = self._weigh(hosts, request, rows)
        return Selection(
            len(hosts),
            tuple(
                Candidate(hosts.names[int(rows[index])], int(rows[index]), float(weights[index]))
                for index in self._rank(weights)
            ),
        )

    def _mask(self, hosts: HostTable, request: PlacementRequest) -> BoolArray:
        if self._kept_version != hosts.version or len(self._kept) > KEPT_MASKS:
            self._kept.clear()
            self._kept_version = hosts.version
        keys: list[Hashable] = []
        keep: list[Filter] = []
        each_time: list[Filter] = []
        for filter_ in self._filters:
            if not filter_.applies(request):
                continue
            key = filter_.key(request)
            if key is None:
                each_time.append(filter_)
            else:
                keys.append(key)
                keep.append(filter_)
        mask = self._kept.get(tuple(keys))
        if mask is None:
            mask = hosts.valid.copy()
            for filter_ in keep:
                mask &= filter_.mask(hosts, request)
            self._kept[tuple(keys)] = mask
        for filter_ in each_time:
            mask = mask & filter_.mask(hosts, request)
        return mask

    def _weigh(self, hosts: HostTable, request: PlacementRequest, rows: IntArray) -> FloatArray:
        weights = np.zeros(len(rows))
        if len(rows) > 1:
            for weigher in self._weighers:
                weigher.add(weights, hosts, request, rows)
        return weights

    def _rank(self, weights: FloatArray) -> list[int]:
        """Indexes of the best, best first; among equals the first row, unless they are to be shuffled."""
        wanted = min(len(weights), max(self._settings.max_attempts, self._settings.host_subset_size))
        best: list[int] = []
        if self._settings.shuffle_best_same_weighed_hosts:
            top = np.flatnonzero(weights == weights.max())
            best = [int(top[place]) for place in self._rng.sample(range(len(top)), min(wanted, len(top)))]
        best = _highest(weights, wanted, best)
        subset = min(self._settings.host_subset_size, len(best))
        if subset > 1:
            best.insert(0, best.pop(self._rng.randrange(subset)))
        return best

    def _removals(self, hosts: HostTable, request: PlacementRequest) -> tuple[Removal, ...]:
        left = hosts.valid
        before = len(hosts)
        removals = []
        for filter_ in self._filters:
            if not before or not filter_.applies(request):
                continue
            mask = filter_.mask(hosts, request)
            removed, left = left & ~mask, left & mask
            after = int(np.count_nonzero(left))
            if after < before:
                reason = filter_.reason(hosts, request, removed)
                removals.append(Removal(filter_.name, before - after, after, reason))
            before = after
        return tuple(removals)


def _highest(weights: FloatArray, wanted: int, first: list[int]) -> list[int]:
    """`first`, then the highest of the others, up to `wanted`; the earlier of equals."""
    if len(first) >= wanted:
        return first
    remaining = weights.copy()
    remaining[first] = -np.inf
    if wanted - len(first) > FEW:
        order = np.argsort(-remaining, kind="stable")
        return first + [int(index) for index in order[: wanted - len(first)]]
    found = list(first)
    while len(found) < wanted:
        index = int(remaining.argmax())
        remaining[index] = -np.inf
        found.append(index)
    return found


def explain(selection: Selection) -> str:
    """Why there is no host, to follow "No valid host was found.": which filter removed how many, and why."""
    if not selection.hosts:
        return "There are no hosts: create a ComputeNode and start its agent."
    if selection.candidates:
        names = ", ".join(candidate.host for candidate in selection.candidates)
        return f"{_count(selection.hosts)}: {names} would do, but did not take it."
    told = ", ".join(f"{step.filter} removed {step.removed} ({step.reason})" for step in selection.removed)
    return f"{_count(selection.hosts)}: {told}."


def _count(hosts: int) -> str:
    return "1 host" if hosts == 1 else f"{hosts} hosts"
