"""An image's way from a row to an active image, wherever its data is kept."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from cairn_database import Database
from cairn_database.images import rows, uploads
from cairn_database.images.records import ImageRecord
from cairn_database.images.uploads import StoredData
from cairn_gateway.http.faults import BadRequest, Conflict, Gone
from cairn_gateway.image.resources import ImageResources
from cairn_runtime.kubernetes import ApiServerUnavailable, Invalid

log = structlog.get_logger()
Receive = Callable[[], Awaitable[StoredData | None]]
"""Takes all of the data in; None where nobody wants it any more."""


class Uploading:
    """Uploads to one back end. `tidy` is called when one has left something to be swept."""

    def __init__(self, db: Database, resources: ImageResources, tidy: Callable[[], None]) -> None:
        self._db = db
        self._resources = resources
        self._tidy = tidy

    async def run(self, record: ImageRecord, blob: str, receive: Receive) -> None:
        """Make the image active with what `receive` takes in. Whatever fails leaves it queued, without data.

        Raises Conflict (it has data, or somebody else uploads), Gone, and what `receive` raises.
        """
        if not await uploads.begin(self._db, record.id, blob):
            raise Conflict(
                f"Image status transition from {record.status} to saving is not allowed: its data is there, "
                "or is being uploaded."
            )
        try:
            await self._take(record, blob, receive)
        except BaseException:
            await asyncio.shield(self._give_up(record.id, blob))
            raise
        await self._publish(record.id, blob)

    async def _take(self, record: ImageRecord, blob: str, receive: Receive) -> None:
        data = await receive()
        if data is None or not await uploads.store(self._db, record.id, blob, data):
            raise Gone(f"Image {record.id} was deleted, or its upload given up, before it was complete.")

    async def _give_up(self, image_id: str, blob: str) -> None:
        await uploads.give_up(self._db, image_id, blob)
        self._tidy()

    async def _publish(self, image_id: str, blob: str) -> None:
        stored = await rows.get(self._db, image_id)
        if stored is None:
            raise Gone(f"Image {image_id} was deleted before it was complete.")
        try:
            await self._resources.publish(stored)
        except Invalid as error:
            await self._give_up(image_id, blob)
            raise BadRequest(f"The image cannot become a resource: {error}.") from error
        except ApiServerUnavailable as error:
            # The data is safe; the sweep goes on from here.
            log.warning("image.publish_later", image=image_id, error=str(error))
