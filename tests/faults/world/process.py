"""One process of the world: what belongs to it, and whether it runs."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import enum
from typing import Any


class Halt(enum.Enum):
    """Why a process does not run."""

    PAUSED = "paused"
    DEAD = "dead"


PAUSED, DEAD = Halt.PAUSED, Halt.DEAD


class Killed(BaseException):
    """What a dead process' code runs into, should any of it still be called."""


class Process:
    """One life of a process. The next one under the same name is another object."""

    def __init__(self, name: str, life: int) -> None:
        self.name = name
        self.life = life
        """Counts the lives of that name."""
        self.state: Halt | None = None
        """None while it runs."""
        self.skew = 0.0
        """Seconds that its wall clock is ahead of the world's."""
        self.context = contextvars.copy_context()
        self.tasks: dict[asyncio.Task[Any], None] = {}
        self.backlog: list[Any] = []
        """Callbacks that wait while it is paused."""
        self.stop = asyncio.Event()
        """Set to end it in order."""

    def __str__(self) -> str:
        return f"{self.name}#{self.life}"

    @property
    def is_dead(self) -> bool:
        return self.state is DEAD

    def reap(self) -> None:
        """Let go of what a killed process held. None of its code can reach the world any more."""
        for task in list(self.tasks):
            task._log_destroy_pending = False  # type: ignore[attr-defined]
            with contextlib.suppress(BaseException):  # the last words of the dead
                self.context.copy().run(task.get_coro().close)  # type: ignore[union-attr]
        self.tasks.clear()
        self.backlog.clear()
