"""Flavor: how large an instance is."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field, StringConstraints

from cairn_crds.base import Column, Count, Model, ObjectName, Resource, ResourceKind, Scope, Text
from cairn_crds.conditions import Condition

ExtraSpecs = Annotated[dict[str, Text], Field(max_length=128)]
FlavorId = Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=r"^[a-zA-Z0-9._ -]+$")]


class FlavorSpec(Model):
    """The size, and who may use it."""

    id: FlavorId | None = None
    """The id in the Compute API, unique and never changed; the resource's name when left out."""
    display_name: Annotated[str, StringConstraints(min_length=1, max_length=255)] | None = None
    """The unique name in the Compute API, free text; the resource's name when left out."""
    vcpus: Annotated[int, Field(ge=1, le=2**31 - 1)]
    memory_mib: Annotated[int, Field(ge=1, le=2**31 - 1)]
    disk_gib: Count = 0
    """The root disk; 0 means as large as the image."""
    ephemeral_gib: Count = 0
    swap_mib: Count = 0
    extra_specs: ExtraSpecs = {}
    """Nova's extra specs: `hw:…`, `trait:…`, `capabilities:…`, `aggregate_instance_extra_specs:…`."""
    rxtx_factor: Annotated[float, Field(gt=0, le=3.40282e38)] | None = None
    """Kept and shown for clients that set it; it has no effect. 1.0 when left out."""
    description: Annotated[str, StringConstraints(max_length=65535)] | None = None
    public: bool = True
    """False: only `projects` may use it."""
    projects: Annotated[list[ObjectName], Field(max_length=1024)] = []
    disabled: bool = False


class MirrorStatus(Model):
    """Whether Cairn has taken the resource in."""

    observed_generation: int = 0
    conditions: Annotated[list[Condition], Field(max_length=16)] = []


READY_COLUMN = Column("Ready", ".status.conditions[?(@.type=='Ready')].status")
AGE_COLUMN = Column("Age", ".metadata.creationTimestamp", type="date")


class Flavor(Resource):
    """The size of an instance (Nova's flavor)."""

    kind_info: ClassVar[ResourceKind] = ResourceKind(
        kind="Flavor",
        plural="flavors",
        scope=Scope.CLUSTER,
        columns=(
            Column("vCPUs", ".spec.vcpus", type="integer"),
            Column("Memory MiB", ".spec.memoryMiB", type="integer"),
            Column("Disk GiB", ".spec.diskGiB", type="integer"),
            Column("Public", ".spec.public", type="boolean"),
            READY_COLUMN,
            AGE_COLUMN,
        ),
    )

    spec: FlavorSpec
    status: MirrorStatus = MirrorStatus()

    @property
    def flavor_id(self) -> str:
        """The id that API clients know it by."""
        return self.spec.id or self.metadata.name
