"""Filters on the neighbours: server groups, and the hints `sameHost` and `differentHost`."""

from __future__ import annotations

from cairn_crds.server_group import GroupPolicy
from cairn_operator.scheduler.filters.base import Filter
from cairn_operator.scheduler.hosts import HostTable
from cairn_operator.scheduler.interning import BoolArray
from cairn_operator.scheduler.request import PlacementRequest


class ServerGroupAntiAffinityFilter(Filter):
    """Hosts with fewer members of the instance's anti-affinity group than one host may have."""

    name = "ServerGroupAntiAffinityFilter"

    def applies(self, request: PlacementRequest) -> bool:
        group = request.group
        return group is not None and group.policy is GroupPolicy.ANTI_AFFINITY and bool(group.hosts)

    def mask(self, hosts: HostTable, request: PlacementRequest) -> BoolArray:
        group = request.group
        if group is None or group.policy is not GroupPolicy.ANTI_AFFINITY:
            return hosts.valid.copy()
        full = [host for host, members in group.hosts.items() if members >= group.max_server_per_host]
        return ~hosts.by_name(full)

    def reason(self, hosts: HostTable, request: PlacementRequest, removed: BoolArray) -> str:
        most = request.group.max_server_per_host if request.group else 1
        return f"the server group's policy is anti-affinity, {most} per host"


class ServerGroupAffinityFilter(Filter):
    """The hosts where the instance's affinity group is already; any host for its first member."""

    name = "ServerGroupAffinityFilter"

    def applies(self, request: PlacementRequest) -> bool:
        group = request.group
        return group is not None and group.policy is GroupPolicy.AFFINITY and any(group.hosts.values())

    def mask(self, hosts: HostTable, request: PlacementRequest) -> BoolArray:
        group = request.group
        if group is None or not self.applies(request):
            return hosts.valid.copy()
        return hosts.by_name(host for host, members in group.hosts.items() if members)

    def reason(self, hosts: HostTable, request: PlacementRequest, removed: BoolArray) -> str:
        group = request.group
        where = sorted(host for host, members in group.hosts.items() if members) if group else []
        return f"the server group's policy is affinity, and it is on {', '.join(where)}"


class RequestedHostFilter(Filter):
    """The host that the instance asks for by name (Nova: force_hosts, requested_destination)."""

    name = "RequestedHostFilter"

    def applies(self, request: PlacementRequest) -> bool:
        return request.host is not None

    def mask(self, hosts: HostTable, request: PlacementRequest) -> BoolArray:
        return hosts.valid.copy() if request.host is None else hosts.by_name((request.host,))

    def reason(self, hosts: HostTable, request: PlacementRequest, removed: BoolArray) -> str:
        return f"host {request.host} is asked for"


class DifferentHostFilter(Filter):
    """Not the hosts of the instances in the hint `differentHost`."""

    name = "DifferentHostFilter"

    def applies(self, request: PlacementRequest) -> bool:
        return bool(request.different_host)

    def mask(self, hosts: HostTable, request: PlacementRequest) -> BoolArray:
        return ~hosts.by_name(request.different_host or ())

    def reason(self, hosts: HostTable, request: PlacementRequest, removed: BoolArray) -> str:
        return "instances of the hint differentHost are there"


class SameHostFilter(Filter):
    """The hosts of the instances in the hint `sameHost`; none where none of those is on a host."""

    name = "SameHostFilter"

    def applies(self, request: PlacementRequest) -> bool:
        return request.same_host is not None

    def mask(self, hosts: HostTable, request: PlacementRequest) -> BoolArray:
        if request.same_host is None:
            return hosts.valid.copy()
        return hosts.by_name(request.same_host)

    def reason(self, hosts: HostTable, request: PlacementRequest, removed: BoolArray) -> str:
        if not request.same_host:
            return "no instance of the hint sameHost is on a host"
        return f"instances of the hint sameHost are on {', '.join(sorted(request.same_host))}"
