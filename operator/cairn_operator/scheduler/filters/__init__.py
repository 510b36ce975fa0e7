"""The filters, by Nova's names.

One class per filter: `mask(hosts, request)` says which hosts will do, for all hosts at once. A new filter
is a class here and a line in `FILTERS`.
"""

from __future__ import annotations

from collections.abc import Iterable

from cairn_operator.scheduler.filters.affinity import (
    DifferentHostFilter,
    RequestedHostFilter,
    SameHostFilter,
    ServerGroupAffinityFilter,
    ServerGroupAntiAffinityFilter,
)
from cairn_operator.scheduler.filters.aggregates import (
    AggregateImagePropertiesIsolation,
    AggregateInstanceExtraSpecsFilter,
    AggregateMultiTenancyIsolation,
    AggregateTypeAffinityFilter,
)
from cairn_operator.scheduler.filters.base import Filter
from cairn_operator.scheduler.filters.capabilities import ComputeCapabilitiesFilter, RequiredTraits
from cairn_operator.scheduler.filters.capacity import CoreFilter, DiskFilter, RamFilter
from cairn_operator.scheduler.filters.compute import AllHostsFilter, ComputeFilter, RetryFilter
from cairn_operator.scheduler.filters.images import ImagePropertiesFilter, IsolatedHostsFilter
from cairn_operator.scheduler.filters.json_query import JsonFilter
from cairn_operator.scheduler.filters.load import (
    AggregateIoOpsFilter,
    AggregateNumInstancesFilter,
    IoOpsFilter,
    NumInstancesFilter,
)
from cairn_operator.scheduler.filters.metrics import MetricsFilter
from cairn_operator.scheduler.filters.zones import AvailabilityZoneFilter
from cairn_operator.scheduler.settings import SchedulerSettings

FILTERS: dict[str, type[Filter]] = {
    filter_.name: filter_
    for filter_ in (
        AggregateImagePropertiesIsolation,
        AggregateInstanceExtraSpecsFilter,
        AggregateIoOpsFilter,
        AggregateMultiTenancyIsolation,
        AggregateNumInstancesFilter,
        AggregateTypeAffinityFilter,
        AllHostsFilter,
        AvailabilityZoneFilter,
        ComputeCapabilitiesFilter,
        ComputeFilter,
        CoreFilter,
        DifferentHostFilter,
        DiskFilter,
        ImagePropertiesFilter,
        IoOpsFilter,
        IsolatedHostsFilter,
        JsonFilter,
        MetricsFilter,
        NumInstancesFilter,
        RamFilter,
        RequiredTraits,
        RetryFilter,
        RequestedHostFilter,
        SameHostFilter,
        ServerGroupAffinityFilter,
        ServerGroupAntiAffinityFilter,
    )
}
"""Name → filter."""


class UnknownFilter(ValueError):
    """The settings name a filter that there is not."""


def build_filters(settings: SchedulerSettings, names: Iterable[str] | None = None) -> tuple[Filter, ...]:
    """The filters of `enabled_filters`, in that order. Raises UnknownFilter, with the list of known ones."""
    chosen = tuple(settings.enabled_filters if names is None else names)
    unknown = [name for name in chosen if name not in FILTERS]
    if unknown:
        raise UnknownFilter(
            f"enabled_filters names {', '.join(unknown)}, which this scheduler does not have. "
            f"Known filters: {', '.join(FILTERS)}."
        )
    return tuple(FILTERS[name](settings) for name in chosen)


__all__ = ["FILTERS", "Filter", "UnknownFilter", "build_filters"]
