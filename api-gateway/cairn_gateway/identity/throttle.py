"""Slows down who guesses passwords.

Every attempt takes from three purses: the user's from that address, the address', the user's. A right
password puts it back, so that only failures count; parallel guesses are counted before they are checked.
Purses fill up again evenly. Each gateway has its own."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from cairn_gateway.http.faults import TooManyRequests

MOST_PURSES: Final = 30_000
ADDRESS_TIMES: Final = 10
USER_TIMES: Final = 20


@dataclass(slots=True)
class _Purse:
    left: float
    at: float


Key = tuple[str, str]


class Throttle:
    """Counts attempts to sign in."""

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_minute = per_minute
        self._clock = clock
        self._purses: OrderedDict[Key, _Purse] = OrderedDict()

    def attempt(self, user: str, address: str) -> Attempt:
        """Count one. Raises TooManyRequests, with the seconds to wait."""
        sizes = {
            (user, address): self._per_minute,
            ("", address): self._per_minute * ADDRESS_TIMES,
            (user, ""): self._per_minute * USER_TIMES,
        }
        purses = {key: self._purse(key, size) for key, size in sizes.items()}
        waits = [(1 - purse.left) * 60 / sizes[key] for key, purse in purses.items() if purse.left < 1]
        if waits:
            raise TooManyRequests(
                "Too many failed attempts to sign in. Wait before you try again.",
                headers={"Retry-After": str(math.ceil(max(waits)))},
            )
        for purse in purses.values():
            purse.left -= 1
        return Attempt(list(purses.values()))

    def _purse(self, key: Key, size: int) -> _Purse:
        now = self._clock()
        purse = self._purses.get(key)
        if purse is None:
            purse = self._purses[key] = _Purse(size, now)
            if len(self._purses) > MOST_PURSES:
                self._purses.popitem(last=False)
        else:
            purse.left = min(size, purse.left + (now - purse.at) * size / 60)
            purse.at = now
            self._purses.move_to_end(key)
        return purse


class Attempt:
    """One that has been counted."""

    def __init__(self, purses: list[_Purse]) -> None:
        self._purses = purses

    def succeeded(self) -> None:
        """It does not count."""
        for purse in self._purses:
            purse.left += 1
        self._purses = []
