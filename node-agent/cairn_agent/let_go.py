"""Which machines this host has let go of, and up to which epoch: they are not made again for a late order.

A conductor may be held up between deciding on a Guest and sending it, for as long as it likes. Its request is
carried out when it wakes, though the instance has been deleted or built elsewhere by then: the API server
cannot know. The host can: every claim raises the instance's epoch, so a Guest with an epoch that the host has
let go of is such an order.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from cairn_agent.drivers.api import DriverError

KEPT_SECONDS = 7 * 24 * 3600.0
"""No request is held up for longer."""


class Late(DriverError):
    """The order is one from before the host let go of the machine."""

    reason = "Late"
    permanent = True


class LetGo:
    """One node's memory of what it has removed; in a file where there is a folder, else in memory only."""

    def __init__(self, node: str, directory: Path | None) -> None:
        self._epochs: dict[str, int] = {}
        self._path: Path | None = None
        if directory is not None:
            directory.mkdir(parents=True, exist_ok=True)
            self._path = directory / f"let-go-{node}"
            self._load(self._path)

    def has(self, instance_id: str, epoch: int) -> bool:
        """Whether the machine was let go of in that epoch or a later one."""
        return self._epochs.get(instance_id, -1) >= epoch

    def add(self, instance_id: str, epoch: int) -> None:
        """The machine has been removed, and whoever orders it anew has to have a newer epoch. On disk when it
        returns. Raises OSError."""
        if self.has(instance_id, epoch):
            return
        if self._path is not None:
            with self._path.open("a") as file:
                file.write(_line(instance_id, epoch, time.time()))
                file.flush()
                os.fsync(file.fileno())
        self._epochs[instance_id] = epoch

    def _load(self, path: Path) -> None:
        """Take in what earlier agents wrote, and write it anew without what is too old to matter."""
        kept: list[str] = []
        for line in path.read_text().splitlines() if path.exists() else ():
            fields = line.split()
            if len(fields) != 3:
                continue  # the last line of an agent that was killed while it wrote
            instance_id, epoch, at = fields[0], int(fields[1]), float(fields[2])
            if time.time() - at < KEPT_SECONDS:
                self._epochs[instance_id] = max(epoch, self._epochs.get(instance_id, -1))
                kept.append(_line(instance_id, epoch, at))
        scratch = path.with_suffix(".new")
        scratch.write_text("".join(kept))
        scratch.replace(path)


def _line(instance_id: str, epoch: int, at: float) -> str:
    return f"{instance_id} {epoch} {at:.0f}\n"
