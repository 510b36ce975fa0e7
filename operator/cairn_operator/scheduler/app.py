"""`cairn scheduler`: watches feed the table of hosts and ring the bell, the loop does the rest."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import structlog
from pydantic import ValidationError

from cairn_crds import ComputeNode, HostAggregate, Instance
from cairn_database import Database
from cairn_operator.scheduler import metrics
from cairn_operator.scheduler.aggregates import ZONE_KEY, Aggregate
from cairn_operator.scheduler.hosts import HostTable
from cairn_operator.scheduler.interning import BoolArray
from cairn_operator.scheduler.service import Scheduler
from cairn_operator.scheduler.settings import SchedulerSettings
from cairn_runtime.health import Health
from cairn_runtime.kubernetes import Kubernetes
from cairn_runtime.process import run_process
from cairn_runtime.settings import DatabaseSettings, ProcessSettings
from cairn_runtime.store import Key, Store
from cairn_runtime.watching import Watches

log = structlog.get_logger()


class SchedulerProcessSettings(ProcessSettings):
    """cairn scheduler: chooses a host for each instance that has none."""

    database: DatabaseSettings = DatabaseSettings()
    scheduler: SchedulerSettings = SchedulerSettings()


class Doorbell(Store[Instance]):
    """Instances, of which only one thing matters: that one without a host has turned up. Keeps none of them.

    What is to be placed stands in SQL; the resource only says that it is time to look there.
    """

    def __init__(self, ring: Callable[[], None]) -> None:
        super().__init__(Instance)
        self._ring = ring

    def put(self, body: dict[str, Any]) -> bool:
        status = body.get("status") or {}
        waits = not status.get("host") and status.get("vmState") in (None, "building")
        if waits and not body["metadata"].get("deletionTimestamp"):
            self._ring()
        return waits

    def remove(self, body: dict[str, Any]) -> None:
        """Nothing to forget."""

    def sync(self, bodies: Iterable[dict[str, Any]], list_version: str) -> None:
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
    """`cairn scheduler`: run until told to stop."""
    return run_process("scheduler", SchedulerProcessSettings, arguments, run_scheduler)


async def run_scheduler(settings: SchedulerProcessSettings, health: Health, stop: asyncio.Event) -> None:
    """The process: until `stop` is set. Raises UnknownFilter, SchemaOutdated, DatabaseUnavailable and
    KubernetesError where it cannot even start."""
    kubernetes = Kubernetes(settings.kubernetes)
    async with Database(settings.database.url.get_secret_value()) as db:
        scheduler = Scheduler(db, settings.scheduler)
        await db.require_schema()
        await kubernetes.open()
        try:
            nodes, aggregates = Store(ComputeNode), Store(HostAggregate)
            feed_hosts(scheduler.hosts, nodes, aggregates)
            watches = Watches(kubernetes, [nodes, aggregates, Doorbell(scheduler.wake)])
            health.add_ready("watches", watches.check)
            health.add_live("watches", watches.check_live)
            health.add_ready("hosts", scheduler.check)
            measure_hosts(scheduler.hosts)
            await watches.start(stop)
            try:
                await scheduler.run(stop)
            finally:
                await watches.stop()
        finally:
            await kubernetes.close()


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
