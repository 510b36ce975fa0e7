"""The Image resources of images that have data."""

from __future__ import annotations

import structlog

from cairn_crds import Image
from cairn_crds.base import Metadata
from cairn_crds.image import ImageSpec
from cairn_database import Database
from cairn_database.images import members, mirror, rows, uploads
from cairn_database.images.records import ImageRecord, spec_of
from cairn_database.images.signing import PATH
from cairn_gateway.cluster import Cluster
from cairn_gateway.naming import slug, with_suffix
from cairn_runtime.kubernetes import AlreadyExists, Body, Conflict, NotFound, merge_diff

log = structlog.get_logger()
NAMES_TRIED = 8


class NameWanting(Exception):
    """No free name was found for a resource: practically impossible."""


class ImageResources:
    """Makes, changes and deletes them."""

    def __init__(self, db: Database, cluster: Cluster, hosts_url: str) -> None:
        self._db = db
        self._cluster = cluster
        self._hosts_url = hosts_url.rstrip("/")

    @property
    def hosts_url(self) -> str:
        """What compute hosts reach the gateway by."""
        return self._hosts_url

    def url(self, image_id: str) -> str:
        """Where hosts fetch an image of the built-in store, not signed yet."""
        return f"{self._hosts_url}{PATH}{image_id}"

    async def publish(self, record: ImageRecord) -> None:
        """Make the resource, and with it the image active. Does nothing twice, whoever calls it.

        Raises Invalid (the API server refuses it), ApiServerUnavailable.
        """
        base = slug(record.name or "", "image")
        name = record.resource or base
        for _ in range(NAMES_TRIED):
            if record.resource == name or await uploads.name_resource(self._db, record.id, name):
                body = await self._create(record, name)
                if body is not None:
                    await self._take_in(record, body)
                    return
            name = with_suffix(base)
        raise NameWanting(f"no free name for image {record.id}")

    async def _take_in(self, record: ImageRecord, body: Body) -> None:
        taken = await mirror.take_in(self._db, Image.from_api(body))
        if taken is mirror.Taken.GONE:
            log.info("image.deleted_meanwhile", image=record.id)
            await self._cluster.delete(Image, body["metadata"]["name"])

    async def _create(self, record: ImageRecord, name: str) -> Body | None:
        """The resource, made now or before; None when another image has the name."""
        projects = [member.project for member in await members.members(self._db, record.id)]
        # What is about to become active has status saving.
        spec = spec_of(record, self.url(record.id), projects)
        try:
            return await self._cluster.create(Image(metadata=Metadata(name=name), spec=without_empty(spec)))
        except AlreadyExists:
            try:
                body = await self._cluster.kubernetes.get(Image, name)
            except NotFound:
                return None
            return body if body["spec"].get("id") == record.id else None

    async def adopt(self, image_id: str, name: str, spec: ImageSpec) -> str:
        """Make the resource of an image that is elsewhere, and with it the row; its name.

        Raises Invalid, ApiServerUnavailable.
        """
        base = slug(name, "image")
        candidate = base
        for _ in range(NAMES_TRIED):
            try:
                body = await self._cluster.create(Image(metadata=Metadata(name=candidate), spec=spec))
            except AlreadyExists:
                try:
                    body = await self._cluster.kubernetes.get(Image, candidate)
                except NotFound:
                    continue
            if body["spec"].get("id") == image_id:
                await mirror.take_in(self._db, Image.from_api(body))
                return candidate
            candidate = with_suffix(base)
        raise NameWanting(f"no free name for image {image_id}")

    async def say(self, record: ImageRecord, spec: ImageSpec) -> None:
        """Make the resource say `spec`, where it does not. Raises as `rewrite`."""
        projects = [member.project for member in await members.members(self._db, record.id)]
        url = record.url or (self.url(record.id) if record.blob is not None else None)
        recorded = without_empty(spec_of(record, url, projects)) if url else None
        patch = spec.to_api() if recorded is None else merge_diff(recorded.to_api(), spec.to_api())
        if patch:
            await self._patch(record, patch)

    async def rewrite(self, before: ImageRecord, after: ImageRecord) -> None:
        """Say in the resource what `after` says and `before` did not, then take it in.

        Raises NotFound (it is gone, and so is the image), Invalid, ApiServerUnavailable.
        """
        url = before.url or self.url(before.id)
        patch = merge_diff(
            without_empty(spec_of(before, url, [])).to_api(), without_empty(spec_of(after, url, [])).to_api()
        )
        if patch:
            await self._patch(before, patch)

    async def share(self, record: ImageRecord) -> None:
        """Say in the resource which projects it is shared with. Raises as `rewrite`."""
        projects = sorted(member.project for member in await members.members(self._db, record.id))
        await self._patch(record, {"projects": projects})

    async def _patch(self, record: ImageRecord, patch: Body) -> None:
        body = await self._cluster.patch(Image, record.resource or "", {"spec": patch})
        await mirror.take_in(self._db, Image.from_api(body))

    async def delete(self, record: ImageRecord) -> None:
        """The resource goes first, then the row. Raises ApiServerUnavailable; then nothing has changed."""
        if record.resource is not None:
            try:
                await self._cluster.kubernetes.delete(Image, record.resource, None, record.resource_uid)
            except (NotFound, Conflict):  # Conflict: another resource has the name by now
                log.info("image.resource_gone_before", image=record.id)
        await rows.remove(self._db, record.id)

    async def correct_urls(self) -> None:
        """Hosts may reach the gateway at another address than when a resource was made."""
        for record in await mirror.resources(self._db):
            try:
                found = Image.from_api(await self._cluster.kubernetes.get(Image, record.resource or ""))
            except NotFound:
                continue
            old = found.spec.url
            if PATH in old and old.endswith(record.id) and old != self.url(record.id):
                await self._patch(record, {"url": self.url(record.id)})


def without_empty(spec: ImageSpec) -> ImageSpec:
    """Older API servers read an empty string in a custom resource as null and refuse it."""
    return spec.model_copy(
        update={"properties": {name: value for name, value in spec.properties.items() if value}}
    )
