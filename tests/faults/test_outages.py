"""Losing what the processes stand on: the database, the API server, its watches."""

from __future__ import annotations

import asyncio

import pytest

from faults.scenario import boot, delete, phase, scene, until_gone, until_phase
from faults.world.mishaps import Mishap, Weather
from faults.world.world import Shape, World

BOOTS = 60
ROOM = Shape(hosts=3, vcpus=64, memory_mib=256 * 1024)


@pytest.mark.parametrize("lost", [None, Mishap.LOST, Mishap.REFUSED])
def test_the_database_is_down_for_a_minute_in_the_middle_of_many_boots(lost: Mishap | None) -> None:
    """What was being committed when it went may or may not have been."""

    async def act(world: World) -> None:
        names = [f"vm-{number}" for number in range(BOOTS)]
        for name in names:
            world.new_instance(name, "canaries", networks=[])
        await asyncio.sleep(0.3)
        if lost is not None:
            world.faults.order("", "sql.commit", lost, times=20)
            await asyncio.sleep(0.05)
        world.sql.stop()
        await asyncio.sleep(60.0)
        world.sql.start()

        def running() -> int:
            bodies = world.server.bodies("instances", "canaries")
            return sum(body["status"]["phase"] == "Active" for body in bodies)

        await world.until(lambda: running() == BOOTS, "all of them run", 60.0)

    scene(act, shape=ROOM)


@pytest.mark.parametrize("forgets", [False, True])
def test_the_api_server_goes_away_in_the_middle_of_boots_and_deletes(forgets: bool) -> None:
    async def act(world: World) -> None:
        await boot(world, "stays", "goes")
        for number in range(8):
            world.new_instance(f"new-{number}")
        delete(world, "goes")
        await asyncio.sleep(0.06)
        world.connection.stop()
        boots = {host.name: [machine.boots for machine in host.machines()] for host in world.hosts.values()}
        await asyncio.sleep(30.0)
        if forgets:
            world.server.compact()
        world.connection.start()
        await until_phase(world, "Active", ["stays", *(f"new-{number}" for number in range(8))])
        await until_gone(world, "goes")
        assert boots

    scene(act)


@pytest.mark.parametrize("seed", range(1, 7))
def test_a_busy_api_server_is_asked_again(seed: int) -> None:
    """Seed 1: a build that one conductor gave up on was given up by the other as well, on the next host; and
    a removal that met a full disk was not tried again."""

    async def act(world: World) -> None:
        world.set_weather(Weather(refused=0.2))
        for number in range(8):
            world.new_instance(f"vm-{number}")
        await asyncio.sleep(20.0)

    scene(act, seed=seed)


@pytest.mark.parametrize("who", ["conductor", "scheduler", "agent"])
def test_a_watch_falls_silent_without_closing(who: str) -> None:
    async def act(world: World) -> None:
        for name, watches in world.watches.items():
            watches.silent = name.startswith(who)
        world.new_instance("one")
        await until_phase(world, "Active", ["one"], 180.0)
        delete(world, "one")
        await until_gone(world, "one", seconds=180.0)

    scene(act)


@pytest.mark.parametrize("seed", range(1, 7))
def test_events_are_dropped_doubled_and_out_of_order(seed: int) -> None:
    async def act(world: World) -> None:
        world.set_weather(Weather(dropped=0.3, doubled=0.3, late=0.3))
        names = [f"vm-{number}" for number in range(6)]
        for name in names:
            world.new_instance(name)
        await asyncio.sleep(60.0)
        delete(world, *[name for name in names if world.instance(name)])
        await asyncio.sleep(2.0)
        for name in names:
            if world.instance(name) is None:
                world.new_instance(name)
        await asyncio.sleep(60.0)

    scene(act, seed=seed)


def test_a_name_is_used_again_while_its_deletion_is_not_yet_heard_of() -> None:
    async def act(world: World) -> None:
        await boot(world, "one")
        first = world.instance("one")
        world.set_weather(Weather(late=0.9))
        delete(world, "one")
        await until_gone(world, "one", seconds=120.0)
        world.new_instance("one")
        await until_phase(world, "Active", ["one"], 180.0)
        second = world.instance("one")
        assert first
        assert second
        assert first["metadata"]["uid"] != second["metadata"]["uid"]
        assert phase(world, "one") == "Active"

    scene(act)
