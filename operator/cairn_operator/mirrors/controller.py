"""Runs the mirrors: one queue for all kinds, a status written only where it changes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import structlog

from cairn_crds import Condition, ConditionStatus, Resource
from cairn_crds.base import MIRROR_FINALIZER
from cairn_crds.conditions import merge_conditions
from cairn_database import Database, DatabaseError, StillInUse, catalog
from cairn_operator.conductor.shards import Membership
from cairn_runtime.kubernetes import Conflict, Kubernetes, KubernetesError, NotFound, merge_diff
from cairn_runtime.store import Key, Store, is_observed
from cairn_runtime.workqueue import WorkQueue

log = structlog.get_logger()
STILL_IN_USE_LOOK_AGAIN = 5.0


@dataclass(frozen=True)
class MirrorContext:
    """What a mirror works with."""

    db: Database
    kubernetes: Kubernetes
    enrolled: set[str] = field(default_factory=set)
    """ComputeNodes whose namespace and roles this process has looked after."""


@dataclass(frozen=True)
class Mirrored:
    """What the status says afterwards."""

    ready: bool = True
    reason: str = "Mirrored"
    message: str = "Taken in."
    fields: Mapping[str, Any] | None = None
    """Further status fields, in API form."""
    look_again: float | None = None
    """Seconds until it is looked at again, where that is not what is usual for its kind."""


@dataclass(frozen=True)
class Mirror:
    """How one kind is mirrored."""

    store: Store[Any]
    take_in: Callable[[MirrorContext, Any], Awaitable[Mirrored]]
    remove: Callable[[MirrorContext, str, str], Awaitable[None]]
    """(context, namespace, name). Raises StillInUse while something needs it."""
    guarded: bool = False
    """True: a finalizer keeps the resource until `remove` has succeeded."""
    look_again: float = STILL_IN_USE_LOOK_AGAIN
    """Seconds until one that is not ready, or cannot go yet, is looked at again."""
    writes_status: bool = True
    """False where somebody else owns the status (a ComputeNode's agent)."""


class NotGoneYet(StillInUse):
    """Somebody else has to do something first; `message` says who."""

    def __init__(self, message: str) -> None:
        DatabaseError.__init__(self, message)


MirrorKey = tuple[str, Key]


class MirrorController:
    """All mirrors of one replica."""

    def __init__(self, context: MirrorContext, membership: Membership, mirrors: list[Mirror]) -> None:
        self._context = context
        self._membership = membership
        self._mirrors = {mirror.store.kind.kind_info.plural: mirror for mirror in mirrors}
        self.queue: WorkQueue[MirrorKey] = WorkQueue(
            "mirrors", self.reconcile, concurrency=4, expected=(KubernetesError, DatabaseError)
        )
        for plural, mirror in self._mirrors.items():
            mirror.store.on_change(lambda key, plural=plural: self.wake((plural, key)))  # type: ignore[misc]

    def wake(self, key: MirrorKey, *, behind: bool = False) -> None:
        """Look at the object, if it is this replica's; `behind` all that somebody waits for."""
        if self._membership.owns(_shard_key(key)):
            self.queue.add(key, behind=behind)

    def owns(self, key: MirrorKey) -> bool:
        """Whether the object is this replica's to look after."""
        return self._membership.owns(_shard_key(key))

    def wake_all(self) -> None:
        """Look at everything that is this replica's; what has been taken in before comes last."""
        for plural, mirror in self._mirrors.items():
            for key, body in mirror.store.bodies():
                self.wake((plural, key), behind=is_observed(body))

    async def wake_lost(self) -> None:
        """Look at what SQL has and the API server has not: it was deleted while nobody looked."""
        for plural, mirror in self._mirrors.items():
            if plural in catalog.MIRRORED and mirror.store.synced:
                for key in await catalog.recorded_keys(self._context.db, plural):
                    if key not in mirror.store:
                        self.wake((plural, key))

    async def reconcile(self, key: MirrorKey) -> float | None:
        """Take one object in, or let it go."""
        plural, (namespace, name) = key
        mirror = self._mirrors[plural]
        found = mirror.store.get(namespace, name)
        if found is None:
            if not mirror.guarded:
                await mirror.remove(self._context, namespace, name)
            self.queue.forget(key)
            return None
        if found.metadata.deletion_timestamp is not None:
            return await self._let_go(mirror, found)
        if mirror.guarded and MIRROR_FINALIZER not in found.metadata.finalizers:
            found = await self._guard(mirror, found)
        answer = await mirror.take_in(self._context, found)
        if mirror.writes_status:
            await self._write_status(mirror, found, answer)
        return None if answer.ready else answer.look_again or mirror.look_again

    async def _guard(self, mirror: Mirror, found: Any) -> Any:
        finalizers = [*found.metadata.finalizers, MIRROR_FINALIZER]
        return await self._patch_finalizers(mirror, found, finalizers)

    async def _patch_finalizers(self, mirror: Mirror, found: Any, finalizers: list[str]) -> Any:
        metadata = found.metadata
        patch = {"metadata": {"finalizers": finalizers or None, "resourceVersion": metadata.resource_version}}
        kind = mirror.store.kind
        body = await self._context.kubernetes.patch(kind, metadata.name, metadata.namespace, patch)
        mirror.store.put(body)
        return kind.from_api(body)

    async def _let_go(self, mirror: Mirror, found: Any) -> float | None:
        if MIRROR_FINALIZER not in found.metadata.finalizers:
            return None
        try:
            await mirror.remove(self._context, found.metadata.namespace or "", found.metadata.name)
        except StillInUse as error:
            answer = Mirrored(ready=False, reason="StillInUse", message=str(error))
            if mirror.writes_status:
                await self._write_status(mirror, found, answer)
            return mirror.look_again
        rest = [name for name in found.metadata.finalizers if name != MIRROR_FINALIZER]
        try:
            await self._patch_finalizers(mirror, found, rest)
        except (NotFound, Conflict):
            return 0.5
        return None

    async def _write_status(self, mirror: Mirror, found: Any, answer: Mirrored) -> None:
        condition = Condition(
            type="Ready",
            status=ConditionStatus.TRUE if answer.ready else ConditionStatus.FALSE,
            reason=answer.reason,
            message=answer.message,
        )
        merged = merge_conditions(found.status.conditions, [condition], datetime.now(UTC))
        wanted = {
            **found.status.to_api(),
            **(answer.fields or {}),
            "observedGeneration": found.metadata.generation,
            "conditions": [item.to_api() for item in merged],
        }
        patch = merge_diff(found.status.to_api(), wanted)
        if not patch:
            return
        metadata = found.metadata
        body = {"metadata": {"resourceVersion": metadata.resource_version}, "status": patch}
        kind: type[Resource] = mirror.store.kind
        try:
            answer_body = await self._context.kubernetes.patch(
                kind, metadata.name, metadata.namespace, body, "status"
            )
        except NotFound:
            return
        mirror.store.put(answer_body)


def _shard_key(key: MirrorKey) -> str:
    plural, (namespace, name) = key
    return f"{plural}/{namespace}/{name}"
