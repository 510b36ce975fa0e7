"""Images that are to be made of instances: the row, before there is any data."""

from __future__ import annotations

import uuid
from collections.abc import Mapping

from cairn_database import tenants
from cairn_database.engine import Database
from cairn_database.images.changing import NewImage, create
from cairn_database.images.records import Visibility
from cairn_database.images.rotation import IMAGE_TYPE, INSTANCE, TYPE
from cairn_database.images.signing import PATH
from cairn_database.records import InstanceRecord, Json

INHERITED_NOT = frozenset({"image_type", "backup_type", "instance_uuid", "user_id", "base_image_ref"})
"""Properties of the instance's image that its snapshots do not have (Nova:
`non_inheritable_image_properties`)."""


async def reserve(
    db: Database,
    store_url: str,
    *,
    name: str,
    instance: InstanceRecord,
    properties: Mapping[str, str] | None = None,
    backup: Json | None = None,
    image_id: str | None = None,
) -> tuple[str, str]:
    """A queued image for a snapshot of `instance`, private to its project: its id, and the address
    (unsigned) that its host puts the data at. `store_url`: where hosts reach the gateway.

    The properties are those of the instance's image, then what Nova adds, then `properties`.
    Raises ImageIdTaken.
    """
    image_id = image_id or str(uuid.uuid4())
    inherited = {
        key: str(value)
        for key, value in instance.image.get("properties", {}).items()
        if key not in INHERITED_NOT
    }
    own = {
        IMAGE_TYPE: "snapshot" if backup is None else "backup",
        INSTANCE: instance.id,
        "base_image_ref": str(instance.image.get("id") or ""),
        **({"user_id": instance.user_id} if instance.user_id else {}),
        **({TYPE: backup["type"]} if backup else {}),
    }
    project = await tenants.get_project(db, instance.project)
    new = NewImage(
        id=image_id,
        owner_id=project.id if project is not None else None,
        name=name,
        visibility=Visibility.PRIVATE,
        disk_format="qcow2",
        container_format="bare",
        min_disk=instance.root_gib,
        min_ram=int(instance.image.get("minMemoryMiB", 0)),
        properties={**inherited, **own, **(properties or {})},
    )
    await create(db, new)
    return image_id, address(store_url, image_id)


def address(store_url: str, image_id: str) -> str:
    """Where the data of an image is put, not signed yet."""
    return f"{store_url.rstrip('/')}{PATH}{image_id}"
