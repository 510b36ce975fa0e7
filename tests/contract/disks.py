"""Reading disks from the host's side."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

SECTOR = 512
SCRIBBLES = 2 * SECTOR
"""Where tests write: behind the boot sector and the image's name."""
LOOKED_AT = 64 * 1024
"""How much of a disk tests read."""


def run(*argv: str | Path) -> str:
    """The output of a program that must succeed."""
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


def disk_content(path: Path, disk_format: str, *, alone: bool = False) -> bytes:
    """The beginning of the disk that a file holds; `alone`: which nobody may be writing to."""
    share = [] if alone else ["-U"]
    with tempfile.TemporaryDirectory() as scratch:
        raw = Path(scratch) / "raw"
        count = LOOKED_AT // SECTOR
        run("qemu-img", "dd", *share, "-f", disk_format, "-O", "raw",
            f"bs={SECTOR}", f"count={count}", f"if={path}", f"of={raw}")  # fmt: skip
        return raw.read_bytes()


def text_of(content: bytes) -> str:
    """What is written behind the boot sector."""
    return content[SECTOR:].replace(b"\0", b"").decode()
