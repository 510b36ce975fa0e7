"""ServerGroup: instances that should be together, or apart."""

from __future__ import annotations

import enum
from typing import Annotated, ClassVar

from pydantic import Field, StringConstraints

from cairn_crds.base import Column, Model, Resource, ResourceKind, Rule, Scope, Uuid
from cairn_crds.flavor import AGE_COLUMN, READY_COLUMN, MirrorStatus


class GroupPolicy(enum.StrEnum):
    AFFINITY = "affinity"
    ANTI_AFFINITY = "anti-affinity"
    SOFT_AFFINITY = "soft-affinity"
    SOFT_ANTI_AFFINITY = "soft-anti-affinity"


class ServerGroupSpec(Model):
    """How the members are placed."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule("self == oldSelf", "a ServerGroup cannot change; make another"),
        Rule(
            "!has(self.maxServerPerHost) || self.policy == 'anti-affinity'",
            "maxServerPerHost goes with the anti-affinity policy",
        ),
    )

    id: Uuid | None = None
    """The id in the Compute API, never changed; the resource's uid when left out."""
    display_name: Annotated[str, StringConstraints(min_length=1, max_length=255)] | None = None
    """The name in the Compute API, free text; the resource's name when left out."""
    user: Annotated[str, StringConstraints(min_length=1, max_length=64)] | None = None
    """The id of the user who made it."""
    policy: GroupPolicy
    max_server_per_host: Annotated[int, Field(ge=1, le=10000)] | None = None
    """With anti-affinity: how many members one host may have; 1 when left out."""


class ServerGroup(Resource):
    """Placement policy for a set of instances (Nova's server group)."""

    kind_info: ClassVar[ResourceKind] = ResourceKind(
        kind="ServerGroup",
        plural="servergroups",
        scope=Scope.NAMESPACED,
        short_names=("sg",),
        columns=(Column("Policy", ".spec.policy"), READY_COLUMN, AGE_COLUMN),
    )

    spec: ServerGroupSpec
    status: MirrorStatus = MirrorStatus()
