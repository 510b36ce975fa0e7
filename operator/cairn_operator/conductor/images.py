"""Images that instances were made into, and that are not needed any more: row, resource and data go."""

from __future__ import annotations

import contextlib

from cairn_crds import Image
from cairn_crds.guest_operation import OperationKind
from cairn_database import Database, InstanceRecord
from cairn_database.images import rotation, rows
from cairn_runtime.kubernetes import Conflict, Kubernetes, NotFound


async def forget(db: Database, kubernetes: Kubernetes, image_id: str) -> None:
    """Remove an image; none is fine. The gateway's sweep removes the data. Raises KubernetesError."""
    record = await rows.get(db, image_id)
    if record is None:
        return
    if record.resource is not None:
        with contextlib.suppress(NotFound, Conflict):  # Conflict: another one has the name by now
            await kubernetes.delete(Image, record.resource, None, record.resource_uid)
    await rows.remove(db, image_id)


async def rotate(db: Database, kubernetes: Kubernetes, instance_id: str, backup_type: str, keep: int) -> None:
    """Remove an instance's backups of that type beyond the newest `keep`. Raises KubernetesError."""
    for image_id in await rotation.outdated(db, instance_id, backup_type, keep):
        await forget(db, kubernetes, image_id)


async def let_go(db: Database, kubernetes: Kubernetes, record: InstanceRecord) -> None:
    """The instance goes: what a shelved one would have been made from again goes with it, and the image that
    was being made of it, unless that has its data. Raises KubernetesError."""
    shelved = record.details.get("shelvedImage")
    if shelved:
        await forget(db, kubernetes, shelved["id"])
    operation = record.operation
    if operation is not None and operation.kind is OperationKind.SNAPSHOT:
        image = await rows.get(db, operation.given["imageId"])
        if image is not None and not image.has_data:
            await forget(db, kubernetes, image.id)
