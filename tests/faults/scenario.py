"""What the named scenarios share: short ways to say what is done, and the look at the promises in the end."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from cairn_crds import Instance
from faults.checker import Watcher
from faults.play import settle
from faults.world.mishaps import Mishap
from faults.world.running import run
from faults.world.world import Shape, World

Act = Callable[[World], Awaitable[Any]]
LONG_SECONDS = 400.0
EVERY = (Mishap.CRASH_BEFORE, Mishap.CRASH_AFTER, Mishap.REFUSED, Mishap.LOST)
ONE_OF_EACH = Shape(hosts=2, conductors=1, schedulers=1)


def phase(world: World, name: str) -> str | None:
    """What an Instance shows; None where there is none."""
    body = world.instance(name)
    found: str | None = body["status"].get("phase") if body else None
    return found


async def boot(world: World, *names: str, **spec: Any) -> None:
    """Create Instances, and wait until they run."""
    for name in names:
        world.new_instance(name, **spec)
    await until_phase(world, "Active", names)


async def until_phase(world: World, wanted: str, names: Iterable[str], seconds: float = 60.0) -> None:
    """Until all of them show it."""
    missing = list(names)
    await world.until(
        lambda: all(phase(world, name) == wanted for name in missing), f"{missing} {wanted}", seconds
    )


async def until_gone(world: World, *names: str, seconds: float = 60.0) -> None:
    """Until none of them is there any more."""
    await world.until(lambda: not any(world.instance(name) for name in names), f"{names} gone", seconds)


def delete(world: World, *names: str) -> None:
    """kubectl delete."""
    for name in names:
        world.remove(Instance, name)


def power(world: World, name: str, state: str) -> None:
    """kubectl patch: spec.powerState."""
    world.change(Instance, name, {"spec": {"powerState": state}})


def machine_of(world: World, name: str) -> Any:
    """The machine of an Instance, on whichever host; None where there is none."""
    body = world.instance(name)
    instance_id = (body["status"].get("instanceId") if body else None) or ""
    found = [host.machine(instance_id) for host in world.hosts.values()]
    return next((machine for machine in found if machine is not None), None)


def scene(act: Act, *, seed: int = 1, shape: Shape | None = None, full: bool = False) -> Any:
    """Play `act` in a world of its own, let it settle, and look at all promises; what `act` returned. `full`:
    there is no room for one more instance afterwards."""

    async def play(world: World) -> Any:
        watcher = Watcher(world)
        try:
            result = await act(world)
            await settle(world, watcher, canary=not full)
        except AssertionError as error:
            lines = "\n".join(list(world.trace.lines)[-60:])
            raise AssertionError(f"{error}\nseed {seed}; the last of the trace:\n{lines}") from error
        return result

    return run(seed, play, shape)


def passages(act: Act, process: str, gates: str, shape: Shape | None = None) -> int:
    """How often processes of that name pass gates of that name (both by how they begin) during `act`."""

    async def count(world: World) -> int:
        world.faults.passed = []
        await act(world)
        return sum(
            who.startswith(process) and gate.startswith(gates) for who, gate in world.faults.passed or ()
        )

    passed: int = run(1, count, shape)
    return passed
