"""Many hosts, few kinds of host: each distinct value is kept once and hosts refer to it by a small number.

What depends on such a value is worked out once per value and spread over the hosts by indexing.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt

T = TypeVar("T", bound=Hashable)
BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Figures = FloatArray | IntArray


class Interner(Generic[T]):
    """Values by number, counted: a number is used again once nothing refers to its value."""

    def __init__(self) -> None:
        self._numbers: dict[T, int] = {}
        self._values: list[T | None] = []
        self._references: list[int] = []
        self._spare: list[int] = []

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, number: int) -> T:
        value = self._values[number]
        if value is None:
            raise KeyError(number)
        return value

    def acquire(self, value: T) -> int:
        """The number of `value`, with one more reference."""
        number = self._numbers.get(value)
        if number is None:
            number = self._spare.pop() if self._spare else self._grow()
            self._values[number] = value
            self._numbers[value] = number
        self._references[number] += 1
        return number

    def release(self, number: int) -> None:
        """One reference less."""
        self._references[number] -= 1
        if not self._references[number]:
            del self._numbers[self[number]]
            self._values[number] = None
            self._spare.append(number)

    def slots(self) -> list[T | None]:
        """Number → value; None for numbers not in use."""
        return self._values

    def test(self, predicate: Callable[[T], bool]) -> BoolArray:
        """The answer for each number; False for numbers not in use."""
        return np.array([value is not None and predicate(value) for value in self._values], dtype=np.bool_)

    def measure(self, function: Callable[[T], float]) -> FloatArray:
        """The figure for each number; NaN for numbers not in use."""
        figures = [np.nan if value is None else function(value) for value in self._values]
        return np.array(figures, dtype=np.float64)

    def _grow(self) -> int:
        self._values.append(None)
        self._references.append(0)
        return len(self._values) - 1
