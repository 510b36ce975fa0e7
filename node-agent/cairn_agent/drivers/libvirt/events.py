"""From libvirt's events to the agent's: which node a changed machine belongs to."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator

import structlog

from cairn_agent.drivers.api import DriverError, EventSink, MachineEvent

log = structlog.get_logger(__name__)


class Changes:
    """Hands on changes of Cairn's machines, and wakes those who wait for one. Lives in the event loop."""

    def __init__(self, find_node: Callable[[str], Awaitable[str | None]]) -> None:
        """`find_node`: the node of a machine that was never seen before; None for other people's."""
        self._find_node = find_node
        self._sink: EventSink | None = None
        self._nodes: dict[str, str] = {}
        self._watchers: dict[str, set[asyncio.Event]] = {}
        self._lookups: set[asyncio.Task[None]] = set()

    def open(self, sink: EventSink) -> None:
        self._sink = sink

    def close(self) -> None:
        self._sink = None
        for lookup in self._lookups:
            lookup.cancel()

    def know(self, instance_id: str, node: str) -> None:
        """Remember whose machine it is."""
        self._nodes[instance_id] = node

    def forget(self, instance_id: str) -> None:
        """The machine is gone for good."""
        node = self._nodes.pop(instance_id, None)
        if node is not None:
            self._tell(node, instance_id)

    def changed(self, instance_id: str) -> None:
        """A domain changed, Cairn's or not."""
        for watcher in self._watchers.get(instance_id, ()):
            watcher.set()
        node = self._nodes.get(instance_id)
        if node is not None:
            self._tell(node, instance_id)
            return
        lookup = asyncio.get_running_loop().create_task(self._look_up(instance_id))
        self._lookups.add(lookup)
        lookup.add_done_callback(self._lookups.discard)

    def everything_changed(self) -> None:
        """Events were missed: anything may have happened to any machine."""
        for instance_id in list(self._nodes):
            self.changed(instance_id)

    @contextlib.contextmanager
    def watching(self, instance_id: str) -> Iterator[asyncio.Event]:
        """An event that is set at each change of the machine."""
        watcher = asyncio.Event()
        self._watchers.setdefault(instance_id, set()).add(watcher)
        try:
            yield watcher
        finally:
            self._watchers[instance_id].discard(watcher)
            if not self._watchers[instance_id]:
                del self._watchers[instance_id]

    async def _look_up(self, instance_id: str) -> None:
        try:
            node = await self._find_node(instance_id)
        except DriverError as error:
            # The connection is gone; once it is back every machine is reported.
            log.debug("could not tell whose machine changed", instance_id=instance_id, error=str(error))
            return
        if node is not None:
            self._nodes[instance_id] = node
            self._tell(node, instance_id)

    def _tell(self, node: str, instance_id: str) -> None:
        if self._sink is not None:
            self._sink(MachineEvent(node, instance_id))
