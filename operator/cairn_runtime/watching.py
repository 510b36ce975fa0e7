"""kopf, set up once for all processes: it watches, Cairn's stores and queues do the rest.

Handlers are `on.event` only: nothing is written to annotations, no kopf finalizers, no peering. Two
replicas may run the same handlers; who acts is decided elsewhere (shards, claims, compare-and-set).
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import kopf
import structlog
from kopf._cogs.structs.references import Insights

from cairn_crds import GROUP, VERSION, Resource
from cairn_runtime.kubernetes import ApiServerUnavailable, Kubernetes, KubernetesError
from cairn_runtime.listing import Following
from cairn_runtime.signals import retake
from cairn_runtime.store import Store
from cairn_runtime.tasks import cancel

log = structlog.get_logger()
KOPF = Path(kopf.__file__).parent
BROKEN_SECONDS = 0.5
"""Between the end of a broken kopf and the next one."""


class _Backoffs:
    """Seconds between attempts, without end: kopf dies of a request that has used its attempts up."""

    def __iter__(self) -> Iterator[float]:
        return itertools.chain((0.1, 0.3, 1.0, 2.0, 2.0), itertools.repeat(5.0))


class _NoDiff(kopf.DiffBaseStorage):
    """kopf copies every object to prepare a diff for handlers that want one; Cairn has no such handlers."""

    def build(self, *, body: Any, extra_fields: Any = None) -> Any:
        return {}

    def fetch(self, *, body: Any) -> Any:
        return None

    def store(self, *, body: Any, patch: Any, essence: Any) -> None:
        return None


def _is_kopfs(task: asyncio.Task[Any]) -> bool:
    """Whether it was left behind by a kopf that died."""
    code = getattr(task.get_coro(), "cr_code", None)
    return code is not None and KOPF in Path(code.co_filename).parents


class Watches:
    """The watches of one process: a store per kind, filled before `start` returns."""

    def __init__(
        self,
        kubernetes: Kubernetes,
        stores: Sequence[Store[Any]],
        namespaces: Sequence[str] = (),
        resync_seconds: float = 60.0,
        from_cache: Collection[type[Resource]] = (),
    ) -> None:
        """`namespaces` empty: the whole cluster. `resync_seconds`: between two repairing lists. `from_cache`:
        kinds whose first list may be as old as what a watch tells, since all that is done about them is done
        under the version that was seen. Of many objects that takes the API server a third of the time.
        """
        self._kubernetes = kubernetes
        self._stores = stores
        self._namespaces = tuple(namespaces)
        self._resync_seconds = resync_seconds
        self._from_cache = frozenset(from_cache)
        self._registry = kopf.OperatorRegistry()
        self._tasks: list[asyncio.Task[None]] = []
        self._stopping = False
        self._listed: dict[tuple[str, str | None], str] = {}
        """The versions of the first lists, by kind and namespace, until kopf follows from there."""
        kopf.on.login(registry=self._registry)(self._login)
        for store in stores:
            self._register(store)

    def _register(self, store: Store[Any]) -> None:
        @kopf.on.event(GROUP, VERSION, store.kind.kind_info.plural, registry=self._registry)
        async def _take_in(event: Any, **_: Any) -> None:
            self.take_in(store, event["type"], dict(event["object"]))

    def take_in(self, store: Store[Any], event_type: str | None, body: dict[str, Any]) -> None:
        """One event of a watch."""
        if event_type == "DELETED":
            store.remove(body)
        else:
            store.put(body)

    async def _login(self, **_: Any) -> kopf.ConnectionInfo:
        return await self._kubernetes.login()

    async def start(self, stop: asyncio.Event) -> None:
        """Watch, from the lists that `fill` has made; they are made now where there are none. Raises
        KubernetesError where that fails.

        `stop` is set where the watches end by themselves: the process is of no use without them, and begins
        anew.
        """
        if not self._listed:
            await self.fill()
        self._tasks = [
            asyncio.create_task(self._keep_watching(), name="kopf"),
            asyncio.create_task(self._keep_in_sync(), name="resync"),
        ]
        for task in self._tasks:
            task.add_done_callback(lambda task: self._ended(task, stop))

    async def stop(self) -> None:
        """End the watches."""
        self._stopping = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _ended(self, task: asyncio.Task[None], stop: asyncio.Event) -> None:
        if self._stopping or task.cancelled():
            return
        log.error("watches.ended", task=task.get_name(), error=str(task.exception()))
        stop.set()

    async def fill(self) -> None:
        """List everything, for the watches to follow from there; as it is now, but for what may come from the
        cache: until they hear of something, nothing mends an old list. Raises KubernetesError."""
        for store in self._stores:
            fresh = store.kind not in self._from_cache
            for namespace in self._namespaces_of(store):
                version = await self._list(store, namespace, fresh=fresh)
                self._listed[store.kind.kind_info.plural, namespace] = version
            store.synced = True

    async def resync(self, *, fresh: bool = False) -> None:
        """List everything and repair the stores; `fresh`: as it is now, not a moment ago."""
        for store in self._stores:
            for namespace in self._namespaces_of(store):
                await self._list(store, namespace, fresh=fresh)
            store.synced = True

    def _namespaces_of(self, store: Store[Any]) -> tuple[str | None, ...]:
        """Where its objects are listed; None: everywhere."""
        return (
            self._namespaces if store.kind.kind_info.scope == "Namespaced" and self._namespaces else (None,)
        )

    async def _list(self, store: Store[Any], namespace: str | None, *, fresh: bool) -> str:
        items, version = await self._kubernetes.list_all(store.kind, namespace, fresh=fresh)
        store.sync(items, version, namespace or "")
        return version

    async def begin(self, plural: str, namespace: str | None) -> str:
        """The version from which a watch tells what the store does not know: of the list that was there
        before it, or of a new one, where that has been followed until it broke. Raises KubernetesError, but
        waits for an API server that does not answer."""
        if listed := self._listed.pop((plural, namespace), None):
            return listed
        store = next(store for store in self._stores if store.kind.kind_info.plural == plural)
        for delay in _Backoffs():
            try:
                return await self._list(store, namespace, fresh=True)
            except ApiServerUnavailable as error:
                log.warning("watches.not_listed", kind=plural, error=str(error))
                await asyncio.sleep(delay)
        raise AssertionError("the attempts do not end")

    async def check(self) -> str | None:
        """For /readyz: whether the stores have been filled and kopf runs."""
        missing = [store.kind.kind_info.plural for store in self._stores if not store.synced]
        if missing:
            return f"not listed yet: {', '.join(missing)}"
        return None

    async def check_live(self) -> str | None:
        """For /healthz: whether kopf has ended, which only a restart mends."""
        if any(task.done() for task in self._tasks) and not self._stopping:
            return "the watches have ended"
        return None

    async def _keep_watching(self) -> None:
        # kopf dies of what it does not expect, such as the "404 page not found" with which an API server
        # answers while it starts.
        while True:
            try:
                await self._run_kopf()
            except Exception as error:  # noqa: BLE001 - whatever it was, the next try begins anew
                log.warning("watches.broken", error=f"{type(error).__name__}: {error}")
            await asyncio.sleep(BROKEN_SECONDS)

    async def _check_kinds(self, insights: Insights) -> None:
        """Raises KubernetesError where kopf does not watch every kind; else does not return.

        kopf looks only once which kinds there are: those that an API server does not serve yet, while it
        starts, it would never watch.
        """
        await insights.ready_resources.wait()
        watched = {resource.plural for resource in insights.watched_resources}
        missing = {store.kind.kind_info.plural for store in self._stores} - watched
        if missing:
            raise KubernetesError(404, "NotServed", f"not served yet: {', '.join(sorted(missing))}")
        await asyncio.Event().wait()

    async def _run_kopf(self) -> None:
        settings = Following()
        settings.begin = self.begin
        settings.posting.enabled = False
        settings.persistence.diffbase_storage = _NoDiff()
        settings.scanning.disabled = True
        settings.queueing.idle_timeout = 1.0
        settings.watching.server_timeout = 300
        settings.watching.client_timeout = 330
        settings.networking.error_backoffs = _Backoffs()
        settings.execution.max_workers = 2
        settings.process.ultimate_exiting_timeout = None
        insights = Insights()
        tasks = await kopf.spawn_tasks(
            insights=insights,
            registry=self._registry,
            settings=settings,
            standalone=True,
            clusterwide=not self._namespaces,
            namespaces=self._namespaces,
        )
        tasks = [*tasks, asyncio.create_task(self._check_kinds(insights), name="kinds")]
        retake()
        # Not kopf.run_tasks: in the end it cancels every task of the loop that is younger than kopf itself.
        try:
            done, _pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await cancel(tasks)
            await cancel([task for task in asyncio.all_tasks() if _is_kopfs(task)])
        for task in done:
            task.result()

    async def _keep_in_sync(self) -> None:
        # A watch may fall silent without closing.
        while True:
            await asyncio.sleep(self._resync_seconds)
            try:
                await self.resync()
            except KubernetesError as error:
                log.warning("resync.failed", error=str(error))
