"""Network: what an instance's interfaces plug into."""

from __future__ import annotations

import enum
from typing import Annotated, ClassVar

from pydantic import Field, StringConstraints

from cairn_crds.base import (
    Cidr,
    Column,
    IPv4,
    Model,
    ObjectName,
    Resource,
    ResourceKind,
    Rule,
    Scope,
    Text,
    Uuid,
)
from cairn_crds.flavor import AGE_COLUMN, READY_COLUMN, MirrorStatus

DisplayName = Annotated[str, StringConstraints(min_length=1, max_length=255)]


class NetworkType(enum.StrEnum):
    NAT = "NAT"
    """The host makes it: a bridge with DHCP, and a way out by address translation."""
    BRIDGE = "Bridge"
    """A bridge that the host already has."""


class AddressPool(Model):
    """A range of addresses, both ends included."""

    start: IPv4
    end: IPv4


class NetworkSpec(Model):
    """The network."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule("self.cidr == oldSelf.cidr", "cidr cannot change; make another Network"),
        Rule("self.type != 'Bridge' || has(self.bridge)", "a Bridge network needs bridge"),
    )

    type: NetworkType = NetworkType.NAT
    cidr: Cidr
    gateway: IPv4 | None = None
    """The first address of the network when left out."""
    dns: Annotated[list[IPv4], Field(max_length=8)] = []
    """The gateway when left out."""
    pools: Annotated[list[AddressPool], Field(max_length=16)] = []
    """Where addresses are taken from; the whole network without the gateway when left out."""
    mtu: Annotated[int, Field(ge=576, le=9216)] = 1500
    bridge: Text | None = None
    default: bool = False
    """Instances that name no network get this one."""
    projects: Annotated[list[ObjectName], Field(max_length=1024)] = []
    """The Projects that may use it; all when empty."""
    owner: ObjectName | None = None
    """The Project that may change it through the Network API; the one of `projects` when that names one
    only, else the cloud's administrators alone."""
    external: bool = False
    """Floating addresses are taken from its pools (`router:external`); every Project sees it."""
    admin_state_up: bool = True
    """Kept and shown for clients that set it; hosts do not act on it yet."""
    dhcp: bool = True
    """Kept and shown for clients that set it (`enable_dhcp`); hosts do not act on it yet."""
    id: Uuid | None = None
    """The id in the Network API, unique and never changed; the resource's uid when left out."""
    display_name: DisplayName | None = None
    """The name in the Network API, free text and not unique; the resource's name when left out."""
    description: Text | None = None
    subnet_name: DisplayName | None = None
    """The name that the Network API shows for the network's one subnet."""
    subnet_description: Text | None = None


class NetworkStatus(MirrorStatus):
    """How full it is."""

    addresses_total: int = 0


class Network(Resource):
    """A network for instances."""

    kind_info: ClassVar[ResourceKind] = ResourceKind(
        kind="Network",
        plural="networks",
        scope=Scope.CLUSTER,
        short_names=("cnet",),
        columns=(
            Column("Type", ".spec.type"),
            Column("Cidr", ".spec.cidr"),
            Column("Default", ".spec.default", type="boolean"),
            Column("External", ".spec.external", type="boolean", wide=True),
            Column("Owner", ".spec.owner", wide=True),
            Column("Addresses", ".status.addressesTotal", type="integer"),
            READY_COLUMN,
            AGE_COLUMN,
        ),
    )

    spec: NetworkSpec
    status: NetworkStatus = NetworkStatus()
