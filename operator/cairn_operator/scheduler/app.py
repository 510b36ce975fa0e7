"""`cairn scheduler`: watches feed the table of hosts and ring the bell, the loop does the rest."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import numpy as np
import structlog
from pydantic import ValidationError, field_validator

from cairn_crds import ComputeNode, HostAggregate, Instance
from cairn_database import MAY_SEEK_HOST, Database, DatabaseUnavailable
from cairn_operator.scheduler import metrics
from cairn_operator.scheduler.aggregates import ZONE_KEY, Aggregate
from cairn_operator.scheduler.filters import build_filters
from cairn_operator.scheduler.hosts import HostTable
from cairn_operator.scheduler.interning import BoolArray
from cairn_operator.scheduler.service import Scheduler
from cairn_operator.scheduler.settings import SchedulerSettings
from cairn_runtime.health import Health
from cairn_runtime.kubernetes import Kubernetes, KubernetesError
from cairn_runtime.process import run_process, wait_for
from cairn_runtime.settings import DatabaseSettings, ProcessSettings
from cairn_runtime.store import Key, Store
from cairn_runtime.watching import Watches

log = structlog.get_logger()


class SchedulerProcessSettings(ProcessSettings):
    """cairn scheduler: chooses a host for each instance that has none."""

    database: DatabaseSettings = DatabaseSettings()
    scheduler: SchedulerSettings = SchedulerSettings()

    @field_validator("scheduler")
    @classmethod
    def _filters_exist(cls, value: SchedulerSettings) -> SchedulerSettings:
        build_filters(value)
        return value


class Doorbell(Store[Instance]):
    """Instances, of which only one thing matters: that one may need a host. Keeps none of them.

    What is to be placed stands in SQL; the resource only says that it is time to look there.
    """

    def __init__(self, ring: Callable[[], None]) -> None:
        super().__init__(Instance)
        self._ring = ring

    def put(self, body: dict[str, Any]) -> bool:
        status = body.get("status") or {}
        is_new = not status.get("host") and status.get("vmState") in (None, "building")
        waits = is_new or status.get("taskState") in MAY_SEEK_HOST
        if waits and not body["metadata"].get("deletionTimestamp"):
            self._ring()
        return waits

    def remove(self, body: dict[str, Any]) -> None:
        """Nothing to forget."""

    def sync(self, bodies: Iterable[dict[str, Any]], list_version: str, namespace: str = "") -> None:
        """A repairing list: ring for those that wait."""
        for body in bodies:
            self.put(body)
        self.synced = True


def feed_hosts(
    hosts: HostTable,
    nodes: Store[ComputeNode],
    aggregates: Store[HostAggregate],
    *,
    clock: Callable[[], float] = time.monotonic,
    wall_clock: Callable[[], float] = time.time,
) -> None:
    """Keep the table true to the resources from now on. A resource that breaks its model changes nothing."""

    def node_changed(key: Key) -> None:
        node = _read(nodes, key)
        if node is not None:
            hosts.set_node(node, clock(), wall_clock())
        elif key not in nodes:
            hosts.remove_node(key[1])

    def aggregate_changed(key: Key) -> None:
        aggregate = _read(aggregates, key)
        if aggregate is not None:
            hosts.set_aggregate(read_aggregate(aggregate))
        elif key not in aggregates:
            hosts.remove_aggregate(key[1])

    nodes.on_change(node_changed)
    aggregates.on_change(aggregate_changed)


def read_aggregate(aggregate: HostAggregate) -> Aggregate:
    """What the filters read; the zone becomes metadata, as in Nova."""
    spec = aggregate.spec
    metadata = dict(spec.metadata)
    if spec.availability_zone:
        metadata[ZONE_KEY] = spec.availability_zone
    return Aggregate(aggregate.metadata.name, frozenset(spec.hosts), metadata)


def main(arguments: list[str]) -> int:
    """Run until told to stop."""
    return run_process("scheduler", SchedulerProcessSettings, arguments, run)


async def run(settings: SchedulerProcessSettings, health: Health, stop: asyncio.Event) -> None:
    """Connect, fill the table, schedule until `stop` is set. What it needs may be late."""
    db = Database(settings.database.url.get_secret_value())
    kubernetes = Kubernetes(settings.kubernetes)
    scheduler = Scheduler(db, settings.scheduler)
    nodes, aggregates = Store(ComputeNode), Store(HostAggregate)
    feed_hosts(scheduler.hosts, nodes, aggregates)
    measure_hosts(scheduler.hosts)
    watches = Watches(kubernetes, [nodes, aggregates, Doorbell(scheduler.wake)])
    _add_checks(health, db, watches, scheduler)
    try:
        await wait_for("database", lambda: _open(db), (DatabaseUnavailable,), stop)
        await kubernetes.open()
        await wait_for("API server", watches.fill, (KubernetesError,), stop)
        if stop.is_set():
            return
        await watches.start(stop)
        answers = asyncio.create_task(excuse_silence(scheduler.hosts, kubernetes.version, stop))
        try:
            await scheduler.run(stop)
        finally:
            answers.cancel()
            await watches.stop()
    finally:
        await kubernetes.close()
        await db.close()


async def excuse_silence(
    hosts: HostTable,
    ask: Callable[[], Awaitable[object]],
    stop: asyncio.Event,
    *,
    every_seconds: float = 5.0,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """While the API server does not answer (`ask` raises KubernetesError) no heartbeat can be seen: that time
    does not count against hosts. Runs until `stop` is set."""
    looked_at = clock()
    while not stop.is_set():
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(every_seconds):
                await stop.wait()
        answered = True
        try:
            await ask()
        except KubernetesError as error:
            answered = False
            log.warning("scheduler.blind", error=str(error))
        now = clock()
        if not answered:
            hosts.excuse(now - looked_at)
        looked_at = now


def _add_checks(health: Health, db: Database, watches: Watches, scheduler: Scheduler) -> None:
    async def database() -> str | None:
        await db.ping()
        return None

    health.add_live("watches", watches.check_live)
    health.add_ready("watches", watches.check)
    health.add_ready("database", database)
    health.add_ready("hosts", scheduler.check)


async def _open(db: Database) -> None:
    await db.open()
    await db.require_schema()


def measure_hosts(hosts: HostTable) -> None:
    """Count hosts by state whenever the metrics are asked for."""
    states: dict[str, Callable[[], BoolArray]] = {
        "up": lambda: hosts.valid & hosts.up & ~hosts.disabled,
        "down": lambda: hosts.valid & ~hosts.up & ~hosts.disabled,
        "disabled": lambda: hosts.valid & hosts.disabled,
    }
    for state, mask in states.items():
        metrics.HOSTS.labels(state).set_function(functools.partial(_count, mask))


def _count(mask: Callable[[], BoolArray]) -> float:
    return float(np.count_nonzero(mask()))


def _read(store: Store[Any], key: Key) -> Any:
    try:
        return store.get(*key)
    except ValidationError as error:
        log.warning(
            "scheduler.resource.invalid",
            kind=store.kind.kind_info.kind,
            name=key[1],
            error="; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors()),
        )
        return None
