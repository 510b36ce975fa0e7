"""The weighers, by Nova's names. A new weigher is a class here and a line in `WEIGHERS`."""

from __future__ import annotations

from cairn_operator.scheduler.settings import SchedulerSettings
from cairn_operator.scheduler.weighers.affinity import (
    ServerGroupSoftAffinityWeigher,
    ServerGroupSoftAntiAffinityWeigher,
)
from cairn_operator.scheduler.weighers.base import Weigher
from cairn_operator.scheduler.weighers.load import (
    BuildFailureWeigher,
    HypervisorVersionWeigher,
    IoOpsWeigher,
    NumInstancesWeigher,
)
from cairn_operator.scheduler.weighers.metrics import MetricsWeigher
from cairn_operator.scheduler.weighers.room import CPUWeigher, DiskWeigher, RAMWeigher

WEIGHERS: tuple[type[Weigher], ...] = (
    RAMWeigher,
    CPUWeigher,
    DiskWeigher,
    IoOpsWeigher,
    NumInstancesWeigher,
    MetricsWeigher,
    ServerGroupSoftAffinityWeigher,
    ServerGroupSoftAntiAffinityWeigher,
    BuildFailureWeigher,
    HypervisorVersionWeigher,
)
"""All of them, as in Nova; a multiplier of 0 switches one off."""


def build_weighers(settings: SchedulerSettings) -> tuple[Weigher, ...]:
    """Every weigher, with its multiplier from the settings."""
    return tuple(weigher(settings) for weigher in WEIGHERS)


__all__ = ["WEIGHERS", "Weigher", "build_weighers"]
