"""What the resources that stand for a run (Migration, Snapshot) have in common.

A run names an Instance, is begun once, is shown until it has ended, and is removed after a while. It belongs
to the replica that its instance belongs to, so that whoever takes an instance's steps also shows them.
"""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

import structlog

from cairn_crds.base import Model, Resource
from cairn_database import InstanceRecord, instances
from cairn_operator.conductor.queued import Queued
from cairn_operator.conductor.reconciler import Reconciler, shard_key
from cairn_operator.conductor.retention import Run, outlived
from cairn_operator.conductor.scope import Environment
from cairn_operator.conductor.shards import Membership
from cairn_runtime.kubernetes import Conflict, NotFound, merge_diff
from cairn_runtime.store import Key, Store

log = structlog.get_logger()
INSTANCE_PATIENCE_SECONDS = 10.0
"""How long a new run waits for its Instance: both may have been applied together."""
R = TypeVar("R", bound=Resource)


class RunController(Queued[Key], Generic[R]):
    """The runs of one kind that are one replica's. `store` is filled by the watches."""

    def __init__(
        self,
        kind: type[R],
        ended: Collection[str],
        env: Environment,
        reconciler: Reconciler,
        membership: Membership,
        *,
        concurrency: int,
    ) -> None:
        """`ended`: the phases after which nothing happens any more."""
        self.store = Store(kind)
        self._kind = kind
        self._ended = ended
        self._env = env
        self._reconciler = reconciler
        self._membership = membership
        self._open: dict[Key, set[Key]] = {}
        """By instance: its runs that have not ended."""
        self._waiting_since: dict[str, float] = {}
        """By uid: when a run without an Instance was first looked at. No clock but the own one."""
        super().__init__(self.store, kind.kind_info.plural, concurrency=concurrency)

    def note(self, key: Key, record: InstanceRecord | None) -> None:
        """A run of the instance `key` through the phases has ended: what it is in may have gone on."""
        for run in self._open.get(key, ()):
            self.queue.add(run)

    async def sweep(self) -> None:
        """Look at what is open once more, and remove what has been kept for long enough."""
        for key in {key for keys in self._open.values() for key in keys}:
            self._take_in(key)
        settings = self._env.settings
        runs = [run for key in self.store if (run := self._ended_run(key)) is not None]
        now = datetime.now(UTC)
        for key in outlived(runs, now, settings.run_keep_seconds, settings.run_keep_count):
            await self._remove(key)

    async def reconcile(self, key: Key) -> float | None:
        """Bring one run a step further, and show where it is; the seconds until the next look."""
        resource = self.store.get(*key)
        if resource is None:
            self.queue.forget(key)
            return None
        body = self.store.body(*key)
        instance = _instance_of(key, body)
        if _phase(body) in self._ended or not self._owns(instance):
            return None
        record = await instances.get_by_name(self._env.db, *instance)
        return await self._step(resource, instance, record)

    @abstractmethod
    async def _step(self, resource: R, instance: Key, record: InstanceRecord | None) -> float | None:
        """As `reconcile`, for one that has not ended. `record`: of its instance, if there is one."""

    def _is_early(self, resource: R) -> bool:
        """Whether a run whose Instance is not there should wait for it still."""
        since = self._waiting_since.setdefault(resource.metadata.uid, time.monotonic())
        return time.monotonic() - since < INSTANCE_PATIENCE_SECONDS

    def _owns(self, instance: Key) -> bool:
        return self._membership.owns(shard_key(instance))

    def _take_in(self, key: Key) -> None:
        body = self.store.body(*key)
        if body is None:
            for others in self._open.values():
                others.discard(key)
            return
        instance = _instance_of(key, body)
        if _phase(body) in self._ended:
            self._open.get(instance, set()).discard(key)
            return
        self._open.setdefault(instance, set()).add(key)
        if self._owns(instance):
            self.queue.add(key)

    async def _write(self, resource: R, status: Model) -> bool:
        """Write the status where it says something new; whether it did."""
        metadata = resource.metadata
        patch = merge_diff(resource.to_api()["status"], status.to_api())
        if not patch:
            return False
        body = {"metadata": {"resourceVersion": metadata.resource_version}, "status": patch}
        try:
            answer = await self._env.kubernetes.patch(
                self._kind, metadata.name, metadata.namespace, body, "status"
            )
        except NotFound:
            return False
        self.store.put(answer)
        return True

    def _ended_run(self, key: Key) -> Run | None:
        body = self.store.body(*key)
        if body is None or _phase(body) not in self._ended:
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
            await self._env.kubernetes.delete(self._kind, key[1], key[0], uid=body["metadata"]["uid"])
        except (NotFound, Conflict):
            return
        log.info("run.removed", kind=self._kind.kind_info.kind, namespace=key[0], name=key[1])


def _instance_of(key: Key, body: Any) -> Key:
    return key[0], str(body["spec"].get("instance"))


def _phase(body: Any) -> str | None:
    phase: str | None = body["status"].get("phase")
    return phase
