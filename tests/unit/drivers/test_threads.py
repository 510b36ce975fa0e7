"""Blocking calls beside the event loop."""

from __future__ import annotations

import asyncio
import errno
import threading

import pytest

from cairn_agent.drivers.api import NoSpace
from cairn_agent.drivers.libvirt.threads import Workers


async def test_a_cancelled_call_has_ended_when_the_cancellation_is_through() -> None:
    workers = Workers(1)
    started, go_on = threading.Event(), threading.Event()
    ended = False

    def work() -> None:
        nonlocal ended
        started.set()
        go_on.wait()
        ended = True

    call = asyncio.create_task(workers.run(work))
    await asyncio.to_thread(started.wait)
    call.cancel()
    await asyncio.sleep(0)
    assert not call.done()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert ended
    workers.close()


async def test_a_full_disk_is_no_space() -> None:
    def work() -> None:
        raise OSError(errno.ENOSPC, "full")

    workers = Workers(1)
    with pytest.raises(NoSpace):
        await workers.run(work)
    workers.close()
