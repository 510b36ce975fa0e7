"""Where the fake driver keeps its machines over a restart: one JSON file each, replaced as a whole."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class StoredMachine:
    """One machine's file."""

    node: str
    instance_id: str
    fencing_epoch: int
    steps: list[str]
    power_state: str
    boots: int
    log: str
    disk: str = ""
    shape: dict[str, Any] = field(default_factory=dict)
    kept: dict[str, Any] | None = None
    rescue_disk: str | None = None
    password_hash: str | None = None
    crash_dumps: int = 0
    done: list[str] = field(default_factory=list)


class FakeStore:
    """A directory of machines, for the use of one process at a time."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True)

    def load(self) -> Iterator[StoredMachine]:
        """All machines that were saved."""
        for path in sorted(self._directory.glob("*.json")):
            yield StoredMachine(**json.loads(path.read_text()))

    def save(self, machine: StoredMachine) -> None:
        path = self._directory / f"{machine.instance_id}.json"
        scratch = path.with_suffix(".tmp")
        scratch.write_text(json.dumps(asdict(machine)))
        scratch.replace(path)

    def remove(self, instance_id: str) -> None:
        (self._directory / f"{instance_id}.json").unlink(missing_ok=True)

    def sweep(self) -> None:
        """Remove what a killed process left half-written."""
        for path in self._directory.glob("*.tmp"):
            path.unlink(missing_ok=True)
