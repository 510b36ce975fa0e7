"""Moves whose hosts or conductors fail on the way: the machine is never made twice, and every move ends."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from cairn_crds import ComputeNode, Guest, Instance
from cairn_crds.guest import node_namespace
from cairn_database import DatabaseError, InstanceRecord, TaskState, VmState, instances, moving
from faults.actors import Play
from faults.operations_moving import MOVING
from faults.scenario import boot, machine_of, scene
from faults.world.mishaps import Mishap, Weather
from faults.world.world import Shape, World

KILLED: dict[tuple[str, ...], int] = {
    ("resize by API",): 6,
    ("migrate", "confirm"): 1,
    ("resize by API", "revert"): 4,
    ("live migrate",): 6,
    ("shelve",): 4,
    ("shelve", "unshelve"): 4,
    ("rebuild by API",): 3,
}
"""Operations, one after the other, and how often a conductor commits in the last: it is killed there."""
PHASES = [(operations, number) for operations, count in KILLED.items() for number in range(count)]
SMALL = Shape(hosts=2, schedulers=1)


async def the_row(world: World) -> InstanceRecord:
    """The one instance that there is."""
    (row,) = await instances.list_live(world.db, limit=10)
    return row


async def until_idle(world: World, seconds: float = 120.0) -> InstanceRecord:
    """Until its task has ended."""
    for _ in range(round(seconds / 0.5)):
        row = await the_row(world)
        if row.task_state is None:
            return row
        await asyncio.sleep(0.5)
    raise AssertionError(f"still in task {row.task_state} after {seconds:.0f} s")


async def ask_to_evacuate(world: World, play: Play) -> None:
    """As soon as it is known that the host is down."""
    row = await the_row(world)
    for _ in range(60):
        try:
            await moving.evacuate(world.db, row.id, play.asked())
        except DatabaseError:
            await asyncio.sleep(0.5)
        else:
            return
    raise AssertionError("its evacuation is refused")


@pytest.mark.parametrize("away", [0.0, 0.1, 0.2, 0.4, 0.8, 30.0])
def test_a_host_that_comes_back_during_or_after_an_evacuation_runs_nothing_twice(away: float) -> None:
    """`away`: seconds from the evacuation to its return."""

    async def act(world: World) -> None:
        play = Play(world, random.Random(1))
        await boot(world, "one")
        lost = (await the_row(world)).host
        assert lost is not None
        world.lose_host(lost)
        world.change(ComputeNode, lost, {"spec": {"forcedDown": True}})
        await ask_to_evacuate(world, play)
        await asyncio.sleep(away)
        world.find_host(lost)
        row = await until_idle(world)
        assert (row.vm_state, row.host == lost) == (VmState.ACTIVE, False)
        await asyncio.sleep(20.0)
        assert machine_of(world, "one").node == row.host, "and the other has gone"

    scene(act)


def test_a_host_that_comes_back_with_an_old_list_starts_nothing_that_was_evacuated() -> None:
    """Lists come from the API server's cache, which may not have heard yet that the machine is to go."""

    async def act(world: World) -> None:
        play = Play(world, random.Random(1))
        await boot(world, "one")
        world.connection.age_lists()
        await asyncio.sleep(70.0)  # the agent has listed its Guests once more
        lost = (await the_row(world)).host
        assert lost is not None
        world.lose_host(lost)
        world.change(ComputeNode, lost, {"spec": {"forcedDown": True}})
        await ask_to_evacuate(world, play)
        await until_idle(world)
        world.set_weather(Weather(late=0.2))
        world.find_host(lost)
        await asyncio.sleep(20.0)

    scene(act, shape=SMALL)


