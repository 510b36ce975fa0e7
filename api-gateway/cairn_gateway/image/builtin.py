"""The built-in image store: rows in SQL, files in a blob store, Image resources beside them."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace
from typing import Any

from cairn_database import Database, InstanceRecord
from cairn_database.images import changing, listing, members, rows, uploads
from cairn_database.images.changing import NewImage
from cairn_database.images.listing import ImageQuery, Viewer
from cairn_database.images.records import ImageRecord, ImageStatus, spec_of
from cairn_database.images.signing import SigningKeys, load_keys
from cairn_database.images.uploads import StoredData
from cairn_gateway.http.call import Answer, Call
from cairn_gateway.http.faults import (
    BadRequest,
    BodyTooLarge,
    Conflict,
    Forbidden,
    NotFound,
    ServiceUnavailable,
)
from cairn_gateway.image import fields, query, view
from cairn_gateway.image.blobs import BlobStore, BlobStoreFull, BlobStoreUnavailable
from cairn_gateway.image.ingest import ingest
from cairn_gateway.image.of_servers import reserve_row
from cairn_gateway.image.outgoing import data_of
from cairn_gateway.image.resources import ImageResources
from cairn_gateway.image.settings import ImageSettings
from cairn_gateway.image.sweep import Sweep
from cairn_gateway.image.uploading import Uploading
from cairn_gateway.services import ImageToBoot
from cairn_runtime.kubernetes import Invalid
from cairn_runtime.kubernetes import NotFound as NoSuchResource


class BuiltinImages:
    """`services.Images`, and what the Image API needs beyond that."""

    def __init__(
        self, settings: ImageSettings, db: Database, blobs: BlobStore, resources: ImageResources
    ) -> None:
        self.settings = settings
        self.db = db
        self.blobs = blobs
        self.resources = resources
        self._sweep = Sweep(settings, db, blobs, resources)
        self._uploading = Uploading(db, resources, self._sweep.soon)
        self._sweeping: asyncio.Task[None] | None = None
        self._keys: SigningKeys | None = None

    async def open(self) -> None:
        """Begin to sweep."""
        self._sweeping = asyncio.create_task(self._sweep.run())

    async def close(self) -> None:
        """Stop sweeping."""
        if self._sweeping is not None:
            self._sweeping.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._sweeping
        await self.blobs.close()

    async def blob(self, image_id: str, wanted_range: str | None) -> Answer:
        """See `backend.HostsImages`."""
        record = await rows.get(self.db, image_id)
        if record is None or record.blob is None or not record.has_data:
            raise NotFound(f"Failed to find image {image_id}")
        return await data_of(self.blobs, record, wanted_range)

    async def keys(self) -> SigningKeys:
        """See `backend.HostsImages`."""
        if self._keys is None:
            self._keys = await load_keys(self.db)
        return self._keys

    # --- reading -----------------------------------------------------------------------------------------

    def is_admin(self, call: Call) -> bool:
        """Whether the caller sees every project's images."""
        return call.services.policy.allows("context_is_admin", call.caller, {})

    def viewer(self, call: Call) -> Viewer:
        """The caller as the lists know them."""
        return Viewer(call.caller.project or call.caller.project_id, self.is_admin(call))

    async def load(self, call: Call, image_id: str) -> ImageRecord:
        """The image, if the caller may know of it. Raises NotFound."""
        record = None
        if fields.IMAGE_ID.fullmatch(image_id):
            record = await listing.visible(self.db, image_id.lower(), self.viewer(call))
        if record is None:
            raise NotFound(f"Failed to find image {image_id}")
        return record

    def target(self, call: Call, record: ImageRecord) -> dict[str, str | None]:
        """What policy decides about: whoever sees a shared image that is not theirs, is a member of it."""
        own = record.owner_id is not None and record.owner_id == call.caller.project_id
        shared = record.visibility == "shared" and not own and not self.is_admin(call)
        return {
            "project_id": record.owner_id,
            "owner": record.owner_id,
            "member_id": call.caller.project_id if shared else None,
            "visibility": str(record.visibility),
        }

    async def page(self, wanted: ImageQuery) -> list[ImageRecord]:
        """A page of images. Raises BadRequest for a marker that is not there."""
        try:
            return await listing.page(self.db, wanted)
        except listing.MarkerNotFound as error:
            raise BadRequest(str(error)) from error

    # --- changing ----------------------------------------------------------------------------------------

    async def create(self, new: NewImage) -> ImageRecord:
        """A row without data. Raises Conflict where the id is taken."""
        try:
            return await changing.create(self.db, new)
        except changing.ImageIdTaken as error:
            raise Conflict(str(error)) from error

    async def change(self, record: ImageRecord, decide: Callable[[ImageRecord], ImageRecord]) -> ImageRecord:
        """Make it what `decide` says; in its resource first, if it has one. Raises NotFound, BadRequest."""
        if record.has_data:
            after = decide(record)
            if after.owner is not None and after.owner != record.owner:
                after = replace(after, owner=await changing.key_of_project(self.db, after.owner))
            with _refusals(record):
                await self.resources.rewrite(record, after)
            changed = await changing.change(self.db, record.id, lambda now: _only_in_sql(now, record, after))
        else:
            changed = await changing.change(self.db, record.id, decide)
        if changed is None:
            raise NotFound(f"Failed to find image {record.id}")
        return changed

    async def set_status(self, record: ImageRecord, status: ImageStatus) -> None:
        """Deactivate or reactivate it; nothing where it is so already. Raises Forbidden, NotFound."""
        if record.status is status:
            return
        if not record.has_data:
            raise Forbidden(f"Not allowed to make an image {status} whose status is {record.status}.")
        with _refusals(record):
            await self.resources.rewrite(record, replace(record, status=status))

    async def remove(self, record: ImageRecord) -> None:
        """Delete it, in both places. Raises Forbidden for a protected one."""
        if record.protected:
            raise Forbidden(f"Image {record.id} is protected and cannot be deleted.")
        await self.resources.delete(record)
        self._sweep.soon()

    async def shared(self, record: ImageRecord) -> None:
        """Its members have changed."""
        if record.has_data:
            with _refusals(record):
                await self.resources.share(record)

    # --- data --------------------------------------------------------------------------------------------

    async def upload(
        self, record: ImageRecord, chunks: AsyncIterator[bytes], _size: int | None = None
    ) -> None:
        """See `backend.HostsImages`; people's uploads, too.

        Raises Conflict (it has data, or somebody else uploads), BadRequest, BodyTooLarge, Gone.
        """
        if record.disk_format is None or record.container_format is None:
            raise BadRequest("Properties disk_format, container_format must be set prior to saving data.")
        blob = str(uuid.uuid4())
        await self._uploading.run(record, blob, lambda: self._receive(record, blob, chunks))

    async def _receive(
        self, record: ImageRecord, blob: str, chunks: AsyncIterator[bytes]
    ) -> StoredData | None:
        try:
            writer = await asyncio.to_thread(self.blobs.writer, blob)
            return await ingest(chunks, writer, record.disk_format, lambda: uploads.touch(self.db, blob))
        except BlobStoreFull as error:
            raise BodyTooLarge(f"The image cannot be stored: {error}.") from error
        except BlobStoreUnavailable as error:
            raise ServiceUnavailable(f"The image cannot be stored: {error}.") from error

    # --- services.Images ---------------------------------------------------------------------------------

    async def find(self, call: Call, image_id: str) -> ImageToBoot | None:
        """The image, if there is one that the caller may see; `resource` is empty where it has no data."""
        try:
            record = await self.load(call, image_id)
        except NotFound:
            return None
        return await self.to_boot(record)

    async def to_boot(self, record: ImageRecord) -> ImageToBoot:
        """The image as a new instance needs it."""
        projects = [member.project for member in await members.members(self.db, record.id)]
        url = record.url or self.resources.url(record.id)
        return ImageToBoot(
            id=record.id,
            name=record.name or "",
            resource=record.resource or "",
            spec=spec_of(record, url, projects),
            size=record.size or 0,
            status=str(record.status),
        )

    async def show_legacy(self, call: Call, image_id: str) -> dict[str, Any] | None:
        """See `services.Images`."""
        try:
            return view.image_view(await self.load(call, image_id))
        except NotFound:
            return None

    async def list_legacy(self, call: Call, filters: Mapping[str, str]) -> AsyncIterator[dict[str, Any]]:
        """See `services.Images`."""
        wanted = query.parse(filters.items(), self.viewer(call))
        if "limit" not in filters:
            wanted = replace(wanted, limit=query.MAX_LIMIT)
        while True:
            found = await self.page(wanted)
            for record in found:
                yield view.image_view(record)
            if "limit" in filters or len(found) < wanted.limit:
                return
            wanted = replace(wanted, marker=found[-1].id)

    async def change_properties(
        self, call: Call, image_id: str, changes: Mapping[str, str | None]
    ) -> dict[str, Any] | None:
        """See `services.Images`."""
        try:
            record = await self.load(call, image_id)
        except NotFound:
            return None
        call.enforce(self.target(call, record), "modify_image")
        for name, value in changes.items():
            fields.check_settable(name)
            if value is not None:
                fields.check_property(name, value)

        def decide(now: ImageRecord) -> ImageRecord:
            merged = {**now.properties, **changes}
            kept = {name: value for name, value in merged.items() if value is not None}
            fields.check_count(kept)
            return replace(now, properties=kept)

        return view.image_view(await self.change(record, decide))

    async def delete(self, call: Call, image_id: str) -> bool:
        """See `services.Images`."""
        try:
            record = await self.load(call, image_id)
        except NotFound:
            return False
        call.enforce(self.target(call, record), "delete_image")
        await self.remove(record)
        return True

    async def reserve(
        self,
        call: Call,
        instance: InstanceRecord,
        *,
        name: str,
        properties: Mapping[str, str],
        backup: dict[str, Any] | None = None,
    ) -> tuple[str, str]:
        """See `services.Images`."""
        hosts_url = self.resources.hosts_url
        return await reserve_row(
            self.db, hosts_url, call, instance, name=name, properties=properties, backup=backup
        )

    async def abandon(self, image_id: str) -> None:
        """See `services.Images`."""
        await rows.remove(self.db, image_id)


@contextlib.contextmanager
def _refusals(record: ImageRecord) -> Any:
    """What the API server has against a change, as the caller should hear it."""
    try:
        yield
    except NoSuchResource as error:
        raise NotFound(f"Failed to find image {record.id}") from error
    except Invalid as error:
        raise BadRequest(f"The image's resource cannot say that: {error}.") from error


def _only_in_sql(now: ImageRecord, before: ImageRecord, after: ImageRecord) -> ImageRecord:
    """Of a change from `before` to `after`, what a resource does not hold, made to what is there `now`."""
    tags = (set(now.tags) | set(after.tags)) - (set(before.tags) - set(after.tags))
    kept = {name: value for name, value in now.properties.items() if value}
    empty = {name: value for name, value in after.properties.items() if not value}
    name = None if after.name is None else now.name
    return replace(now, tags=sorted(tags), name=name, properties={**kept, **empty})
