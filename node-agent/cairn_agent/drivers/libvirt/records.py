"""What is written down about a machine before anything of it is made.

The record is how an unfinished machine is found again, and how `destroy` knows its addresses when there is
no domain to ask. A machine's directory and its record appear in one step and go in one step.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from cairn_crds.guest import GuestNetwork, GuestSpec

RECORD = "machine.json"
_NEW = ".new"
_GONE = ".gone"


class MachineRecord(BaseModel):
    """The content of `machine.json`."""

    model_config = ConfigDict(frozen=True)

    node: str
    fencing_epoch: int
    image_sha256: str
    networks: Sequence[GuestNetwork]

    @classmethod
    def of(cls, node: str, spec: GuestSpec) -> MachineRecord:
        return cls(
            node=node,
            fencing_epoch=spec.fencing_epoch,
            image_sha256=spec.image.sha256,
            networks=tuple(spec.networks),
        )


class Records:
    """The directory of machines' directories, named by instance id. All methods block."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def path(self, instance_id: str) -> Path:
        """The machine's own directory."""
        return self.directory / instance_id

    def read(self, instance_id: str) -> MachineRecord | None:
        """What is known of the machine; None where there is no directory."""
        try:
            return MachineRecord.model_validate_json((self.path(instance_id) / RECORD).read_bytes())
        except FileNotFoundError:
            return None

    def write(self, instance_id: str, record: MachineRecord) -> None:
        """Make the directory with its record, or replace the record of one that is there."""
        directory = self.path(instance_id)
        content = record.model_dump_json(by_alias=True)
        if directory.is_dir():
            scratch = directory / f"{RECORD}{_NEW}"
            scratch.write_text(content)
            scratch.replace(directory / RECORD)
            return
        scratch = self.directory / f".{instance_id}{_NEW}"
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(mode=0o711)
        (scratch / RECORD).write_text(content)
        scratch.rename(directory)

    def remove(self, instance_id: str) -> None:
        """Remove the directory and all that is in it."""
        gone = self.directory / f".{instance_id}{_GONE}"
        shutil.rmtree(gone, ignore_errors=True)
        try:
            self.path(instance_id).rename(gone)
        except FileNotFoundError:
            return
        shutil.rmtree(gone)

    def instance_ids(self) -> list[str]:
        """The machines that have a directory."""
        return [path.name for path in self.directory.iterdir() if not path.name.startswith(".")]

    def all(self) -> Iterator[tuple[str, MachineRecord]]:
        """Every machine's record."""
        for instance_id in self.instance_ids():
            if (record := self.read(instance_id)) is not None:
                yield instance_id, record

    def sweep(self, keep: frozenset[str]) -> None:
        """Remove what a killed agent left between two renames."""
        for path in self.directory.glob(".*"):
            if path.suffix in {_NEW, _GONE} and path.name[1:].removesuffix(path.suffix) not in keep:
                shutil.rmtree(path, ignore_errors=True)
