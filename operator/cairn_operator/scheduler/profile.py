"""What a host is, apart from how full it is: hypervisor, architecture, traits, capabilities."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from typing import Any

from cairn_crds.compute_node import ComputeNodeStatus

_ARCHITECTURES = {
    "i386": "i686",
    "i486": "i686",
    "i586": "i686",
    "x86_32": "i686",
    "x86_32p": "i686",
    "amd64": "x86_64",
    "arm64": "aarch64",
}
_HYPERVISORS = {"xapi": "xen"}
_VM_MODES = {"pv": "xen", "hv": "hvm", "baremetal": "hvm"}

_SUPPORTED_BY_TYPE = {
    "qemu": (("qemu", "hvm"), ("kvm", "hvm")),
    "kvm": (("qemu", "hvm"), ("kvm", "hvm")),
    "vmware vcenter server": (("vmware", "hvm"),),
    "xenserver": (("xen", "hvm"), ("xen", "xen")),
}
"""Hypervisor type → the (image hypervisor type, VM mode) pairs it runs, where the agent does not list them.
Nova takes `qemu` and `kvm` as one."""


def canonical_architecture(name: str) -> str:
    """Nova's name of an architecture (`amd64` → `x86_64`)."""
    return _ARCHITECTURES.get(name.lower(), name.lower())


def canonical_hypervisor(name: str) -> str:
    """Nova's name of a hypervisor type (`xapi` → `xen`)."""
    return _HYPERVISORS.get(name.lower(), name.lower())


def canonical_vm_mode(name: str) -> str:
    """Nova's name of a VM mode (`hv` → `hvm`)."""
    return _VM_MODES.get(name.lower(), name.lower())


def version_parts(version: str) -> tuple[int, ...]:
    """`8.2.1` → (8, 2, 1); what is no number ends it; Nova's packed form (`8002001`) is understood too."""
    parts = []
    for word in version.strip().split("."):
        digits = word[: len(word) - len(word.lstrip("0123456789"))]
        if not digits:
            break
        parts.append(int(digits))
        if digits != word:
            break
    if len(parts) == 1 and parts[0] >= 1000:
        return parts[0] // 1_000_000, parts[0] // 1000 % 1000, parts[0] % 1000
    return tuple(parts)


def version_number(version: str) -> int:
    """`8.2.1` → 8002001, the form in which Nova compares versions; 0 where there is none."""
    parts = (*version_parts(version), 0, 0, 0)[:3]
    return parts[0] * 1_000_000 + parts[1] * 1000 + parts[2]


@dataclass(frozen=True)
class HostProfile:
    """One kind of host. Hosts that are alike share one."""

    hypervisor_type: str = ""
    hypervisor_version: str = ""
    architecture: str = ""
    cpu_model: str = ""
    traits: frozenset[str] = frozenset()
    capabilities: tuple[tuple[str, str], ...] = ()
    """Sorted pairs."""

    @classmethod
    def of(cls, status: ComputeNodeStatus) -> HostProfile:
        """What the agent says of its host."""
        return cls(
            hypervisor_type=status.hypervisor_type or "",
            hypervisor_version=status.hypervisor_version or "",
            architecture=status.architecture or "",
            cpu_model=status.cpu_model or "",
            traits=frozenset(status.traits),
            capabilities=tuple(sorted(status.capabilities.items())),
        )

    @functools.cached_property
    def version_number(self) -> int:
        return version_number(self.hypervisor_version)

    @functools.cached_property
    def facts(self) -> dict[str, str]:
        """The capabilities, and the fields under the names that Nova's drivers give them."""
        own = {
            "hypervisor_type": self.hypervisor_type,
            "hypervisor_version": str(self.version_number) if self.hypervisor_version else "",
            "cpu_info:arch": self.architecture,
            "cpu_info:model": self.cpu_model,
        }
        return {**{key: value for key, value in own.items() if value}, **dict(self.capabilities)}

    @functools.cached_property
    def supported_instances(self) -> frozenset[tuple[str, str, str]]:
        """(architecture, hypervisor type, VM mode) of the guests that run here.

        The capability `supported_instances` (a JSON list of such triples, as Nova's drivers report) says so;
        without it, the hypervisor type does.
        """
        listed = dict(self.capabilities).get("supported_instances")
        if listed is not None:
            return frozenset(_triples(listed))
        kind = self.hypervisor_type.lower()
        if not kind:
            return frozenset()
        architecture = canonical_architecture(self.architecture)
        pairs = _SUPPORTED_BY_TYPE.get(kind, ((canonical_hypervisor(kind), "hvm"),))
        return frozenset((architecture, hypervisor, mode) for hypervisor, mode in pairs)

    def capability(self, path: str) -> str | None:
        """The value at `cpu_info:features`: a key of that name, or a step into JSON under a shorter one."""
        if path in self.facts:
            return self.facts[path]
        words = path.split(":")
        for length in range(len(words) - 1, 0, -1):
            text = self.facts.get(":".join(words[:length]))
            if text is not None:
                return _step_into(text, words[length:])
        return None


def _step_into(text: str, words: list[str]) -> str | None:
    try:
        value: Any = json.loads(text)
    except ValueError:
        return None
    for word in words:
        if not isinstance(value, dict) or word not in value:
            return None
        value = value[word]
    return None if value is None else str(value)


def _triples(text: str) -> list[tuple[str, str, str]]:
    try:
        rows = json.loads(text)
    except ValueError:
        return []
    if not isinstance(rows, list):
        return []
    return [
        (
            canonical_architecture(str(arch)),
            canonical_hypervisor(str(hypervisor)),
            canonical_vm_mode(str(mode)),
        )
        for arch, hypervisor, mode in (row for row in rows if isinstance(row, list) and len(row) == 3)
    ]
