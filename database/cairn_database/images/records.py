"""An image as the processes see it, and how it reads as an Image resource."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any

from cairn_crds.image import DiskFormat, ImageSpec, ImageVisibility


class ImageStatus(enum.StrEnum):
    """Glance's words."""

    QUEUED = "queued"
    """A row without data."""
    SAVING = "saving"
    """Data is on its way."""
    ACTIVE = "active"
    DEACTIVATED = "deactivated"
    """There is data, and only administrators may have it."""
    KILLED = "killed"


class Visibility(enum.StrEnum):
    """Glance's words for ImageVisibility."""

    PUBLIC = "public"
    COMMUNITY = "community"
    SHARED = "shared"
    PRIVATE = "private"

    @classmethod
    def of(cls, visibility: ImageVisibility) -> Visibility:
        """The word for what a resource says."""
        return cls(visibility.value.lower())

    @property
    def in_resource(self) -> ImageVisibility:
        """What a resource says."""
        return ImageVisibility(self.value.capitalize())


NO_DATA = "0" * 64
"""Stands for the checksum of an image that has no data, and so no resource."""
WITH_DATA = frozenset({ImageStatus.ACTIVE, ImageStatus.DEACTIVATED})


@dataclass(frozen=True)
class ImageRecord:
    """One image."""

    id: str
    name: str | None
    """What people call it; None where nobody has named it."""
    status: ImageStatus
    visibility: Visibility
    owner: str | None
    """The Project resource's name; an id that the API was given where no Project has it."""
    created_at: datetime
    updated_at: datetime
    resource: str | None = None
    """The Image resource."""
    resource_uid: str | None = None
    generation: int = 0
    """Of the resource, when it was last taken in."""
    disk_format: str | None = None
    container_format: str | None = None
    size: int | None = None
    """Bytes."""
    virtual_size: int | None = None
    """Bytes of the disk that it is."""
    checksum: str | None = None
    """MD5, hexadecimal."""
    os_hash_value: str | None = None
    """SHA-512, hexadecimal."""
    sha256: str | None = None
    min_disk: int = 0
    """GiB."""
    min_ram: int = 0
    """MiB."""
    protected: bool = False
    hidden: bool = False
    properties: dict[str, str] = field(default_factory=dict)
    tags: list[str] = field(default_factory=list)
    url: str | None = None
    """Where a resource that was not made through the API has its data."""
    blob: str | None = None
    """The file in the built-in store."""
    removed_at: datetime | None = None
    owner_id: str | None = None
    """The owner as the API names it."""

    @property
    def has_data(self) -> bool:
        """Whether it can be downloaded."""
        return self.status in WITH_DATA


COLUMN_FIELDS = tuple(item.name for item in fields(ImageRecord) if item.name != "owner_id")


def record_of(row: Any) -> ImageRecord:
    """The record of a row that was selected with `owner_id`."""
    values = {name: getattr(row, name) for name in COLUMN_FIELDS}
    values["status"] = ImageStatus(row.status)
    values["visibility"] = Visibility(row.visibility)
    return ImageRecord(**values, owner_id=row.owner_id)


def spec_of(record: ImageRecord, url: str, projects: Iterable[str]) -> ImageSpec:
    """What the Image resource of an image with data says. `url`: where hosts fetch it."""
    return ImageSpec(
        id=record.id,
        display_name=record.name or None,
        url=url,
        sha256=record.sha256 or NO_DATA,
        size=record.size,
        disk_format=DiskFormat(record.disk_format or DiskFormat.RAW),
        container_format=record.container_format,
        min_disk_gib=record.min_disk,
        min_memory_mib=record.min_ram,
        properties=record.properties,
        visibility=record.visibility.in_resource,
        owner=record.owner,
        projects=sorted(projects),
        protected=record.protected,
        hidden=record.hidden,
        deactivated=record.status is ImageStatus.DEACTIVATED,
    )


def fields_of(spec: ImageSpec, resource: str) -> dict[str, Any]:
    """The columns that a resource decides."""
    return {
        "name": spec.display_name or resource,
        "status": ImageStatus.DEACTIVATED if spec.deactivated else ImageStatus.ACTIVE,
        "visibility": Visibility.of(spec.visibility),
        "owner": spec.owner,
        "disk_format": spec.disk_format.value,
        "min_disk": spec.min_disk_gib,
        "min_ram": spec.min_memory_mib,
        "protected": spec.protected,
        "hidden": spec.hidden,
        "properties": dict(spec.properties),
        "sha256": spec.sha256,
    }
