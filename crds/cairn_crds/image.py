"""Image: what a root disk is made from."""

from __future__ import annotations

import enum
from typing import Annotated, ClassVar

from pydantic import Field, StringConstraints

from cairn_crds.base import Column, Count, Model, ObjectName, Resource, ResourceKind, Scope, Text, Uuid
from cairn_crds.flavor import AGE_COLUMN, READY_COLUMN, MirrorStatus

PropertyValue = Annotated[str, StringConstraints(max_length=4096)]


class DiskFormat(enum.StrEnum):
    """Glance's words. Which of them boot is the hypervisor's matter: libvirt takes qcow2 and raw."""

    QCOW2 = "qcow2"
    RAW = "raw"
    ISO = "iso"
    VMDK = "vmdk"
    VHD = "vhd"
    VHDX = "vhdx"
    VDI = "vdi"
    PLOOP = "ploop"
    LUKS = "luks"
    AMI = "ami"
    AKI = "aki"
    ARI = "ari"


class ImageVisibility(enum.StrEnum):
    PUBLIC = "Public"
    """Every project."""
    COMMUNITY = "Community"
    """Every project that knows its id; it is in nobody else's list."""
    SHARED = "Shared"
    """The owner and `projects`."""
    PRIVATE = "Private"
    """The owner."""


class ImageSpec(Model):
    """Where the image is, what it must be, and who may use it."""

    id: Uuid | None = None
    """The id in the Image API, unique and never changed; made from metadata.uid when left out."""
    display_name: Annotated[str, StringConstraints(min_length=1, max_length=255)] | None = None
    """The name in the Image API, free text and not unique; the resource's name when left out."""
    url: Annotated[str, StringConstraints(max_length=2048, pattern=r"^(https?|file)://.+")]
    """Where the hosts fetch it: http, https, or file (a path that every host has)."""
    sha256: Annotated[str, StringConstraints(max_length=64, pattern=r"^[0-9a-f]{64}$")]
    """Of the whole file; a host refuses anything else."""
    size: Annotated[int, Field(ge=0, le=2**62)] | None = None
    """Bytes of the file, where somebody has counted them."""
    disk_format: DiskFormat = DiskFormat.QCOW2
    container_format: Text | None = None
    """Glance's word for what is around the disk; `bare` when left out. It has no effect."""
    min_disk_gib: Count = 0
    min_memory_mib: Count = 0
    properties: Annotated[dict[str, PropertyValue], Field(max_length=128)] = {}
    """Nova's image properties: `hw_architecture`, `hw_disk_bus`, `os_type`, `hypervisor_type` …"""
    visibility: ImageVisibility = ImageVisibility.PUBLIC
    owner: ObjectName | None = None
    """The Project that owns it."""
    projects: Annotated[list[ObjectName], Field(max_length=1024)] = []
    """Further Projects that may use a Shared image."""
    protected: bool = False
    """True: the Image API does not delete it."""
    hidden: bool = False
    """True: it is in nobody's list in the Image API, unless asked for."""
    deactivated: bool = False
    """True: no instance is made from it, and only administrators download it."""


class Image(Resource):
    """What an instance boots from (Glance's image)."""

    kind_info: ClassVar[ResourceKind] = ResourceKind(
        kind="Image",
        plural="images",
        scope=Scope.CLUSTER,
        columns=(
            Column("Name", ".spec.displayName"),
            Column("Format", ".spec.diskFormat"),
            Column("Size", ".spec.size", type="integer"),
            Column("Visibility", ".spec.visibility"),
            Column("Owner", ".spec.owner", wide=True),
            Column("Url", ".spec.url", wide=True),
            READY_COLUMN,
            AGE_COLUMN,
        ),
    )

    spec: ImageSpec
    status: MirrorStatus = MirrorStatus()

    @property
    def image_id(self) -> str:
        """The id that API clients know it by."""
        return self.spec.id or self.metadata.uid
