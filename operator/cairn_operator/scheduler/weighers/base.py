"""What a weigher is, and how weights become comparable."""

from __future__ import annotations

import abc
from typing import ClassVar

import numpy as np

from cairn_operator.scheduler.hosts import HostTable
from cairn_operator.scheduler.interning import Figures, FloatArray, IntArray
from cairn_operator.scheduler.request import PlacementRequest
from cairn_operator.scheduler.settings import SchedulerSettings


class Weigher(abc.ABC):
    """Says how good each of the remaining hosts is.

    Each weigher's figures are normalised to 0 … 1, times its multiplier, and added up; the highest sum wins.
    """

    name: ClassVar[str]
    """Nova's name of it."""

    multiplier_key: ClassVar[str]
    """The setting that holds the multiplier; an aggregate's metadata of this name goes first."""

    minimum: ClassVar[float | None] = None
    """Figures below this count as this, and it is the lower end when normalising."""

    def __init__(self, settings: SchedulerSettings) -> None:
        self.settings = settings

    @property
    def setting(self) -> float:
        """The multiplier in the settings."""
        return float(getattr(self.settings, self.multiplier_key))

    def multiplier(self, hosts: HostTable, rows: IntArray) -> FloatArray | float:
        """What the normalised figures are multiplied by: one number, or one per row."""
        figures = hosts.aggregate_number(self.multiplier_key, self.setting)
        return figures[rows] if isinstance(figures, np.ndarray) else figures

    @abc.abstractmethod
    def figures(self, hosts: HostTable, request: PlacementRequest, rows: IntArray) -> Figures | None:
        """One figure per row, more is better; None where all are alike."""

    def add(self, weights: FloatArray, hosts: HostTable, request: PlacementRequest, rows: IntArray) -> None:
        """Add this weigher's part to `weights`."""
        figures = self.figures(hosts, request, rows)
        if figures is None:
            return
        normalised = normalise(figures, self.minimum)
        if normalised is None:
            return
        multiplier = self.multiplier(hosts, rows)
        if isinstance(multiplier, float) and multiplier == 1.0:
            weights += normalised
        else:
            weights += normalised * multiplier


def normalise(figures: Figures, minimum: float | None = None) -> FloatArray | None:
    """`figures` between 0 (the lowest, or `minimum`) and 1 (the highest); None where all come out as 0."""
    lowest = float(figures.min()) if minimum is None else minimum
    highest = max(lowest, float(figures.max()))
    if lowest == highest:
        return None
    above = np.asarray(figures - lowest, np.float64)
    if minimum is not None:
        np.maximum(above, 0.0, out=above)
    above /= highest - lowest
    return above
