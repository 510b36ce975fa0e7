"""Volume and VolumeAttachment: disks that outlive instances (in Nova's world Cinder's volumes), and where
they are plugged in."""

from __future__ import annotations

import enum
from typing import Annotated, ClassVar

from pydantic import Field, StringConstraints

from cairn_crds.base import Column, Model, ObjectName, Resource, ResourceKind, Rule, Scope, Text, Uuid
from cairn_crds.conditions import Condition
from cairn_crds.flavor import AGE_COLUMN

VOLUME_LABEL = "compute.cairn.dev/volume"
"""On a Volume that was made for a row (through the Compute API, or again after a loss): the row's id."""
SizeGiB = Annotated[int, Field(ge=1, le=65536)]
Message = Annotated[str, StringConstraints(max_length=1024)]


class VolumeBackend(enum.StrEnum):
    """Where volumes are kept."""

    LOCAL = "Local"
    """A file on one host's own disk: what it is attached to stays on that host."""
    SHARED = "Shared"
    """A file in a directory that all hosts see: it goes where its instance goes."""


class VolumeSpec(Model):
    """What is asked for."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule("self.sizeGiB >= oldSelf.sizeGiB", "a volume may grow, and never shrinks"),
        Rule("!oldSelf.bootable || self.bootable", "a volume that may be booted from stays so"),
        Rule("self.backend == oldSelf.backend", "backend cannot change; make another volume"),
    )

    size_gib: SizeGiB
    """How large, in GiB; it may be raised, while the volume is in use too."""
    backend: VolumeBackend = VolumeBackend.LOCAL
    host: ObjectName | None = None
    """The ComputeNode that has a Local one; chosen at the first attachment when left out."""
    image: ObjectName | None = None
    """The Image that it is made from; an empty one when left out."""
    bootable: bool = False
    """Whether instances may boot from it; one that is made from an image always is."""
    multi_attach: bool = False
    """May be attached to several instances, each read-only."""
    display_name: Annotated[str, StringConstraints(min_length=1, max_length=255)] | None = None
    description: Text | None = None


class VolumePhase(enum.StrEnum):
    """How far it is."""

    PENDING = "Pending"
    """Not made yet: being made, or waiting for its first attachment to choose a host."""
    AVAILABLE = "Available"
    IN_USE = "InUse"
    ERROR = "Error"
    DELETING = "Deleting"


class VolumeUse(Model):
    """One instance that has it."""

    instance: Text
    instance_id: Uuid
    device: Text | None = None


class VolumeStatus(Model):
    """What there is of it."""

    phase: VolumePhase = VolumePhase.PENDING
    volume_id: Uuid | None = None
    """What the Compute API calls it."""
    size_gib: int = 0
    """How large it is now."""
    host: Text | None = None
    """The ComputeNode that keeps it."""
    attachments: Annotated[list[VolumeUse], Field(max_length=64)] = []
    used_by: Annotated[str, StringConstraints(max_length=1024)] | None = None
    """The instances again, joined by commas, for `kubectl get`."""
    observed_generation: int = 0
    conditions: Annotated[list[Condition], Field(max_length=16)] = []


class Volume(Resource):
    """A disk that outlives instances."""

    kind_info: ClassVar[ResourceKind] = ResourceKind(
        kind="Volume",
        plural="volumes",
        scope=Scope.NAMESPACED,
        short_names=("vol",),
        columns=(
            Column("Phase", ".status.phase"),
            Column("GiB", ".spec.sizeGiB", type="integer"),
            Column("Backend", ".spec.backend"),
            Column("Host", ".status.host"),
            Column("Used by", ".status.usedBy"),
            Column("Id", ".status.volumeId", wide=True),
            Column("Reason", ".status.conditions[?(@.type=='Ready')].reason", wide=True),
            AGE_COLUMN,
        ),
    )

    spec: VolumeSpec
    status: VolumeStatus = VolumeStatus()


class VolumeAttachmentSpec(Model):
    """What is plugged into what."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule("self.instance == oldSelf.instance", "instance cannot change; make another attachment"),
    )

    instance: ObjectName
    """The Instance, in the same namespace."""
    volume: ObjectName
    """The Volume, in the same namespace. Name another one, at least as large, and it takes the first one's
    place while the instance runs: what is on the first is copied to it, over what was there."""
    device: Annotated[str, StringConstraints(max_length=32, pattern=r"^/dev/[a-z0-9]+$")] | None = None
    """What the guest is told to call it; the next free name when left out. Guests may decide otherwise:
    `/dev/disk/by-id/` has the first 20 characters of the volume's id."""
    read_only: bool = False
    delete_on_termination: bool = False
    """Whether the volume goes when its instance does."""
    tag: Annotated[str, StringConstraints(min_length=1, max_length=60, pattern=r"^[^,/]+$")] | None = None
    """What the guest knows it by (Nova's device tag)."""


class VolumeAttachmentPhase(enum.StrEnum):
    """How far it is."""

    PENDING = "Pending"
    """Not allowed yet; `message` says why."""
    ATTACHING = "Attaching"
    ATTACHED = "Attached"
    DETACHING = "Detaching"
    SWAPPING = "Swapping"
    """Another volume takes the place of the one in `volumeId`, which is in use until then."""
    FAILED = "Failed"
    """`message` says why; `volumeId` is what the instance has, if anything."""


class VolumeAttachmentStatus(Model):
    """What became of it."""

    phase: VolumeAttachmentPhase = VolumeAttachmentPhase.PENDING
    device: Text | None = None
    attachment_id: Uuid | None = None
    """The Compute API's; it stays when one volume takes another's place."""
    volume_id: Uuid | None = None
    """Of the volume that is attached now."""
    replaced_by: Uuid | None = None
    """Of the volume that takes its place, while it is Swapping."""
    instance_id: Uuid | None = None
    message: Message | None = None
    observed_generation: int = 0
    conditions: Annotated[list[Condition], Field(max_length=16)] = []


class VolumeAttachment(Resource):
    """A volume in an instance. Delete it, and the volume is unplugged."""

    kind_info: ClassVar[ResourceKind] = ResourceKind(
        kind="VolumeAttachment",
        plural="volumeattachments",
        scope=Scope.NAMESPACED,
        short_names=("volatt",),
        columns=(
            Column("Instance", ".spec.instance"),
            Column("Volume", ".spec.volume"),
            Column("Phase", ".status.phase"),
            Column("Device", ".status.device"),
            Column("Message", ".status.message", wide=True),
            AGE_COLUMN,
        ),
    )

    spec: VolumeAttachmentSpec
    status: VolumeAttachmentStatus = VolumeAttachmentStatus()
