"""When to look at the queue: at once when woken, often for a while after, seldom when idle."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable

from cairn_operator.scheduler.settings import SchedulerSettings

SLOWER = 1.25
"""Each look that finds nothing makes the next pause this much longer, while hot."""
LONGEST_BACK_OFF = 10.0


class Pacer:
    """Waits, and is woken."""

    def __init__(self, settings: SchedulerSettings, clock: Callable[[], float]) -> None:
        self._settings = settings
        self._clock = clock
        self._woken = asyncio.Event()
        self._hot_until = float("-inf")
        self._pause = settings.hot_poll_seconds
        self._stop = asyncio.Event()
        self._stopper: asyncio.Task[None] | None = None

    def wake(self) -> None:
        """End the current pause, and keep the next ones short."""
        self._hot_until = self._clock() + self._settings.hot_seconds
        self._pause = self._settings.hot_poll_seconds
        self._woken.set()

    def stop_with(self, stop: asyncio.Event) -> None:
        """End the pause that runs when `stop` is set."""

        async def end() -> None:
            await stop.wait()
            self._woken.set()

        self._stop = stop
        self._stopper = asyncio.create_task(end(), name="scheduler-stop")

    def next_pause(self, *, busy: bool, waiting: bool) -> float:
        """Seconds until the next look, if nothing wakes it. `busy`: the last look settled something, so there
        may be more. `waiting`: it saw instances that it could not settle."""
        if busy:
            self._pause = self._settings.hot_poll_seconds
            return 0.0
        if waiting:
            return self._settings.hot_poll_seconds
        if self._clock() >= self._hot_until:
            return self._settings.idle_poll_seconds
        pause = self._pause
        self._pause = min(pause * SLOWER, self._settings.idle_poll_seconds)
        return pause

    async def rest(self, *, busy: bool, waiting: bool) -> None:
        """Pause as `next_pause` says, or until woken."""
        pause = self.next_pause(busy=busy, waiting=waiting)
        if pause > 0:
            await _wait(self._woken, pause)
        else:
            await asyncio.sleep(0)
        self._woken.clear()

    async def back_off(self, failures: int, rng: random.Random) -> None:
        """Pause after errors: longer with each; only the end of the process cuts it short."""
        longest = min(LONGEST_BACK_OFF, 0.1 * 2 ** min(failures, 10))
        await _wait(self._stop, rng.uniform(0.5, 1.0) * longest)


async def _wait(event: asyncio.Event, longest: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(longest):
            await event.wait()
