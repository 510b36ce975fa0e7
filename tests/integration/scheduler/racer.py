"""A scheduler in a process of its own, for the race (`test_racing.py`)."""

from __future__ import annotations

import asyncio

from cairn_database import Database
from integration.scheduler.support import drain, scheduler_for


def race(url: str, hosts: list[str], vcpus: int, seed: int) -> None:
    """Empty the queue, together with whoever else does."""
    asyncio.run(_race(url, hosts, vcpus, seed))


async def _race(url: str, hosts: list[str], vcpus: int, seed: int) -> None:
    async with Database(url) as db:
        await drain(scheduler_for(db, hosts, vcpus, seed=seed))
