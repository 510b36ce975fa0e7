"""What a host does at once: anything, but for what is heavy on its disks, its CPUs and its network.

Nova: `max_concurrent_builds`, `max_concurrent_snapshots`, `max_concurrent_live_migrations`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from cairn_agent.converge import Decision, Operate, Spawn
from cairn_agent.metrics import WAITING
from cairn_agent.settings import AgentSettings
from cairn_crds import Guest
from cairn_crds.guest_operation import OperationKind
from cairn_runtime.store import Key
from cairn_runtime.turns import Turns


class Limits:
    """Those of one agent, on all its nodes together."""

    def __init__(self, settings: AgentSettings, look_at: Callable[[Key], None]) -> None:
        """`look_at(key)`: there is room for that Guest now."""
        at_once = {
            "builds": settings.builds_at_once,
            "snapshots": settings.snapshots_at_once,
            "live migrations": settings.live_migrations_at_once,
        }
        self._turns = {name: Turns(most, look_at) for name, most in at_once.items()}
        for name, turns in self._turns.items():
            WAITING.labels(name).set_function(partial(getattr, turns, "waiting"))

    @contextmanager
    def turn(self, key: Key, guest: Guest, step: Decision) -> Iterator[bool]:
        """Whether this step of that Guest may begin now; if not, the Guest is looked at again later."""
        name = _limit_of(guest, step)
        self.forget(key, but=name)
        if name is None:
            yield True
            return
        with self._turns[name].turn(key) as may_begin:
            yield may_begin

    def forget(self, key: Key, but: str | None = None) -> None:
        """That Guest waits for no turn, `but` for one of that name."""
        for name, turns in self._turns.items():
            if name != but:
                turns.forget(key)

    @property
    def waiting(self) -> int:
        """How many Guests wait for their turn."""
        return sum(turns.waiting for turns in self._turns.values())


def _limit_of(guest: Guest, step: Decision) -> str | None:
    if isinstance(step, Spawn):
        return "builds"
    operation = guest.spec.operation
    if not isinstance(step, Operate) or operation is None:
        return None
    match operation.kind:
        case OperationKind.REBUILD:
            return "builds"
        case OperationKind.SNAPSHOT:
            return "snapshots"
        case OperationKind.LIVE_MIGRATE:
            called_off = operation.destination is not None and operation.destination.abort
            return None if called_off else "live migrations"
        case _:
            return None
