"""Images that compute hosts put into the store: what snapshots, backups and shelving end in.

A host has the signed address of one image and nothing else, and may have to come twice: its connection broke,
or its agent was restarted before it heard that all had arrived.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from dataclasses import replace

import structlog

from cairn_crds.image import DiskFormat
from cairn_database.images import changing, rows
from cairn_database.images.records import ImageRecord, ImageStatus
from cairn_gateway.http.faults import BadRequest, Conflict, Gone, NotFound, ServiceUnavailable
from cairn_gateway.image.backend import HostsImages

log = structlog.get_logger()


async def take_in(
    images: HostsImages,
    image_id: str,
    chunks: AsyncIterator[bytes],
    disk_format: str,
    size: int | None = None,
) -> None:
    """Store the data (`size` bytes); the image is active afterwards. The same data again is taken without a
    word.

    Raises NotFound (there is no such image), Gone (it was removed), Conflict (it has other data), BadRequest,
    BodyTooLarge, ServiceUnavailable (it is being uploaded at this moment: come again).
    """
    if disk_format not in {item.value for item in DiskFormat}:
        raise BadRequest(f"X-Cairn-Disk-Format {disk_format!r} is not a format of disks.")
    record = await rows.get(images.db, image_id)
    if record is None:
        if await rows.was_removed(images.db, image_id):
            raise Gone(f"Image {image_id} has been deleted.")
        raise NotFound(f"Failed to find image {image_id}")
    if record.sha256 is not None:
        await _compare(record, chunks)
        return
    if record.status is not ImageStatus.QUEUED:
        raise ServiceUnavailable(f"Image {image_id} is being uploaded at this moment; come again.")
    if record.disk_format != disk_format:
        changed = await changing.change(
            images.db, image_id, lambda now: replace(now, disk_format=disk_format)
        )
        if changed is None:
            raise Gone(f"Image {image_id} has been deleted.")
        record = changed
    await images.upload(record, chunks, size)
    log.info("image.from_host", image=image_id)


async def _compare(record: ImageRecord, chunks: AsyncIterator[bytes]) -> None:
    """Read what comes, so that the host hears the answer. Raises Conflict where it is not what is there."""
    digest = hashlib.sha256()
    async for chunk in chunks:
        digest.update(chunk)
    if digest.hexdigest() != record.sha256:
        raise Conflict(f"Image {record.id} has its data already, and it is not this.")
