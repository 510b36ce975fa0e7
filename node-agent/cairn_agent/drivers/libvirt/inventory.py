"""What the host has in all, and how busy it is."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import libvirt

from cairn_agent.drivers import this_host
from cairn_agent.drivers.api import Inventory
from cairn_agent.drivers.libvirt import devices
from cairn_agent.drivers.libvirt.cpu_traits import cpu_traits
from cairn_agent.drivers.libvirt.errors import is_code
from cairn_agent.drivers.libvirt.host import Host

GIB = 1024**3

DEVICE_TRAITS = frozenset(
    {f"COMPUTE_NET_VIF_MODEL_{model.upper()}" for model in devices.VIF_MODELS}
    | {f"COMPUTE_STORAGE_BUS_{bus.upper()}" for bus in devices.DISK_BUSES}
    | {f"COMPUTE_GRAPHICS_MODEL_{model.upper()}" for model in devices.VIDEO_MODELS - {"none"}}
    | {"COMPUTE_GRAPHICS_MODEL_NONE"}
)


class Metrics:
    """How busy the CPUs were since the last look (Nova's `cpu.percent`)."""

    def __init__(self) -> None:
        self._busy = 0
        self._total = 0

    def read(self, connection: Any) -> Mapping[str, float]:
        """Nova's monitor metrics, 0 to 1; none where libvirt does not tell. Blocking."""
        try:
            times = connection.getCPUStats(libvirt.VIR_NODE_CPU_STATS_ALL_CPUS)
        except libvirt.libvirtError as error:
            if is_code(error, libvirt.VIR_ERR_NO_SUPPORT):
                return {}
            raise
        total = sum(times.get(kind, 0) for kind in ("user", "kernel", "idle", "iowait"))
        busy = times.get("user", 0) + times.get("kernel", 0)
        passed, worked = total - self._total, busy - self._busy
        self._total, self._busy = total, busy
        return {"cpu.percent": min(1.0, max(0.0, worked / passed))} if passed > 0 else {}


def read_inventory(connection: Any, host: Host, metrics: Metrics, instances: Path) -> Inventory:
    """The node's totals; blocking."""
    cpus = connection.getInfo()[2]
    version = _version(connection.getVersion())
    here = urlsplit(connection.getURI()).hostname is None
    return Inventory(
        hypervisor_type=str(connection.getType()),
        hypervisor_version=version,
        hostname=connection.getHostname(),
        architecture=host.architecture,
        vcpus=cpus,
        memory_mib=_memory_mib(connection),
        disk_gib=shutil.disk_usage(instances).total // GIB,
        cpu_model=host.cpu_model,
        traits=frozenset(capability.value for capability in host.capabilities)
        | DEVICE_TRAITS
        | cpu_traits(host.cpu_features),
        capabilities=_facts(host, version),
        metrics=metrics.read(connection),
        address=this_host.address() if here else None,
        boot_time=this_host.boot_time() if here else None,
    )


def _memory_mib(connection: Any) -> int:
    """What the host's kernel has in all.

    `getInfo` adds up the NUMA cells, which says less where a machine's memory was plugged in later.
    """
    try:
        stats = connection.getMemoryStats(libvirt.VIR_NODE_MEMORY_STATS_ALL_CELLS)
    except libvirt.libvirtError as error:
        if is_code(error, libvirt.VIR_ERR_NO_SUPPORT):
            return int(connection.getInfo()[1])
        raise
    return int(stats["total"]) // 1024


def _version(number: int) -> str:
    """7002000 → 7.2.0"""
    return f"{number // 1_000_000}.{number // 1000 % 1000}.{number % 1000}"


def _facts(host: Host, version: str) -> Mapping[str, str]:
    """By the names that ComputeCapabilitiesFilter's extra specs use."""
    return {
        "hypervisor_version": version,
        "virt_type": host.virt_type,
        "cpu_info:arch": host.architecture,
        "cpu_info:model": host.cpu_model,
        "cpu_info:vendor": host.cpu_vendor,
        "cpu_info:features": " ".join(sorted(host.cpu_features)),
    }
