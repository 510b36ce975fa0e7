"""Killing the agent before any of the driver's side effects, by number."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from cairn_agent.drivers.libvirt import storage
from cairn_agent.drivers.libvirt.threads import Workers, run_program
from contract.machines import Cut


class Crash:
    """Everything that the driver does goes through a worker thread or a program: the `at`th raises Cut."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, at: int) -> None:
        self._left = at
        plain_run = Workers.run

        async def run(workers: Workers, work: Callable[[], Any]) -> Any:
            self._count()
            return await plain_run(workers, work)

        async def program(*command: str) -> tuple[int, bytes, bytes]:
            self._count()
            return await run_program(*command)

        monkeypatch.setattr(Workers, "run", run)
        monkeypatch.setattr(storage, "run_program", program)

    def _count(self) -> None:
        self._left -= 1
        if self._left == 0:
            raise Cut


async def survives(call: Callable[[], Awaitable[object]], at: int) -> bool:
    """Make the call and kill it at that side effect; False where it has fewer."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        Crash(monkeypatch, at)
        try:
            await call()
        except Cut:
            return True
        return False
