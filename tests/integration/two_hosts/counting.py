"""A guest that counts, watched from two hosts at once."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

from contract.backends import PATIENCE
from contract.disks import disk_content
from contract.guests import COUNT_PLACE
from contract.libvirt_backends import LibvirtQemuBackend

LOOK_SECONDS = 0.01


@dataclass
class Counts:
    """The lines of one host's console log, and when each was first seen there."""

    backend: LibvirtQemuBackend
    instance_id: str
    seen: dict[int, float] = field(default_factory=dict)
    read: int = 0

    def look(self) -> None:
        """Read on."""
        path = self.backend.files(self.instance_id).console_log
        if not path.exists():
            return
        with path.open("rb") as log:
            log.seek(self.read)
            lines = log.read().split(b"\r\n")
        for line in lines[:-1]:
            self.read += len(line) + 2
            self.seen[int(line, 16)] = time.monotonic()

    @property
    def highest(self) -> int:
        """The last count."""
        return max(self.seen, default=0)


class Watch:
    """Looks at counts again and again."""

    def __init__(self, *counts: Counts) -> None:
        self._counts = counts
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Watch:
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *error: object) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.wait({self._task})
        for counts in self._counts:
            counts.look()

    async def _run(self) -> None:
        while True:
            for counts in self._counts:
                counts.look()
            await asyncio.sleep(LOOK_SECONDS)


async def until_it_counts_on(counts: Counts, more: int = 20) -> None:
    """Until there are that many more counts."""
    wanted = counts.highest + more
    async with asyncio.timeout(PATIENCE):
        while counts.highest < wanted:
            await asyncio.sleep(LOOK_SECONDS)
            counts.look()


def written_count(backend: LibvirtQemuBackend, instance_id: str) -> int:
    """The count that the guest wrote to its disk last; it is off."""
    disk = disk_content(backend.files(instance_id).root, "qcow2")
    return int(disk[COUNT_PLACE : COUNT_PLACE + 8], 16)
