"""Images in an external Glance.

Glance is asked with the caller's own token, so it decides who sees what. An image becomes an Image resource
when it is first booted: hosts then fetch it from the gateway, by the same signed addresses as from the
built-in store, and the gateway from Glance. Hosts check a SHA-256; where Glance has another checksum (its
default is SHA-512), the gateway reads the image once, checks it against that, and the resource remembers the
SHA-256. Images of servers are in `glance_made`.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator, Mapping
from typing import Any

import structlog
from pydantic import ValidationError

from cairn_crds.image import DiskFormat, ImageSpec
from cairn_database import Database, InstanceRecord
from cairn_database.images import changing, members, outside, rows
from cairn_database.images.records import ImageRecord, Visibility
from cairn_database.images.signing import SigningKeys, load_keys
from cairn_gateway.http.call import Answer, Call
from cairn_gateway.http.faults import BadRequest, NotFound, ServiceUnavailable
from cairn_gateway.image.fields import IMAGE_ID, LONGEST_VALUE
from cairn_gateway.image.glance_client import PATCH, GlanceClient
from cairn_gateway.image.glance_made import MadeInGlance
from cairn_gateway.image.of_servers import reserve_row
from cairn_gateway.image.outgoing import OCTETS
from cairn_gateway.image.resources import ImageResources
from cairn_gateway.image.settings import ImageSettings
from cairn_gateway.image.view import properties_of
from cairn_gateway.services import ImageToBoot

log = structlog.get_logger()
Shown = dict[str, Any]


class GlanceImages:
    """`services.Images` over a Glance."""

    def __init__(self, settings: ImageSettings, db: Database, resources: ImageResources) -> None:
        """Raises ValueError where the settings do not say where Glance is."""
        own = settings.glance
        if not own.url or not own.keystone_url or own.password is None:
            raise ValueError("images.backend glance needs images.glance.url, .keystone_url and .password")
        self.settings = settings
        self.db = db
        self._resources = resources
        self._client = GlanceClient(own)
        self._made = MadeInGlance(settings, db, self._client, resources)
        self._sweeping: asyncio.Task[None] | None = None
        self._hashing: dict[str, asyncio.Task[str]] = {}
        self._keys: SigningKeys | None = None

    async def open(self) -> None:
        """Begin to sweep."""
        self._sweeping = asyncio.create_task(self._made.sweep.run())

    async def close(self) -> None:
        """Stop sweeping, and what is read from Glance."""
        if self._sweeping is not None:
            self._sweeping.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._sweeping
        for task in list(self._hashing.values()):
            task.cancel()
        await self._client.close()

    # --- for compute hosts -------------------------------------------------------------------------------

    async def keys(self) -> SigningKeys:
        """See `backend.HostsImages`."""
        if self._keys is None:
            self._keys = await load_keys(self.db)
        return self._keys

    async def blob(self, image_id: str, _wanted_range: str | None) -> Answer:
        """See `backend.HostsImages`. Hosts read images whole."""
        if await rows.get(self.db, image_id) is None:
            raise NotFound(f"Failed to find image {image_id}")
        size, blocks = await self._client.data(image_id)
        headers = {"Content-Type": OCTETS}
        if size is not None:
            headers["Content-Length"] = str(size)
        return Answer(blocks, headers=headers)

    async def upload(self, record: ImageRecord, chunks: AsyncIterator[bytes], size: int | None) -> None:
        """See `backend.HostsImages`."""
        await self._made.upload(record, chunks, size)

    # --- services.Images ---------------------------------------------------------------------------------

    async def find(self, call: Call, image_id: str) -> ImageToBoot | None:
        """See `services.Images`. The first time that an image is asked for, its resource is made."""
        shown = await self.show_legacy(call, image_id)
        if shown is None:
            await self._forget_if_gone(image_id)
            return None
        known = await rows.get(self.db, shown["id"])
        status = shown["status"] if known is None or known.has_data else str(known.status)
        if status != "active":
            spec = ImageSpec.model_construct(url="", sha256="0" * 64)
            return ImageToBoot(image_id, shown["name"] or "", "", spec, shown["size"] or 0, status)
        spec = await self._spec(call, shown)
        resource = await self._publish(shown, spec)
        return ImageToBoot(image_id, shown["name"] or "", resource, spec, shown["size"] or 0, status)

    async def show_legacy(self, call: Call, image_id: str) -> Shown | None:
        """See `services.Images`."""
        if not IMAGE_ID.fullmatch(image_id):
            return None
        return await self._client.image(image_id.lower(), _token(call))

    async def list_legacy(self, call: Call, filters: Mapping[str, str]) -> AsyncIterator[Shown]:
        """See `services.Images`."""
        query: Mapping[str, str] | None = {"limit": "1000", **filters}
        left = int(filters["limit"]) if "limit" in filters else None
        path = "/v2/images"
        while path:
            page = await self._client.request("GET", path, _token(call), query=query)
            for shown in page["images"]:
                if left == 0:
                    return
                left = None if left is None else left - 1
                yield shown
            path, query = page.get("next") or "", None

    async def change_properties(
        self, call: Call, image_id: str, changes: Mapping[str, str | None]
    ) -> Shown | None:
        """See `services.Images`."""
        if await self.show_legacy(call, image_id) is None:
            return None
        body = [
            {"op": "remove", "path": _pointer(name)}
            if value is None
            else {"op": "add", "path": _pointer(name), "value": value}
            for name, value in changes.items()
        ]
        path = f"/v2/images/{image_id}"
        changed: Shown = await self._client.request("PATCH", path, _token(call), body, form=PATCH)
        return changed

    async def delete(self, call: Call, image_id: str) -> bool:
        """See `services.Images`."""
        if await self.show_legacy(call, image_id) is None:
            return False
        await self._client.request("DELETE", f"/v2/images/{image_id}", _token(call))
        await self._forget_if_gone(image_id)
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
        """See `services.Images`. Raises what Glance answers, too."""
        hosts_url = self._resources.hosts_url
        image_id, url = await reserve_row(
            self.db, hosts_url, call, instance, name=name, properties=properties, backup=backup
        )
        try:
            record = await rows.get(self.db, image_id)
            if record is not None:
                await self._made.make(record, _token(call), call.caller.project_id)
        except BaseException:
            await asyncio.shield(self.abandon(image_id))
            raise
        return image_id, url

    async def abandon(self, image_id: str) -> None:
        """See `services.Images`."""
        await rows.remove(self.db, image_id)
        self._made.sweep.soon()

    # --- resources ---------------------------------------------------------------------------------------

    async def _spec(self, call: Call, shown: Shown) -> ImageSpec:
        """What the resource says. Raises BadRequest for an image that no resource can be of."""
        owner = shown.get("owner")
        known = await rows.get(self.db, shown["id"])
        projects = list(await self._sharers(known))
        caller = call.caller.project or call.caller.project_id
        if shown["visibility"] == Visibility.SHARED and owner != call.caller.project_id and caller:
            projects = sorted({*projects, caller})
        properties = {
            name: value
            for name, value in properties_of(shown).items()
            if isinstance(value, str) and value and len(value) <= LONGEST_VALUE and len(name) <= 255
        }
        try:
            return ImageSpec(
                id=shown["id"],
                display_name=shown["name"] or None,
                url=self._resources.url(shown["id"]),
                sha256=known.sha256 if known is not None and known.sha256 else await self._sha256(shown),
                size=shown["size"],
                disk_format=DiskFormat(shown["disk_format"] or "raw"),
                container_format=shown["container_format"],
                min_disk_gib=shown["min_disk"],
                min_memory_mib=shown["min_ram"],
                properties=dict(list(properties.items())[:128]),
                visibility=Visibility(shown["visibility"]).in_resource,
                owner=await changing.key_of_project(self.db, owner) if owner else None,
                projects=projects,
                protected=shown["protected"],
                hidden=shown["os_hidden"],
            )
        except (ValidationError, ValueError) as error:
            raise BadRequest(f"Image {shown['id']} cannot be booted: {error}") from error

    async def _sharers(self, known: ImageRecord | None) -> set[str]:
        if known is None:
            return set()
        return {member.project for member in await members.members(self.db, known.id)}

    async def _publish(self, shown: Shown, spec: ImageSpec) -> str:
        """The name of the resource, which is made, or corrected."""
        known = await rows.get(self.db, shown["id"])
        if known is None or known.resource is None:
            return await self._resources.adopt(shown["id"], shown["name"] or "", spec)
        await self._resources.say(known, spec)
        return known.resource

    async def _forget_if_gone(self, image_id: str) -> None:
        """The resource of an image that Glance no longer has goes as well."""
        known = await rows.get(self.db, image_id)
        if known is None:
            return
        if not known.has_data and not await outside.is_noted(self.db, image_id):
            return  # it is made there when its host comes with the data
        if await self._client.image(image_id, await self._client.own_token()) is None:
            log.info("image.gone_from_glance", image=image_id)
            await self._resources.delete(known)

    async def _sha256(self, shown: Shown) -> str:
        """Of the data. Whoever asks while it is being read waits for the same."""
        if shown.get("os_hash_algo") == "sha256" and shown.get("os_hash_value"):
            return str(shown["os_hash_value"])
        image_id = shown["id"]
        task = self._hashing.get(image_id)
        if task is None:
            task = self._hashing[image_id] = asyncio.create_task(self._hash(shown))
            task.add_done_callback(lambda done: self._forget_task(image_id, done))
        return await asyncio.shield(task)

    def _forget_task(self, image_id: str, task: asyncio.Task[str]) -> None:
        self._hashing.pop(image_id, None)
        if not task.cancelled():
            task.exception()  # everybody who waited may have gone

    async def _hash(self, shown: Shown) -> str:
        algorithm, expected = str(shown.get("os_hash_algo")), shown.get("os_hash_value")
        sha256 = hashlib.sha256()
        other = hashlib.new(algorithm) if algorithm in hashlib.algorithms_available and expected else None

        def update(block: bytes) -> None:
            sha256.update(block)
            if other is not None:
                other.update(block)

        log.info("image.hashing", image=shown["id"], size=shown["size"])
        _, blocks = await self._client.data(shown["id"])
        async for block in blocks:
            await asyncio.to_thread(update, block)
        if other is not None and other.hexdigest() != expected:
            raise ServiceUnavailable(f"Glance's data of image {shown['id']} has not the checksum it says.")
        return sha256.hexdigest()


def _token(call: Call) -> str:
    return call.headers.get("x-auth-token", "")


def _pointer(name: str) -> str:
    return "/" + name.replace("~", "~0").replace("/", "~1")
