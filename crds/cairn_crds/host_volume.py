"""HostVolume: a volume's file on one host, for that host's agent.

The conductor writes the spec, the agent the status. It is named by the volume's id and lives in the host's
own namespace (`guest.node_namespace`).
"""

from __future__ import annotations

import enum
from typing import ClassVar

from cairn_crds.base import Column, LongText, Model, Resource, ResourceKind, Scope, Text
from cairn_crds.flavor import AGE_COLUMN
from cairn_crds.image_source import GuestImage
from cairn_crds.volume import SizeGiB, VolumeBackend


class VolumeReference(Model):
    """The Volume that the file is of."""

    namespace: Text
    name: Text


class HostVolumeSpec(Model):
    """The file that should be."""

    volume: VolumeReference
    size_gib: SizeGiB
    backend: VolumeBackend = VolumeBackend.LOCAL
    image: GuestImage | None = None
    """What it is made from; an empty disk without. Only counts until it has been made."""
    made: bool = False
    """It had been made already when this was written: a file that is gone is not made anew, empty."""
    absent: bool = False
    """True: the file must go; the agent deletes the HostVolume when it has."""


class HostVolumePhase(enum.StrEnum):
    """How far the agent is."""

    PENDING = "Pending"
    READY = "Ready"
    """It is there, as large as `sizeGiB` of the status says."""
    FAILED = "Failed"
    """`message` says why; it is tried again."""


class HostVolumeStatus(Model):
    """The file that is."""

    phase: HostVolumePhase = HostVolumePhase.PENDING
    size_gib: int = 0
    reason: Text | None = None
    message: LongText | None = None
    permanent: bool = False
    """True where trying again on this host cannot help."""
    spec_generation: int = 0
    """The `metadata.generation` of the spec that the phase is about."""


class HostVolume(Resource):
    """A volume's file on one host."""

    kind_info: ClassVar[ResourceKind] = ResourceKind(
        kind="HostVolume",
        plural="hostvolumes",
        scope=Scope.NAMESPACED,
        columns=(
            Column("Phase", ".status.phase"),
            Column("GiB", ".status.sizeGiB", type="integer"),
            Column("Volume", ".spec.volume.name"),
            Column("Namespace", ".spec.volume.namespace"),
            Column("Reason", ".status.reason"),
            AGE_COLUMN,
        ),
    )

    spec: HostVolumeSpec
    status: HostVolumeStatus = HostVolumeStatus()
