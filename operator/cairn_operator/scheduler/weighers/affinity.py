"""Weighers for server groups with a soft policy."""

from __future__ import annotations

from cairn_crds.server_group import GroupPolicy
from cairn_operator.scheduler.hosts import HostTable
from cairn_operator.scheduler.interning import Figures, IntArray
from cairn_operator.scheduler.request import PlacementRequest
from cairn_operator.scheduler.weighers.base import Weigher


class ServerGroupSoftAffinityWeigher(Weigher):
    """Members of the instance's soft-affinity group on the host: the more, the better."""

    name = "ServerGroupSoftAffinityWeigher"
    multiplier_key = "soft_affinity_weight_multiplier"

    def figures(self, hosts: HostTable, request: PlacementRequest, rows: IntArray) -> Figures | None:
        return members(hosts, request, GroupPolicy.SOFT_AFFINITY, rows)


class ServerGroupSoftAntiAffinityWeigher(Weigher):
    """Members of the instance's soft-anti-affinity group on the host: the fewer, the better."""

    name = "ServerGroupSoftAntiAffinityWeigher"
    multiplier_key = "soft_anti_affinity_weight_multiplier"

    def figures(self, hosts: HostTable, request: PlacementRequest, rows: IntArray) -> Figures | None:
        there = members(hosts, request, GroupPolicy.SOFT_ANTI_AFFINITY, rows)
        return None if there is None else -there


def members(
    hosts: HostTable, request: PlacementRequest, policy: GroupPolicy, rows: IntArray
) -> IntArray | None:
    """Other members of the group per row; None where the instance is in no group of that policy."""
    group = request.group
    if group is None or group.policy is not policy or not group.hosts:
        return None
    return hosts.spread(group.hosts.items())[rows]
