"""What no event tells: claims made in SQL, resources that are missing, machines that nobody claims.

Nothing here changes anything by itself (machines and Guests of deleted instances aside, which get a Guest
that removes them): it only wakes the reconciler for what does not agree.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog

from cairn_crds import Guest
from cairn_crds.guest import node_namespace
from cairn_database import DatabaseError, TaskState, history, instances, moves, removal
from cairn_operator.conductor import metrics
from cairn_operator.conductor.guest_spec import build_guest
from cairn_operator.conductor.nodes import NodeWatchdog
from cairn_operator.conductor.reconciler import Reconciler, shard_key
from cairn_operator.conductor.scope import Environment
from cairn_operator.conductor.shards import Membership
from cairn_operator.mirrors.controller import MirrorController
from cairn_runtime.kubernetes import AlreadyExists, Conflict, KubernetesError, NotFound

log = structlog.get_logger()
PAGE = 1000
AWAITED = 100_000
PURGE_SECONDS = 3600.0


class Sweep:
    """Compares SQL with the stores, often where something is awaited and now and then everywhere."""

    def __init__(
        self,
        env: Environment,
        reconciler: Reconciler,
        membership: Membership,
        mirrors: MirrorController,
        others: Sequence[Callable[[], Awaitable[None]]] = (),
    ) -> None:
        """`others`: what else is compared each time."""
        self._env = env
        self._reconciler = reconciler
        self._membership = membership
        self._mirrors = mirrors
        self._others = others
        self._watchdog = NodeWatchdog(env.kubernetes, env.nodes, env.settings.node_down_seconds)
        self._unknown: set[tuple[str, str]] = set()
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Start both loops."""
        self._tasks = [
            asyncio.create_task(self._poll_claims(), name="claims"),
            asyncio.create_task(self._sweep_forever(), name="sweep"),
        ]

    async def stop(self) -> None:
        """End them."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _poll_claims(self) -> None:
        """The scheduler's answer is a row that has left `scheduling`; asked for only while one is awaited."""
        loop = asyncio.get_running_loop()
        pause = shortest = self._env.settings.claim_poll_seconds
        while True:
            await asyncio.sleep(pause)
            awaiting = self._env.awaiting
            pause = shortest
            if not awaiting:
                continue
            started = loop.time()
            try:
                waiting = set(await instances.list_awaiting_host(self._env.db, limit=AWAITED))
            except DatabaseError as error:
                log.warning("claims.not_polled", error=str(error))
                await asyncio.sleep(1)
                continue
            # A long queue makes the question dearer: it may not take more than a tenth of the time.
            pause = max(shortest, 10 * (loop.time() - started))
            for instance_id in [i for i in awaiting if i not in waiting]:
                key = awaiting.pop(instance_id, None)
                if key is not None:
                    self._env.answered.add(instance_id)
                    self._reconciler.wake(key)

    async def _sweep_forever(self) -> None:
        purge_at = 0.0
        loop = asyncio.get_running_loop()
        while True:
            try:
                await self.sweep()
                if loop.time() >= purge_at:
                    purge_at = loop.time() + PURGE_SECONDS
                    before = datetime.now(UTC) - timedelta(days=self._env.settings.purge_days)
                    await history.purge(self._env.db, before, limit=PAGE)
                    await moves.purge(self._env.db, before, limit=PAGE)
                    await removal.forget_released(self._env.db, before)
                    await self._mirrors.wake_lost()
            except (DatabaseError, KubernetesError) as error:
                log.warning("sweep.failed", error=str(error))
            await asyncio.sleep(self._env.settings.sweep_seconds)

    async def sweep(self) -> None:
        """One comparison of everything that is this replica's."""
        live: set[tuple[str, str]] = set()
        hosts: dict[str, str | None] = {}
        after: str | None = None
        while True:
            page = await instances.list_keys(self._env.db, after_id=after, limit=PAGE)
            for row in page:
                key = (row.namespace, row.name)
                live.add(key)
                hosts[row.id] = row.host
                missing_guest = (
                    row.host is not None
                    and row.task_state not in (TaskState.SCHEDULING, TaskState.NETWORKING)
                    and (node_namespace(row.host), row.id) not in self._env.guests
                )
                changed = row.task_state is not None or not self._reconciler.has_seen(key, row.version)
                if changed or missing_guest or key not in self._env.instances:
                    self._reconciler.wake(key, behind=row.task_state is None)
            if len(page) < PAGE:
                break
            after = page[-1].id
        self._reconciler.forget(live)
        for key in self._env.instances:
            if key not in live and key not in self._env.blocked:
                self._reconciler.wake(key)
        await self._watchdog.look(lambda name: self._membership.owns(shard_key(("", name))))
        for look in self._others:
            await look()
        await self._remove_strays()
        await self._remove_late_guests(hosts)
        await self._count()

    async def _remove_strays(self) -> None:
        """Machines without a Guest: of a live instance, its Guest comes back; of a deleted one, they go."""
        for (_namespace, node), body in self._env.nodes.bodies():
            for instance_id in body["status"].get("unclaimedMachines", []):
                if not self._membership.owns(shard_key(("", instance_id))):
                    continue
                if (node_namespace(node), instance_id) not in self._env.guests:
                    await self._judge_stray(node, instance_id)

    async def _judge_stray(self, node: str, instance_id: str) -> None:
        record = (await instances.get_many(self._env.db, [instance_id])).get(instance_id)
        if record is None:
            if (node, instance_id) not in self._unknown:
                self._unknown.add((node, instance_id))
                log.error("machine.unknown", node=node, instance_id=instance_id)
            return  # never heard of: a person has to say whose it is
        if not record.is_deleted and node in (record.host, record.other_host):
            self._reconciler.wake((record.namespace, record.name))
            return
        guest = build_guest(replace(record, host=node, interfaces=()), absent=True)
        try:
            self._env.guests.put(await self._env.kubernetes.create(Guest, guest.manifest()))
        except AlreadyExists:
            return
        metrics.REPAIRS.labels("stray-machine").inc()
        log.warning("machine.stray", node=node, instance_id=instance_id)

    async def _remove_late_guests(self, hosts: dict[str, str | None]) -> None:
        """Guests that came after their time: somebody was held up between deciding and making them."""
        suspects = [
            (key, body)
            for key, body in self._env.guests.bodies()
            if not body["spec"].get("absent")
            and (hosts.get(key[1]) is None or node_namespace(hosts[key[1]] or "") != key[0])
        ]
        rows = await instances.get_many(self._env.db, [key[1] for key, _body in suspects]) if suspects else {}
        for key, body in suspects:
            record = rows.get(key[1])
            if record is None:
                continue  # as with machines: a person has to say whose it is
            if record.is_deleted:
                if self._membership.owns(shard_key(("", record.id))):
                    await self._remove_late(key, body)
            elif node_namespace(record.host or "") != key[0] and record.move is None:
                self._reconciler.wake((record.namespace, record.name))

    async def _remove_late(self, key: tuple[str, str], body: dict[str, Any]) -> None:
        patch = {
            "metadata": {"resourceVersion": body["metadata"]["resourceVersion"]},
            "spec": {"absent": True},
        }
        try:
            self._env.guests.put(await self._env.kubernetes.patch(Guest, key[1], key[0], patch))
        except (NotFound, Conflict):
            return
        metrics.REPAIRS.labels("late-guest").inc()
        log.warning("guest.late", namespace=key[0], instance_id=key[1])

    async def _count(self) -> None:
        counts = await instances.count_by_state(self._env.db)
        metrics.INSTANCES.clear()
        for (vm_state, task_state), number in counts.items():
            metrics.INSTANCES.labels(vm_state, task_state or "").set(number)
        metrics.OWNED.set(len(self._membership.members))
