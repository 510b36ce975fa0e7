"""Limits on what is heavy: of all the keys of a queue, so many at once; the others have their turn later.

A key that has no turn is not held up: its look ends, and it is looked at again when there is room. So whoever
has been deleted or called off meanwhile is dealt with at once, and waits for nobody's copy to end.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class Turns(Generic[K]):
    """One limit. Who waits longest comes first."""

    def __init__(self, at_once: int, look_at: Callable[[K], None]) -> None:
        """`look_at(key)`: there is room for that key now; it is to ask for its `turn` again, or be
        forgotten."""
        self._free = at_once
        self._look_at = look_at
        self._waiting: dict[K, None] = {}
        self._kept: set[K] = set()
        """Who has been told of room, which is kept for them."""

    @contextmanager
    def turn(self, key: K) -> Iterator[bool]:
        """Whether `key` may go on; if not, it is looked at again later."""
        if not self._take(key):
            self._waiting.setdefault(key)
            yield False
            return
        try:
            yield True
        finally:
            self._pass_on()

    def forget(self, key: K) -> None:
        """It needs no turn, or none any more."""
        self._waiting.pop(key, None)
        if key in self._kept:
            self._kept.discard(key)
            self._pass_on()

    @property
    def waiting(self) -> int:
        """How many have none yet."""
        return len(self._waiting)

    def _take(self, key: K) -> bool:
        if key in self._kept:
            self._kept.discard(key)
            return True
        if self._free == 0:
            return False
        self._free -= 1
        return True

    def _pass_on(self) -> None:
        if not self._waiting:
            self._free += 1
            return
        key = next(iter(self._waiting))
        del self._waiting[key]
        self._kept.add(key)
        self._look_at(key)
