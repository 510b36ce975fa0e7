"""Filters on how busy a host is: how many instances it has, and how many of them are being worked on."""

from __future__ import annotations

from cairn_operator.scheduler.filters.base import Filter
from cairn_operator.scheduler.hosts import HostTable
from cairn_operator.scheduler.interning import BoolArray
from cairn_operator.scheduler.request import PlacementRequest


class NumInstancesFilter(Filter):
    """Hosts with fewer than `max_instances_per_host` instances."""

    name = "NumInstancesFilter"

    def mask(self, hosts: HostTable, request: PlacementRequest) -> BoolArray:
        few: BoolArray = hosts.instances < self.settings.max_instances_per_host
        return few

    def reason(self, hosts: HostTable, request: PlacementRequest, removed: BoolArray) -> str:
        return f"a host may have {self.settings.max_instances_per_host} instances"


class AggregateNumInstancesFilter(NumInstancesFilter):
    """The same, where an aggregate's `max_instances_per_host` goes first; the lowest of several."""

    name = "AggregateNumInstancesFilter"

    def mask(self, hosts: HostTable, request: PlacementRequest) -> BoolArray:
        most = hosts.aggregate_number("max_instances_per_host", self.settings.max_instances_per_host)
        few: BoolArray = hosts.instances < most
        return few

    def reason(self, hosts: HostTable, request: PlacementRequest, removed: BoolArray) -> str:
        return (
            f"a host may have {self.settings.max_instances_per_host} instances, "
            "or its aggregate's max_instances_per_host"
        )


class IoOpsFilter(Filter):
    """Hosts with fewer than `max_io_ops_per_host` instances being built, moved or copied."""

    name = "IoOpsFilter"

    def mask(self, hosts: HostTable, request: PlacementRequest) -> BoolArray:
        few: BoolArray = hosts.io_ops < self.settings.max_io_ops_per_host
        return few

    def reason(self, hosts: HostTable, request: PlacementRequest, removed: BoolArray) -> str:
        return f"a host may work on {self.settings.max_io_ops_per_host} instances at once"


class AggregateIoOpsFilter(IoOpsFilter):
    """The same, where an aggregate's `max_io_ops_per_host` goes first; the lowest of several."""

    name = "AggregateIoOpsFilter"

    def mask(self, hosts: HostTable, request: PlacementRequest) -> BoolArray:
        most = hosts.aggregate_number("max_io_ops_per_host", self.settings.max_io_ops_per_host)
        few: BoolArray = hosts.io_ops < most
        return few

    def reason(self, hosts: HostTable, request: PlacementRequest, removed: BoolArray) -> str:
        return (
            f"a host may work on {self.settings.max_io_ops_per_host} instances at once, "
            "or its aggregate's max_io_ops_per_host"
        )
