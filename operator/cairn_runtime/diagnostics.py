"""What a machine has used, as its host counted it: from the driver through the agent's endpoint to the API.

Every number may be None: not every hypervisor counts everything. Counters run from the machine's start.
Source of the fields: the Compute API's standard diagnostics (`GET /servers/{id}/diagnostics`, 2.48).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from cairn_crds.instance import PowerState


@dataclass(frozen=True)
class CpuDiagnostics:
    """One virtual CPU."""

    id: int | None = None
    time_ns: int | None = None
    """How long it has run on the host's CPUs, in nanoseconds."""
    utilisation: int | None = None
    """Per cent."""


@dataclass(frozen=True)
class NicDiagnostics:
    """One network card, seen from the guest: rx is what it received."""

    device: str | None = None
    """What the host calls its end, e.g. vnet0."""
    mac_address: str | None = None
    rx_octets: int | None = None
    rx_packets: int | None = None
    rx_errors: int | None = None
    rx_drop: int | None = None
    tx_octets: int | None = None
    tx_packets: int | None = None
    tx_errors: int | None = None
    tx_drop: int | None = None


@dataclass(frozen=True)
class DiskDiagnostics:
    """One disk."""

    device: str | None = None
    """What the guest calls it, e.g. vda."""
    read_bytes: int | None = None
    read_requests: int | None = None
    write_bytes: int | None = None
    write_requests: int | None = None
    errors_count: int | None = None


@dataclass(frozen=True)
class MachineDiagnostics:
    """One machine."""

    state: PowerState
    driver: str
    """The hypervisor's family in Nova's words: libvirt, vmwareapi, xenapi."""
    hypervisor: str | None = None
    """What runs it, e.g. qemu or kvm."""
    hypervisor_os: str | None = None
    uptime_seconds: int | None = None
    memory_maximum_kib: int | None = None
    """What it may have."""
    memory_used_kib: int | None = None
    """What it has of the host's."""
    memory_statistics_kib: Mapping[str, int] = field(default_factory=dict)
    """Further figures of its memory balloon, by libvirt's names (`available`, `rss` …)."""
    cpus: tuple[CpuDiagnostics, ...] = ()
    nics: tuple[NicDiagnostics, ...] = ()
    disks: tuple[DiskDiagnostics, ...] = ()
