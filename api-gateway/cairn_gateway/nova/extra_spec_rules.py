"""What the known extra specs of flavors may hold: a table, and the function that asks it (from 2.86 on).

A key in a namespace that is known (`hw:`, `quota:` …) has to be one of the table's; keys without a
namespace, or in another one, are free. Traits and resource classes are checked by their form, as new ones
come with every release. Source: Nova, `nova/api/validation/extra_specs` (names, kinds and bounds).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

TRUTHS = frozenset(
    {"1", "t", "true", "on", "y", "yes", "0", "f", "false", "off", "n", "no"},
)


@dataclass(frozen=True)
class Truth:
    """A boolean, in any of the words that Nova takes for one."""

    def problem(self, value: str) -> str | None:
        """What is wrong with `value`; None where nothing is."""
        if value.strip().lower() in TRUTHS:
            return None
        return f"'{value}' is not a valid boolean-like value"


@dataclass(frozen=True)
class Number:
    """A whole number within bounds."""

    least: int | None = None
    most: int | None = None

    def problem(self, value: str) -> str | None:
        """What is wrong with `value`; None where nothing is."""
        if not re.fullmatch(r"\s*[+-]?[0-9]{1,30}\s*", value):
            return f"'{value}' is not a valid integer value"
        if self.most is not None and int(value) > self.most:
            return f"'{value}' is greater than the max value of '{self.most}'"
        if self.least is not None and int(value) < self.least:
            return f"'{value}' is less than the min value of '{self.least}'"
        return None


class Word:
    """One of some words."""

    def __init__(self, *words: str) -> None:
        self.words = words

    def problem(self, value: str) -> str | None:
        """What is wrong with `value`; None where nothing is."""
        return None if value in self.words else f"'{value}' is not one of: {', '.join(self.words)}"


@dataclass(frozen=True)
class Text:
    """Anything, or what a pattern says."""

    pattern: str = r"(?s).*"

    def problem(self, value: str) -> str | None:
        """What is wrong with `value`; None where nothing is."""
        if re.fullmatch(self.pattern, value):
            return None
        return f"'{value}' is not of the format '{self.pattern}'"


Kind = Truth | Number | Word | Text
CPUS = Text(r"\^?[0-9]+(-[0-9]+)?(,\^?[0-9]+(-[0-9]+)?)*")
FROM_0, FROM_1 = Number(0), Number(1)

EXACT: dict[str, Kind] = {
    "hw:cpu_realtime": Truth(),
    "hw:cpu_realtime_mask": CPUS,
    "hw:hide_hypervisor_id": Truth(),
    "hw:cpu_policy": Word("dedicated", "shared", "mixed"),
    "hw:cpu_thread_policy": Word("prefer", "isolate", "require"),
    "hw:emulator_threads_policy": Word("isolate", "share"),
    "hw:cpu_dedicated_mask": CPUS,
    "hw:mem_page_size": Text(r"large|small|any|[0-9]+([kKMGT]i?)?(b|bit|B)?"),
    "hw:locked_memory": Truth(),
    "hw:numa_nodes": FROM_1,
    "hw:pci_numa_affinity_policy": Word("required", "preferred", "legacy", "socket"),
    **{f"hw:cpu_{bound}{part}": FROM_1 for bound in ("", "max_") for part in ("sockets", "cores", "threads")},
    "hw:boot_menu": Truth(),
    "hw:vif_multiqueue_enabled": Truth(),
    "hw:mem_encryption": Truth(),
    "hw:mem_encryption_model": Word("amd-sev", "amd-sev-es", "amd-sev-snp"),
    "hw:pmem": Text(r"[a-zA-Z0-9_]+(,[a-zA-Z0-9_]+)*,?"),
    "hw:pmu": Truth(),
    "hw:serial_port_count": FROM_0,
    "hw:tpm_model": Word("tpm-tis", "tpm-crb"),
    "hw:tpm_version": Word("1.2", "2.0"),
    "hw:tpm_secret_security": Word("user", "host", "deployment"),
    "hw:watchdog_action": Word("none", "pause", "poweroff", "reset", "disabled"),
    "hw:viommu_model": Word("intel", "smmuv3", "virtio", "auto"),
    "hw:virtio_packed_ring": Truth(),
    "hw:sound_model": Word("sb16", "es1370", "pcspk", "ac97", "ich6", "ich9", "usb", "virtio"),
    "hw:usb_model": Word("none", "nec-xhci", "qemu-xhci"),
    "hw:redirected_usb_ports": Number(0, 15),
    "hw:ephemeral_encryption": Truth(),
    "hw:ephemeral_encryption_format": Word("plain", "luks", "luksv2"),
    "hw:maxphysaddr_mode": Word("passthrough", "emulate"),
    "hw:maxphysaddr_bits": FROM_0,
    "hw_rng:allowed": Truth(),
    "hw_rng:rate_bytes": FROM_0,
    "hw_rng:rate_period": FROM_0,
    "hw_video:ram_max_mb": FROM_0,
    "os:secure_boot": Word("disabled", "required"),
    "accel:device_profile": Text(),
    "pci_passthrough:alias": Text(r"[^:,]+:[0-9]+(\s*,\s*[^:,]+:[0-9]+)*"),
    "vmware:hw_version": Text(),
    "vmware:storage_policy": Text(),
    "quota:cpu_shares": FROM_0,
    "quota:cpu_period": FROM_0,
    "quota:cpu_quota": Number(),
    **{f"quota:{part}_limit": FROM_0 for part in ("cpu", "memory", "disk_io", "vif")},
    **{f"quota:{part}_reservation": Number() for part in ("cpu", "memory", "disk_io", "vif")},
    **{
        f"quota:{part}_shares_level": Word("custom", "high", "normal", "low")
        for part in ("cpu", "memory", "disk_io", "vif")
    },
    **{f"quota:{part}_shares_share": FROM_0 for part in ("cpu", "memory", "disk_io", "vif")},
    **{
        f"quota:disk_{way}_{unit}_sec": FROM_0
        for way in ("read", "write", "total")
        for unit in ("bytes", "iops")
    },
    **{
        f"quota:vif_{way}_{measure}": FROM_0
        for way in ("inbound", "outbound")
        for measure in ("average", "peak", "burst")
    },
    "hide_hypervisor_id": Truth(),
    "group_policy": Word("isolate", "none"),
}

GROUP = r"[a-zA-Z0-9_-]{0,64}"
FORMS: tuple[tuple[re.Pattern[str], Kind], ...] = (
    (re.compile(r"hw:numa_cpus\.[0-9]+"), CPUS),
    (re.compile(r"hw:numa_mem\.[0-9]+"), FROM_1),
    (re.compile(rf"trait{GROUP}:[A-Z][A-Z0-9_]*"), Word("required", "forbidden")),
    (re.compile(rf"resources{GROUP}:[A-Z][A-Z0-9_]*"), Number()),
    (re.compile(r"capabilities:\w+(:\w+)*"), Text()),
    (re.compile(r"aggregate_instance_extra_specs:.+"), Text()),
)
NAMESPACES = re.compile(
    rf"hw|hw_rng|hw_video|os|quota|accel|pci_passthrough|vmware|capabilities|aggregate_instance_extra_specs|"
    rf"trait{GROUP}|resources{GROUP}"
)


def refusal(key: str, value: str) -> str | None:
    """Why a flavor cannot have this extra spec; None where nothing speaks against it."""
    kind = EXACT.get(key)
    if kind is None:
        kind = next((kind for form, kind in FORMS if form.fullmatch(key)), None)
    if kind is not None:
        return kind.problem(value)
    namespace, colon, _rest = key.partition(":")
    if colon and NAMESPACES.fullmatch(namespace):
        return f"extra spec '{key}' does not appear to be a valid extra spec"
    return None
