"""Images of servers in an external Glance: made there, filled with what a host puts to the gateway, deleted.

Each has its row in SQL from the beginning, as in the built-in store: with that the conductor works, which
knows nothing of Glance. In Glance it is made with the token of whoever asks for it, or, asked for with
kubectl, when its host comes with the data. All else is done with the gateway's own token, which Glance takes
for an administrator's: the caller's may have ended by then.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import structlog

from cairn_database import Database
from cairn_database.images import outside, rotation, rows, uploads
from cairn_database.images.records import ImageRecord
from cairn_database.images.uploads import StoredData
from cairn_gateway.http.faults import Conflict, Forbidden, Gone, NotFound, ServiceUnavailable
from cairn_gateway.image.blobs import BlobStoreUnavailable
from cairn_gateway.image.fields import RESERVED_PREFIX
from cairn_gateway.image.glance_client import PATCH, GlanceClient
from cairn_gateway.image.ingest import TOUCH_SECONDS, Digests, blocks_of
from cairn_gateway.image.resources import ImageResources
from cairn_gateway.image.settings import ImageSettings
from cairn_gateway.image.sweep import Sweep
from cairn_gateway.image.uploading import Uploading
from cairn_gateway.image.view import properties_of

log = structlog.get_logger()
UPLOAD = "up-"
"""What the name of an upload begins with; that of a copy in Glance is the image's id."""


