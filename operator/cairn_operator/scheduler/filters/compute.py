"""Filters on the host's service: is it there, and has it failed this instance already?"""

from __future__ import annotations

from collections.abc import Hashable

import numpy as np

from cairn_operator.scheduler.filters.base import Filter
from cairn_operator.scheduler.hosts import HostTable
from cairn_operator.scheduler.interning import BoolArray
from cairn_operator.scheduler.request import PlacementRequest


class ComputeFilter(Filter):
    """Hosts that are enabled and up."""

    name = "ComputeFilter"

    def key(self, request: PlacementRequest) -> Hashable | None:
        return self.name

    def mask(self, hosts: HostTable, request: PlacementRequest) -> BoolArray:
        return hosts.up & ~hosts.disabled & ~hosts.withdrawn

    def reason(self, hosts: HostTable, request: PlacementRequest, removed: BoolArray) -> str:
        out = hosts.disabled | hosts.withdrawn
        disabled = int(np.count_nonzero(out & removed))
        down = int(np.count_nonzero(~out & removed))
        parts = [f"{count} {word}" for count, word in ((disabled, "disabled"), (down, "down")) if count]
        return ", ".join(parts) or "down or disabled"


class RetryFilter(Filter):
    """Not the hosts on which building this instance failed before."""

    name = "RetryFilter"

    def applies(self, request: PlacementRequest) -> bool:
        return bool(request.excluded_hosts)

    def mask(self, hosts: HostTable, request: PlacementRequest) -> BoolArray:
        return ~hosts.by_name(request.excluded_hosts)

    def reason(self, hosts: HostTable, request: PlacementRequest, removed: BoolArray) -> str:
        return "building it failed there before"


class AllHostsFilter(Filter):
    """Every host: for an operator who wants none of the others."""

    name = "AllHostsFilter"

    def applies(self, request: PlacementRequest) -> bool:
        return False

    def mask(self, hosts: HostTable, request: PlacementRequest) -> BoolArray:
        return np.ones(hosts.capacity, np.bool_)

    def reason(self, hosts: HostTable, request: PlacementRequest, removed: BoolArray) -> str:
        return "it removes none"
