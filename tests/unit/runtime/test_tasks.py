"""Ending tasks that may not want to end."""

from __future__ import annotations

import asyncio

import pytest

from cairn_runtime import tasks
from cairn_runtime.tasks import cancel


@pytest.fixture(autouse=True)
def _no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "ATTEMPT_SECONDS", 0.01)


async def stubborn(times: int) -> None:
    """Swallows so many cancellations."""
    while True:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            times -= 1
            if times < 0:
                raise


async def started(times: int) -> asyncio.Task[None]:
    task = asyncio.create_task(stubborn(times))
    await asyncio.sleep(0)
    return task


async def test_tasks_end() -> None:
    several = [await started(0) for _ in range(3)]
    assert await cancel(several) == set()
    assert all(task.cancelled() for task in several)


async def test_one_that_swallows_a_cancellation_is_cancelled_again() -> None:
    task = await started(2)
    assert await cancel([task]) == set()
    assert task.cancelled()


async def test_one_that_never_ends_is_named_and_not_waited_for() -> None:
    task = await started(tasks.ATTEMPTS)
    ended = await started(0)
    assert await cancel([task, ended]) == {task}
    assert ended.cancelled()


async def test_nothing_is_nothing() -> None:
    assert await cancel([]) == set()
