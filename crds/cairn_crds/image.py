"""Image: what a root disk is made from."""

from __future__ import annotations

import enum
from typing import Annotated, ClassVar

from pydantic import Field, StringConstraints

from cairn_crds.base import Column, Count, Model, ObjectName, Resource, ResourceKind, Scope, Text
from cairn_crds.flavor import AGE_COLUMN, READY_COLUMN, MirrorStatus


class DiskFormat(enum.StrEnum):
    QCOW2 = "qcow2"
    RAW = "raw"


class ImageVisibility(enum.StrEnum):
    PUBLIC = "Public"
    """Every project."""
    SHARED = "Shared"
    """The owner and `projects`."""
    PRIVATE = "Private"
    """The owner."""


class ImageSpec(Model):
    """Where the image is, what it must be, and who may use it."""

    url: Annotated[str, StringConstraints(max_length=2048, pattern=r"^(https?|file)://.+")]
    """Where the hosts fetch it: http, https, or file (a path that every host has)."""
    sha256: Annotated[str, StringConstraints(max_length=64, pattern=r"^[0-9a-f]{64}$")]
    """Of the whole file; a host refuses anything else."""
    disk_format: DiskFormat = DiskFormat.QCOW2
    min_disk_gib: Count = 0
    min_memory_mib: Count = 0
    properties: Annotated[dict[str, Text], Field(max_length=128)] = {}
    """Nova's image properties: `hw_architecture`, `hw_disk_bus`, `os_type`, `hypervisor_type` …"""
    visibility: ImageVisibility = ImageVisibility.PUBLIC
    owner: ObjectName | None = None
    """The Project that owns it."""
    projects: Annotated[list[ObjectName], Field(max_length=1024)] = []
    """Further Projects that may use a Shared image."""


class Image(Resource):
    """What an instance boots from (Glance's image)."""

    kind_info: ClassVar[ResourceKind] = ResourceKind(
        kind="Image",
        plural="images",
        scope=Scope.CLUSTER,
        columns=(
            Column("Format", ".spec.diskFormat"),
            Column("Visibility", ".spec.visibility"),
            Column("Url", ".spec.url", wide=True),
            READY_COLUMN,
            AGE_COLUMN,
        ),
    )

    spec: ImageSpec
    status: MirrorStatus = MirrorStatus()
