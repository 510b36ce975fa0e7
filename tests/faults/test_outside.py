"""The harness itself: what it does behind Cairn's back is what an administrator may do there."""

from __future__ import annotations

import random

from cairn_crds.instance import PowerState
from cairn_database import instances, moving
from faults.actors import Play
from faults.operations_outside import start_outside
from faults.scenario import boot, machine_of, scene
from faults.world.world import Shape, World


def test_nobody_starts_what_a_migration_has_shut_down() -> None:
    """Its disks are on their way to the other host, and it will run there."""

    async def act(world: World) -> None:
        play = Play(world, random.Random(1))
        await boot(world, "one")
        (row,) = await instances.list_live(world.db, limit=10)
        await moving.migrate(world.db, row.id, play.asked())
        machine = machine_of(world, "one")
        await world.until(lambda: machine.power_state is PowerState.SHUTDOWN, "it is off")
        assert await start_outside(play)
        assert machine.power_state is PowerState.SHUTDOWN

    scene(act, shape=Shape(hosts=2, conductors=1, schedulers=1))
