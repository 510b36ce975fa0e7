"""Cleans up after uploads that came to no end and images that are gone. Every gateway does it."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Protocol

import structlog

from cairn_database import Database, DatabaseError
from cairn_database.images import uploads
from cairn_gateway.image.blobs import BlobStoreUnavailable
from cairn_gateway.image.resources import ImageResources
from cairn_gateway.image.settings import ImageSettings
from cairn_runtime.kubernetes import KubernetesError

log = structlog.get_logger()
FINISH_AFTER = 10.0
"""Seconds for which the gateway that took the data has the first right to make it active."""


class Deletes(Protocol):
    """Where the data is."""

    async def delete(self, blob: str) -> None:
        """Remove it; none is fine. Raises BlobStoreUnavailable."""


class Sweep:
    """Looks every `sweep_seconds`, or when told that there is something."""

    def __init__(
        self, settings: ImageSettings, db: Database, blobs: Deletes, resources: ImageResources
    ) -> None:
        self._settings = settings
        self._db = db
        self._blobs = blobs
        self._resources = resources
        self._wanted = asyncio.Event()

    def soon(self) -> None:
        """There is something to remove."""
        self._wanted.set()

    async def run(self) -> None:
        """Until cancelled."""
        urls_are_right = False
        while True:
            try:
                await self.once()
                if not urls_are_right:
                    await self._resources.correct_urls()
                    urls_are_right = True
            except (DatabaseError, KubernetesError, BlobStoreUnavailable) as error:
                log.warning("images.sweep_failed", error=str(error))
            except Exception:
                log.exception("images.sweep_failed")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wanted.wait(), self._settings.sweep_seconds)
            self._wanted.clear()

    async def once(self) -> None:
        """Give up what stands still, finish what only lacks its resource, remove files of nothing."""
        given_up = await uploads.give_up_stale(self._db, self._settings.stale_seconds)
        if given_up:
            log.info("images.uploads_given_up", count=given_up)
        for record in await uploads.unfinished(self._db, FINISH_AFTER):
            await self._resources.publish(record)
        for blob in await uploads.doomed(self._db):
            await self._blobs.delete(blob)
            await uploads.forget(self._db, blob)
