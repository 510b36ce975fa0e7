"""The availability zone filter."""

from __future__ import annotations

from collections.abc import Hashable

from cairn_operator.scheduler.aggregates import ZONE_KEY, Membership
from cairn_operator.scheduler.filters.base import Filter
from cairn_operator.scheduler.hosts import HostTable
from cairn_operator.scheduler.interning import BoolArray
from cairn_operator.scheduler.request import PlacementRequest


class AvailabilityZoneFilter(Filter):
    """Hosts of the zone asked for. A host whose aggregates name no zone is in `default_availability_zone`."""

    name = "AvailabilityZoneFilter"

    def applies(self, request: PlacementRequest) -> bool:
        return bool(request.zone)

    def key(self, request: PlacementRequest) -> Hashable | None:
        return self.name, request.zone

    def mask(self, hosts: HostTable, request: PlacementRequest) -> BoolArray:
        default = frozenset((self.settings.default_availability_zone,))

        def in_zone(membership: Membership) -> bool:
            return not request.zone or request.zone in membership.values.get(ZONE_KEY, default)

        return hosts.by_membership(in_zone)

    def reason(self, hosts: HostTable, request: PlacementRequest, removed: BoolArray) -> str:
        return f"not in zone {request.zone}"
