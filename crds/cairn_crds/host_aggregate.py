"""HostAggregate: hosts that have something in common."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field, StringConstraints

from cairn_crds.base import Column, Model, ObjectName, Resource, ResourceKind, Scope, Text
from cairn_crds.flavor import AGE_COLUMN, READY_COLUMN, MirrorStatus

AggregateId = Annotated[int, Field(ge=1, le=2**31 - 1)]


class HostAggregateSpec(Model):
    """Which hosts, and what is said of them."""

    id: AggregateId | None = None
    """The number in the Compute API, unique and never changed; Cairn gives one when it is left out."""
    display_name: Annotated[str, StringConstraints(min_length=1, max_length=255)] | None = None
    """The name in the Compute API, free text; the resource's name when left out."""
    hosts: Annotated[list[ObjectName], Field(max_length=10000)] = []
    """ComputeNodes, by name."""
    availability_zone: Text | None = None
    metadata: Annotated[dict[str, Text], Field(max_length=128)] = {}
    """What the Aggregate… filters compare with a flavor's extra specs."""


class HostAggregateStatus(MirrorStatus):
    """Whether Cairn has taken the aggregate in, and under which number."""

    id: int | None = None
    """The number in the Compute API."""


class HostAggregate(Resource):
    """A set of hosts (Nova's aggregate)."""

    kind_info: ClassVar[ResourceKind] = ResourceKind(
        kind="HostAggregate",
        plural="hostaggregates",
        scope=Scope.CLUSTER,
        short_names=("ha",),
        columns=(
            Column("Id", ".status.id", type="integer"),
            Column("Zone", ".spec.availabilityZone"),
            READY_COLUMN,
            AGE_COLUMN,
        ),
    )

    spec: HostAggregateSpec = HostAggregateSpec()
    status: HostAggregateStatus = HostAggregateStatus()
