"""Images as the Image API shows them, and the schemas that say so."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from cairn_database.images.members import MemberRecord
from cairn_database.images.records import ImageRecord

HASH_ALGORITHM = "sha512"
OWN_FIELDS = frozenset(
    {
        *("id", "name", "status", "visibility", "owner", "protected", "os_hidden", "tags", "stores"),
        *("disk_format", "container_format", "min_disk", "min_ram", "size", "virtual_size", "checksum"),
        *("os_hash_algo", "os_hash_value", "created_at", "updated_at", "self", "file", "schema"),
        *("locations", "direct_url"),
    }
)
"""What Glance shows of every image; the rest are properties."""


def moment(value: datetime) -> str:
    """`2026-11-22T14:00:00Z`: whole seconds, as Glance writes them."""
    return value.strftime("%Y-%m-%dT%H:%M:%SZ")


def image_view(record: ImageRecord) -> dict[str, Any]:
    """One image (Glance API: GET /v2/images/{image_id}); custom properties stand beside its own fields."""
    href = f"/v2/images/{record.id}"
    return {
        **record.properties,
        "id": record.id,
        "name": record.name,
        "status": str(record.status),
        "visibility": str(record.visibility),
        "owner": record.owner_id,
        "protected": record.protected,
        "os_hidden": record.hidden,
        "disk_format": record.disk_format,
        "container_format": record.container_format,
        "min_disk": record.min_disk,
        "min_ram": record.min_ram,
        "size": record.size,
        "virtual_size": record.virtual_size,
        "checksum": record.checksum,
        "os_hash_algo": HASH_ALGORITHM if record.os_hash_value else None,
        "os_hash_value": record.os_hash_value,
        "created_at": moment(record.created_at),
        "updated_at": moment(record.updated_at),
        "tags": sorted(record.tags),
        "self": href,
        "file": f"{href}/file",
        "schema": "/v2/schemas/image",
    }


def member_view(record: MemberRecord) -> dict[str, Any]:
    """One member (Glance API: GET /v2/images/{image_id}/members/{member_id})."""
    return {
        "member_id": record.member_id,
        "image_id": record.image_id,
        "status": record.status,
        "created_at": moment(record.created_at),
        "updated_at": moment(record.updated_at),
        "schema": "/v2/schemas/member",
    }


def properties_of(shown: dict[str, Any]) -> dict[str, str]:
    """The custom properties of an image as it is shown."""
    return {name: value for name, value in shown.items() if name not in OWN_FIELDS}
