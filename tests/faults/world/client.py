"""The processes' connection to the API server in memory: Cairn's own client and watches, with the wire and
kopf left out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from cairn_runtime.kubernetes import ApiServerUnavailable, Body, Kubernetes
from cairn_runtime.settings import KubernetesSettings
from cairn_runtime.store import Store
from cairn_runtime.watching import Watches
from faults.world.api import ApiServer, Event, Gone
from faults.world.mishaps import Faults, Gates
from faults.world.paths import parse
from faults.world.process import Process

REQUEST_SECONDS = 0.004
EVENT_SECONDS = 0.02
"""From a write to the watchers' hearing of it, at most."""
WATCH_SECONDS = 330.0
"""kopf gives up a watch that has said nothing for so long."""
SNAPSHOT_EVERY = 40


class Connection:
    """Whether the API server can be reached, and what it tells late."""

    def __init__(self, server: ApiServer, gates: Gates, faults: Faults) -> None:
        self.server = server
        self.gates = gates
        self.faults = faults
        self.is_up = True
        self.throttled = False
        self._streams: dict[asyncio.Future[None], None] = {}
        self._snapshots: dict[str, Body] = {}

    async def ask(self, method: str, path: str, body: Any, params: dict[str, str] | None) -> Body:
        """One request over the wire. Raises KubernetesError."""
        address = parse(path) if path != "/version" else None
        if address is not None and address.plural == "events":
            return {"metadata": {}}
        kind = f"{address.plural}/{address.subresource}".rstrip("/") if address else "version"

        async def act() -> Body:
            if not self.is_up:
                raise _no_answer(method, path)
            if address is not None and not address.name and params and params.get("resourceVersion") == "0":
                return self._cached(path)
            return self.server.request(method, path, body)

        def error() -> Exception:
            if self.gates.rng.random() < 0.5:
                return ApiServerUnavailable(429, "TooManyRequests", "please try again later", 1.0)
            return _no_answer(method, path)

        name = address.name or (body["metadata"]["name"] if method == "POST" else "") if address else ""
        note = f"{address.namespace}/{name}" if address else ""
        return await self.gates.cross(f"kubernetes.{method}.{kind}", act, error, REQUEST_SECONDS, note)

    def _cached(self, path: str) -> Body:
        """A list from the watch cache, which may be a moment old: so is one in so many."""
        old = self._snapshots.get(path)
        if (
            old is not None
            and self.faults.weather.late
            and self.faults.rng.random() < self.faults.weather.late * 5
        ):
            self.faults.counts["old list"] += 1
            return old
        answer = self.server.request("GET", path)
        if old is None or self.server.version - int(old["metadata"]["resourceVersion"]) > SNAPSHOT_EVERY:
            self._snapshots[path] = answer
        return answer

    def age_lists(self) -> None:
        """The lists that are told from now on are the old ones of later."""
        self._snapshots.clear()

    def stop(self) -> None:
        """The API server goes, and every watch with it."""
        self.is_up = False
        self.break_streams()

    def start(self) -> None:
        """It is back."""
        self.is_up = True

    def break_streams(self) -> None:
        """Every watch ends."""
        for stream in list(self._streams):
            if not stream.done():
                stream.set_result(None)

    def open_stream(self, stream: asyncio.Future[None]) -> None:
        """It ends when the server does."""
        self._streams[stream] = None
        stream.add_done_callback(lambda stream: self._streams.pop(stream, None))


def _no_answer(method: str, path: str) -> ApiServerUnavailable:
    return ApiServerUnavailable(0, "NoAnswer", f"{method} {path}: no answer")


class MemoryKubernetes(Kubernetes):
    """Cairn's client on that connection."""

    def __init__(self, settings: KubernetesSettings, connection: Connection) -> None:
        super().__init__(settings)
        self.connection = connection
        self._opened = False

    async def open(self) -> None:
        self._opened = True

    async def login(self) -> Any:
        return None

    @property
    def is_open(self) -> bool:
        return self._opened

    async def close(self) -> None:
        self._opened = False

    async def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        params: dict[str, str] | None = None,
        form: str = "application/json",
    ) -> Body:
        return await self.connection.ask(method, path, body, params)


class MemoryWatches(Watches):
    """Cairn's watches, with this in the place of kopf: list, then follow from there, and again when told that
    the past is gone."""

    process: Process
    silent: bool = False
    """True: the streams stay open, and say nothing."""

    async def _run_kopf(self) -> None:
        async with asyncio.TaskGroup() as group:
            for store in self._stores:
                namespaced = store.kind.kind_info.scope == "Namespaced"
                for namespace in self._namespaces if namespaced and self._namespaces else ("",):
                    group.create_task(self._follow(store, namespace))

    @property
    def connection(self) -> Connection:
        """The client's."""
        assert isinstance(self._kubernetes, MemoryKubernetes)
        return self._kubernetes.connection

    async def _follow(self, store: Store[Any], namespace: str) -> None:
        while True:
            version = int(await self.begin(store.kind.kind_info.plural, namespace or None))
            try:
                while True:
                    version = await self._stream(store, namespace, version)
            except Gone:
                self.connection.faults.counts["410 Gone"] += 1
                continue

    async def _stream(self, store: Store[Any], namespace: str, since: int) -> int:
        """Follow until the connection breaks; the version to go on from."""
        connection, loop = self.connection, asyncio.get_running_loop()
        if not connection.is_up:
            await asyncio.sleep(1.0)
            return since
        heard = since
        delivery = Delivery(connection, lambda event: self.take_in(store, event.type, event.body()))

        def hear(event: Event) -> None:
            nonlocal heard
            if self.silent:
                return
            heard = event.version
            if not namespace or event.key[0] == namespace:
                delivery.add(event, self.process)

        ended = loop.create_future()
        connection.open_stream(ended)
        end = connection.server.watch(store.kind.kind_info.plural, since, hear)
        try:
            async with asyncio.timeout(WATCH_SECONDS):
                await ended
        except TimeoutError:
            pass
        finally:
            end()
        return heard


class Delivery:
    """From the stream to the store: an object's events in order, unless the weather has it otherwise."""

    def __init__(self, connection: Connection, take_in: Callable[[Event], None]) -> None:
        self._connection = connection
        self._take_in = take_in
        self._last: dict[tuple[str, str], float] = {}

    def add(self, event: Event, process: Process) -> None:
        """Tell of `event` soon, in the process' own time."""
        faults, loop = self._connection.faults, asyncio.get_running_loop()
        weather, rng = faults.weather, self._connection.gates.rng
        due = loop.time() + EVENT_SECONDS * rng.uniform(0.1, 1.0)
        if weather.dropped and faults.rng.random() < weather.dropped:
            faults.counts["event dropped"] += 1
            return
        if weather.late and faults.rng.random() < weather.late:
            faults.counts["event late"] += 1
            due += rng.uniform(0.5, 10.0)
        else:
            due = max(due, self._last.get(event.key, 0.0) + 1e-4)
            self._last[event.key] = due
        if event.type == "DELETED":
            self._last.pop(event.key, None)
        loop.call_at(due, self._take_in, event, context=process.context)
        if weather.doubled and faults.rng.random() < weather.doubled:
            faults.counts["event doubled"] += 1
            loop.call_at(due + rng.uniform(0.0, 3.0), self._take_in, event, context=process.context)