class MadeInGlance:
    """Makes, fills and deletes them."""

    def __init__(
        self, settings: ImageSettings, db: Database, client: GlanceClient, resources: ImageResources
    ) -> None:
        self._db = db
        self._client = client
        self._resources = resources
        self.sweep = Sweep(settings, db, self, resources)
        self._uploading = Uploading(db, resources, self.sweep.soon)

    async def make(
        self, record: ImageRecord, token: str | None = None, project_id: str | None = None
    ) -> None:
        """Make the queued image in Glance: with `token`, which is of `project_id`, or with the gateway's own.

        Raises Conflict (Glance has, or had, one of that id), and what else Glance answers.
        """
        body: dict[str, Any] = {
            **{name: value for name, value in record.properties.items() if not _is_glances(name)},
            "id": record.id,
            "name": record.name,
            "visibility": str(record.visibility),
            "disk_format": record.disk_format,
            "container_format": record.container_format,
            "min_disk": record.min_disk,
            "min_ram": record.min_ram,
        }
        if record.owner_id is not None and record.owner_id != project_id:
            body["owner"] = record.owner_id
        await outside.note(self._db, record.id)
        if token:
            await self._client.request("POST", "/v2/images", token, body)
        else:
            await self._client.as_itself("POST", "/v2/images", body)

    async def upload(self, record: ImageRecord, chunks: AsyncIterator[bytes], size: int | None) -> None:
        """See `backend.HostsImages`."""
        name = f"{UPLOAD}{uuid.uuid4().hex}"
        try:
            await self._uploading.run(record, name, lambda: self._while_wanted(record, name, chunks, size))
        except Gone:
            if await rows.get(self._db, record.id) is None:
                await outside.condemn(self._db, record.id)
                self.sweep.soon()
            raise

    async def delete(self, blob: str) -> None:
        """See `sweep.Deletes`. An image that Glance protects stays."""
        if blob.startswith(UPLOAD):
            return
        try:
            await self._client.as_itself("DELETE", f"/v2/images/{blob}")
        except NotFound:
            return
        except (Forbidden, Conflict) as error:
            log.warning("image.stays_in_glance", image=blob, error=str(error))
        except ServiceUnavailable as error:
            raise BlobStoreUnavailable(str(error)) from error
        else:
            log.info("image.deleted_in_glance", image=blob)

    # --- data --------------------------------------------------------------------------------------------

    async def _while_wanted(
        self, record: ImageRecord, name: str, chunks: AsyncIterator[bytes], size: int | None
    ) -> StoredData | None:
        """Says that it is going on, also while Glance is busy; None where nobody wants it any more."""
        taking = asyncio.create_task(self._take(record, chunks, size))
        try:
            while not (await asyncio.wait({taking}, timeout=TOUCH_SECONDS))[0]:
                if not await uploads.touch(self._db, name):
                    return None
            return taking.result()
        finally:
            taking.cancel()
            await asyncio.gather(taking, return_exceptions=True)

    async def _take(self, record: ImageRecord, chunks: AsyncIterator[bytes], size: int | None) -> StoredData:
        shown = await self._ensure(record)
        passage = Passage(chunks)
        if shown["status"] == "active":
            # Whoever took it in before died before it could say so.
            async for _ in passage.blocks():
                pass
        elif shown["status"] == "queued":
            try:
                await self._client.put_data(record.id, passage.blocks(), size)
            except NotFound as error:
                raise await self._gone(record) from error
            except ServiceUnavailable as error:
                raise passage.failure or error from error
        else:
            raise ServiceUnavailable(f"Image {record.id} is {shown['status']} in Glance; come again.")
        data = passage.digests.data(record.disk_format)
        await self._compare(record, data)
        await self._look_at_backups(record)
        return data

    async def _ensure(self, record: ImageRecord) -> dict[str, Any]:
        """The image as Glance has it, with the right format. Raises Gone where somebody deleted it there."""
        shown = await self._client.own_view(record.id)
        if shown is None:
            try:
                await self.make(record)
            except Conflict:
                log.info("image.id_is_taken_in_glance", image=record.id)
            shown = await self._client.own_view(record.id)
        if shown is None:
            raise await self._gone(record)
        if shown["status"] == "queued" and shown["disk_format"] != record.disk_format:
            change = {"op": "replace", "path": "/disk_format", "value": record.disk_format}
            await self._client.as_itself("PATCH", f"/v2/images/{record.id}", [change], form=PATCH)
        return shown

    async def _compare(self, record: ImageRecord, data: StoredData) -> None:
        """Raises Gone where Glance has something else than came: then the image is removed."""
        shown = await self._client.own_view(record.id)
        if shown is None:
            raise await self._gone(record)
        hashes = {"sha512": data.os_hash_value, "sha256": data.sha256}
        expected = hashes.get(shown.get("os_hash_algo") or "", shown.get("os_hash_value"))
        same = shown["size"] == data.size and shown.get("os_hash_value") == expected
        if shown["status"] == "active" and same and shown.get("checksum") in (None, data.checksum):
            return
        log.error("image.differs_in_glance", image=record.id, status=shown["status"], size=shown["size"])
        raise await self._gone(record)

    async def _gone(self, record: ImageRecord) -> Gone:
        """It goes here, too."""
        await self._resources.delete(record)
        return Gone(f"Image {record.id} has been deleted, or is not in Glance what its host has sent.")

    async def _look_at_backups(self, record: ImageRecord) -> None:
        """Which of the instance's backups of the same type Glance still has, and as what, before the oldest
        go (Nova: `rotation` counts the images that Glance lists by these properties)."""
        properties = record.properties
        if properties.get(rotation.IMAGE_TYPE) != "backup":
            return
        instance_id, backup_type = properties[rotation.INSTANCE], properties[rotation.TYPE]
        for other in await rotation.backups(self._db, instance_id, backup_type):
            if other.id == record.id or not other.has_data:
                continue
            shown = await self._client.own_view(other.id)
            if shown is None:
                await self._resources.delete(other)
                continue
            now = {name: value for name, value in properties_of(shown).items() if isinstance(value, str)}
            kept = {name: value for name, value in now.items() if name in other.properties}
            after = replace(other, properties=kept, protected=shown["protected"])
            if after != other:
                await self._resources.rewrite(other, after)


class Passage:
    """A host's bytes on their way to Glance."""

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self._chunks = chunks
        self.digests = Digests()
        self.failure: Exception | None = None
        """What ended it."""

    async def blocks(self) -> AsyncIterator[bytes]:
        """All of them."""
        try:
            async for block in blocks_of(self._chunks):
                await asyncio.to_thread(self.digests.update, block)
                yield block
        except Exception as error:
            self.failure = error
            raise


def _is_glances(name: str) -> bool:
    """Whether Glance lets nobody but itself set that property."""
    return name.startswith(RESERVED_PREFIX)
