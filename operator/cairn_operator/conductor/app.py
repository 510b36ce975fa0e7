"""`cairn conductor`: the process."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import structlog

from cairn_crds import ComputeNode, Guest, HostAggregate, Instance
from cairn_database import Database, DatabaseUnavailable, InstanceRecord
from cairn_database.images.signing import load_keys
from cairn_operator.catalog import Catalog
from cairn_operator.conductor.drain.controller import DrainController
from cairn_operator.conductor.migrations.controller import MigrationController
from cairn_operator.conductor.reconciler import Reconciler
from cairn_operator.conductor.scope import Environment, Pacing
from cairn_operator.conductor.settings import ConductorProcessSettings
from cairn_operator.conductor.shards import Membership
from cairn_operator.conductor.snapshots import SnapshotController
from cairn_operator.conductor.sweep import Sweep
from cairn_operator.conductor.volumes import Volumes
from cairn_operator.mirrors import compute_node, image, plain, project, security_group
from cairn_operator.mirrors.controller import Mirror, MirrorContext, MirrorController
from cairn_runtime.events import EventRecorder
from cairn_runtime.health import Health
from cairn_runtime.kubernetes import Kubernetes, KubernetesError
from cairn_runtime.process import run_process, wait_for
from cairn_runtime.store import Key, Store
from cairn_runtime.watching import Watches

log = structlog.get_logger()


def main(arguments: list[str]) -> int:
    """Run until told to stop."""
    return run_process("conductor", ConductorProcessSettings, arguments, run)


async def run(settings: ConductorProcessSettings, health: Health, stop: asyncio.Event) -> None:
    """Start everything, wait for `stop`, end in the reverse order."""
    conductor = Conductor(settings)
    conductor.add_checks(health)
    try:
        await conductor.start(stop)
        await stop.wait()
    finally:
        await conductor.stop()


class Conductor:
    """One replica: its connections, watches, queues and loops."""

    def __init__(self, settings: ConductorProcessSettings) -> None:
        own = settings.conductor
        self._kubernetes = Kubernetes(settings.kubernetes)
        self._db = Database(settings.database.url.get_secret_value())
        self._catalog = Catalog()
        self._nodes = Store(ComputeNode)
        self._aggregates = Store(HostAggregate)
        self._env = Environment(
            settings=own,
            kubernetes=self._kubernetes,
            db=self._db,
            events=EventRecorder(self._kubernetes, "cairn-conductor"),
            catalog=self._catalog,
            instances=Store(Instance),
            guests=Store(Guest),
            nodes=self._nodes,
            aggregates=self._aggregates,
            pacing=Pacing(own.passing_states_per_second),
        )
        self._membership = Membership(
            self._kubernetes,
            identity=own.identity or socket.gethostname(),
            component="cairn-conductor",
            namespace=own.system_namespace,
            lease_seconds=own.lease_seconds,
            on_change=self._take_share,
        )
        self._reconciler = Reconciler(self._env, self._membership)
        self._volumes = Volumes(self._env)
        self._mirror_context = MirrorContext(self._db, self._kubernetes)
        self._mirrors = MirrorController(
            self._mirror_context,
            self._membership,
            [*_mirrors(self._catalog, self._nodes, self._aggregates), *self._volumes.mirrors()],
        )
        self._migrations = MigrationController(self._env, self._reconciler, self._membership)
        self._drains = DrainController(self._env, self._reconciler, self._membership)
        self._snapshots = SnapshotController(self._env, self._reconciler, self._membership)
        self._env.after_run = self._note_run
        self._sweep = Sweep(
            self._env,
            self._reconciler,
            self._membership,
            self._mirrors,
            [self._migrations.sweep, self._snapshots.sweep, self._sweep_volumes],
        )
        stores: list[Store[Any]] = [
            *self._catalog.stores,
            self._nodes,
            self._aggregates,
            self._env.guests,
            self._env.instances,
            self._migrations.store,
            self._snapshots.store,
            *self._volumes.stores,
        ]
        self._watches = Watches(self._kubernetes, stores, from_cache=(Instance, Guest))
        self._guest_owners: dict[Key, Key] = {}
        self._started = False

    def add_checks(self, health: Health) -> None:
        """What has to be so for this process to be ready, and to be healthy."""
        health.add_live("watches", self._watches.check_live)
        health.add_ready("started", self._check_started)
        health.add_ready("database", self._check_database)
        health.add_ready("kubernetes", self._check_kubernetes)
        health.add_ready("watches", self._watches.check)

    async def start(self, stop: asyncio.Event) -> None:
        """Connect, fill the stores, join the other replicas, go to work."""
        await wait_for("database", self._open_database, (DatabaseUnavailable,), stop)
        await self._kubernetes.open()
        await wait_for("API server", self._watches.fill, (KubernetesError,), stop)
        if stop.is_set():
            return
        await self._env.events.start()
        await self._reconciler.queue.start()
        await self._mirrors.queue.start()
        self._listen()
        await self._membership.start()
        await self._watches.start(stop)
        self._take_share()
        await self._migrations.start()
        await self._drains.start()
        await self._snapshots.start()
        await self._sweep.start()
        self._started = True
        log.info("conductor.started", instances=len(self._env.instances), guests=len(self._env.guests))

    async def stop(self) -> None:
        """Finish what runs, hand the share over, disconnect."""
        self._started = False
        if self._kubernetes.is_open:
            await self._sweep.stop()
            await self._drains.stop()
            await self._migrations.stop()
            await self._snapshots.stop()
            await self._watches.stop()
            await self._reconciler.queue.stop()
            await self._mirrors.queue.stop()
            await self._membership.stop()
            await self._env.events.stop()
        await self._kubernetes.close()
        await self._db.close()

    def _listen(self) -> None:
        self._env.instances.on_change(self._reconciler.wake)
        self._env.guests.on_change(self._wake_for_guest)
        for store in self._catalog.stores:
            store.on_change(lambda _key: self._reconciler.wake_blocked())
        self._env.instances.on_change(_GoneWatcher(self._env, self._reconciler).look)
        capacity = _CapacityWatcher(self._env, self._reconciler, self._nodes)
        self._nodes.on_change(capacity.look)
        self._aggregates.on_change(capacity.look_at_aggregate)
        self._volumes.listen(self._mirrors)

    def _wake_for_guest(self, key: Key) -> None:
        body = self._env.guests.body(*key)
        if body is not None:
            owner = body["spec"]["instance"]
            self._guest_owners[key] = (owner["namespace"], owner["name"])
        if key in self._guest_owners:
            self._reconciler.wake(self._guest_owners[key])
            if body is None:
                del self._guest_owners[key]

    def _note_run(self, key: Key, record: InstanceRecord | None) -> None:
        self._migrations.note(key, record)
        self._drains.note(key, record)
        self._snapshots.note(key, record)

    async def _sweep_volumes(self) -> None:
        await self._volumes.sweep(self._mirror_context, self._mirrors)

    def _take_share(self) -> None:
        self._reconciler.wake_all()
        self._mirrors.wake_all()
        self._migrations.wake_all()
        self._drains.wake_all()
        self._snapshots.wake_all()

    async def _open_database(self) -> None:
        await self._db.open()
        await self._db.require_schema()
        self._env.image_keys = await load_keys(self._db)

    async def _check_started(self) -> str | None:
        return None if self._started else "still starting"

    async def _check_database(self) -> str | None:
        await self._db.ping()
        return None

    async def _check_kubernetes(self) -> str | None:
        await self._kubernetes.version()
        return None


FREED_LOOK_AFTER = 0.5
"""Seconds from an instance's going to the look at what waits for quota or addresses; more may go by then."""


