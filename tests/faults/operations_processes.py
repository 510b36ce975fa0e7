"""What happens to Cairn's own processes and to what they stand on, at random."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from faults.actors import Act, Play


def on_a_process(prefix: str, act: Callable[[Play, Any], None], what: str) -> Act:
    async def perform_on_one(play: Play) -> str | None:
        found = play.world.alive(prefix)
        if not found:
            return None
        process = play.rng.choice(found)
        act(play, process)
        return f"{what} {process}"

    perform_on_one.__doc__ = f"{what} a {prefix} process."
    return perform_on_one


def kill(play: Play, process: Any) -> None:
    play.world.kill(process)


def terminate(play: Play, process: Any) -> None:
    play.world.resume(process)
    process.stop.set()


def pause(play: Play, process: Any) -> None:
    play.world._pause_for_a_while(process)


def silence(play: Play, process: Any) -> None:
    watches = play.world.watches.get(process.name)
    if watches is None:
        return
    watches.silent = True

    def speak() -> None:
        watches.silent = False

    play.world.loop.call_later(play.rng.uniform(5.0, 90.0), speak)


def skew(play: Play, process: Any) -> None:
    process.skew = play.rng.uniform(-150.0, 150.0)


async def api_outage(play: Play) -> str | None:
    """The API server is down for a while, and may have forgotten the past when it is back."""
    world = play.world
    world.trace.add("API server down")
    world.connection.stop()
    forgets = play.rng.random() < 0.5

    def back() -> None:
        if forgets:
            world.server.compact()
        world.trace.add("API server up")
        world.connection.start()

    world.loop.call_later(play.rng.uniform(0.5, 15.0), back)
    return "API server down"


async def sql_outage(play: Play) -> str | None:
    """The database is down for a while."""
    play.world.trace.add("database down")
    play.world.sql.stop()
    play.world.loop.call_later(play.rng.uniform(0.5, 20.0), play.world.sql.start)
    return "database down"


async def break_watches(play: Play) -> str | None:
    """Every watch is cut, and has to begin anew."""
    if play.rng.random() < 0.5:
        play.world.server.compact()
    play.world.connection.break_streams()
    return "watches cut"


async def wait(play: Play) -> str | None:
    """Nothing happens for a while."""
    await asyncio.sleep(play.rng.uniform(1.0, 8.0))
    return "wait"
