"""Writing down a disk that comes from another host, over as many connections as it takes.

What has come stays beside the target under a name of the operation, so the next call (of the next process,
too) goes on where the last one ended; the target itself appears when it is whole and on disk.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from pathlib import Path
from typing import BinaryIO

import structlog

from cairn_runtime.agent_errors import AgentError, AgentFailed, AgentUnreachable, DiskIncomplete

log = structlog.get_logger()
PIECE_BYTES = 1024 * 1024
ATTEMPTS = 5
"""In a row, of which none brings a byte."""
FIRST_PAUSE_SECONDS = 0.5
"""After an interruption; twice as long after each further one that came without a byte between."""


def part_of(path: Path, operation_id: str) -> Path:
    """Where the beginning of a disk is kept. Another operation's is never gone on with."""
    return path.with_name(f"{path.name}.{operation_id}.part")


async def fetch(read_from: Callable[[int], AsyncGenerator[bytes]], size: int, path: Path, part: Path) -> None:
    """Bring `size` bytes to `path`; `read_from` gives those from an offset on.

    Does nothing where `path` is there with that size. Raises AgentError and OSError; `part` then keeps what
    has come. Raises DiskIncomplete, and keeps nothing, where more comes.
    """
    if await asyncio.to_thread(_size_of, path) == size:
        return
    file = await asyncio.to_thread(_open, part)
    try:
        have = await _receive(read_from, size, file)
        await asyncio.to_thread(_sync, file)
    finally:
        file.close()
    if have != size:
        await asyncio.to_thread(part.unlink)
        raise DiskIncomplete(f"{path.name} has {size} bytes, and {have} came")
    await asyncio.to_thread(_put_in_place, part, path)


async def _receive(read_from: Callable[[int], AsyncGenerator[bytes]], size: int, file: BinaryIO) -> int:
    """Until there are `size` bytes (or more: that is the caller's to refuse); how many there are."""
    have, failures = file.tell(), 0
    while have < size:
        before = have
        try:
            async with aclosing(read_from(have)) as pieces:
                async for piece in pieces:
                    await asyncio.to_thread(file.write, piece)
                    have += len(piece)
                    if have > size:
                        return have
            error: AgentError = AgentFailed(f"the connection ended after {have} of {size} bytes")
        except (AgentUnreachable, AgentFailed) as failure:
            error = failure
        if have < size:
            failures = 1 if have > before else failures + 1
            if failures == ATTEMPTS:
                raise error
            log.info("disk.interrupted", have=have, size=size, error=str(error))
            await asyncio.sleep(FIRST_PAUSE_SECONDS * 2 ** (failures - 1))
    return have


def _size_of(path: Path) -> int | None:
    return path.stat().st_size if path.exists() else None


def _open(part: Path) -> BinaryIO:
    """At its end: pieces are written in order, so what is there is the disk's beginning."""
    file = part.open("ab")
    file.seek(0, os.SEEK_END)
    return file


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _put_in_place(part: Path, path: Path) -> None:
    part.replace(path)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
