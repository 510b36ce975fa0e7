"""Diagnostics as the Compute API shows them: libvirt's own names until 2.47, a schema of its own from 2.48.

Source: Nova's `nova/api/openstack/compute/views/server_diagnostics.py` and the API reference.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from cairn_database import InstanceRecord
from cairn_runtime.diagnostics import MachineDiagnostics

KIB_PER_MIB = 1024
DISK_COUNTS = {
    "read": "read_bytes",
    "read_req": "read_requests",
    "write": "write_bytes",
    "write_req": "write_requests",
    "errors": "errors_count",
}
NIC_COUNTS = {
    f"{way}{suffix}": f"{way}_{field}"
    for way in ("rx", "tx")
    for suffix, field in (("", "octets"), ("_packets", "packets"), ("_errors", "errors"), ("_drop", "drop"))
}
"""The end of a name in the older form: the counter."""
UNCOUNTED = -1
"""libvirt's word for a counter that the hypervisor does not keep."""


def as_libvirt_counts(found: MachineDiagnostics) -> dict[str, int]:
    """`cpu0_time` (ns), `vda_read`, `vnet0_rx`, `memory` (KiB) …; what is not known is left out."""
    counts: dict[str, int | None] = {f"cpu{cpu.id}_time": cpu.time_ns for cpu in found.cpus}
    for disk in found.disks:
        counts |= {f"{disk.device}_{name}": getattr(disk, field) for name, field in DISK_COUNTS.items()}
        if disk.read_bytes is not None and disk.errors_count is None:
            counts[f"{disk.device}_errors"] = UNCOUNTED
    for nic in found.nics:
        counts |= {f"{nic.device}_{name}": getattr(nic, field) for name, field in NIC_COUNTS.items()}
    counts["memory"] = found.memory_maximum_kib
    counts |= {f"memory-{name}": value for name, value in found.memory_statistics_kib.items()}
    return {name: value for name, value in counts.items() if value is not None}


def standard(found: MachineDiagnostics, record: InstanceRecord) -> dict[str, Any]:
    """The same for every hypervisor; memory in MiB, uptime in seconds, null for what is not known."""
    return {
        "state": found.state.value.lower(),
        "driver": found.driver,
        "hypervisor": found.hypervisor,
        "hypervisor_os": found.hypervisor_os,
        "uptime": _uptime(found, record),
        "config_drive": bool(record.spec.get("configDrive")),
        "num_cpus": len(found.cpus),
        "num_nics": len(found.nics),
        "num_disks": len(found.disks),
        "cpu_details": [
            {"id": cpu.id, "time": cpu.time_ns, "utilisation": cpu.utilisation} for cpu in found.cpus
        ],
        "nic_details": [
            {
                "mac_address": nic.mac_address,
                **{field: getattr(nic, field) for field in NIC_COUNTS.values()},
                "rx_rate": None,
                "tx_rate": None,
            }
            for nic in found.nics
        ],
        "disk_details": [
            {field: getattr(disk, field) for field in DISK_COUNTS.values()} for disk in found.disks
        ],
        "memory_details": {
            "maximum": _mib(found.memory_maximum_kib),
            "used": _mib(found.memory_used_kib),
        },
    }


def _uptime(found: MachineDiagnostics, record: InstanceRecord) -> int | None:
    """Since the hypervisor started it; where that is not known since it was launched, as Nova counts."""
    if found.uptime_seconds is not None:
        return found.uptime_seconds
    if record.launched_at is None:
        return None
    return max(0, int((datetime.now(UTC) - record.launched_at).total_seconds()))


def _mib(kib: int | None) -> int | None:
    return None if kib is None else kib // KIB_PER_MIB
