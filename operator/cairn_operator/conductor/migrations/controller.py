"""Runs the Migrations: begins what they ask for, shows what becomes of it, makes those that are missing."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta

import structlog

from cairn_crds import Migration
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
from cairn_operator.conductor.reconciler import Reconciler
from cairn_operator.conductor.runs import RunController
from cairn_operator.conductor.scope import Environment
from cairn_operator.conductor.shards import Membership
from cairn_runtime.kubernetes import KubernetesError, NotFound, merge_diff
from cairn_runtime.store import Key

log = structlog.get_logger()
INSTANCE_LOOK_AGAIN = 0.5
MAKE_PAUSE_SECONDS = 0.2
"""Between two looks for moves that have no resource, however many begin."""
LOST_SECONDS = 5.0
SHOWN_LATE = timedelta(minutes=10)
"""A move that ended without a resource gets one for so long: it may have been over before anybody looked."""


class MigrationController(RunController[Migration]):
    """The Migrations of one replica, and those to be made for moves that began elsewhere."""

    def __init__(self, env: Environment, reconciler: Reconciler, membership: Membership) -> None:
        super().__init__(Migration, ENDED, env, reconciler, membership, concurrency=4)
        self._shown: set[str] = set()
        """Ids of moves that have a resource."""
        self._missing_since: dict[str, float] = {}
        self._unshown = asyncio.Event()
        self._maker: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start working."""
        self._maker = asyncio.create_task(self._make_forever(), name="migrations")
        await super().start()

    async def stop(self) -> None:
        """End it."""
        if self._maker is not None:
            self._maker.cancel()
            await asyncio.gather(self._maker, return_exceptions=True)
        await super().stop()

    def wake_all(self) -> None:
        """Look at everything that is this replica's: after its share has changed."""
        super().wake_all()
        self._unshown.set()

    def note(self, key: Key, record: InstanceRecord | None) -> None:
        """A run of the instance `key` through the phases has ended: its moves may have gone on."""
        super().note(key, record)
        move = record.move if record is not None else None
        if move is not None and move.kind is not MoveKind.UNSHELVE and move.id not in self._shown:
            self._unshown.set()

    async def sweep(self) -> None:
        """Look at what is open once more, and remove what has been kept for long enough."""
        self._unshown.set()
        await super().sweep()

    def _take_in(self, key: Key) -> None:
        super()._take_in(key)
        if self.store.body(*key) is None:
            self._unshown.set()  # it may be needed still

    # One Migration

    async def _step(self, resource: Migration, instance: Key, record: InstanceRecord | None) -> float | None:
        row = await asking.row_of(self._env.db, resource, record)
        refused: Refused | None = None
        if row is None:
            answer = await self._begin(resource, record)
            if answer is None:
                return INSTANCE_LOOK_AGAIN
            if isinstance(answer, Refused):
                await self._refuse(resource, answer)
                return None
            row = answer
            self._waiting_since.pop(resource.metadata.uid, None)
            self._reconciler.wake(instance)
        self._shown.add(row.id)
        wish = wish_of(resource.spec, row, record)
        if isinstance(wish, Refused):
            refused = wish
        elif isinstance(wish, Wish) and record is not None:
            refused = await asking.follow(self._env.db, wish, row, record)
            self._reconciler.wake(instance)
            row = await moves.get(self._env.db, row.id)
        return await self._show(resource, row, refused)

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
            if self._is_early(migration):
                return None
            name = f"{migration.metadata.namespace}/{migration.spec.instance}"
            return Refused("InstanceNotFound", f"There is no Instance {name}.")
        return await asking.begin(self._env.db, migration, record)

    async def _refuse(self, migration: Migration, refused: Refused) -> None:
        self._waiting_since.pop(migration.metadata.uid, None)
        refusal = project_refusal(migration, refused, datetime.now(UTC))
        await self._write(migration, refusal)
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
