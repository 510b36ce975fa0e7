"""Every side effect of a boot and of a delete, of whichever process, goes wrong once in every way."""

from __future__ import annotations

from functools import partial

import pytest

from faults.scenario import (
    EVERY,
    LONG_SECONDS,
    ONE_OF_EACH,
    boot,
    delete,
    passages,
    power,
    scene,
    until_gone,
    until_phase,
)
from faults.world.mishaps import Mishap
from faults.world.world import World

GATES = {
    "agent": ("driver.", "kubernetes."),
    "conductor": ("sql.", "kubernetes."),
    "scheduler": ("sql.",),
}
CASES = [(process, gates) for process, kinds in GATES.items() for gates in kinds]


async def _boots(world: World) -> None:
    world.new_instance("one")
    await until_phase(world, "Active", ["one"], LONG_SECONDS)


async def _goes(world: World) -> None:
    delete(world, "one")
    await until_gone(world, "one", seconds=LONG_SECONDS)


@pytest.mark.parametrize(("process", "gates"), CASES)
@pytest.mark.parametrize("mishap", EVERY)
def test_a_boot_ends_well_whatever_goes_wrong_once(process: str, gates: str, mishap: Mishap) -> None:
    count = passages(_boots, process, gates, ONE_OF_EACH)
    assert count > 0

    async def act(world: World, number: int) -> None:
        order = world.faults.order(process, gates, mishap, skip=number)
        world.new_instance("one")
        await world.until(lambda: not order.times, "the mishap", LONG_SECONDS)

    for number in range(count):
        scene(partial(act, number=number), shape=ONE_OF_EACH)


@pytest.mark.parametrize(("process", "gates"), CASES[:-1])
@pytest.mark.parametrize("mishap", EVERY)
def test_a_delete_ends_well_whatever_goes_wrong_once(process: str, gates: str, mishap: Mishap) -> None:
    async def boots_and_goes(world: World) -> None:
        await boot(world, "one")
        world.faults.passed = []
        await _goes(world)

    count = passages(boots_and_goes, process, gates, ONE_OF_EACH)
    assert count > 0

    async def act(world: World, number: int) -> None:
        await boot(world, "one")
        order = world.faults.order(process, gates, mishap, skip=number)
        await _goes(world)
        await world.until(lambda: not order.times, "the mishap", LONG_SECONDS)

    for number in range(count):
        scene(partial(act, number=number), shape=ONE_OF_EACH)


@pytest.mark.parametrize("state", ["Stopped", "Paused", "Suspended"])
@pytest.mark.parametrize("mishap", EVERY)
def test_a_change_of_power_ends_well_whatever_the_agent_runs_into(state: str, mishap: Mishap) -> None:
    async def changes(world: World) -> None:
        await boot(world, "one")
        world.faults.passed = []
        power(world, "one", state)
        await until_phase(world, state, ["one"], LONG_SECONDS)

    async def act(world: World, gates: str, number: int) -> None:
        await boot(world, "one")
        order = world.faults.order("agent", gates, mishap, skip=number)
        power(world, "one", state)
        await world.until(lambda: not order.times, "the mishap", LONG_SECONDS)

    for gates in GATES["agent"]:
        for number in range(passages(changes, "agent", gates, ONE_OF_EACH)):
            scene(partial(act, gates=gates, number=number), shape=ONE_OF_EACH)
