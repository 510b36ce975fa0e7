"""How a host is shown as a hypervisor, version by version."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from cairn_database.hosts import HostedInstance
from cairn_database.nodes import ComputeNodeRecord
from cairn_gateway.nova.microversions import (
    HYPERVISOR_CPU_INFO_OBJECT,
    HYPERVISOR_SERVERS_ALWAYS,
    HYPERVISOR_UPTIME_FIELD,
    HYPERVISOR_USAGE_REMOVED,
    HYPERVISOR_UUIDS,
    Microversion,
)


@dataclass(frozen=True)
class Numbers:
    """How much a host has and uses, as Nova counts: what is reserved for the host itself is used."""

    vcpus: int
    memory_mb: int
    local_gb: int
    vcpus_used: int
    memory_mb_used: int
    local_gb_used: int
    running_vms: int

    @property
    def free_ram_mb(self) -> int:
        return self.memory_mb - self.memory_mb_used

    @property
    def free_disk_gb(self) -> int:
        return self.local_gb - self.local_gb_used


def numbers(node: ComputeNodeRecord) -> Numbers:
    """Of one host."""
    inventory, reserved = node.inventory, node.spec.reserved
    return Numbers(
        vcpus=inventory.vcpus,
        memory_mb=inventory.memory_mib,
        local_gb=inventory.disk_gib,
        vcpus_used=node.vcpus_used + reserved.vcpus,
        memory_mb_used=node.memory_mib_used + reserved.memory_mib,
        local_gb_used=node.disk_gib_used + reserved.disk_gib,
        running_vms=node.instances,
    )


def brief(version: Microversion, node: ComputeNodeRecord) -> dict[str, Any]:
    """What lists without details show."""
    return {
        "id": node.id if version >= HYPERVISOR_UUIDS else node.number,
        "hypervisor_hostname": node.hypervisor_hostname,
        "state": "up" if node.alive else "down",
        "status": "disabled" if node.disabled else "enabled",
    }


def detailed(version: Microversion, node: ComputeNodeRecord, workload: int, now: datetime) -> dict[str, Any]:
    """Everything; `workload` is how many instances there have a task under way."""
    inventory = node.inventory
    shown = brief(version, node) | {
        "hypervisor_type": inventory.hypervisor_type or "unknown",
        "hypervisor_version": version_number(inventory.hypervisor_version),
        "host_ip": inventory.address,
        "service": {
            "id": node.id if version >= HYPERVISOR_UUIDS else node.number,
            "host": node.name,
            "disabled_reason": node.disabled_reason,
        },
    }
    if version < HYPERVISOR_USAGE_REMOVED:
        shown |= usage(numbers(node), workload)
        cpu = cpu_info(node)
        shown["cpu_info"] = cpu if version >= HYPERVISOR_CPU_INFO_OBJECT else orjson.dumps(cpu).decode()
    if version >= HYPERVISOR_UPTIME_FIELD:
        shown["uptime"] = uptime(node, now) if node.alive else None
    return shown


def usage(own: Numbers, workload: int) -> dict[str, Any]:
    """The numbers of one host, or the sum of all."""
    return {
        "vcpus": own.vcpus,
        "memory_mb": own.memory_mb,
        "local_gb": own.local_gb,
        "vcpus_used": own.vcpus_used,
        "memory_mb_used": own.memory_mb_used,
        "local_gb_used": own.local_gb_used,
        "free_ram_mb": own.free_ram_mb,
        "free_disk_gb": own.free_disk_gb,
        "current_workload": workload,
        "running_vms": own.running_vms,
        "disk_available_least": None,  # nobody adds up what growing disks might still take
    }


def with_servers(
    version: Microversion, shown: dict[str, Any], servers: Sequence[HostedInstance]
) -> dict[str, Any]:
    """`shown` with its servers; without any, only newer versions have an empty list."""
    if servers or version >= HYPERVISOR_SERVERS_ALWAYS:
        shown["servers"] = [{"name": server.display_name, "uuid": server.id} for server in servers]
    return shown


def cpu_info(node: ComputeNodeRecord) -> dict[str, Any]:
    """The CPU as the driver describes it; empty where it does not."""
    facts = node.inventory.capabilities
    described: dict[str, Any] = {
        "arch": facts.get("cpu_info:arch") or node.inventory.architecture,
        "model": facts.get("cpu_info:model") or node.inventory.cpu_model,
        "vendor": facts.get("cpu_info:vendor"),
    }
    described = {name: value for name, value in described.items() if value}
    if features := facts.get("cpu_info:features", "").split():
        described["features"] = features
    return described


def version_number(text: str | None) -> int:
    """`7.2.0` as the number that libvirt makes of it, 7002000; 0 for what has no number."""
    parts = [int(part) for part in re.findall(r"[0-9]{1,3}", (text or "").partition("-")[0])[:3]]
    major, minor, micro = [*parts, 0, 0, 0][:3]
    return major * 1_000_000 + minor * 1000 + micro


def uptime(node: ComputeNodeRecord, now: datetime) -> str | None:
    """The beginning of what `uptime` prints there; None where the agent does not tell since when it runs."""
    started = node.inventory.boot_time
    if started is None:
        return None
    passed = max(timedelta(0), now - started)
    hours, minutes = divmod(passed.seconds // 60, 60)
    days = f"{passed.days} day{'' if passed.days == 1 else 's'}, " if passed.days else ""
    return f" {now.astimezone(UTC):%H:%M:%S} up {days}{hours:2d}:{minutes:02d}"