@pytest.mark.parametrize("seconds", [0.05, 0.1, 0.2, 0.3, 0.5])
def test_an_evacuation_out_of_a_live_migration_leaves_one_machine(seconds: float) -> None:
    """The source is lost that long after the migration was asked for."""

    async def act(world: World) -> None:
        play = Play(world, random.Random(1))
        await boot(world, "one")
        lost = (await the_row(world)).host
        assert lost is not None
        await MOVING["live migrate"].act(play)
        await asyncio.sleep(seconds)
        world.lose_host(lost)
        world.change(ComputeNode, lost, {"spec": {"forcedDown": True}})
        if (await the_row(world)).host == lost:
            await ask_to_evacuate(world, play)
        row = await until_idle(world)
        assert (row.vm_state, row.host == lost) == (VmState.ACTIVE, False)

    scene(act)


@pytest.mark.parametrize("mishap", [Mishap.CRASH_BEFORE, Mishap.CRASH_AFTER])
@pytest.mark.parametrize(("operations", "number"), PHASES)
def test_a_move_goes_on_where_a_killed_conductor_has_left_it(
    operations: tuple[str, ...], mishap: Mishap, number: int
) -> None:
    async def act(world: World) -> Any:
        play = Play(world, random.Random(1))
        await boot(world, "one")
        for name in operations[:-1]:
            await until_idle(world)
            await MOVING[name].act(play)
        row, name = await until_idle(world), operations[-1]
        order = world.faults.order("conductor", "sql.commit", mishap, skip=number)
        assert await MOVING[name].act(play), f"{name} is not for {row.vm_state}"
        row = await until_idle(world)
        assert not order.times, "it was killed"
        assert row.vm_state not in (VmState.ERROR, VmState.BUILDING), row.fault_message
        assert row.task_state is not TaskState.DELETING

    scene(act, shape=SMALL)


def test_a_migration_is_confirmed_once_the_old_host_has_nothing_any_more() -> None:
    """An administrator deletes the Guest there before the host is told: that is not its answer."""

    async def act(world: World) -> None:
        play = Play(world, random.Random(1))
        await boot(world, "one")
        source = (await the_row(world)).host
        assert source is not None
        await MOVING["migrate"].act(play)
        row = await until_idle(world)
        assert (row.vm_state, row.host == source) == (VmState.RESIZED, False)
        conductors = world.alive("conductor")
        for process in conductors:
            world.pause(process)
        await moving.confirm_resize(world.db, row.id, play.asked())
        world.remove(Guest, row.id, node_namespace(source))
        await asyncio.sleep(1.0)
        for process in conductors:
            world.resume(process)
        row = await until_idle(world)
        assert row.vm_state is VmState.ACTIVE
        assert world.hosts[source].machine(row.id) is None

    scene(act, shape=SMALL)


@pytest.mark.parametrize(
    "operations", [("resize by API",), ("resize by API", "revert"), ("shelve", "unshelve")]
)
def test_a_conductor_that_wakes_with_an_old_row_tells_no_host_anything(operations: tuple[str, ...]) -> None:
    """It is stopped with the row that it has read in its hand; the Guests that it sees next are new."""

    async def act(world: World) -> None:
        play = Play(world, random.Random(1))
        await boot(world, "one")
        for name in operations[:-1]:
            await MOVING[name].act(play)
            await until_idle(world)
        await asyncio.sleep(3.0)
        order = world.faults.order("conductor", "sql.read get_by_name", Mishap.PAUSE_AFTER)
        world.change(Instance, "one", {"metadata": {"annotations": {"look": "again"}}})
        await world.until(lambda: not order.times, "the pause")
        await MOVING[operations[-1]].act(play)
        row = await until_idle(world)
        await asyncio.sleep(1.0)
        told = generations(world, row)
        await asyncio.sleep(40.0)
        assert generations(world, row) == told

    for seed in range(1, 5):
        scene(act, seed=seed, shape=SMALL)


def generations(world: World, row: InstanceRecord) -> dict[str, int]:
    """How often each host has been told something of it."""
    return {
        body["metadata"]["namespace"]: body["metadata"]["generation"]
        for body in world.server.bodies("guests")
        if body["metadata"]["name"] == row.id
    }
