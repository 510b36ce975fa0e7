"""When the scheduler looks at its queue, by a clock of the test's own."""

from __future__ import annotations

import asyncio
import random

import pytest

from cairn_operator.scheduler.pacing import Pacer
from cairn_operator.scheduler.settings import SchedulerSettings

SETTINGS = SchedulerSettings(hot_seconds=2.0, hot_poll_seconds=0.01, idle_poll_seconds=1.0)


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_idle_looks_are_seldom() -> None:
    assert Pacer(SETTINGS, Clock()).next_pause(busy=False, waiting=False) == 1.0


def test_after_a_wake_looks_are_frequent_then_fewer_then_seldom() -> None:
    clock = Clock()
    pacer = Pacer(SETTINGS, clock)
    pacer.wake()
    pauses = []
    while (pause := pacer.next_pause(busy=False, waiting=False)) < 1.0:
        pauses.append(pause)
        clock.now += pause
    assert pauses[0] == 0.01
    assert pauses == sorted(pauses)
    assert 2.0 <= sum(pauses) < 3.0
    assert len(pauses) < 25, "a wake that comes to nothing costs few looks"


def test_while_there_is_work_there_is_no_pause() -> None:
    pacer = Pacer(SETTINGS, Clock())
    assert pacer.next_pause(busy=True, waiting=True) == 0.0


def test_instances_that_could_not_be_settled_are_looked_at_again_soon() -> None:
    assert Pacer(SETTINGS, Clock()).next_pause(busy=False, waiting=True) == 0.01


async def test_a_wake_ends_the_pause() -> None:
    pacer = Pacer(SETTINGS.model_copy(update={"idle_poll_seconds": 3600.0}), Clock())
    resting = asyncio.create_task(pacer.rest(busy=False, waiting=False))
    await asyncio.sleep(0)
    pacer.wake()
    async with asyncio.timeout(10):
        await resting


async def test_a_wake_during_the_work_is_not_lost() -> None:
    pacer = Pacer(SETTINGS.model_copy(update={"idle_poll_seconds": 3600.0}), Clock())
    pacer.wake()
    async with asyncio.timeout(10):
        await pacer.rest(busy=False, waiting=False)


@pytest.mark.parametrize("failing", [False, True])
async def test_the_end_of_the_process_ends_every_pause(failing: bool) -> None:
    pacer, stop = Pacer(SETTINGS.model_copy(update={"idle_poll_seconds": 3600.0}), Clock()), asyncio.Event()
    pacer.stop_with(stop)
    pause = pacer.back_off(99, random.Random(1)) if failing else pacer.rest(busy=False, waiting=False)
    resting = asyncio.create_task(pause)
    await asyncio.sleep(0)
    stop.set()
    async with asyncio.timeout(5):
        await resting
