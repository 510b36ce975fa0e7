"""Filters on room: vCPUs, memory and disk, within the allocation ratios and less what is reserved.

Nova asks its placement service for these three today; the names are from when they were filters, so that
"no valid host" can say which of them it was. The claim in SQL is what keeps hosts from being overfilled;
these only choose hosts of which that can be expected. What needs none of a resource fits anywhere, also on a
host that has been given out beyond limits that were lowered since (the claim sees it so too).
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from cairn_operator.scheduler.filters.base import Filter
from cairn_operator.scheduler.hosts import DISK, MEMORY, VCPU, HostTable
from cairn_operator.scheduler.interning import BoolArray
from cairn_operator.scheduler.request import PlacementRequest


class _Capacity(Filter):
    resource: ClassVar[int]
    unit: ClassVar[str]

    def applies(self, request: PlacementRequest) -> bool:
        return request.amounts[self.resource] > 0

    def mask(self, hosts: HostTable, request: PlacementRequest) -> BoolArray:
        if not self.applies(request):
            return hosts.valid.copy()
        room = hosts.limits[self.resource] - hosts.used[self.resource]
        fits: BoolArray = room >= request.amounts[self.resource]
        return fits

    def reason(self, hosts: HostTable, request: PlacementRequest, removed: BoolArray) -> str:
        free = (hosts.limits[self.resource] - hosts.used[self.resource])[removed]
        most = int(np.max(free, initial=0))
        return f"need {request.amounts[self.resource]} {self.unit}, the roomiest has {most} left"


class CoreFilter(_Capacity):
    """Hosts with enough vCPUs left."""

    name = "CoreFilter"
    resource = VCPU
    unit = "vCPUs"


class RamFilter(_Capacity):
    """Hosts with enough memory left."""

    name = "RamFilter"
    resource = MEMORY
    unit = "MiB"


class DiskFilter(_Capacity):
    """Hosts with enough disk left."""

    name = "DiskFilter"
    resource = DISK
    unit = "GiB"
