"""The filter on metrics."""

from __future__ import annotations

import numpy as np

from cairn_operator.scheduler.filters.base import Filter
from cairn_operator.scheduler.hosts import HostTable
from cairn_operator.scheduler.interning import BoolArray
from cairn_operator.scheduler.request import PlacementRequest


class MetricsFilter(Filter):
    """Hosts that report every metric of `metrics_weight_setting`, so that MetricsWeigher can weigh them."""

    name = "MetricsFilter"

    def applies(self, request: PlacementRequest) -> bool:
        return bool(self.settings.metrics_weight_setting)

    def mask(self, hosts: HostTable, request: PlacementRequest) -> BoolArray:
        reported = hosts.valid.copy()
        for name in self.settings.metrics_weight_setting:
            figures = hosts.metrics.get(name)
            reported &= False if figures is None else ~np.isnan(figures)
        return reported

    def reason(self, hosts: HostTable, request: PlacementRequest, removed: BoolArray) -> str:
        return "need the metrics " + ", ".join(self.settings.metrics_weight_setting)
