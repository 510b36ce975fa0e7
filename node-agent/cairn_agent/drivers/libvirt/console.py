"""A guest's console log on disk. All functions block."""

from __future__ import annotations

import subprocess
from pathlib import Path

BLOCK = 4096


def read_tail(log: Path, max_bytes: int) -> bytes:
    """The last `max_bytes` of the log, reaching back into the part that virtlogd has rotated away."""
    tail = b""
    for path in (log, log.with_name(f"{log.name}.0")):
        wanted = max_bytes - len(tail)
        if wanted <= 0:
            break
        try:
            with path.open("rb") as file:
                size = file.seek(0, 2)
                file.seek(max(0, size - wanted))
                tail = file.read(wanted) + tail
        except FileNotFoundError:
            break
    return tail.lstrip(b"\0")


def trim(log: Path, max_bytes: int) -> None:
    """Give back the disk space of all but the last `max_bytes`, while the guest goes on writing.

    A hole takes the place of what was there, so no byte that is written meanwhile can be lost.
    """
    try:
        status = log.stat()
    except FileNotFoundError:
        return
    surplus = (status.st_size - max_bytes) // BLOCK * BLOCK
    if surplus > 0 and status.st_blocks * 512 > max_bytes + BLOCK:
        subprocess.run(
            ["fallocate", "--punch-hole", "--offset", "0", "--length", str(surplus), str(log)], check=True
        )
