"""Tells the person in front of the terminal what is being done, and for how long already."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.status import Status


class Progress:
    """Lines with the elapsed time; on a terminal also one moving line with what is going on now."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(highlight=False, soft_wrap=True)
        self._started = time.monotonic()
        self._status: Status | None = None

    @property
    def elapsed(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self._started

    def say(self, line: str) -> None:
        """Something worth keeping on the screen."""
        self.console.print(f"[dim]{self.elapsed:7.1f}s[/dim]  {escape(line)}")

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """A step that takes a moment; its line stays, with how long it took."""
        began = time.monotonic()
        if not self.console.is_terminal:
            self.say(f"{title} …")
            yield
            return
        with self.console.status(escape(f"{title} …"), spinner="dots"):
            yield
        self.say(f"[{time.monotonic() - began:.1f} s] {title}")
