"""Weighers on free room. Multipliers above 0 spread instances over hosts, below 0 they stack them."""

from __future__ import annotations

from cairn_operator.scheduler.hosts import DISK, MEMORY, VCPU, HostTable
from cairn_operator.scheduler.interning import Figures, IntArray
from cairn_operator.scheduler.request import PlacementRequest
from cairn_operator.scheduler.weighers.base import Weigher


class RAMWeigher(Weigher):
    """Free memory, without the allocation ratio (as Nova's free_ram_mb)."""

    name = "RAMWeigher"
    multiplier_key = "ram_weight_multiplier"
    minimum = 0.0

    def figures(self, hosts: HostTable, request: PlacementRequest, rows: IntArray) -> Figures | None:
        free: IntArray = (hosts.usable[MEMORY] - hosts.used[MEMORY])[rows]
        return free


class CPUWeigher(Weigher):
    """Free vCPUs, with the allocation ratio."""

    name = "CPUWeigher"
    multiplier_key = "cpu_weight_multiplier"
    minimum = 0.0

    def figures(self, hosts: HostTable, request: PlacementRequest, rows: IntArray) -> Figures | None:
        free: IntArray = (hosts.limits[VCPU] - hosts.used[VCPU])[rows]
        return free


class DiskWeigher(Weigher):
    """Free disk, without the allocation ratio (as Nova's free_disk_mb)."""

    name = "DiskWeigher"
    multiplier_key = "disk_weight_multiplier"
    minimum = 0.0

    def figures(self, hosts: HostTable, request: PlacementRequest, rows: IntArray) -> Figures | None:
        free: IntArray = (hosts.usable[DISK] - hosts.used[DISK])[rows]
        return free
