"""Who does something to the cloud, and what a line of the tables of operations is."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from cairn_crds.base import INSTANCE_LABEL
from cairn_database import DatabaseError, InstanceRecord, VmState, asking, instances
from cairn_runtime.kubernetes import KubernetesError
from faults.world.world import PROJECT, World

MOST_INSTANCES = 24
LIVE = "SELECT id, vm_state FROM instances WHERE deleted = '0' ORDER BY created_at, id"
POWER = ("Running", "Stopped", "Paused", "Suspended")


@dataclass
class Play:
    """A random run: the world, the dice, and what has been done to whom since all was quiet."""

    world: World
    rng: random.Random
    number: int = 0
    touched: set[str] = field(default_factory=set)
    """Ids of instances whose machines may have changed."""
    accepted: int = 0
    """Requests that were accepted."""
    refused: int = 0
    seen: dict[tuple[str, str], tuple[int, str]] = field(default_factory=dict)
    """The machines when all was quiet last: by host and id, how often they were booted, and their power."""

    def next_name(self) -> str:
        """For a new instance."""
        self.number += 1
        return f"vm-{self.number}"

    def some(self) -> dict[str, Any] | None:
        """One of the Instances, or None."""
        found = list(self.world.server.bodies("instances", PROJECT))
        return self.rng.choice(found) if found else None

    async def some_row(self) -> InstanceRecord | None:
        """One of the live rows, or None."""
        found = self.ids()
        return await instances.get(self.world.db, self.rng.choice(found)) if found else None

    def ids(self, *states: VmState) -> list[str]:
        """Of the live rows; of those in these states, where some are given."""
        rows = self.world.sql.raw.execute(LIVE).fetchall()
        return [row[0] for row in rows if not states or row[1] in states]

    def touch(self, body: dict[str, Any]) -> str:
        """Its name, and a note that its machine may change."""
        metadata = body["metadata"]
        self.touched |= {metadata["uid"], metadata.get("labels", {}).get(INSTANCE_LABEL, "")}
        name: str = metadata["name"]
        return name

    def request_id(self) -> str:
        """For the Compute API."""
        return f"req-{self.world.clock.new_uuid()}"

    def asked(self) -> asking.Asked:
        """By an administrator, through the Compute API."""
        return asking.Asked(request_id=self.request_id(), overrides_lock=True)


Act = Callable[[Play], Awaitable[str | None]]


@dataclass(frozen=True)
class Operation:
    """A line of the table."""

    weight: float
    act: Act
    needs_sql: bool = False
    """The Compute API does it: not while the database is down."""
    needs_api: bool = True
    """Not while the API server is down."""


async def perform(play: Play, operation: Operation) -> str | None:
    """Do it once. A refusal is an answer as any other."""
    world = play.world
    if (operation.needs_sql and not world.sql.is_up) or (operation.needs_api and not world.connection.is_up):
        return None
    try:
        done = await operation.act(play)
    except (KubernetesError, DatabaseError) as error:
        play.refused += 1
        return f"refused: {error}"
    if done is not None:
        play.accepted += 1
    return done
