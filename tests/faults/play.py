"""A random run: operations and mishaps drawn from a seed; the promises are looked at whenever it is quiet."""

from __future__ import annotations

import asyncio
import gc
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from cairn_crds import Instance
from cairn_database import instances
from faults.actors import Play, perform
from faults.checker import Broken, Watcher, findings
from faults.operations import OPERATIONS
from faults.operations_kubectl import make_groups
from faults.operations_moving import MOVING
from faults.operations_volumes import INTERFACES, VOLUMES
from faults.world.mishaps import CALM, Weather
from faults.world.running import run
from faults.world.settings import CANARIES
from faults.world.world import Shape, World

PAUSE = 0.12
"""Seconds between two operations, on average."""
CANARY_SECONDS = 20.0
QUIET_SECONDS = (3.0, 3.0, 6.0, 10.0, 20.0, 40.0, 60.0, 80.0, 100.0)
"""When to look whether all is well after the last operation: after each of these, until it is."""
WEATHERS = (
    CALM,
    Weather(refused=0.002, lost=0.002, slow=0.002, late=0.01, doubled=0.01),
    Weather(refused=0.01, lost=0.01, slow=0.005, late=0.05, doubled=0.03, dropped=0.01),
    Weather(crash=0.003, pause=0.0005, late=0.02, dropped=0.005),
    Weather(
        crash=0.006, refused=0.02, lost=0.02, slow=0.01, pause=0.001, late=0.1, doubled=0.05, dropped=0.03
    ),
)
EPISODE = (40, 200)
"""Operations between two times of quiet."""


@dataclass
class Report:
    """What a run came to."""

    seed: int
    operations: int = 0
    mishaps: Counter[str] = field(default_factory=Counter)
    performed: Counter[str] = field(default_factory=Counter)
    settled: list[float] = field(default_factory=list)
    """Seconds of the world until all was well, of each quiet time."""
    broken: list[str] = field(default_factory=list)
    trace: list[str] = field(default_factory=list)
    digest: str = ""
    seconds: float = 0.0
    world_seconds: float = 0.0

    @property
    def faults(self) -> int:
        """How many things went wrong, in all."""
        return sum(self.mishaps.values())


def play(
    seed: int,
    operations: int,
    *,
    shape: Shape | None = None,
    echo: Callable[[str], None] | None = None,
    only: set[str] | None = None,
    until: float = float("inf"),
) -> Report:
    """Play one seed. `echo` takes every line of the trace; `only` these operations; after `until` (of
    `time.monotonic`) it ends at the next time of quiet."""
    report = Report(seed)
    started = time.perf_counter()

    async def act(world: World) -> None:
        world.trace.echo = echo
        watcher = Watcher(world)
        begun = world.loop.now
        try:
            await _play(world, watcher, report, operations=operations, only=only, until=until)
        except Broken as broken:
            report.broken = str(broken).splitlines()
        report.mishaps = world.faults.counts
        report.trace = list(world.trace.lines)
        report.digest = world.trace.digest
        report.world_seconds = world.loop.now - begun

    with few_collections():
        run(seed, act, shape)
    report.seconds = time.perf_counter() - started
    return report


@contextmanager
def few_collections() -> Iterator[None]:
    """What was made before is never looked at again, and the rest rarely: a run makes many small objects, and
    lets go of nearly all of them at once."""
    before = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


async def _play(
    world: World, watcher: Watcher, report: Report, *, operations: int, only: set[str] | None, until: float
) -> None:
    rng = random.Random(f"play {report.seed}")
    actors = Play(world, rng)
    make_groups(world)
    everything = {**OPERATIONS, **MOVING, **VOLUMES, **INTERFACES}
    table = {name: item for name, item in everything.items() if name in (only or everything)}
    names, weights = list(table), [item.weight for item in table.values()]
    while report.operations < operations and time.monotonic() < until:
        world.set_weather(rng.choice(WEATHERS))
        for _ in range(min(rng.randint(*EPISODE), operations - report.operations)):
            name = rng.choices(names, weights)[0]
            done = await perform(actors, table[name])
            if done is not None:
                world.trace.add(f"-- {done}")
                report.performed[name] += 1
            report.operations += 1
            await asyncio.sleep(rng.expovariate(1 / PAUSE))
            if watcher.broken:
                raise Broken("\n".join(watcher.broken))
        report.settled.append(await settle(world, watcher))
        _untouched(world, actors)
        actors.touched = await _pending(world)


async def settle(world: World, watcher: Watcher, *, canary: bool = True) -> float:
    """Let all go quiet; the seconds it took. Raises Broken where something stays wrong."""
    world.heal()
    world.trace.add("-- quiet")
    begun = world.loop.now
    found: list[str] = []
    for seconds in QUIET_SECONDS:
        await asyncio.sleep(seconds)
        found = [*watcher.broken, *await findings(world)]
        if watcher.broken or not found:
            break
        world.trace.add(f"-- not yet: {'; '.join(found[:5])}")
    if found:
        raise Broken("\n".join(found))
    seconds = world.loop.now - begun
    world.trace.add("-- all is well")
    if canary:
        await _canary(world)
    return seconds


async def _canary(world: World) -> None:
    """An instance can be had, and given back."""
    name = f"canary-{world.server.version}"

    def shown() -> str | None:
        body = world.server.body("instances", CANARIES, name)
        phase: str | None = body["status"]["phase"] if body else None
        return phase

    world.new_instance(name, CANARIES, networks=[])
    try:
        await world.until(lambda: shown() == "Active", "a new instance runs", CANARY_SECONDS)
        world.remove(Instance, name, CANARIES)
        await world.until(lambda: shown() is None, "it goes again", CANARY_SECONDS)
    except AssertionError as error:
        raise Broken(f"3: {error}; it shows {shown()}") from error


def _machines(world: World) -> dict[tuple[str, str], tuple[int, str]]:
    return {
        (name, machine.instance_id): (machine.boots, machine.power_state)
        for name, host in world.hosts.items()
        for machine in host.machines()
    }


async def _pending(world: World) -> set[str]:
    """The instances that were told to become something else, for which there is no host yet."""
    pending = set()
    for record in await instances.list_live(world.db, limit=100_000):
        body = world.server.body("instances", record.namespace, record.name)
        if body is not None and body["spec"]["flavor"] != record.flavor["name"]:
            pending.add(record.id)
    return pending


def _untouched(world: World, actors: Play) -> None:
    """Promise 7, for what nobody asked anything of while the processes fell and rose."""
    now = _machines(world)
    known = actors.seen
    found = [
        f"7: machine {key[1]} on {key[0]} was {known[key]}, is {now.get(key)}, and nobody had asked for it"
        for key in known
        if key[1] not in actors.touched and known[key] != now.get(key)
    ]
    actors.seen = now
    if found:
        raise Broken("\n".join(found))