class _GoneWatcher:
    """Notices when an instance has gone: what it held may be what others wait for."""

    def __init__(self, env: Environment, reconciler: Reconciler) -> None:
        self._env = env
        self._reconciler = reconciler
        self._look: asyncio.TimerHandle | None = None

    def look(self, key: Key) -> None:
        """An Instance has changed."""
        if key in self._env.instances:
            return
        self._env.freed += 1
        if self._look is None and self._env.blocked:
            self._look = asyncio.get_running_loop().call_later(FREED_LOOK_AFTER, self._wake)

    def _wake(self) -> None:
        self._look = None
        self._reconciler.wake_blocked()


class _CapacityWatcher:
    """Notices when there may be room where there was none: then what found no host is tried again."""

    def __init__(self, env: Environment, reconciler: Reconciler, nodes: Store[ComputeNode]) -> None:
        self._env = env
        self._reconciler = reconciler
        self._nodes = nodes
        self._seen: dict[Key, Any] = {}

    def look(self, key: Key) -> None:
        """A node has changed; a heartbeat alone does not count."""
        body = self._nodes.body(*key)
        status = body["status"] if body else {}
        facts = body and (
            body["spec"],
            [item["status"] for item in status.get("conditions") or [] if item["type"] == "Up"],
            [status.get(name) for name in ("vcpus", "memoryMiB", "diskGiB", "traits", "capabilities")],
        )
        if self._seen.get(key) != facts:
            self._seen[key] = facts
            self._changed()

    def look_at_aggregate(self, _key: Key) -> None:
        """Aggregates change seldom, and each time they may matter."""
        self._changed()

    def _changed(self) -> None:
        self._env.capacity_changes += 1
        self._reconciler.wake_blocked()


def _mirrors(catalog: Catalog, nodes: Store[ComputeNode], aggregates: Store[HostAggregate]) -> list[Mirror]:
    return [
        Mirror(catalog.projects, project.take_in_project, project.remove_project, guarded=True),
        Mirror(catalog.networks, plain.take_in_network, plain.remove_network, guarded=True),
        Mirror(
            nodes,
            compute_node.take_in_compute_node,
            compute_node.remove_compute_node,
            guarded=True,
            writes_status=False,
        ),
        Mirror(catalog.flavors, plain.take_in_flavor, plain.remove_flavor),
        Mirror(catalog.images, image.take_in_image, image.remove_image),
        Mirror(catalog.key_pairs, plain.take_in_key_pair, plain.remove_key_pair),
        Mirror(catalog.server_groups, plain.take_in_server_group, plain.remove_server_group),
        Mirror(
            catalog.security_groups,
            security_group.take_in_security_group,
            security_group.remove_security_group,
        ),
        Mirror(aggregates, plain.take_in_aggregate, plain.remove_aggregate),
    ]
