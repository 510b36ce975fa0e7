"""Wait for a condition with a deadline, for tests and for starting things up."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

POLL_SECONDS = 0.05

Value = TypeVar("Value")


class WaitedTooLong(Exception):
    """A condition did not come true in time; the message says which."""


def wait_until(condition: Callable[[], Value | None], what: str, seconds: float = 30.0) -> Value:
    """Call `condition` until it returns something true, and return that.

    Raises WaitedTooLong after `seconds`, naming `what` was waited for and the last answer.
    """
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise WaitedTooLong(f"waited {seconds:g} s for {what}; the last answer was {value!r}")
        time.sleep(POLL_SECONDS)
