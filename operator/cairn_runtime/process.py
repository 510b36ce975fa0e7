"""The frame of every process: logs, health server, signals, graceful end."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import os
import sys
from collections.abc import Awaitable, Callable

import structlog
from pydantic import ValidationError

from cairn_runtime.health import Health, HealthServer
from cairn_runtime.logs import set_up_logs
from cairn_runtime.settings import Loaded, load_settings
from cairn_runtime.signals import on_stop_signal
from cairn_runtime.tasks import cancel

Main = Callable[[Loaded, Health, asyncio.Event], Awaitable[None]]
"""The process itself: start, run until the event is set, stop in order."""


def run_process(name: str, schema: type[Loaded], arguments: list[str], main: Main[Loaded]) -> int:
    """Run one process until SIGTERM or SIGINT; returns its exit code (2: wrong settings)."""
    try:
        settings = load_settings(schema, arguments, f"cairn {name}")
    except ValidationError as error:
        sys.stderr.write(f"cairn {name}: {describe(error)}\n")
        return 2
    set_up_logs(settings.log, name)
    _settle()
    # Not uvloop: when the API server dies under a TLS handshake it keeps transports on descriptors that it
    # has given back (its issues 646 and 653), and a later connection gets one of them.
    return asyncio.run(_run(name, settings, main))


LARGE_BLOCK = 4 * 1024 * 1024
"""Bytes from which on glibc gives memory back to the system as soon as it is let go."""
M_MMAP_THRESHOLD = -3
"""malloc.h"""


def _settle() -> None:
    """After the imports: what they made lives as long as the process, what they let go is of no more use."""
    gc.collect()
    gc.freeze()
    # glibc keeps freed memory that lies between pieces in use, unless it is asked for it (musl has no such
    # call). It is 10 MB where modules had to be compiled: at a first start, or without a __pycache__.
    libc = ctypes.CDLL(None)
    if trim := getattr(libc, "malloc_trim", None):
        trim(0)
    # And left alone it raises that limit to the largest block it has seen: the 19 MiB that a password's hash
    # works in stayed with each of its threads, 58 MiB after some sign-ins.
    if option := getattr(libc, "mallopt", None):
        option(M_MMAP_THRESHOLD, LARGE_BLOCK)


async def _run(name: str, settings: Loaded, main: Main[Loaded]) -> int:
    log = structlog.get_logger()
    stop = asyncio.Event()
    on_stop_signal(stop.set)
    health = Health()
    server = HealthServer(health, settings.health)
    await server.start()
    code = 0
    try:
        await main(settings, health, stop)
    except Exception as error:
        log.exception("process.failed", error=str(error))
        code = 1
    finally:
        await server.stop()
    await _end_tasks(code)
    log.info("process.stopped")
    return code


async def _end_tasks(code: int) -> None:
    """Everything has been closed; a task that a library left behind does not keep the process from ending."""
    left = asyncio.all_tasks() - {asyncio.current_task()}
    if stuck := await cancel(left):
        structlog.get_logger().error("process.stuck", tasks=sorted(map(str, stuck)))
        os._exit(code)


async def wait_for(
    what: str,
    probe: Callable[[], Awaitable[object]],
    errors: tuple[type[Exception], ...],
    stop: asyncio.Event,
) -> None:
    """Call `probe` until it raises none of `errors`, or `stop` is set: what a process needs may be late."""
    delay = 0.1
    while not stop.is_set():
        try:
            await probe()
            return
        except errors as error:
            structlog.get_logger().info("process.waiting", for_=what, error=str(error))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), delay)
        delay = min(delay * 2, 2.0)


def describe(error: ValidationError) -> str:
    """Every wrong setting on a line of its own: its name, what is wrong with it."""
    lines = [f"{'.'.join(str(part) for part in item['loc'])}: {item['msg']}" for item in error.errors()]
    return "\n".join(lines)
