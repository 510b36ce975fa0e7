"""Runs the Migrations: begins what they ask for, shows what becomes of it, removes old ones.

A Migration belongs to the replica that its instance belongs to, so that whoever takes an instance's steps
also shows them.
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta

import structlog

from cairn_crds import Migration, MigrationStatus
from cairn_crds.base import MIGRATION_LABEL
from cairn_database import DatabaseError, InstanceRecord, instances, moves
from cairn_database.moves import MigrationRecord
from cairn_database.records import MoveKind
from cairn_operator.conductor.migrations import asking
from cairn_operator.conductor.migrations.making import make_resource
from cairn_operator.conductor.migrations.projection import (
    ENDED,
    PASSING,
    Refused,
    project,
    project_refusal,
)
from cairn_operator.conductor.migrations.wishes import Wish, wish_of
from cairn_operator.conductor.reconciler import Reconciler, shard_key
from cairn_operator.conductor.retention import Run, outlived
from cairn_operator.conductor.scope import Environment
from cairn_operator.conductor.shards import Membership
from cairn_runtime.kubernetes import Conflict, KubernetesError, NotFound, merge_diff
from cairn_runtime.store import Key, Store
from cairn_runtime.workqueue import WorkQueue

log = structlog.get_logger()
INSTANCE_PATIENCE_SECONDS = 10.0
"""How long a new Migration waits for its Instance: both may have been applied together."""
INSTANCE_LOOK_AGAIN = 0.5
MAKE_PAUSE_SECONDS = 0.2
"""Between two looks for moves that have no resource, however many begin."""
LOST_SECONDS = 5.0
SHOWN_LATE = timedelta(minutes=10)
"""A move that ended without a resource gets one for so long: it may have been over before anybody looked."""


class MigrationController:
    """The Migrations of one replica. `store` is filled by the watches."""

    def __init__(self, env: Environment, reconciler: Reconciler, membership: Membership) -> None:
        self.store = Store(Migration)
        self._env = env
        self._reconciler = reconciler
        self._membership = membership
        self._open: dict[Key, set[Key]] = {}
        """By instance: its Migrations that have not ended."""
        self._shown: set[str] = set()
        """Ids of moves that have a resource."""
        self._waiting_since: dict[str, float] = {}
        """By uid: when a Migration without an Instance was first looked at. No clock but the own one."""
        self._missing_since: dict[str, float] = {}
        self._unshown = asyncio.Event()
        self._maker: asyncio.Task[None] | None = None
        self.queue: WorkQueue[Key] = WorkQueue(
            "migrations", self.reconcile, concurrency=4, expected=(KubernetesError, DatabaseError)
        )
        self.store.on_change(self._take_in)

    async def start(self) -> None:
        """Start working."""
        await self.queue.start()
        self._maker = asyncio.create_task(self._make_forever(), name="migrations")
        self.wake_all()

    async def stop(self) -> None:
        """End it."""
        if self._maker is not None:
            self._maker.cancel()
            await asyncio.gather(self._maker, return_exceptions=True)
        await self.queue.stop()

    def wake_all(self) -> None:
        """Look at everything that is this replica's: after its share has changed."""
        for key in self.store:
            self._take_in(key)
        self._unshown.set()

    def note(self, key: Key, record: InstanceRecord | None) -> None:
        """A run of the instance `key` has ended: its moves may have gone on."""
        for migration in self._open.get(key, ()):
            self.queue.add(migration)
        move = record.move if record is not None else None
        if move is not None and move.kind is not MoveKind.UNSHELVE and move.id not in self._shown:
            self._unshown.set()

    def _take_in(self, key: Key) -> None:
        body = self.store.body(*key)
        if body is None:
            for others in self._open.values():
                others.discard(key)
            self._unshown.set()  # it may be needed still
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

    # One Migration

    async def reconcile(self, key: Key) -> float | None:
        """Bring one Migration a step further, and show where it is."""
        migration = self.store.get(*key)
        if migration is None:
            self.queue.forget(key)
            return None
        instance = (key[0], migration.spec.instance)
        if migration.status.phase in ENDED or not self._owns(instance):
            return None
        record = await instances.get_by_name(self._env.db, *instance)
        row = await asking.row_of(self._env.db, migration, record)
        refused: Refused | None = None
        if row is None:
            answer = await self._begin(migration, record)
            if answer is None:
                return INSTANCE_LOOK_AGAIN
            if isinstance(answer, Refused):
                await self._refuse(migration, answer)
                return None
            row = answer
            self._waiting_since.pop(migration.metadata.uid, None)
            self._reconciler.wake(instance)
        self._shown.add(row.id)
        wish = wish_of(migration.spec, row, record)
        if isinstance(wish, Refused):
            refused = wish
        elif isinstance(wish, Wish) and record is not None:
            refused = await asking.follow(self._env.db, wish, row, record)
            self._reconciler.wake(instance)
            row = await moves.get(self._env.db, row.id)
        return await self._show(migration, row, refused)

    async def _begin(
        self, migration: Migration, record: InstanceRecord | None
    ) -> MigrationRecord | Refused | None:
        """The row of a Migration that has none yet; None: look again."""
        known = migration.metadata.labels.get(MIGRATION_LABEL) or migration.status.migration_id
        if known is not None:
            return Refused(
                "Forgotten",
                f"The database does not know migration {known} of this instance: it may be older "
                "than this. Look at the instance, and create another Migration if it should move.",
            )
        if record is None:
            key = (migration.metadata.namespace, migration.spec.instance)
            seen = self._waiting_since.setdefault(migration.metadata.uid, time.monotonic())
            if time.monotonic() - seen < INSTANCE_PATIENCE_SECONDS:
                return None
            return Refused("InstanceNotFound", f"There is no Instance {key[0]}/{key[1]}.")
        return await asking.begin(self._env.db, migration, record)

    async def _refuse(self, migration: Migration, refused: Refused) -> None:
        self._waiting_since.pop(migration.metadata.uid, None)
        await self._write(migration, project_refusal(migration, refused, datetime.now(UTC)))
        self._env.events.warning(migration, refused.reason, refused.message)
        instance = self._env.instances.get(migration.metadata.namespace or "", migration.spec.instance)
        if instance is not None:
            message = f"Migration {migration.metadata.name} is refused: {refused.message}"
            self._env.events.warning(instance, "MigrationRefused", message)

    async def _show(
        self, migration: Migration, row: MigrationRecord, refused: Refused | None
    ) -> float | None:
        now = datetime.now(UTC)
        status = project(migration, row, refused, now)
        if merge_diff(migration.status.to_api(), status.to_api()) == {}:
            return None
        is_new = migration.status.observed_generation in (0, status.observed_generation)
        if status.phase in PASSING and is_new and refused is None:
            patience = self._env.settings.patience_seconds
            lasted = (now - row.created_at).total_seconds()
            if lasted < patience:
                return patience - lasted + 0.01
            if not self._env.pacing.take():
                return patience
        await self._write(migration, status)
        return None

    async def _write(self, migration: Migration, status: MigrationStatus) -> None:
        metadata = migration.metadata
        patch = merge_diff(migration.status.to_api(), status.to_api())
        if not patch:
            return
        body = {"metadata": {"resourceVersion": metadata.resource_version}, "status": patch}
        try:
            answer = await self._env.kubernetes.patch(
                Migration, metadata.name, metadata.namespace, body, "status"
            )
        except NotFound:
            return
        self.store.put(answer)

    # Resources for moves that have none

    async def _make_forever(self) -> None:
        while True:
            await self._unshown.wait()
            await asyncio.sleep(MAKE_PAUSE_SECONDS)
            self._unshown.clear()
            try:
                await self.make_missing()
            except (KubernetesError, DatabaseError) as error:
                log.warning("migrations.not_made", error=str(error))

    async def make_missing(self) -> None:
        """Every move of this replica's instances that is under way has its resource."""
        rows = await moves.list_to_show(self._env.db, datetime.now(UTC) - SHOWN_LATE)
        there = {body["metadata"].get("uid") for _key, body in self.store.bodies()}
        missing = [row for row in rows if row.resource_uid not in there]
        self._shown = {row.id for row in rows} - {row.id for row in missing}
        missing = self._surely_missing(missing)
        records = await instances.get_many(self._env.db, {row.instance_id for row in missing})
        for row in missing:
            record = records.get(row.instance_id)
            if record is None or not self._owns((record.namespace, record.name)):
                continue
            try:
                body = await make_resource(self._env.kubernetes, row, record)
            except NotFound:
                continue  # the namespace is gone
            if body is None:
                continue
            await moves.bind(self._env.db, row.id, body["metadata"]["uid"])
            self._shown.add(row.id)
            self.store.put(body)

    def _surely_missing(self, rows: list[MigrationRecord]) -> list[MigrationRecord]:
        """A resource that was made may not have been heard of yet: it is lost when that lasts."""
        now = time.monotonic()
        self._missing_since = {row.id: self._missing_since.get(row.id, now) for row in rows}
        return [
            row
            for row in rows
            if row.resource_uid is None or now - self._missing_since[row.id] > LOST_SECONDS
        ]

    # Keeping them

    async def sweep(self) -> None:
        """Look at what is open once more, and remove what has been kept for long enough."""
        self._unshown.set()
        for key in {key for keys in self._open.values() for key in keys}:
            self._take_in(key)
        settings = self._env.settings
        runs = [run for key in self.store if (run := self._run_of(key)) is not None]
        now = datetime.now(UTC)
        for key in outlived(runs, now, settings.run_keep_seconds, settings.run_keep_count):
            await self._remove(key)

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
            await self._env.kubernetes.delete(Migration, key[1], key[0], uid=body["metadata"]["uid"])
        except (NotFound, Conflict):
            return
        log.info("migration.removed", namespace=key[0], name=key[1])
