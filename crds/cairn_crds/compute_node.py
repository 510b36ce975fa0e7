"""ComputeNode: a host for instances: what it has (from its agent) and what the admin allows on it.

Creating one is how an admin enrols a host: Cairn answers with the node's namespace and the agent's
service account and role.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, ClassVar

from pydantic import Field, StringConstraints

from cairn_crds.base import Column, Count, LongText, Model, Resource, ResourceKind, Scope, Text, Uuid
from cairn_crds.conditions import Condition
from cairn_crds.flavor import AGE_COLUMN

Capability = Annotated[str, StringConstraints(max_length=8192)]
Ratio = Annotated[float, Field(gt=0, le=1000)]


class AllocationRatios(Model):
    """How often each unit may be given out. Defaults are Nova's initial ratios."""

    cpu: Ratio = 4.0
    memory: Ratio = 1.0
    disk: Ratio = 1.0


class ReservedResources(Model):
    """Kept for the host itself. Defaults are Nova's."""

    vcpus: Count = 0
    memory_mib: Count = 512
    disk_gib: Count = 0


class ComputeNodeSpec(Model):
    """What the admin says."""

    disabled: bool = False
    """No new instances (Nova's `compute service set --disable`)."""
    disabled_reason: LongText | None = None
    forced_down: bool = False
    """Count the host as dead, whatever its heartbeat says (Nova's `force-down`). Only set it where it is
    off for certain: its instances may then be started elsewhere."""
    drain: bool = False
    """Move everything away: running instances by live migration, stopped ones by cold migration. No new ones
    come (see `status.drain`)."""
    ratios: AllocationRatios = AllocationRatios()
    reserved: ReservedResources = ReservedResources()


class DrainStatus(Model):
    """How far the draining of a host is."""

    instances: Count = 0
    """Still there."""
    moving: Count = 0
    """On their way."""
    failed: Annotated[dict[str, LongText], Field(max_length=100)] = {}
    """What cannot be moved, and why, by instance id; each is tried again now and then."""
    done: bool = False


class ComputeNodeStatus(Model):
    """What the agent says."""

    hypervisor_type: Text | None = None
    """QEMU, fake, VMware vCenter Server, XenServer."""
    hypervisor_version: Text | None = None
    hostname: Text | None = None
    address: Text | None = None
    """The host's own IP address, where it is known (Nova's `host_ip`)."""
    boot_time: datetime | None = None
    """When the host was started: what its uptime is counted from."""
    architecture: Text | None = None
    vcpus: Count = 0
    memory_mib: Count = 0
    disk_gib: Count = 0
    cpu_model: Text | None = None
    traits: Annotated[list[Text], Field(max_length=512)] = []
    """What the driver and the host can do, as Nova's traits (`COMPUTE_…`, `HW_CPU_X86_…`)."""
    capabilities: Annotated[dict[str, Capability], Field(max_length=128)] = {}
    """What ComputeCapabilitiesFilter compares (`hypervisor_type`, `cpu_info:arch` …)."""
    metrics: Annotated[dict[str, float], Field(max_length=128)] = {}
    """What MetricsFilter and MetricsWeigher read, e.g. `cpu.percent`."""
    heartbeat_time: datetime | None = None
    """Written at most once in ten seconds."""
    self_fence_seconds: Count | None = None
    """After how long a silence no guest runs on the host any more: its agent powers them off, or its watchdog
    resets the host. Left out: nobody can tell."""
    unclaimed_machines: Annotated[list[Uuid], Field(max_length=10000)] = []
    """Machines of Cairn on the host for which there is no Guest; the conductor decides."""
    drain: DrainStatus | None = None
    conditions: Annotated[list[Condition], Field(max_length=16)] = []


class ComputeNode(Resource):
    """A host that runs instances (Nova's compute service and hypervisor)."""

    kind_info: ClassVar[ResourceKind] = ResourceKind(
        kind="ComputeNode",
        plural="computenodes",
        scope=Scope.CLUSTER,
        short_names=("cn",),
        columns=(
            Column("Up", ".status.conditions[?(@.type=='Up')].status"),
            Column("Disabled", ".spec.disabled", type="boolean"),
            Column("Drain", ".spec.drain", type="boolean"),
            Column("Left", ".status.drain.instances", type="integer", wide=True),
            Column("Hypervisor", ".status.hypervisorType"),
            Column("vCPUs", ".status.vcpus", type="integer"),
            Column("Memory MiB", ".status.memoryMiB", type="integer"),
            Column("Disk GiB", ".status.diskGiB", type="integer"),
            Column("Heartbeat", ".status.heartbeatTime", type="date"),
            AGE_COLUMN,
        ),
    )

    spec: ComputeNodeSpec = ComputeNodeSpec()
    status: ComputeNodeStatus = ComputeNodeStatus()
