"""Host aggregates: which host is in which, and what their metadata says of it."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

ZONE_KEY = "availability_zone"
"""The metadata key under which Nova keeps an aggregate's zone."""


@dataclass(frozen=True)
class Aggregate:
    """One HostAggregate. `metadata` has the zone in it, under Nova's key."""

    name: str
    hosts: frozenset[str]
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Membership:
    """The aggregates that a host is in, taken together. Hosts in the same aggregates share one."""

    metadatas: tuple[tuple[tuple[str, str], ...], ...] = ()
    """Per aggregate, its metadata as sorted pairs."""

    @functools.cached_property
    def values(self) -> dict[str, frozenset[str]]:
        """Key → what any of the aggregates says, lists with commas taken apart, as Nova's filters read it."""
        merged: dict[str, set[str]] = {}
        for pairs in self.metadatas:
            for key, value in pairs:
                merged.setdefault(key, set()).update(word.strip() for word in value.split(","))
        return {key: frozenset(words) for key, words in merged.items()}

    def raw(self, key: str) -> frozenset[str]:
        """What the aggregates say under `key`, each value whole."""
        return frozenset(value for pairs in self.metadatas for name, value in pairs if name == key)

    def number(self, key: str, default: float) -> float:
        """The lowest number under `key`; `default` where there is none, or one of them is no number."""
        texts = self.raw(key)
        try:
            return min((float(text) for text in texts), default=default)
        except ValueError:
            return default


class AggregateMap:
    """Every aggregate, by name, and the hosts the other way round."""

    def __init__(self) -> None:
        self._aggregates: dict[str, Aggregate] = {}
        self._of_host: dict[str, set[str]] = {}

    def put(self, aggregate: Aggregate) -> frozenset[str]:
        """Add or replace one; returns the hosts for which something changed."""
        before = self._aggregates.get(aggregate.name)
        if before == aggregate:
            return frozenset()
        touched = self.remove(aggregate.name) | aggregate.hosts
        self._aggregates[aggregate.name] = aggregate
        for host in aggregate.hosts:
            self._of_host.setdefault(host, set()).add(aggregate.name)
        return touched

    def remove(self, name: str) -> frozenset[str]:
        """Forget one; returns the hosts that were in it."""
        aggregate = self._aggregates.pop(name, None)
        if aggregate is None:
            return frozenset()
        for host in aggregate.hosts:
            names = self._of_host[host]
            names.discard(name)
            if not names:
                del self._of_host[host]
        return aggregate.hosts

    def names(self) -> Iterable[str]:
        return self._aggregates.keys()

    def membership(self, host: str) -> Membership:
        """What the aggregates of `host` say."""
        names = sorted(self._of_host.get(host, ()))
        return Membership(tuple(tuple(sorted(self._aggregates[name].metadata.items())) for name in names))
