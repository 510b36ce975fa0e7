"""Live migrations that are cut off on the way: one machine in the end, and the record says what happened."""

from __future__ import annotations

import asyncio
import random

import pytest

from cairn_crds.instance import PowerState
from cairn_database import InstanceRecord, VmState, moves
from faults.actors import Play
from faults.operations_moving import MOVING
from faults.scenario import boot, machine_of, scene
from faults.test_moves import SMALL, the_row, until_idle
from faults.world.mishaps import Mishap
from faults.world.world import World

MOMENTS = (0.05, 0.2, 0.35, 0.5)
"""Seconds after the request: scheduled, being prepared, being sent, arrived."""


def running_on(world: World) -> list[str]:
    """The hosts with a machine that runs."""
    return [
        name
        for name, host in world.hosts.items()
        if any(machine.power_state is PowerState.RUNNING for machine in host.machines())
    ]


async def begin(world: World) -> tuple[Play, str, str]:
    """Ask for the live migration of a running instance between two hosts: who plays, source, destination."""
    play = Play(world, random.Random(1))
    await boot(world, "one")
    source = (await the_row(world)).host
    assert source is not None
    await MOVING["live migrate"].act(play)
    return play, source, next(name for name in world.hosts if name != source)


async def end(world: World, *statuses: str) -> InstanceRecord:
    """The move is over: one machine where the row says, and one of `statuses` for SQL and the Migration."""
    row = await until_idle(world)
    assert row.vm_state is VmState.ACTIVE, row.fault_message
    await world.until(lambda: running_on(world) == [row.host], f"one machine, on {row.host}", 60.0)
    (move,) = await moves.list_migrations(world.db)
    assert move.status in statuses, (move.status, move.message)
    assert bool(move.message) is (move.status != "completed"), "it says why"
    arrived = move.destination if move.status == "completed" else move.source
    assert row.host == arrived
    phase = {"completed": "Completed", "cancelled": "Aborted"}.get(move.status, "Failed")
    await world.until(
        lambda: [body["status"].get("phase") for body in world.server.bodies("migrations")] == [phase],
        f"the Migration {phase}",
    )
    return row


@pytest.mark.parametrize("seconds", MOMENTS)
@pytest.mark.parametrize("away", [3.0, 90.0])
def test_the_destination_dies(seconds: float, away: float) -> None:
    """And comes back: before anybody has noticed, or long after."""

    async def act(world: World) -> None:
        _play, _source, destination = await begin(world)
        await asyncio.sleep(seconds)
        world.lose_host(destination)
        await asyncio.sleep(away)
        if away > 60.0 and running_on(world):
            await end(world, "failed", "error")  # the source has it, and knows, with the other still away
        world.find_host(destination)
        await end(world, "completed", "failed", "error")

    scene(act, shape=SMALL)


@pytest.mark.parametrize("seconds", MOMENTS)
def test_the_source_dies_and_comes_back(seconds: float) -> None:
    async def act(world: World) -> None:
        _play, source, _destination = await begin(world)
        await asyncio.sleep(seconds)
        world.lose_host(source)
        await asyncio.sleep(10.0)
        world.find_host(source)
        await end(world, "completed", "failed", "error")

    scene(act, shape=SMALL)


def test_the_network_is_cut_half_way() -> None:
    async def act(world: World) -> None:
        cut = world.faults.order("agent", "wire.send", Mishap.REFUSED)
        await begin(world)
        row = await end(world, "failed", "error")
        assert not cut.times
        assert machine_of(world, "one").boots == 1, "it never stopped"
        assert "runs on" in (row.fault_message or "")

    scene(act, shape=SMALL)


@pytest.mark.parametrize("gate", ["driver.prepare_incoming", "driver.live_migrate", "wire.send"])
def test_it_is_aborted(gate: str) -> None:
    """While it is prepared, as it begins, and at the switch-over, which is too late or just in time."""

    async def act(world: World) -> None:
        slow = world.faults.order("agent", gate, Mishap.SLOW)
        play, _source, _destination = await begin(world)
        await world.until(lambda: not slow.times, gate)
        await MOVING["abort a live migration"].act(play)
        await end(world, "completed", "cancelled")
        assert machine_of(world, "one").boots == 1, "it never stopped"

    scene(act, shape=SMALL)


def test_an_order_to_prepare_that_is_late_makes_nothing() -> None:
    """A conductor is stopped with it; the migration is aborted meanwhile; it wakes."""

    async def act(world: World) -> None:
        pause = world.faults.order("conductor", "kubernetes.POST.guests", Mishap.PAUSE)
        pause.times = 0
        play = Play(world, random.Random(1))
        await boot(world, "one")
        source = (await the_row(world)).host
        destination = world.hosts[next(name for name in world.hosts if name != source)]
        pause.times = 1
        await MOVING["live migrate"].act(play)
        await world.until(lambda: not pause.times, "the pause")
        await MOVING["abort a live migration"].act(play)
        row = await end(world, "cancelled")
        await world.until(lambda: destination.machine(row.id) is None, "nothing left there")
        for _ in range(1000):
            await asyncio.sleep(0.04)
            assert destination.machine(row.id) is None, "and nothing made there any more"

    scene(act, shape=SMALL)


def test_a_machine_that_somebody_undefines_as_it_is_to_leave_is_made_again_where_it_was() -> None:
    """There is nothing that could migrate: it ends, and is not tried until its time is up."""

    async def act(world: World) -> None:
        slow = world.faults.order("agent", "driver.live_migrate", Mishap.SLOW)
        _play, source, _destination = await begin(world)
        await world.until(lambda: not slow.times, "it begins")
        world.hosts[source].driver.undefine(machine_of(world, "one").instance_id)
        await end(world, "failed", "error")

    scene(act, shape=SMALL)
