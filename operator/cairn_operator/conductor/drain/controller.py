"""Drains hosts whose ComputeNode says `spec.drain`: begins moves, and shows in `status.drain` how far it is.

Nothing is remembered between two looks: what is left stands in `allocations`, what has failed in
`migrations`. A host belongs to one replica at a time; should two work on it for a moment, the instances'
versions let only one of them begin a move.
"""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta

import structlog

from cairn_crds import ComputeNode, Condition, ConditionStatus
from cairn_crds.compute_node import DrainStatus
from cairn_crds.conditions import find_condition, merge_conditions
from cairn_database import (
    ConcurrentUpdate,
    InstanceNotFound,
    InstanceRecord,
    instances,
    legality,
    moves,
    moving,
    shelving,
)
from cairn_database.asking import Asked
from cairn_operator.conductor.drain.planning import LONGEST_PAUSE_SECONDS, Plan, Way, plan
from cairn_operator.conductor.queued import Queued
from cairn_operator.conductor.reconciler import Reconciler
from cairn_operator.conductor.scope import Environment
from cairn_operator.conductor.shards import Membership
from cairn_runtime.kubernetes import NotFound, merge_diff
from cairn_runtime.store import Key

log = structlog.get_logger()
LOOK_AGAIN_SECONDS = 2.0
SOON_SECONDS = 0.1
"""After a change of an instance; more may change by then."""
FAILURES_COUNT_FOR = timedelta(seconds=3 * LONGEST_PAUSE_SECONDS)
CONDITION = "Drained"


class DrainController(Queued[str]):
    """The hosts of one replica that are being drained."""

    def __init__(self, env: Environment, reconciler: Reconciler, membership: Membership) -> None:
        self._env = env
        self._reconciler = reconciler
        self._membership = membership
        self._draining: set[str] = set()
        super().__init__(env.nodes, "drains", concurrency=2)

    def note(self, _key: Key, record: InstanceRecord | None) -> None:
        """A run of an instance has ended: there may be room for the next move."""
        if record is not None and record.task_state is None:
            for node in self._draining:
                self.queue.add_after(node, SOON_SECONDS)

    def _take_in(self, key: Key) -> None:
        body = self._env.nodes.body(*key)
        name = key[1]
        if body is None:
            self._draining.discard(name)
            return
        wanted, shown = bool(body["spec"].get("drain")), "drain" in body["status"]
        is_news = wanted != (name in self._draining) or (shown and not wanted)  # a heartbeat is none
        if is_news and self._owns(name):
            self.queue.add(name)

    def _owns(self, node: str) -> bool:
        return self._membership.owns(f"drains/{node}")

    async def reconcile(self, name: str) -> float | None:
        """One look at the host of that name."""
        node = self._env.nodes.get("", name)
        if node is None or not self._owns(name):
            self._draining.discard(name)
            self.queue.forget(name)
            return None
        if not node.spec.drain or node.metadata.deletion_timestamp is not None:
            self._draining.discard(name)
            await self._write(node, None, None)
            return None
        self._draining.add(name)
        planned = await self._plan(node)
        refused = await self._begin(name, planned)
        failed = {**planned.status.failed, **refused}
        moving_now = planned.status.moving - len(refused)
        status = planned.status.model_copy(update={"failed": failed, "moving": moving_now})
        await self._write(node, status, _condition(status))
        return LOOK_AGAIN_SECONDS

    async def _plan(self, node: ComputeNode) -> Plan:
        db, name, now = self._env.db, node.metadata.name, datetime.now(UTC)
        remaining = await instances.list_holding(db, name)
        ids = [record.id for record in remaining]
        failures = await moves.failures_of(db, name, ids, now - FAILURES_COUNT_FOR) if ids else {}
        return plan(
            name,
            remaining,
            node.status.traits,
            failures,
            parallel=self._env.settings.drain_parallel,
            now=now,
        )

    async def _begin(self, name: str, planned: Plan) -> dict[str, str]:
        """Begin the moves; what is refused, by instance. Who has changed meanwhile has its turn next time."""
        refused = {}
        for record, way in planned.begin:
            try:
                await self._move(record, way)
            except (ConcurrentUpdate, InstanceNotFound):
                continue
            except legality.ActionRefused as error:
                refused[record.id] = str(error)
                continue
            log.info("drain.moves", node=name, instance_id=record.id, way=way.name)
            instance = self._env.instances.get(record.namespace, record.name)
            if instance is not None:
                message = f"Host {name} is being drained: the instance moves to another one."
                self._env.events.normal(instance, "Draining", message)
            self._reconciler.wake((record.namespace, record.name))
        return refused

    async def _move(self, record: InstanceRecord, way: Way) -> None:
        asked = Asked(request_id=f"req-{uuid.uuid4()}", overrides_lock=True, version=record.version)
        if way is Way.LIVE:
            await moving.live_migrate(self._env.db, record.id, asked)
        elif way is Way.COLD:
            await moving.migrate(self._env.db, record.id, asked, confirms=True)
        else:
            await shelving.shelve_offload(self._env.db, record.id, asked)

    async def _write(self, node: ComputeNode, status: DrainStatus | None, shown: Condition | None) -> None:
        """The agent writes the rest of the status: this patch holds nothing of it, and applies only to the
        version whose conditions it was made from."""
        before = find_condition(node.status.conditions, CONDITION)
        others = [item for item in node.status.conditions if item.type != CONDITION]
        wanted = [*others, shown] if shown is not None else others
        conditions = merge_conditions(node.status.conditions, wanted, datetime.now(UTC))
        old = node.status.drain.to_api() if node.status.drain is not None else None
        new = status.to_api() if status is not None else None
        same = before is None if shown is None else before is not None and before.says_the_same(shown)
        patch: dict[str, object] = {}
        if old != new:
            patch["drain"] = None if new is None else merge_diff(old or {}, new)
        if not same:
            patch["conditions"] = [item.to_api() for item in conditions]
            self._tell(node, before, shown)
        if not patch:
            return
        name = node.metadata.name
        body = {"metadata": {"resourceVersion": node.metadata.resource_version}, "status": patch}
        try:
            self._env.nodes.put(await self._env.kubernetes.patch(ComputeNode, name, None, body, "status"))
        except NotFound:
            return

    def _tell(self, node: ComputeNode, before: Condition | None, shown: Condition | None) -> None:
        if shown is None:
            self._env.events.normal(node, "DrainEnded", "Nothing more is moved away; what moves, moves on.")
        elif before is None or before.reason != shown.reason:
            tell = self._env.events.warning if shown.reason == "Stuck" else self._env.events.normal
            tell(node, shown.reason, shown.message)


def _condition(status: DrainStatus) -> Condition:
    if status.done:
        return Condition(
            type=CONDITION,
            status=ConditionStatus.TRUE,
            reason="Drained",
            message="No instance is here, and none comes.",
        )
    stuck = bool(status.failed) and status.moving == 0
    message = "Instances are being moved away: status.drain says how many are left."
    if stuck:
        message = "Some instances cannot be moved now: status.drain.failed says which, and why."
    return Condition(
        type=CONDITION,
        status=ConditionStatus.FALSE,
        reason="Stuck" if stuck else "Draining",
        message=message,
    )
