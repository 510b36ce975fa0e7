"""Running blocking calls beside the event loop, so that a cancelled caller leaves nothing running."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from cairn_agent.drivers.libvirt.errors import file_error

T = TypeVar("T")


class Workers:
    """A few threads for calls that block."""

    def __init__(self, count: int) -> None:
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="libvirt")

    async def run(self, work: Callable[[], T]) -> T:
        """What `work` returns. Raises DriverError in place of OSError.

        A thread cannot be stopped, so a cancellation goes through once the call has ended: what comes next
        (a destroy, say) must not find it still changing things.
        """
        future = asyncio.get_running_loop().run_in_executor(self._pool, work)
        try:
            return await asyncio.shield(future)
        except OSError as error:
            raise file_error(error) from error
        except asyncio.CancelledError:
            while not future.done():
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.wait({future})
            if not future.cancelled():
                future.exception()
            raise

    def close(self) -> None:
        """Take no more work."""
        self._pool.shutdown(wait=False)


async def run_program(*command: str) -> tuple[int, bytes, bytes]:
    """Exit code, output and error output of a program; it is killed when the caller is cancelled."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, err = await process.communicate()
    except asyncio.CancelledError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        raise
    return process.returncode or 0, out, err
