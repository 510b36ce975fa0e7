"""Runs the Snapshots: each has an image made of its instance, once, and shows what becomes of it.

The Snapshot's uid is the image's id, and names the request in the instance's history: what was begun, and how
it ended, is read there, so that nothing is begun twice, whoever dies in between. Old Snapshots go after a
while; their images stay.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog

from cairn_crds import Snapshot, SnapshotStatus
from cairn_crds.snapshot import SnapshotPhase
from cairn_database import (
    DatabaseError,
    InstanceNotFound,
    InstanceRecord,
    capabilities,
    history,
    instances,
    legality,
    reshaping,
)
from cairn_database.asking import Asked
from cairn_database.history import ActionRecord
from cairn_database.images import rows, snapshots
from cairn_database.images.changing import ImageIdTaken
from cairn_database.images.records import ImageRecord
from cairn_operator.conductor.reconciler import Reconciler, shard_key
from cairn_operator.conductor.retention import Run, outlived
from cairn_operator.conductor.scope import Environment
from cairn_operator.conductor.shards import Membership
from cairn_runtime.kubernetes import Conflict, KubernetesError, NotFound, merge_diff
from cairn_runtime.store import Key, Store
from cairn_runtime.workqueue import WorkQueue

log = structlog.get_logger()
P = SnapshotPhase
ENDED = frozenset({P.COMPLETED, P.FAILED})
INSTANCE_PATIENCE_SECONDS = 10.0
"""How long a new Snapshot waits for its Instance: both may have been applied together."""
LOOK_AGAIN = 0.5
PUBLISH_LOOK_AGAIN = 1.0
LONGEST_MESSAGE = 4096


@dataclass(frozen=True)
class Seen:
    """How far it is, as the status says."""

    phase: SnapshotPhase
    message: str | None = None


class SnapshotController:
    """The Snapshots of one replica. `store` is filled by the watches."""

    def __init__(self, env: Environment, reconciler: Reconciler, membership: Membership) -> None:
        self.store = Store(Snapshot)
        self._env = env
        self._reconciler = reconciler
        self._membership = membership
        self._open: dict[Key, set[Key]] = {}
        """By instance: its Snapshots that have not ended."""
        self._waiting_since: dict[str, float] = {}
        """By uid: when a Snapshot without an Instance was first looked at."""
        self.queue: WorkQueue[Key] = WorkQueue(
            "snapshots", self.reconcile, concurrency=2, expected=(KubernetesError, DatabaseError)
        )
        self.store.on_change(self._take_in)

    async def start(self) -> None:
        """Start working."""
        await self.queue.start()
        self.wake_all()

    async def stop(self) -> None:
        """End it."""
        await self.queue.stop()

    def wake_all(self) -> None:
        """Look at everything that is this replica's: after its share has changed."""
        for key in self.store:
            self._take_in(key)

    def note(self, key: Key, _record: InstanceRecord | None) -> None:
        """A run of the instance `key` has ended: its snapshot may have gone on."""
        for snapshot in self._open.get(key, ()):
            self.queue.add(snapshot)

    async def sweep(self) -> None:
        """Look at what is open once more, and remove what has been kept for long enough."""
        for key in {key for keys in self._open.values() for key in keys}:
            self._take_in(key)
        settings = self._env.settings
        runs = [run for key in self.store if (run := self._run_of(key)) is not None]
        now = datetime.now(UTC)
        for key in outlived(runs, now, settings.run_keep_seconds, settings.run_keep_count):
            await self._remove(key)

    def _take_in(self, key: Key) -> None:
        body = self.store.body(*key)
        if body is None:
            for others in self._open.values():
                others.discard(key)
            return
        instance = (key[0], str(body["spec"].get("instance")))
        if body["status"].get("phase") in ENDED:
            self._open.get(instance, set()).discard(key)
            return
        self._open.setdefault(instance, set()).add(key)
        if self._owns(instance):
            self.queue.add(key)

    def _owns(self, instance: Key) -> bool:
        return self._membership.owns(shard_key(instance))

    # One Snapshot

    async def reconcile(self, key: Key) -> float | None:
        """Bring one Snapshot a step further, and show where it is."""
        snapshot = self.store.get(*key)
        if snapshot is None:
            self.queue.forget(key)
            return None
        instance = (key[0], snapshot.spec.instance)
        if snapshot.status.phase in ENDED or not self._owns(instance):
            return None
        record = await instances.get_by_name(self._env.db, *instance)
        seen = await self._look(snapshot, record)
        if seen is None:
            return LOOK_AGAIN
        image = await rows.get(self._env.db, snapshot.metadata.uid)
        if seen.phase is P.COMPLETED and image is not None and not image.has_data:
            # All of it is stored; its resource is being made.
            await self._write(snapshot, Seen(P.SAVING), image)
            return PUBLISH_LOOK_AGAIN
        await self._write(snapshot, seen, image)
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
        since = self._waiting_since.setdefault(uid, time.monotonic())
        if time.monotonic() - since < INSTANCE_PATIENCE_SECONDS:
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

    async def _write(self, snapshot: Snapshot, seen: Seen, image: ImageRecord | None) -> None:
        metadata = snapshot.metadata
        ended = seen.phase in ENDED
        status = SnapshotStatus(
            phase=seen.phase,
            image_id=image.id if image is not None else snapshot.status.image_id,
            image=image.resource if image is not None else snapshot.status.image,
            size_bytes=image.size if image is not None else snapshot.status.size_bytes,
            message=seen.message[:LONGEST_MESSAGE] if seen.message else None,
            ended_at=(snapshot.status.ended_at or datetime.now(UTC)) if ended else None,
            observed_generation=metadata.generation,
        )
        patch = merge_diff(snapshot.status.to_api(), status.to_api())
        if not patch:
            return
        body = {"metadata": {"resourceVersion": metadata.resource_version}, "status": patch}
        try:
            answer = await self._env.kubernetes.patch(
                Snapshot, metadata.name, metadata.namespace, body, "status"
            )
        except NotFound:
            return
        self.store.put(answer)
        if seen.phase is P.FAILED:
            self._env.events.warning(snapshot, "Failed", seen.message or "")

    # Old ones

    def _run_of(self, key: Key) -> Run | None:
        body = self.store.body(*key)
        if body is None or body["status"].get("phase") not in ENDED:
            return None
        if body["metadata"].get("deletionTimestamp") or not self._owns((key[0], key[0])):
            return None  # a namespace's old ones are one replica's to count
        ended = body["status"].get("endedAt") or body["metadata"].get("creationTimestamp")
        return Run(key, datetime.fromisoformat(str(ended).replace("Z", "+00:00")))

    async def _remove(self, key: Key) -> None:
        body = self.store.body(*key)
        if body is None:
            return
        try:
            await self._env.kubernetes.delete(Snapshot, key[1], key[0], uid=body["metadata"]["uid"])
        except (NotFound, Conflict):
            return
        log.info("snapshot.removed", namespace=key[0], name=key[1])


def request_id(uid: str) -> str:
    """Of the action that the Snapshot of this uid is, in the form that Nova's have."""
    return f"req-{uid}"
