"""One run per key at a time, again where it has to be, later where it failed."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from cairn_runtime.workqueue import AHEAD_AT_A_TIME, TryAgain, WorkQueue

Run = Callable[[str], Awaitable[float | None]]


class Outside(Exception):
    """An expected failure."""


@asynccontextmanager
async def queue(run: Run, concurrency: int = 3, **options: Any) -> AsyncIterator[WorkQueue[str]]:
    made: WorkQueue[str] = WorkQueue(
        "test", run, concurrency=concurrency, expected=(Outside,), rng=random.Random(1), **options
    )
    await made.start()
    try:
        yield made
    finally:
        await made.stop(grace=1.0)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - of whatever the test looks at
            await asyncio.sleep(0.001)


async def test_every_key_is_looked_at() -> None:
    seen: list[str] = []

    async def run(key: str) -> None:
        seen.append(key)

    async with queue(run) as made:
        for key in "abcde":
            made.add(key)
        await until(lambda: len(seen) == 5)
    assert seen == list("abcde"), "in the order they came"


async def test_adding_a_key_that_waits_is_free() -> None:
    seen: Counter[str] = Counter()

    async def run(key: str) -> None:
        seen[key] += 1

    async with queue(run) as made:
        for _ in range(100):
            made.add("a")
        assert made.depth == 1
        await until(lambda: made.idle and seen)
    assert seen == {"a": 1}


async def test_a_key_is_never_worked_on_twice_at_a_time() -> None:
    running: Counter[str] = Counter()
    most: Counter[str] = Counter()
    runs = 0

    async def run(key: str) -> None:
        nonlocal runs
        running[key] += 1
        runs += 1
        most[key] = max(most[key], running[key])
        await asyncio.sleep(0.002)
        running[key] -= 1

    async with queue(run, concurrency=8) as made:
        for _ in range(30):
            for key in "abc":
                made.add(key)
            await asyncio.sleep(0.001)
        await until(lambda: made.idle)
    assert set(most.values()) == {1}
    assert runs > 3


async def test_no_more_run_than_there_are_workers() -> None:
    running, most = 0, 0

    async def run(_key: str) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.001)
        running -= 1

    async with queue(run, concurrency=4) as made:
        for number in range(50):
            made.add(str(number))
        await until(lambda: made.idle)
    assert most == 4


async def test_a_key_added_while_it_runs_runs_once_more() -> None:
    gate = asyncio.Event()
    runs = 0

    async def run(_key: str) -> None:
        nonlocal runs
        runs += 1
        await gate.wait()

    async with queue(run) as made:
        made.add("a")
        await until(lambda: runs == 1)
        for _ in range(5):
            made.add("a")
        gate.set()
        await until(lambda: runs == 2)
        await until(lambda: made.idle)
    assert runs == 2


async def test_a_run_may_ask_to_be_repeated_later() -> None:
    times: list[float] = []

    async def run(_key: str) -> float | None:
        times.append(asyncio.get_running_loop().time())
        return 0.05 if len(times) < 3 else None

    async with queue(run) as made:
        made.add("a")
        await until(lambda: len(times) == 3)
    assert all(later - earlier >= 0.045 for earlier, later in itertools.pairwise(times))


async def test_a_new_reason_does_not_wait_for_the_timer() -> None:
    runs = 0

    async def run(_key: str) -> float | None:
        nonlocal runs
        runs += 1
        return 3600.0

    async with queue(run) as made:
        made.add("a")
        await until(lambda: runs == 1)
        await until(lambda: made.idle)
        made.add("a")
        await until(lambda: runs == 2)


class Timers(WorkQueue[str]):
    """Remembers the delays instead of waiting for them."""

    def __init__(self, run: Run, **options: Any) -> None:
        super().__init__("test", run, concurrency=1, expected=(Outside,), rng=random.Random(1), **options)
        self.delays: list[float] = []

    def add_after(self, key: str, delay: float, *, behind: bool = False) -> None:
        self.delays.append(delay)


async def delays_of(run: Run, times: int, **options: Any) -> list[float]:
    made = Timers(run, **options)
    await made.start()
    for number in range(times):
        made.add("a")
        await until(lambda number=number: len(made.delays) > number and made.idle)  # type: ignore[misc]
    await made.stop()
    return made.delays


@pytest.mark.parametrize("error", [Outside("no answer"), ValueError("a bug")])
async def test_failures_back_off_exponentially_with_jitter_up_to_a_ceiling(error: Exception) -> None:
    async def run(_key: str) -> None:
        raise error

    delays = await delays_of(run, 8, first_delay=1.0, longest_delay=20.0)
    for delay, ceiling in zip(delays, [1, 2, 4, 8, 16, 20, 20, 20], strict=True):
        assert ceiling / 2 <= delay <= ceiling
    assert len(set(delays)) == len(delays)


async def test_a_success_ends_the_back_off() -> None:
    results: list[Exception | None] = [Outside(), Outside(), Outside(), None, Outside()]

    async def run(_key: str) -> float | None:
        result = results.pop(0)
        if result is not None:
            raise result
        return 100.0

    delays = await delays_of(run, 5, first_delay=1.0)
    assert delays[3] == 100.0
    assert delays[4] <= 1.0


async def test_forgetting_a_key_ends_the_back_off_too() -> None:
    async def run(_key: str) -> None:
        made.forget("a")
        raise Outside

    made = Timers(run, first_delay=1.0)
    await made.start()
    for number in range(4):
        made.add("a")
        await until(lambda number=number: len(made.delays) > number and made.idle)  # type: ignore[misc]
    await made.stop()
    assert max(made.delays) <= 1.0


async def test_try_again_is_no_failure() -> None:
    async def run(_key: str) -> None:
        raise TryAgain(7.0, "the scheduler is busy")

    assert await delays_of(run, 3) == [7.0, 7.0, 7.0]


async def test_an_error_that_says_when_is_believed() -> None:
    class Busy(Outside):
        delay = 42.0

    async def run(_key: str) -> None:
        raise Busy

    assert await delays_of(run, 2) == [42.0, 42.0]


async def test_one_key_that_fails_holds_up_no_other() -> None:
    seen: list[str] = []

    async def run(key: str) -> None:
        if key == "bad":
            raise ValueError(key)
        seen.append(key)

    async with queue(run, concurrency=1) as made:
        for key in ("bad", "a", "bad", "b"):
            made.add(key)
        await until(lambda: seen == ["a", "b"])


async def test_stopping_lets_what_runs_end_and_begins_nothing() -> None:
    ended: list[str] = []
    gate = asyncio.Event()

    async def run(key: str) -> None:
        await gate.wait()
        ended.append(key)

    made: WorkQueue[str] = WorkQueue("test", run, concurrency=1)
    await made.start()
    made.add("runs")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    made.add("waits")
    made.add_after("later", 0.001)
    stopping = asyncio.create_task(made.stop(grace=5.0))
    await asyncio.sleep(0.01)
    gate.set()
    await stopping
    made.add("too late")
    await asyncio.sleep(0.01)
    assert ended == ["runs"]
    assert made.depth == 0


async def test_what_does_not_end_in_time_is_cancelled() -> None:
    cancelled = False

    async def run(_key: str) -> None:
        nonlocal cancelled
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled = True
            raise

    made: WorkQueue[str] = WorkQueue("test", run, concurrency=1)
    await made.start()
    made.add("a")
    await asyncio.sleep(0.01)
    await made.stop(grace=0.01)
    assert cancelled


async def test_what_somebody_waits_for_goes_ahead_of_what_is_looked_at_to_be_sure() -> None:
    seen: list[str] = []

    async def run(key: str) -> None:
        seen.append(key)

    async with queue(run, concurrency=1) as made:
        for key in "abc":
            made.add(key, behind=True)
        for key in "xyc":
            made.add(key)
        made.add("x", behind=True)
        assert made.depth == 5, "c waits once"
        await until(lambda: made.idle and seen)
    assert seen == list("xycab")


async def test_what_waits_behind_has_its_turn_however_much_comes() -> None:
    seen: list[str] = []

    async def run(key: str) -> None:
        seen.append(key)
        if key != "behind" and len(seen) < 100:
            made.add(f"new-{len(seen)}")
            made.add(f"also-{len(seen)}")

    async with queue(run, concurrency=1) as made:
        made.add("behind", behind=True)
        made.add("first")
        await until(lambda: made.idle and seen)
    assert seen.index("behind") == AHEAD_AT_A_TIME


async def test_a_failure_behind_is_tried_again_behind() -> None:
    seen: list[str] = []

    async def run(key: str) -> None:
        seen.append(key)
        if seen == ["old"]:
            made.add("other", behind=True)
            made.add("blocker")
            raise Outside
        if key == "blocker":
            await until(lambda: made.depth == 2)
            made.add("new")

    async with queue(run, concurrency=1, first_delay=0.001) as made:
        made.add("old", behind=True)
        await until(lambda: made.idle and len(seen) == 5)
    assert seen.index("new") < seen.index("old", 1)


async def test_a_key_added_to_both_lanes_while_it_runs_goes_ahead() -> None:
    seen: list[str] = []

    async def run(key: str) -> None:
        seen.append(key)
        if seen == ["a"]:
            made.add("a")
            made.add("a", behind=True)
            made.add("b", behind=True)

    async with queue(run, concurrency=1) as made:
        made.add("a")
        await until(lambda: made.idle and seen)
    assert seen == ["a", "a", "b"]
