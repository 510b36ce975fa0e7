"""The weigher on metrics."""

from __future__ import annotations

import numpy as np

from cairn_operator.scheduler.hosts import HostTable
from cairn_operator.scheduler.interning import BoolArray, Figures, IntArray
from cairn_operator.scheduler.request import InvalidRequest, PlacementRequest
from cairn_operator.scheduler.weighers.base import Weigher


class MetricsWeigher(Weigher):
    """The sum of the host's metrics, each times its ratio in `metrics_weight_setting`."""

    name = "MetricsWeigher"
    multiplier_key = "metrics_weight_multiplier"

    def figures(self, hosts: HostTable, request: PlacementRequest, rows: IntArray) -> Figures | None:
        ratios = self.settings.metrics_weight_setting
        if not ratios:
            return None
        total = np.zeros(len(rows))
        unavailable: BoolArray = np.zeros(len(rows), np.bool_)
        weighty = np.broadcast_to(np.asarray(self.multiplier(hosts, rows)) != 0, rows.shape)
        for name, ratio in ratios.items():
            column = hosts.metrics.get(name)
            figures = np.full(len(rows), np.nan) if column is None else column[rows]
            missing = np.isnan(figures)
            if self.settings.metrics_required and missing.any():
                host = hosts.names[int(rows[np.flatnonzero(missing)[0]])]
                raise InvalidRequest(
                    f"Host {host} does not report the metric {name}, which metrics_weight_setting requires. "
                    "Enable MetricsFilter, or set metrics_required to false."
                )
            if ratio:
                unavailable |= missing & weighty
            total += np.where(missing, 0.0, figures) * ratio
        total[unavailable] = self.settings.metrics_weight_of_unavailable
        return total
