"""Waiting for what must come, without keeping busy the machine that is to bring it about."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
SHORTEST, LONGEST = 0.02, 0.5
"""Seconds between two looks."""
REST = 2.0
"""How long it rests after a look, in the time that this took: several tests run side by side on two cores,
and a look by kubectl is a tenth of a second of a core."""


def until(what: str, look: Callable[[], T], seconds: float, logs: Callable[[], str]) -> T:
    """The first true value of `look()`. AssertionError with `what`, the last value and `logs()` when late."""
    deadline = time.monotonic() + seconds
    while True:
        began = time.monotonic()
        value = look()
        now = time.monotonic()
        if value:
            return value
        if now > deadline:
            raise AssertionError(f"not within {seconds:.0f} s: {what}; last {value!r}\n{logs()}")
        time.sleep(min(max(SHORTEST, REST * (now - began)), LONGEST))
