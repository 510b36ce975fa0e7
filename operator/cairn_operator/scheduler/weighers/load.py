"""Weighers on how busy a host is, and on how well it has done."""

from __future__ import annotations

import numpy as np

from cairn_operator.scheduler.hosts import HostTable
from cairn_operator.scheduler.interning import Figures, FloatArray, IntArray
from cairn_operator.scheduler.request import PlacementRequest
from cairn_operator.scheduler.weighers.base import Weigher


class IoOpsWeigher(Weigher):
    """Instances being built, moved or copied; the multiplier is negative by default, so quiet hosts win."""

    name = "IoOpsWeigher"
    multiplier_key = "io_ops_weight_multiplier"
    minimum = 0.0

    def figures(self, hosts: HostTable, request: PlacementRequest, rows: IntArray) -> Figures | None:
        return hosts.io_ops[rows]


class NumInstancesWeigher(Weigher):
    """Instances on the host; off by default."""

    name = "NumInstancesWeigher"
    multiplier_key = "num_instances_weight_multiplier"

    def figures(self, hosts: HostTable, request: PlacementRequest, rows: IntArray) -> Figures | None:
        return hosts.instances[rows]


class BuildFailureWeigher(Weigher):
    """Builds that failed on the host of late; its multiplier counts the other way, so that more is worse."""

    name = "BuildFailureWeigher"
    multiplier_key = "build_failure_weight_multiplier"

    def multiplier(self, hosts: HostTable, rows: IntArray) -> FloatArray | float:
        return -super().multiplier(hosts, rows)

    def figures(self, hosts: HostTable, request: PlacementRequest, rows: IntArray) -> Figures | None:
        failures = hosts.build_failures[rows]
        return failures if np.any(failures) else None


class HypervisorVersionWeigher(Weigher):
    """The hypervisor's version; newer hosts win by default."""

    name = "HypervisorVersionWeigher"
    multiplier_key = "hypervisor_version_weight_multiplier"

    def figures(self, hosts: HostTable, request: PlacementRequest, rows: IntArray) -> Figures | None:
        return hosts.hypervisor_version[rows]
