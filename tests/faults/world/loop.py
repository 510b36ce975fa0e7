"""An event loop without a real clock: where nothing is left to do, time jumps to the next timer.

The loop knows which process each of its callbacks belongs to, so that a process can be stopped between any
two of them as SIGSTOP would, or ended as kill -9 would: what is left of it never runs.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from faults.world.process import PAUSED, Process

OWNER: ContextVar[Process | None] = ContextVar("owner", default=None)
"""Whose code is running; None: the world's own."""
TICK = 0.000_005
"""Seconds that a callback takes: two things never happen at the same moment."""
RARELY = 256


class Stalled(Exception):
    """Nothing is left to do and nothing is waited for."""


class NumberedFuture(asyncio.Future[Any]):
    """Its hash is no address in memory, so that sets of them are walked in the same order every time."""

    number = 0

    def __hash__(self) -> int:
        return self.number


class NumberedTask(asyncio.Task[Any]):
    """As NumberedFuture; it knows its process."""

    owner: Process | None = None

    def __init__(self, coroutine: Any, number: int, **options: Any) -> None:
        self.number = number
        super().__init__(coroutine, **options)

    def __hash__(self) -> int:
        return self.number


class VirtualLoop(asyncio.BaseEventLoop):
    """Runs callbacks in order, one at a time, in no time at all. Raises Stalled where nothing can go on."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        """Seconds; the processes' monotonic clock."""
        self.errors: list[str] = []
        """What no task has taken in."""
        self._numbers = itertools.count()
        self.set_task_factory(_new_task)  # type: ignore[arg-type]
        self.set_exception_handler(self._keep_error)

    def time(self) -> float:
        return self.now

    def _run_once(self) -> None:
        loop: Any = self  # BaseEventLoop's own lists
        ready, timers = loop._ready, loop._scheduled
        if not ready:
            while timers and timers[0]._cancelled:
                heapq.heappop(timers)._scheduled = False
            if not timers:
                raise Stalled("nothing is left to do, and nothing is waited for")
            self.now = max(self.now, timers[0]._when)
        while timers and timers[0]._when <= self.now:
            timer = heapq.heappop(timers)
            timer._scheduled = False
            ready.append(timer)
        for _ in range(len(ready)):
            handle = ready.popleft()
            if handle._cancelled:
                continue
            owner = handle._context.get(OWNER)
            if owner is not None and owner.state is not None:
                if owner.state is PAUSED:
                    owner.backlog.append(handle)
                continue
            self.now += TICK
            handle._run()
        if len(timers) > RARELY and loop._timer_cancelled_count > len(timers) // 2:
            self._forget_cancelled(timers)

    def _forget_cancelled(self, timers: list[Any]) -> None:
        kept = []
        for timer in timers:
            if timer._cancelled:
                timer._scheduled = False
            else:
                kept.append(timer)
        timers[:] = kept
        heapq.heapify(timers)
        self._timer_cancelled_count = 0

    def create_future(self) -> asyncio.Future[Any]:
        """One that sets keep in the same order every time."""
        future = NumberedFuture(loop=self)
        future.number = next(self._numbers)
        return future

    def new_task(self, coroutine: Any, options: Any) -> NumberedTask:
        """A task, noted with its process."""
        task = NumberedTask(coroutine, next(self._numbers), loop=self, **options)
        context = options.get("context")
        owner = context.get(OWNER) if context is not None else OWNER.get()
        if owner is None:
            return task
        task.owner = owner
        if owner.is_dead:  # made as the others are let go of: it never runs
            task._log_destroy_pending = False  # type: ignore[attr-defined]
            coroutine.close()
            return task
        owner.tasks[task] = None
        task.add_done_callback(lambda task: owner.tasks.pop(task, None))
        return task

    def resume(self, process: Process) -> None:
        """SIGCONT: it goes on where it was, however late it is."""
        process.state = None
        loop: Any = self
        loop._ready.extend(process.backlog)
        process.backlog.clear()

    def _keep_error(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        task = context.get("future") or context.get("task")
        if isinstance(task, NumberedTask) and task.owner is not None and task.owner.is_dead:
            return  # it had no time to look
        self.errors.append(f"{context.get('message')}: {context.get('exception')!r}")

    # What BaseEventLoop leaves to its children, where there is nothing to select on

    def _process_events(self, event_list: Any) -> None:
        raise NotImplementedError

    def _write_to_self(self) -> None:
        pass

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:
        """At once, in this thread: there are no others."""
        future = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:  # noqa: BLE001 - it is the caller's
            future.set_exception(error)
        return future


def _new_task(loop: VirtualLoop, coroutine: Any, **options: Any) -> NumberedTask:
    return loop.new_task(coroutine, options)
