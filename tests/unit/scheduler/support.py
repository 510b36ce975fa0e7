"""Short ways to a table of hosts and to a request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cairn_crds import ComputeNode
from cairn_operator.scheduler.aggregates import Aggregate
from cairn_operator.scheduler.filters import FILTERS
from cairn_operator.scheduler.hosts import Amounts, HostTable, HostUsage
from cairn_operator.scheduler.request import PlacementRequest, pairs, read_extra_specs
from cairn_operator.scheduler.settings import SchedulerSettings

BEAT = "2026-01-01T00:00:00Z"
BEAT_SECONDS = 1767225600.0
"""BEAT as a wall clock has it."""


@dataclass(frozen=True)
class Host:
    """One host, with room to spare unless a test says otherwise."""

    name: str
    limits: Amounts = (64, 16384, 1000)
    used: Amounts = (0, 0, 0)
    total: Amounts = (16, 16384, 1000)
    reserved: Amounts = (0, 0, 0)
    instances: int = 0
    io_ops: int = 0
    build_failures: int = 0
    disabled: bool = False
    forced_down: bool = False
    withdrawn: bool = False
    alive: bool = True
    hypervisor_type: str = "QEMU"
    hypervisor_version: str = "8.2.0"
    architecture: str = "x86_64"
    traits: tuple[str, ...] = ()
    capabilities: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)


def node(host: Host, beat: str | None = BEAT) -> ComputeNode:
    """The ComputeNode of a host."""
    units = ("vcpus", "memoryMiB", "diskGiB")
    body: dict[str, Any] = {
        "metadata": {"name": host.name},
        "spec": {
            "disabled": host.disabled,
            "forcedDown": host.forced_down,
            "reserved": dict(zip(units, host.reserved, strict=True)),
        },
        "status": {
            **dict(zip(units, host.total, strict=True)),
            "hypervisorType": host.hypervisor_type,
            "hypervisorVersion": host.hypervisor_version,
            "architecture": host.architecture,
            "traits": list(host.traits),
            "capabilities": dict(host.capabilities),
            "metrics": dict(host.metrics),
            "heartbeatTime": beat,
        },
    }
    found: ComputeNode = ComputeNode.from_api(body)
    return found


def table(*hosts: Host, aggregates: tuple[Aggregate, ...] = ()) -> HostTable:
    """The hosts as the scheduler would know them, at monotonic second 1."""
    known = HostTable(service_down_time=60.0)
    for host in hosts:
        known.set_node(node(host, BEAT if host.alive else None), 0.0, BEAT_SECONDS)
        known.set_usage(
            HostUsage(host.name, host.limits, host.used, host.instances, host.build_failures, host.withdrawn)
        )
    known.set_io_ops((host.name, host.io_ops) for host in hosts)
    for aggregate in aggregates:
        known.set_aggregate(aggregate)
    known.refresh_liveness(1.0)
    return known


def request(
    *, extra_specs: Mapping[str, str] | None = None, image: Mapping[str, str] | None = None, **fields: Any
) -> PlacementRequest:
    """What an instance needs; `image` are the image's properties."""
    properties = pairs(image or {})
    if isinstance(fields.get("image_name"), str):
        fields["image"] = fields.pop("image_name")
    return PlacementRequest(
        instance_id="6f9619ff-8b86-4d01-b42d-00c04fc964ff",
        extra=read_extra_specs(pairs(extra_specs or {}), properties),
        image_properties=properties,
        **fields,
    )


def passing(
    name: str, hosts: HostTable, wanted: PlacementRequest, settings: SchedulerSettings | None = None
) -> set[str]:
    """The hosts that the filter of that name lets through."""
    filter_ = FILTERS[name](settings or SchedulerSettings())
    if not filter_.applies(wanted):
        return set(hosts.rows)
    mask = filter_.mask(hosts, wanted)
    return {host for host, row in hosts.rows.items() if mask[row]}
