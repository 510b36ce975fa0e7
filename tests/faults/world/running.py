"""Makes a world, wires Cairn's modules to it, and lets something happen in it."""

from __future__ import annotations

import asyncio
import logging
import tempfile
import traceback
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeVar
from unittest.mock import patch

import structlog

import cairn_agent.app
import cairn_operator.conductor.app
import cairn_operator.scheduler.app
from faults.world.clock import installed
from faults.world.endpoint import NoEndpoint
from faults.world.loop import OWNER, VirtualLoop
from faults.world.sql import empty_database
from faults.world.transport import MemoryTransfers
from faults.world.world import Shape, World

T = TypeVar("T")
APPS = (cairn_operator.conductor.app, cairn_operator.scheduler.app, cairn_agent.app)


def run(seed: int, act: Callable[[World], Awaitable[T]], shape: Shape | None = None) -> T:
    """Make a world, `act` in it, end it."""
    with tempfile.TemporaryDirectory(prefix="cairn-faults-", dir=_memory()) as directory:
        empty_database()
        loop = VirtualLoop()
        asyncio.set_event_loop(loop)
        try:
            return loop.run_until_complete(_in_world(loop, seed, act, shape or Shape(), Path(directory)))
        finally:
            for task in asyncio.all_tasks(loop):
                task._log_destroy_pending = False  # type: ignore[attr-defined]
            asyncio.set_event_loop(None)
            loop.close()


async def _in_world(
    loop: VirtualLoop, seed: int, act: Callable[[World], Awaitable[T]], shape: Shape, directory: Path
) -> T:
    world = World(loop, seed, shape, directory)
    with _listening(world), installed(world.clock), _wired(world):
        await world.start_all()
        try:
            return await act(world)
        finally:
            await world.end_all()


@contextmanager
def _wired(world: World) -> Iterator[None]:
    """The processes' modules make their connections to `world`."""
    with ExitStack() as stack:
        for app in APPS:
            for name, stand_in in (
                ("Kubernetes", world.new_kubernetes),
                ("Database", world.new_database),
                ("Watches", world.new_watches),
                ("load_driver", world.new_driver),
                ("Endpoint", NoEndpoint),
                ("HttpTransfers", lambda: MemoryTransfers(world.wires)),
            ):
                if hasattr(app, name):
                    stack.enter_context(patch.object(app, name, stand_in))
        yield


@contextmanager
def _listening(world: World) -> Iterator[None]:
    """Of Cairn's logs only the errors are wanted, and those with a traceback are never expected."""

    def take(_logger: Any, _method: str, event: dict[str, Any]) -> str:
        owner = OWNER.get()
        if owner is not None and owner.is_dead:
            raise structlog.DropEvent
        world.trace.add(f"log: {event}")
        if event.pop("exc_info", None):
            world.errors.append(f"{event} {traceback.format_exc()}")
        raise structlog.DropEvent

    before = structlog.get_config()
    structlog.configure(processors=[take], wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    try:
        yield
    finally:
        structlog.configure(**before)


def _memory() -> str | None:
    return "/dev/shm" if Path("/dev/shm").is_dir() else None
