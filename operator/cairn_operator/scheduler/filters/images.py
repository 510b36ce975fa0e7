"""Filters on the image: what it runs on, and where it may run."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Hashable

import numpy as np

from cairn_operator.scheduler.filters.base import Filter
from cairn_operator.scheduler.hosts import HostTable
from cairn_operator.scheduler.interning import BoolArray
from cairn_operator.scheduler.profile import (
    HostProfile,
    canonical_architecture,
    canonical_hypervisor,
    canonical_vm_mode,
    version_parts,
)
from cairn_operator.scheduler.request import InvalidRequest, PlacementRequest

_PROPERTIES = (
    ("hw_architecture", "architecture"),
    ("img_hv_type", "hypervisor_type"),
    ("hw_vm_mode", "vm_mode"),
    ("img_hv_requested_version", "hypervisor_version_requires"),
)
"""Each property with the name that it had in Nova before Liberty."""

Version = tuple[int, ...]
_COMPARE: dict[str, Callable[[Version, Version], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    ">": operator.gt,
}
_TERM = re.compile(r"^\s*(<=|>=|==|!=|<|>)\s*([0-9][0-9.]*)\s*$")

Demand = tuple[str | None, str | None, str | None, str | None]
"""Architecture, hypervisor type, VM mode, versions."""


class ImagePropertiesFilter(Filter):
    """Hosts that run guests of the image's architecture, hypervisor type, VM mode and hypervisor version."""

    name = "ImagePropertiesFilter"

    def applies(self, request: PlacementRequest) -> bool:
        return any(self._demand(request)[:3])

    def key(self, request: PlacementRequest) -> Hashable | None:
        return self.name, self._demand(request)

    def mask(self, hosts: HostTable, request: PlacementRequest) -> BoolArray:
        architecture, hypervisor, mode, versions = self._demand(request)
        accepts = version_predicate(versions) if versions else None

        def runs(profile: HostProfile) -> bool:
            if accepts and profile.hypervisor_version and not accepts(profile.hypervisor_version):
                return False
            return any(
                architecture in (None, guest[0])
                and hypervisor in (None, guest[1])
                and mode in (None, guest[2])
                for guest in profile.supported_instances
            )

        return hosts.by_profile(runs)

    def reason(self, hosts: HostTable, request: PlacementRequest, removed: BoolArray) -> str:
        return "the image needs " + ", ".join(word for word in self._demand(request) if word)

    def _demand(self, request: PlacementRequest) -> Demand:
        architecture, hypervisor, mode, versions = (
            request.image_property(*names) if request.image_properties else None for names in _PROPERTIES
        )
        architecture = architecture or self.settings.image_properties_default_architecture
        return (
            canonical_architecture(architecture) if architecture else None,
            canonical_hypervisor(hypervisor) if hypervisor else None,
            canonical_vm_mode(mode) if mode else None,
            versions,
        )


def version_predicate(text: str) -> Callable[[str], bool]:
    """`>=6.0,<7.0` as a function of a version. Raises InvalidRequest where it cannot be read."""
    terms: list[tuple[Callable[[Version, Version], bool], Version]] = []
    for part in text.split(","):
        found = _TERM.match(part)
        if not found:
            raise InvalidRequest(
                f"The image demands the hypervisor version '{text}'; write comparisons such as '>=6.0,<7.0'."
            )
        terms.append((_COMPARE[found[1]], _three(found[2])))
    return lambda version: all(compare(_three(version), wanted) for compare, wanted in terms)


def _three(version: str) -> Version:
    return (*version_parts(version), 0, 0, 0)[:3]


class IsolatedHostsFilter(Filter):
    """Isolated images on isolated hosts only; and, when so restricted, nothing else on those."""

    name = "IsolatedHostsFilter"

    def key(self, request: PlacementRequest) -> Hashable | None:
        return self.name, request.image in self.settings.isolated_images

    def mask(self, hosts: HostTable, request: PlacementRequest) -> BoolArray:
        isolated = hosts.by_name(self.settings.isolated_hosts)
        if request.image in self.settings.isolated_images:
            return isolated
        if self.settings.restrict_isolated_hosts_to_isolated_images:
            return ~isolated
        return np.ones(hosts.capacity, np.bool_)

    def reason(self, hosts: HostTable, request: PlacementRequest, removed: BoolArray) -> str:
        if request.image in self.settings.isolated_images:
            return f"image {request.image} may run on isolated hosts only"
        return "kept for isolated images"
