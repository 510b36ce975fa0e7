"""The names under which Nova's users know a host's figures (attributes of Nova's HostState), as columns.

JsonFilter reads them as `$free_ram_mb`, ComputeCapabilitiesFilter as `capabilities:free_ram_mb`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from cairn_operator.scheduler.hosts import DISK, MEMORY, VCPU, HostTable

Column = npt.NDArray[Any]
"""Numbers, or an object array of strings; None or NaN where a host has no such figure."""


def _names(hosts: HostTable) -> Column:
    return np.array(hosts.names, dtype=object)


NUMBERS: dict[str, Callable[[HostTable], Column]] = {
    "total_usable_ram_mb": lambda hosts: hosts.total[MEMORY],
    "total_usable_disk_gb": lambda hosts: hosts.total[DISK],
    "free_ram_mb": lambda hosts: hosts.usable[MEMORY] - hosts.used[MEMORY],
    "free_disk_mb": lambda hosts: (hosts.usable[DISK] - hosts.used[DISK]) * 1024,
    "disk_mb_used": lambda hosts: hosts.used[DISK] * 1024,
    "vcpus_total": lambda hosts: hosts.total[VCPU],
    "vcpus_used": lambda hosts: hosts.used[VCPU],
    "num_instances": lambda hosts: hosts.instances,
    "num_io_ops": lambda hosts: hosts.io_ops,
    "failed_builds": lambda hosts: hosts.build_failures,
}
"""What changes with every instance."""

NAMES: dict[str, Callable[[HostTable], Column]] = {
    "host": _names,
    "nodename": _names,
    "hypervisor_hostname": _names,
}


def column(hosts: HostTable, name: str) -> Column | None:
    """The figure of every host; None where there is nothing of that name."""
    read = NUMBERS.get(name) or NAMES.get(name)
    return read(hosts) if read else None


def capability_column(hosts: HostTable, path: str) -> Column:
    """A capability of every host as strings, None where a host has it not; `path` as in `cpu_info:arch`."""
    values = np.array(
        [None if profile is None else profile.capability(path) for profile in hosts.profiles.slots()],
        dtype=object,
    )
    found: Column = values[hosts.profile_of]
    return found
