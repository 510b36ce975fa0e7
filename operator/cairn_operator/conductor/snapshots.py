"""Runs the Snapshots: each has an image made of its instance, once, and shows what becomes of it.

The Snapshot's uid is the image's id, and names the request in the instance's history: what was begun, and how
it ended, is read there, so that nothing is begun twice, whoever dies in between. Old Snapshots go after a
while; their images stay.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import structlog

from cairn_crds import Snapshot, SnapshotStatus
from cairn_crds.snapshot import SnapshotPhase
from cairn_database import (
    InstanceNotFound,
    InstanceRecord,
    capabilities,
    history,
    legality,
    reshaping,
)
from cairn_database.asking import Asked
from cairn_database.history import ActionRecord
from cairn_database.images import rows, snapshots
from cairn_database.images.changing import ImageIdTaken
from cairn_database.images.records import ImageRecord
from cairn_operator.conductor.reconciler import Reconciler
from cairn_operator.conductor.runs import RunController
from cairn_operator.conductor.scope import Environment
from cairn_operator.conductor.shards import Membership
from cairn_runtime.store import Key

log = structlog.get_logger()
P = SnapshotPhase
ENDED = frozenset({P.COMPLETED, P.FAILED})
LOOK_AGAIN = 0.5
PUBLISH_LOOK_AGAIN = 1.0
LONGEST_MESSAGE = 4096


@dataclass(frozen=True)
class Seen:
    """How far it is, as the status says."""

    phase: SnapshotPhase
    message: str | None = None


class SnapshotController(RunController[Snapshot]):
    """The Snapshots of one replica."""

    def __init__(self, env: Environment, reconciler: Reconciler, membership: Membership) -> None:
        super().__init__(Snapshot, ENDED, env, reconciler, membership, concurrency=2)

    async def _step(self, resource: Snapshot, instance: Key, record: InstanceRecord | None) -> float | None:
        seen = await self._look(resource, record)
        if seen is None:
            return LOOK_AGAIN
        image = await rows.get(self._env.db, resource.metadata.uid)
        if seen.phase is P.COMPLETED and image is not None and not image.has_data:
            # All of it is stored; its resource is being made.
            await self._show(resource, Seen(P.SAVING), image)
            return PUBLISH_LOOK_AGAIN
        await self._show(resource, seen, image)
        return None

    async def _look(self, snapshot: Snapshot, record: InstanceRecord | None) -> Seen | None:
        """How far it is; begins it where it has not been. None: look again."""
        uid = snapshot.metadata.uid
        if record is None:
            return await self._without_instance(snapshot)
        self._waiting_since.pop(uid, None)
        action = await self._action(record, uid)
        if action is None and snapshot.status.phase is P.SAVING:
            return Seen(P.FAILED, "The instance that it was of was deleted; another one has its name.")
        if action is None:
            return await self._begin(snapshot, record)
        if action.finished_at is None:
            return Seen(P.SAVING)
        if action.result == history.SUCCESS:
            return Seen(P.COMPLETED)
        return Seen(P.FAILED, action.message or "The image could not be made.")

    async def _action(self, record: InstanceRecord, uid: str) -> ActionRecord | None:
        found = await history.list_actions(self._env.db, record.id)
        return next((action for action in found if action.request_id == request_id(uid)), None)

    async def _without_instance(self, snapshot: Snapshot) -> Seen | None:
        uid, name = snapshot.metadata.uid, snapshot.spec.instance
        if snapshot.status.phase is P.SAVING:
            image = await rows.get(self._env.db, uid)
            if image is not None and image.has_data:
                return Seen(P.COMPLETED)
            return Seen(P.FAILED, f"The Instance {name} was deleted before the image was complete.")
        if self._is_early(snapshot):
            return None
        del self._waiting_since[uid]
        return Seen(P.FAILED, f"There is no Instance {name} in this namespace.")

    async def _begin(self, snapshot: Snapshot, record: InstanceRecord) -> Seen:
        """Reserve the image and have it made. What is not allowed now is refused: make another Snapshot."""
        db, spec, uid = self._env.db, snapshot.spec, snapshot.metadata.uid
        store_url = self._env.settings.image_store_url
        if not store_url:
            return Seen(
                P.FAILED,
                "This Cairn's conductor knows of no image store (conductor.image_store_url). Ask an "
                "administrator, or use the Compute API.",
            )
        backup = None if spec.backup is None else spec.backup.to_api()
        what = "snapshot" if backup is None else "backup"
        try:
            await db.read(lambda conn: capabilities.judge(conn, what, record, overrides_lock=True))
            url = await self._reserve(snapshot, record, store_url)
            asked = Asked(request_id=request_id(uid), overrides_lock=True)
            await reshaping.snapshot(db, record.id, asked, image_id=uid, url=url, backup=backup)
        except (legality.ActionRefused, legality.NotCapable, InstanceNotFound) as error:
            action = await self._action(record, uid)
            if action is not None:  # another replica has begun it a moment ago
                return Seen(P.SAVING)
            image = await rows.get(db, uid)
            if image is not None and not image.has_data:
                await rows.remove(db, uid)
            return Seen(P.FAILED, str(error))
        self._reconciler.wake((record.namespace, record.name))
        return Seen(P.SAVING)

    async def _reserve(self, snapshot: Snapshot, record: InstanceRecord, store_url: str) -> str:
        spec, uid = snapshot.spec, snapshot.metadata.uid
        try:
            _image, url = await snapshots.reserve(
                self._env.db,
                store_url,
                name=spec.image_name or snapshot.metadata.name,
                instance=record,
                properties=spec.metadata,
                backup=None if spec.backup is None else spec.backup.to_api(),
                image_id=uid,
            )
        except ImageIdTaken:  # reserved before, by whoever died then
            return snapshots.address(store_url, uid)
        return url

    async def _show(self, snapshot: Snapshot, seen: Seen, image: ImageRecord | None) -> None:
        ended = seen.phase in ENDED
        status = SnapshotStatus(
            phase=seen.phase,
            image_id=image.id if image is not None else snapshot.status.image_id,
            image=image.resource if image is not None else snapshot.status.image,
            size_bytes=image.size if image is not None else snapshot.status.size_bytes,
            message=seen.message[:LONGEST_MESSAGE] if seen.message else None,
            ended_at=(snapshot.status.ended_at or datetime.now(UTC)) if ended else None,
            observed_generation=snapshot.metadata.generation,
        )
        is_news = await self._write(snapshot, status)
        if is_news and seen.phase is P.FAILED:
            self._env.events.warning(snapshot, "Failed", seen.message or "")


def request_id(uid: str) -> str:
    """Of the action that the Snapshot of this uid is, in the form that Nova's have."""
    return f"req-{uid}"
