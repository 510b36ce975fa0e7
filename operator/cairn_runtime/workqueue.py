"""Level-triggered work: keys in, one run per key at a time, again later where it failed.

A key stands for "look at this and do what is missing", never for an event. Adding a key that waits is
free; adding one that is being worked on makes it run once more afterwards. Failures back off
exponentially with jitter, per key; `TryAgain` says when to look again without counting as a failure.

Keys wait in two lanes: what somebody has asked for or what has changed goes ahead, and `behind` it what is
looked at only to be sure, such as everything after a start. Neither lane waits for ever: every
`AHEAD_AT_A_TIME` keys one from behind has its turn.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable, Hashable
from functools import partial
from typing import Generic, TypeVar

import structlog

from cairn_runtime.metrics import QUEUE_AGE, QUEUE_DEPTH, RECONCILE_SECONDS, RECONCILES

K = TypeVar("K", bound=Hashable)
log = structlog.get_logger()
AHEAD_AT_A_TIME = 8
"""So many keys are taken from the lane ahead before one from behind it, where both have some."""


class TryAgain(Exception):
    """Nothing is wrong, there is only something to wait for: look again after `delay` seconds."""

    def __init__(self, delay: float, why: str = "") -> None:
        super().__init__(why)
        self.delay = delay


class WorkQueue(Generic[K]):
    """A queue of keys with its workers.

    `reconcile(key)` returns None, or the seconds after which to look at the key again.
    """

    def __init__(
        self,
        name: str,
        reconcile: Callable[[K], Awaitable[float | None]],
        *,
        concurrency: int,
        first_delay: float = 0.2,
        longest_delay: float = 60.0,
        expected: tuple[type[Exception], ...] = (),
        rng: random.Random | None = None,
    ) -> None:
        """`expected`: errors of the outside (no API server, lost race), logged without a traceback."""
        self.name = name
        self._reconcile = reconcile
        self._concurrency = concurrency
        self._first_delay = first_delay
        self._longest_delay = longest_delay
        self._expected = expected
        self._rng = rng or random.Random()  # noqa: S311 - jitter, not a secret
        self._ahead: dict[K, float] = {}
        self._behind: dict[K, float] = {}
        """The keys that wait, and since when (`time.monotonic`), the oldest first."""
        self._taken_ahead = 0
        """Since one from behind had its turn."""
        self._running: set[K] = set()
        self._again: dict[K, bool] = {}
        """Keys to run once more after the run that they are in, and whether behind the others."""
        self._failures: dict[K, int] = {}
        self._timers: dict[K, asyncio.TimerHandle] = {}
        self._idle: deque[asyncio.Future[None]] = deque()
        """Of the workers that have nothing to do: what wakes them."""
        self._tasks: list[asyncio.Task[None]] = []
        self._started = False
        self._stopping = False

    def add(self, key: K, *, behind: bool = False) -> None:
        """Look at `key` as soon as a worker is free; `behind`: nobody waits for it. A key that waits behind
        and is added ahead goes ahead; never the other way round."""
        if timer := self._timers.pop(key, None):
            timer.cancel()
        if key in self._running:
            self._again[key] = behind and self._again.get(key, True)
        elif key not in self._ahead and not self._stopping:
            if behind:
                self._behind.setdefault(key, time.monotonic())
            else:
                self._behind.pop(key, None)
                self._ahead[key] = time.monotonic()
            self._wake_one()

    def _wake_one(self) -> None:
        while self._idle:
            worker = self._idle.popleft()
            if not worker.done():
                worker.set_result(None)
                return
        if self._started and not self._stopping and len(self._tasks) < self._concurrency:
            name = f"{self.name}-{len(self._tasks)}"
            self._tasks.append(asyncio.create_task(self._work(), name=name))

    def add_after(self, key: K, delay: float, *, behind: bool = False) -> None:
        """Look at `key` after `delay` seconds, or earlier if it is added meanwhile."""
        if self._stopping or key in self._ahead or key in self._behind:
            return
        loop = asyncio.get_running_loop()
        when = loop.time() + delay
        if timer := self._timers.get(key):
            if timer.when() <= when:
                return
            timer.cancel()
        self._timers[key] = loop.call_at(when, partial(self.add, key, behind=behind))

    def forget(self, key: K) -> None:
        """Drop what is remembered of a key that will not come back."""
        self._failures.pop(key, None)
        if timer := self._timers.pop(key, None):
            timer.cancel()

    @property
    def idle(self) -> bool:
        """True where nothing waits and nothing runs (timers aside)."""
        return not self._ahead and not self._behind and not self._running

    @property
    def depth(self) -> int:
        """How many keys wait."""
        return len(self._ahead) + len(self._behind)

    async def start(self) -> None:
        """Begin to work; a worker is started when all there are have something to do."""
        QUEUE_DEPTH.labels(self.name).set_function(lambda: self.depth)
        QUEUE_AGE.labels(self.name).set_function(self._oldest_age)
        self._started = True
        for _ in range(self.depth):
            self._wake_one()

    async def stop(self, grace: float = 10.0) -> None:
        """Take no new keys; let the running ones end within `grace` seconds."""
        self._stopping = True
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        self._ahead.clear()
        self._behind.clear()
        for _ in range(len(self._idle)):
            self._wake_one()
        _done, pending = await asyncio.wait(self._tasks, timeout=grace) if self._tasks else (set(), set())
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)

    def _next(self) -> tuple[K, bool]:
        """Take the key whose turn it is out of its lane; whether that is the one behind."""
        behind = bool(self._behind) and (not self._ahead or self._taken_ahead >= AHEAD_AT_A_TIME)
        self._taken_ahead = 0 if behind else self._taken_ahead + 1
        lane = self._behind if behind else self._ahead
        key = next(iter(lane))
        del lane[key]
        return key, behind

    async def _work(self) -> None:
        while not self._stopping:
            if not self._ahead and not self._behind:
                idle = asyncio.get_running_loop().create_future()
                self._idle.append(idle)
                await idle
                continue
            key, behind = self._next()
            self._running.add(key)
            try:
                await self._run(key, behind=behind)
            finally:
                self._running.discard(key)
                if key in self._again:
                    self.add(key, behind=self._again.pop(key))

    async def _run(self, key: K, *, behind: bool) -> None:
        started = time.perf_counter()
        try:
            delay = await self._reconcile(key)
            self._failures.pop(key, None)
            result = "done"
            if delay is not None:
                self.add_after(key, delay)
        except TryAgain as wait:
            self.add_after(key, wait.delay)
            result = "wait"
        except self._expected as error:
            self._back_off(key, error, behind=behind)
            result = "retry"
        except Exception as error:
            log.exception("reconcile.failed", queue=self.name, key=str(key), error=str(error))
            self._back_off(key, error, behind=behind)
            result = "error"
        RECONCILES.labels(self.name, result).inc()
        RECONCILE_SECONDS.labels(self.name).observe(time.perf_counter() - started)

    def _back_off(self, key: K, error: Exception, *, behind: bool) -> None:
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        ceiling = min(self._longest_delay, self._first_delay * 2 ** min(failures - 1, 30))
        delay = getattr(error, "delay", None) or self._rng.uniform(ceiling / 2, ceiling)
        log.info(
            "reconcile.retry",
            queue=self.name,
            key=str(key),
            failures=failures,
            delay=round(delay, 3),
            error=f"{type(error).__name__}: {error}",
        )
        self.add_after(key, delay, behind=behind)

    def _oldest_age(self) -> float:
        lanes = (self._ahead, self._behind)
        oldest = min((next(iter(lane.values())) for lane in lanes if lane), default=None)
        return 0.0 if oldest is None else time.monotonic() - oldest
