"""Runs the phases, for one instance at a time."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import structlog

from cairn_database import ConcurrentUpdate, DatabaseError, InstanceNotFound
from cairn_operator.conductor.phases import PHASES
from cairn_operator.conductor.scope import Environment, Scope
from cairn_operator.conductor.shards import Membership
from cairn_runtime.kubernetes import Conflict, KubernetesError
from cairn_runtime.logs import log_context
from cairn_runtime.store import Key, is_observed
from cairn_runtime.workqueue import WorkQueue

log = structlog.get_logger()
RACE_ATTEMPTS = 3
"""A lost race is decided anew at once, this often; then the queue backs off."""


class Reconciler:
    """The instances' queue and what is done for each key."""

    def __init__(self, env: Environment, membership: Membership) -> None:
        self._env = env
        self._membership = membership
        self._seen: dict[Key, int] = {}
        """The version that an instance's row had at the end of its last run."""
        self.queue: WorkQueue[Key] = WorkQueue(
            "instances",
            self.reconcile,
            concurrency=env.settings.concurrency,
            expected=(KubernetesError, DatabaseError),
        )

    def wake(self, key: Key, *, behind: bool = False) -> None:
        """Look at the instance, if it is this replica's; `behind` all that somebody waits for."""
        if key == self._env.answering:
            return
        if self._membership.owns(shard_key(key)):
            self.queue.add(key, behind=behind)

    def wake_all(self) -> None:
        """Look at every instance that is this replica's: after its share has changed. Those that show nothing
        left to do come last."""
        for key, body in self._env.instances.bodies():
            self.wake(key, behind=is_settled(body))

    def wake_blocked(self) -> None:
        """Look again at what could not be built: something it refers to has changed."""
        for key in list(self._env.blocked):
            self.wake(key)

    def has_seen(self, key: Key, version: int) -> bool:
        """Whether a run has met that version of the row: if not, somebody changed it and could not say so."""
        return self._seen.get(key) == version

    def forget(self, live: Collection[Key]) -> None:
        """Keep nothing of instances that are not among `live`."""
        for key in self._seen.keys() - live:
            del self._seen[key]

    async def reconcile(self, key: Key) -> float | None:
        """One run of the phases; returns when to look again."""
        if not self._membership.owns(shard_key(key)):
            return None
        for attempt in range(RACE_ATTEMPTS):
            try:
                return await self._run(key)
            except (ConcurrentUpdate, InstanceNotFound, Conflict):
                if attempt == RACE_ATTEMPTS - 1:
                    raise
        return None

    async def _run(self, key: Key) -> float | None:
        scope = Scope(env=self._env, key=key, instance=self._env.instances.get(*key))
        with log_context(namespace=key[0], name=key[1]):
            try:
                await self._run_phases(scope)
                if scope.wants_another_run:
                    scope.after(0)
            finally:
                if scope.record is not None:
                    self._seen[key] = scope.record.version
                self._env.after_run(key, scope.record)
        return scope.look_again

    @staticmethod
    async def _run_phases(scope: Scope) -> None:
        for phase in PHASES:
            record = scope.record
            ids = {"instance_id": record.id, "request_id": record.request_id} if record else {}
            with log_context(**ids, phase=phase.__name__):
                if not await phase(scope):
                    return


def is_settled(body: dict[str, Any]) -> bool:
    """Whether an Instance, as last seen, has been answered and is in no task: nobody waits for it."""
    return is_observed(body) and not body["status"].get("taskState")


def shard_key(key: Key) -> str:
    """What the owner of an instance is decided by."""
    return f"{key[0]}/{key[1]}"
