"""Which back end images have, and what both have in common."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol, runtime_checkable

from cairn_database import Database
from cairn_database.images.records import ImageRecord
from cairn_database.images.signing import SigningKeys
from cairn_gateway.cluster import Cluster
from cairn_gateway.http.call import Answer
from cairn_gateway.image.blobs import BlobStore
from cairn_gateway.image.settings import BlobBackend, ImageBackend, ImageSettings
from cairn_gateway.services import Images
from cairn_gateway.settings import GatewayProcessSettings


@runtime_checkable
class HostsImages(Protocol):
    """A back end that compute hosts fetch images from, and put images into, by signed addresses."""

    settings: ImageSettings
    db: Database

    async def keys(self) -> SigningKeys:
        """What the addresses are signed with."""

    async def blob(self, image_id: str, wanted_range: str | None) -> Answer:
        """The data of an image. Raises NotFound."""

    async def upload(self, record: ImageRecord, chunks: AsyncIterator[bytes], size: int | None) -> None:
        """Take the data in and make the image active. Whatever fails leaves it queued, without data. `size`:
        bytes, where they are known beforehand.

        Raises Conflict (it has data, or somebody else uploads), BadRequest, BodyTooLarge, Gone,
        ServiceUnavailable.
        """


def hosts_url(settings: GatewayProcessSettings) -> str:
    """What compute hosts reach the gateway by."""
    own = settings.gateway
    return settings.images.hosts_url or own.public_url or f"http://{own.host}:{own.port}"


def make_images(settings: GatewayProcessSettings, db: Database, cluster: Cluster) -> Images:
    """The back end that the settings name. Raises ValueError for settings that are not complete."""
    from cairn_gateway.image.resources import ImageResources

    resources = ImageResources(db, cluster, hosts_url(settings))
    if settings.images.backend is ImageBackend.GLANCE:
        from cairn_gateway.image.glance import GlanceImages

        return GlanceImages(settings.images, db, resources)
    from cairn_gateway.image.builtin import BuiltinImages

    return BuiltinImages(settings.images, db, make_blobs(settings), resources)


def make_blobs(settings: GatewayProcessSettings) -> BlobStore:
    """Where the built-in store keeps files."""
    if settings.images.store is BlobBackend.S3:
        from cairn_gateway.image.blob_s3 import S3Store

        return S3Store(settings.images.s3)
    from cairn_gateway.image.blob_directory import DirectoryStore

    return DirectoryStore(settings.images.directory or settings.gateway.data_dir / "images")
