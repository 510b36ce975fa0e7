"""Ending tasks that may not want to end."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Any

ATTEMPTS = 5
ATTEMPT_SECONDS = 2.0


async def cancel(tasks: Collection[asyncio.Task[Any]]) -> set[asyncio.Task[Any]]:
    """Cancel `tasks` until they have ended; returns those that have not after some attempts.

    A task that is just closing something (a stream of kopf's, say) may swallow a cancellation.
    """
    pending = set(tasks)
    for _ in range(ATTEMPTS):
        if not pending:
            break
        for task in pending:
            task.cancel()
        _done, pending = await asyncio.wait(pending, timeout=ATTEMPT_SECONDS)
    return pending
