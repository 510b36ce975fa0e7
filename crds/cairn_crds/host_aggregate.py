"""HostAggregate: hosts that have something in common."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from cairn_crds.base import Column, Model, ObjectName, Resource, ResourceKind, Scope, Text
from cairn_crds.flavor import AGE_COLUMN, READY_COLUMN, MirrorStatus


class HostAggregateSpec(Model):
    """Which hosts, and what is said of them."""

    hosts: Annotated[list[ObjectName], Field(max_length=10000)] = []
    """ComputeNodes, by name."""
    availability_zone: Text | None = None
    metadata: Annotated[dict[str, Text], Field(max_length=128)] = {}
    """What the Aggregate… filters compare with a flavor's extra specs."""


class HostAggregate(Resource):
    """A set of hosts (Nova's aggregate)."""

    kind_info: ClassVar[ResourceKind] = ResourceKind(
        kind="HostAggregate",
        plural="hostaggregates",
        scope=Scope.CLUSTER,
        short_names=("ha",),
        columns=(Column("Zone", ".spec.availabilityZone"), READY_COLUMN, AGE_COLUMN),
    )

    spec: HostAggregateSpec = HostAggregateSpec()
    status: MirrorStatus = MirrorStatus()
