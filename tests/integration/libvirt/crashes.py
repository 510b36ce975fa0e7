"""Killing the agent before any of the driver's side effects, by number: from then on it does nothing more."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from cairn_agent.drivers.libvirt import storage
from cairn_agent.drivers.libvirt.threads import Workers, run_program
from cairn_crds.instance import PowerState
from contract.machines import Cut, Steps, spawn
from contract.pairs import THERE, Pair, arrival


class Crash:
    """Everything that the driver does goes through a worker thread or a program.

    The `at`th raises Cut, and so does all that comes after: nobody is there who could clean up.
    """

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
        if self._left <= 0:
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


async def arrives_though_killed(pair: Pair) -> None:
    """A machine's disks come to its new host, whose agent is killed before any of its side effects."""
    there = pair.destination.driver
    for at in itertools.count(1):
        instance_id = str(uuid.uuid4())
        spec = await spawn(pair.source, instance_id, pair.source.spec(root_disk_gib=1, swap_mib=1))
        pair.source.scribble(instance_id, "mine")
        courier = await pair.disks(instance_id, "move")
        move = arrival(instance_id, spec)
        killed = await survives(lambda m=move, c=courier: there.import_disks(m, c.source, Steps()), at)  # type: ignore[misc]
        for _ in range(2):
            await there.import_disks(move, courier.source, Steps())
        assert await pair.power_there(instance_id) is PowerState.SHUTDOWN
        assert pair.destination.disk_text(instance_id) == "listening mine"
        await there.destroy(THERE, instance_id)
        assert pair.destination.leftovers(instance_id, spec) == []
        if not killed:
            assert at > 8
            return
