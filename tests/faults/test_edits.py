"""Edits that come while a task is under way are taken up when it ends, and no run is made for nothing."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from cairn_database import VmState, instances
from faults.actors import Play
from faults.operations_moving import MOVING
from faults.scenario import ONE_OF_EACH, boot, power, scene, until_phase
from faults.world.world import World


@pytest.mark.parametrize("task", ["live migrate", "rebuild by API", "snapshot"])
def test_an_edit_amid_a_task_is_taken_up_when_the_task_ends(task: str) -> None:
    async def act(world: World) -> None:
        names = [f"vm-{number}" for number in range(10)]
        await boot(world, *names, networks=[])
        for record in await instances.list_live(world.db, limit=10):
            await MOVING[task].act(OneAtATime(world, record.id))
        for name in names:
            await asyncio.sleep(0.04)
            power(world, name, "Stopped")
        await asyncio.sleep(12.0)
        for record in await instances.list_live(world.db, limit=10):
            assert record.request["spec"]["powerState"] == "Stopped", f"{record.name} waits for the sweep"

    scene(act, shape=replace(ONE_OF_EACH, vcpus=64))


class OneAtATime(Play):
    """A play of one instance."""

    def __init__(self, world: World, instance_id: str) -> None:
        super().__init__(world, world.rng)
        self._id = instance_id

    def ids(self, *_states: VmState) -> list[str]:
        return [self._id]


def test_a_conductor_does_not_look_again_for_what_it_wrote_itself() -> None:
    """A stop: its edit and its end, after each a look at what follows from it, and one at the row's version
    before its host is told."""

    async def act(world: World) -> int:
        await boot(world, "vm", networks=[])
        await asyncio.sleep(10.0)
        world.faults.passed = []
        power(world, "vm", "Stopped")
        await until_phase(world, "Stopped", ["vm"])
        await asyncio.sleep(1.0)
        return sum(name.startswith("conductor") and gate == "sql.read" for name, gate in world.faults.passed)

    assert scene(act, shape=ONE_OF_EACH) == 5
