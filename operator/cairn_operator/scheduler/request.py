"""What one instance needs of a host."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from cairn_crds.server_group import GroupPolicy
from cairn_operator.scheduler.hosts import Amounts

Pairs = tuple[tuple[str, str], ...]
"""A mapping as sorted pairs, so that it can be a key."""


class InvalidRequest(Exception):
    """The instance cannot be placed as it is asked for; the message says what is wrong with the asking."""


def pairs(mapping: Mapping[str, Any]) -> Pairs:
    """`mapping` in a form that can be a key."""
    return tuple(sorted((str(key), str(value)) for key, value in mapping.items()))


@dataclass(frozen=True)
class ExtraSpecs:
    """A flavor's extra specs, sorted by who reads them. The same specs share one object."""

    required_traits: frozenset[str] = frozenset()
    forbidden_traits: frozenset[str] = frozenset()
    capabilities: Pairs = ()
    """`capabilities:…` without the prefix → what is demanded, e.g. ('cpu_info:arch', 's== x86_64')."""
    unscoped: Pairs = ()
    """Keys without a colon: Nova's capability and aggregate filters both read them."""
    aggregate: Pairs = ()
    """`aggregate_instance_extra_specs:…` without the prefix, and the unscoped ones."""


@functools.lru_cache(maxsize=1024)
def read_extra_specs(specs: Pairs, image_properties: Pairs = ()) -> ExtraSpecs:
    """Sort extra specs by their readers. An image's `trait:…=required` counts as the flavor's does.

    Raises InvalidRequest where a trait is neither required nor forbidden.
    """
    required: set[str] = set()
    forbidden: set[str] = set()
    capabilities, unscoped, aggregate = [], [], []
    traits_of_image = [pair for pair in image_properties if pair[0].startswith("trait:")]
    for key, value in (*specs, *traits_of_image):
        scope, colon, rest = key.partition(":")
        if not colon:
            unscoped.append((key, value))
            aggregate.append((key, value))
        elif scope == "trait":
            if value not in ("required", "forbidden"):
                raise InvalidRequest(f"Extra spec {key} is '{value}'; it must be 'required' or 'forbidden'.")
            (required if value == "required" else forbidden).add(rest)
        elif scope == "capabilities":
            capabilities.append((rest, value))
        elif scope == "aggregate_instance_extra_specs":
            aggregate.append((rest, value))
        elif key == "hw:maxphysaddr_bits":
            capabilities.append(("cpu_info:maxphysaddr:bits", f">= {value}"))
    return ExtraSpecs(
        frozenset(required), frozenset(forbidden), tuple(capabilities), tuple(unscoped), tuple(aggregate)
    )


@dataclass(frozen=True)
class Group:
    """The server group that the instance is a member of."""

    id: str
    policy: GroupPolicy
    max_server_per_host: int = 1
    hosts: Mapping[str, int] = field(default_factory=dict)
    """Host → how many other members are there."""


@dataclass(frozen=True)
class PlacementRequest:
    """One decision to make. Immutable; what many requests have in common is shared, and serves as a key."""

    instance_id: str
    vcpus: int = 1
    memory_mib: int = 512
    disk_gib: int = 0
    """Root, ephemeral and swap together, rounded up."""
    project: str = ""
    flavor: str = ""
    """The flavor's name."""
    image: str = ""
    """The image's name."""
    extra: ExtraSpecs = ExtraSpecs()
    image_properties: Pairs = ()
    zone: str | None = None
    host: str | None = None
    """The only host that will do; None: any."""
    group: Group | None = None
    excluded_hosts: frozenset[str] = frozenset()
    """Hosts on which building it failed before."""
    different_host: frozenset[str] | None = None
    """Hosts of the instances that it must be apart from; None: not asked for."""
    same_host: frozenset[str] | None = None
    """Hosts of the instances of which it must be with one; None: not asked for."""
    query: Any = None
    """The `query` hint, as JSON; None: not asked for."""
    request_id: str | None = None

    @property
    def amounts(self) -> Amounts:
        return self.vcpus, self.memory_mib, self.disk_gib

    def image_property(self, *names: str) -> str | None:
        """The first of these properties that the image has (Nova renamed some of them)."""
        for name in names:
            for key, value in self.image_properties:
                if key == name:
                    return value
        return None


def disk_gib(root_gib: int, ephemeral_gib: int, swap_mib: int) -> int:
    """What a flavor's disks take together, in whole GiB."""
    return root_gib + ephemeral_gib + -(-swap_mib // 1024)


def read_query(text: str | None) -> Any:
    """The `query` hint as JSON. Raises InvalidRequest where it is none."""
    if not text:
        return None
    try:
        query = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(f"The scheduler hint 'query' is not JSON: {error}.") from error
    if query and not isinstance(query, list):
        raise InvalidRequest('The scheduler hint \'query\' must be a list: [">=", "$free_ram_mb", 1024].')
    return query or None


def names(value: str | Iterable[str] | None) -> tuple[str, ...]:
    """A hint that Nova takes as one name or a list of them."""
    if not value:
        return ()
    return (value,) if isinstance(value, str) else tuple(value)
