"""Facts of the machine that the agent itself runs on, for drivers whose hypervisor is that machine."""

from __future__ import annotations

import functools
import socket
from datetime import UTC, datetime
from pathlib import Path

OUTSIDE = ("192.0.2.1", 9)
"""An address that no network has (RFC 5737). Nothing is sent to it; only the route is looked up."""


@functools.cache
def boot_time(stat: Path = Path("/proc/stat")) -> datetime | None:
    """When the machine was started, to the second; None where the kernel does not say. The same for as
    long as the process runs, whatever somebody does to the clock."""
    for line in stat.read_text(errors="replace").splitlines() if stat.exists() else ():
        name, _, value = line.partition(" ")
        if name == "btime" and value.strip().isdigit():
            return datetime.fromtimestamp(int(value), UTC)
    return None


def address() -> str | None:
    """The machine's own address on its way to other networks; None where it has no way out."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(OUTSIDE)
        except OSError:
            return None
        return str(probe.getsockname()[0])
