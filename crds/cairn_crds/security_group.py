"""SecurityGroup: which traffic the interfaces of instances take and send."""

from __future__ import annotations

import enum
from typing import Annotated, ClassVar

from pydantic import Field, StringConstraints

from cairn_crds.base import Column, Model, ObjectName, Resource, ResourceKind, Scope, Text, Uuid
from cairn_crds.flavor import AGE_COLUMN, READY_COLUMN, MirrorStatus

Protocol = Annotated[str, StringConstraints(min_length=1, max_length=40, pattern=r"^[a-z0-9-]+$")]
Prefix = Annotated[str, StringConstraints(max_length=49, pattern=r"^[0-9a-fA-F.:]+/[0-9]{1,3}$")]
PortNumber = Annotated[int, Field(ge=0, le=65535)]


class Direction(enum.StrEnum):
    INGRESS = "ingress"
    EGRESS = "egress"


class EtherType(enum.StrEnum):
    IPV4 = "IPv4"
    IPV6 = "IPv6"


class SecurityGroupRule(Model):
    """Traffic that is let through; what no rule names is not."""

    direction: Direction = Direction.INGRESS
    ether_type: EtherType = EtherType.IPV4
    protocol: Protocol | None = None
    """tcp, udp, icmp … or a number; every protocol when left out."""
    port_min: PortNumber | None = None
    """The first port; of ICMP the type. All when left out."""
    port_max: PortNumber | None = None
    """The last port; of ICMP the code."""
    remote_prefix: Prefix | None = None
    """The other side's addresses."""
    remote_group: ObjectName | None = None
    """Or the SecurityGroup, in the same namespace, that the other side's interfaces are in."""
    description: Text | None = None


class SecurityGroupSpec(Model):
    """The group."""

    id: Uuid | None = None
    """The id in the Network API, unique and never changed; the resource's uid when left out."""
    display_name: Annotated[str, StringConstraints(min_length=1, max_length=255)] | None = None
    """The name in the Network API, free text and not unique; the resource's name when left out."""
    description: Text | None = None
    rules: Annotated[list[SecurityGroupRule], Field(max_length=512)] = []
    """Each once."""


class SecurityGroup(Resource):
    """A set of rules for the traffic of instances (Neutron's security group)."""

    kind_info: ClassVar[ResourceKind] = ResourceKind(
        kind="SecurityGroup",
        plural="securitygroups",
        scope=Scope.NAMESPACED,
        short_names=("secgroup",),
        columns=(
            Column("Description", ".spec.description"),
            READY_COLUMN,
            AGE_COLUMN,
        ),
    )

    spec: SecurityGroupSpec = SecurityGroupSpec()
    status: MirrorStatus = MirrorStatus()
