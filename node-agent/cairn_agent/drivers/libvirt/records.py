"""What is written down about a machine before anything of it is made.

The record is how an unfinished machine is found again, how `destroy` knows its addresses when there is no
domain to ask, and which operations have been done to it. A machine's directory and its record appear in one
step and go in one step.

A directory that several hosts share holds a record of each host that has a part in the machine: while it
moves, two. Its files go with the last record.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict

from cairn_crds.guest import GuestNetwork, GuestSpec
from cairn_crds.image_source import GuestImage

_UNNAMED = "machine.json"
_NEW = ".new"
_GONE = ".gone"
ID_LENGTH = 36
DONE_MAX = 8
"""How many done operations are remembered; there is one at a time."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True)


class RescueRecord(_Part):
    """A rescue that is under way or has been done."""

    operation_id: str
    image: GuestImage


class KeptRecord(_Part):
    """What a resize keeps."""

    operation_id: str
    names: tuple[str, ...]
    """Of the disks that there were, each kept under its name with `.resize` behind it."""


class MachineRecord(_Part):
    """The content of a record."""

    node: str
    fencing_epoch: int
    image_sha256: str
    networks: Sequence[GuestNetwork]
    done: tuple[str, ...] = ()
    """The ids of operations that have been done, the last ones."""
    wiped: str | None = None
    """The rebuild whose old disks are gone."""
    rescue: RescueRecord | None = None
    kept: KeptRecord | None = None
    leaving: str | None = None
    """The live migration that was begun, which may be through."""
    downtime_ms: int | None = None
    """Of that, once it is."""
    swaps: tuple[str, ...] = ()
    """The swaps of volumes that are under way: each as often as its copy has been begun."""

    @classmethod
    def of(cls, node: str, spec: GuestSpec) -> MachineRecord:
        return cls(
            node=node,
            fencing_epoch=spec.fencing_epoch,
            image_sha256=spec.image.sha256,
            networks=tuple(spec.networks),
        )

    def updated(self, **changes: Any) -> Self:
        """With some of it changed."""
        return self.model_copy(update=changes)

    def after(self, spec: GuestSpec) -> Self:
        """As the machine of another spec has it; what has been done to it stays."""
        fresh = MachineRecord.of(self.node, spec)
        return self.updated(
            fencing_epoch=fresh.fencing_epoch, image_sha256=fresh.image_sha256, networks=fresh.networks
        )

    def finished(self, operation_id: str, **changes: Any) -> Self:
        """With that operation done."""
        return self.updated(done=(*self.done[1 - DONE_MAX :], operation_id), **changes)

    @property
    def images(self) -> set[str]:
        """The checksums of the images that it is made of."""
        return {self.image_sha256} | ({self.rescue.image.sha256} if self.rescue else set())


class Records:
    """The directory of machines' directories, named by instance id. All methods block."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def path(self, instance_id: str) -> Path:
        """The machine's own directory."""
        return self.directory / instance_id

    def read(self, node: str, instance_id: str) -> MachineRecord | None:
        """What the node knows of the machine; None where it has no part in it."""
        return _read(self.path(instance_id) / _name(node))

    def of_machine(self, instance_id: str) -> list[MachineRecord]:
        """The records of all nodes that have a part in the machine."""
        found = (_read(path) for path in sorted(self.path(instance_id).glob(_name("*"))))
        return [record for record in found if record is not None]

    def write(self, instance_id: str, record: MachineRecord) -> None:
        """Make the directory with its record, or add or replace the record in one that is there."""
        directory = self.path(instance_id)
        content = record.model_dump_json(by_alias=True)
        name = _name(record.node)
        if directory.is_dir():
            scratch = directory / f"{name}{_NEW}"
            scratch.write_text(content)
            scratch.replace(directory / name)
            return
        scratch = self.directory / f".{instance_id}.{record.node}{_NEW}"
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(mode=0o711)
        (scratch / name).write_text(content)
        scratch.rename(directory)

    def remove(self, node: str, instance_id: str) -> None:
        """Remove the node's record, and the directory with all that is in it unless others have a part."""
        directory = self.path(instance_id)
        if any(record.node != node for record in self.of_machine(instance_id)):
            (directory / _name(node)).unlink(missing_ok=True)
            return
        gone = self.directory / f".{instance_id}.{node}{_GONE}"
        shutil.rmtree(gone, ignore_errors=True)
        try:
            directory.rename(gone)
        except FileNotFoundError:
            return
        shutil.rmtree(gone)

    def adopt(self) -> None:
        """Give records that were written before hosts shared directories the name of their node."""
        for path in self.directory.glob(f"*/{_UNNAMED}"):
            record = _read(path)
            if record is not None:
                path.rename(path.with_name(_name(record.node)))

    def instance_ids(self) -> list[str]:
        """The machines that have a directory."""
        return [path.name for path in self.directory.iterdir() if not path.name.startswith(".")]

    def all(self) -> Iterator[tuple[str, MachineRecord]]:
        """Every node's record of every machine."""
        for instance_id in self.instance_ids():
            for record in self.of_machine(instance_id):
                yield instance_id, record

    def sweep(self, node: str, keep: frozenset[str]) -> None:
        """Remove what a killed agent of the node left between two renames."""
        for suffix in (_NEW, _GONE):
            ending = f".{node}{suffix}"
            for path in self.directory.glob(f".{'?' * ID_LENGTH}{ending}"):
                if path.name[1:].removesuffix(ending) not in keep:
                    shutil.rmtree(path, ignore_errors=True)


def _name(node: str) -> str:
    return f"machine.{node}.json"


def _read(path: Path) -> MachineRecord | None:
    try:
        return MachineRecord.model_validate_json(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
