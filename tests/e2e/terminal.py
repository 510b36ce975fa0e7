"""A person at a terminal: a program on a pseudo-terminal, keys typed, output read."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import termios
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self


class Terminal:
    """A program that believes it has a person in front of it."""

    def __init__(self, argv: Sequence[str], environment: Mapping[str, str]) -> None:
        self._person, self._program = pty.openpty()
        self.before = termios.tcgetattr(self._program)
        self.output = ""
        self.process = subprocess.Popen(
            argv, env=environment, stdin=self._program, stdout=self._program, stderr=self._program
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._person)
        os.close(self._program)

    @property
    def settings(self) -> object:
        """The terminal's own settings as they are now."""
        return termios.tcgetattr(self._program)

    def type(self, keys: str) -> None:
        """Press keys."""
        os.write(self._person, keys.encode())

    def expect(self, text: str, seconds: float = 60.0) -> None:
        """Read on until `text` shows."""
        deadline = time.monotonic() + seconds
        while text not in self.output:
            left = deadline - time.monotonic()
            assert left > 0, f"{text!r} did not show within {seconds:.0f} s: {self.output!r}"
            self._read(min(left, 0.5))

    def expect_after_enter(self, text: str, seconds: float = 60.0) -> None:
        """Press Enter until `text` shows: a guest that has just come up drops what comes before its shell."""
        deadline = time.monotonic() + seconds
        while text not in self.output:
            assert time.monotonic() < deadline, f"{text!r} did not show: {self.output!r}"
            self.type("\r")
            pressed = time.monotonic()
            while text not in self.output and time.monotonic() < pressed + 2.0:
                self._read(0.5)

    def _read(self, seconds: float) -> None:
        """What there is to read within that time."""
        if select.select([self._person], [], [], seconds)[0]:
            self.output += os.read(self._person, 4096).decode(errors="replace")
        elif self.process.poll() is not None:
            raise AssertionError(f"it ended with status {self.process.returncode}: {self.output!r}")
