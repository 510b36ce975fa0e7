"""The loop around the passes: woken, stopped, and through errors."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from cairn_database import Database, DatabaseUnavailable, InstanceRecord, instances
from cairn_operator.scheduler.service import Scheduler
from integration.scheduler.support import ask, make_hosts, scheduler_for

PATIENCE = 30.0
"""Seconds after which a test gives up; nothing here takes long."""


async def placed(db: Database, record: InstanceRecord) -> str:
    async with asyncio.timeout(PATIENCE):
        while True:
            host = (await instances.get(db, record.id)).host
            if host is not None:
                return host
            await asyncio.sleep(0.005)


async def stopped(task: asyncio.Task[None], stop: asyncio.Event) -> None:
    stop.set()
    async with asyncio.timeout(PATIENCE):
        await task


async def test_a_wake_is_enough_to_be_placed_and_a_stop_to_end(db: Database) -> None:
    await make_hosts(db, ["a"])
    scheduler = scheduler_for(db, ["a"], idle_poll_seconds=3600.0)
    assert await scheduler.check() is not None
    stop = asyncio.Event()
    task = asyncio.create_task(scheduler.run(stop))
    record = await ask(db)
    scheduler.wake()
    assert await placed(db, record) == "a"
    assert await scheduler.check() is None
    await stopped(task, stop)


async def test_a_row_that_comes_after_its_event_is_found_soon(db: Database) -> None:
    await make_hosts(db, ["a"])
    scheduler = scheduler_for(db, ["a"], idle_poll_seconds=3600.0, hot_seconds=PATIENCE)
    stop = asyncio.Event()
    task = asyncio.create_task(scheduler.run(stop))
    scheduler.wake()
    await asyncio.sleep(0.05)
    assert await placed(db, await ask(db)) == "a"
    await stopped(task, stop)


async def test_without_any_event_the_queue_is_looked_at_now_and_then(db: Database) -> None:
    await make_hosts(db, ["a"])
    stop = asyncio.Event()
    task = asyncio.create_task(scheduler_for(db, ["a"], idle_poll_seconds=0.05).run(stop))
    assert await placed(db, await ask(db)) == "a"
    await stopped(task, stop)


@pytest.mark.parametrize("error", [DatabaseUnavailable("gone"), RuntimeError("a mistake")], ids=str)
async def test_the_loop_outlives_errors(
    db: Database, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    await make_hosts(db, ["a"])
    scheduler = scheduler_for(db, ["a"], idle_poll_seconds=0.05)
    run_pass, failures = Scheduler.run_pass, 2

    async def sometimes(self: Scheduler) -> Any:
        nonlocal failures
        if failures:
            failures -= 1
            raise error
        return await run_pass(self)

    monkeypatch.setattr(Scheduler, "run_pass", sometimes)
    stop = asyncio.Event()
    task = asyncio.create_task(scheduler.run(stop))
    assert await placed(db, await ask(db)) == "a"
    assert failures == 0
    await stopped(task, stop)
