"""Filters on what a host can do: capabilities and traits."""

from __future__ import annotations

from collections.abc import Hashable

import numpy as np

from cairn_operator.scheduler.attributes import NAMES, NUMBERS, column
from cairn_operator.scheduler.filters.base import Filter
from cairn_operator.scheduler.filters.extra_specs_ops import match
from cairn_operator.scheduler.hosts import HostTable
from cairn_operator.scheduler.interning import BoolArray
from cairn_operator.scheduler.profile import HostProfile
from cairn_operator.scheduler.request import PlacementRequest


class ComputeCapabilitiesFilter(Filter):
    """Hosts whose capabilities meet the flavor's `capabilities:…` extra specs.

    As in Nova, a key without a scope is read as a capability too, by hosts that have one of that name.
    """

    name = "ComputeCapabilitiesFilter"

    def applies(self, request: PlacementRequest) -> bool:
        return bool(request.extra.capabilities or request.extra.unscoped)

    def key(self, request: PlacementRequest) -> Hashable | None:
        extra = request.extra
        if any(path in NUMBERS for path, _demand in (*extra.capabilities, *extra.unscoped)):
            return None
        return self.name, extra.capabilities, extra.unscoped

    def mask(self, hosts: HostTable, request: PlacementRequest) -> BoolArray:
        passing = np.ones(hosts.capacity, np.bool_)
        for path, demand in request.extra.capabilities:
            passing &= _meets(hosts, path, demand, without=False)
        for path, demand in request.extra.unscoped:
            passing &= _meets(hosts, path, demand, without=True)
        return passing

    def reason(self, hosts: HostTable, request: PlacementRequest, removed: BoolArray) -> str:
        demands = (*request.extra.capabilities, *request.extra.unscoped)
        return "need " + ", ".join(f"{path} {demand}" for path, demand in demands)


def _meets(hosts: HostTable, path: str, demand: str, *, without: bool) -> BoolArray:
    """`without`: the answer for a host that has no such capability."""
    if path in NUMBERS or path in NAMES:
        figures = column(hosts, path)
        assert figures is not None  # noqa: S101 - the path is one of the table
        distinct, index = np.unique(figures.astype(str), return_inverse=True)
        return np.array([match(str(value), demand) for value in distinct], np.bool_)[index]

    def meets(profile: HostProfile) -> bool:
        value = profile.capability(path)
        return without if value is None else match(value, demand)

    return hosts.by_profile(meets)


class RequiredTraits(Filter):
    """Hosts that have the traits that the flavor or the image requires, and none that they forbid
    (`trait:…=required` and `=forbidden`; Nova hands these to placement)."""

    name = "RequiredTraits"

    def applies(self, request: PlacementRequest) -> bool:
        return bool(request.extra.required_traits or request.extra.forbidden_traits)

    def key(self, request: PlacementRequest) -> Hashable | None:
        return self.name, request.extra.required_traits, request.extra.forbidden_traits

    def mask(self, hosts: HostTable, request: PlacementRequest) -> BoolArray:
        required, forbidden = request.extra.required_traits, request.extra.forbidden_traits
        return hosts.by_profile(
            lambda profile: required <= profile.traits and forbidden.isdisjoint(profile.traits)
        )

    def reason(self, hosts: HostTable, request: PlacementRequest, removed: BoolArray) -> str:
        words = [f"required {', '.join(sorted(request.extra.required_traits))}"]
        words += [f"forbidden {', '.join(sorted(request.extra.forbidden_traits))}"]
        return "traits " + "; ".join(word for word in words if word not in ("required ", "forbidden "))
