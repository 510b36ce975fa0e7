"""The resources of the group `compute.cairn.dev`: what a user writes, what Cairn answers.

One module per kind. Everything else is generated from these models: the CRD manifests
(`manifests.py`, into `crds/manifests/`) and the reference page (`reference.py`, into `docs/`).
This package imports nothing of Cairn; every other package may import it.
"""

from cairn_crds.base import API_VERSION, GROUP, VERSION, Metadata, Resource, ResourceKind, Scope
from cairn_crds.compute_node import ComputeNode, ComputeNodeSpec, ComputeNodeStatus
from cairn_crds.conditions import Condition, ConditionStatus
from cairn_crds.flavor import Flavor, FlavorSpec
from cairn_crds.guest import Guest, GuestSpec, GuestStatus
from cairn_crds.host_aggregate import HostAggregate, HostAggregateSpec
from cairn_crds.host_volume import HostVolume, HostVolumeSpec, HostVolumeStatus
from cairn_crds.image import Image, ImageSpec
from cairn_crds.instance import Instance, InstanceSpec, InstanceStatus
from cairn_crds.key_pair import KeyPair, KeyPairSpec
from cairn_crds.migration import Migration, MigrationSpec, MigrationStatus
from cairn_crds.network import Network, NetworkSpec
from cairn_crds.project import Project, ProjectSpec
from cairn_crds.security_group import SecurityGroup, SecurityGroupRule, SecurityGroupSpec
from cairn_crds.server_group import ServerGroup, ServerGroupSpec
from cairn_crds.snapshot import Snapshot, SnapshotSpec, SnapshotStatus
from cairn_crds.volume import (
    Volume,
    VolumeAttachment,
    VolumeAttachmentSpec,
    VolumeAttachmentStatus,
    VolumeSpec,
    VolumeStatus,
)

KINDS: tuple[type[Resource], ...] = (
    Instance,
    Migration,
    Snapshot,
    Volume,
    VolumeAttachment,
    Guest,
    HostVolume,
    Flavor,
    Image,
    Network,
    KeyPair,
    ServerGroup,
    SecurityGroup,
    Project,
    ComputeNode,
    HostAggregate,
)
"""Every kind, in the order of the reference page."""

__all__ = [
    "API_VERSION",
    "GROUP",
    "KINDS",
    "VERSION",
    "ComputeNode",
    "ComputeNodeSpec",
    "ComputeNodeStatus",
    "Condition",
    "ConditionStatus",
    "Flavor",
    "FlavorSpec",
    "Guest",
    "GuestSpec",
    "GuestStatus",
    "HostAggregate",
    "HostAggregateSpec",
    "HostVolume",
    "HostVolumeSpec",
    "HostVolumeStatus",
    "Image",
    "ImageSpec",
    "Instance",
    "InstanceSpec",
    "InstanceStatus",
    "KeyPair",
    "KeyPairSpec",
    "Metadata",
    "Migration",
    "MigrationSpec",
    "MigrationStatus",
    "Network",
    "NetworkSpec",
    "Project",
    "ProjectSpec",
    "Resource",
    "ResourceKind",
    "Scope",
    "SecurityGroup",
    "SecurityGroupRule",
    "SecurityGroupSpec",
    "ServerGroup",
    "ServerGroupSpec",
    "Snapshot",
    "SnapshotSpec",
    "SnapshotStatus",
    "Volume",
    "VolumeAttachment",
    "VolumeAttachmentSpec",
    "VolumeAttachmentStatus",
    "VolumeSpec",
    "VolumeStatus",
]
