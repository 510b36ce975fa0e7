"""The connection to libvirtd: blocking calls in worker threads, events in libvirt's own thread.

A connection that breaks is made again with back-off for as long as the driver is open; calls meanwhile
raise Unreachable. Nothing here blocks the asyncio loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import random
import threading
from collections.abc import Callable
from typing import Any, TypeVar

import libvirt
import structlog

from cairn_agent.drivers.libvirt.errors import Unreachable, is_code, translate
from cairn_agent.drivers.libvirt.threads import Workers
from cairn_agent.drivers.settings import LibvirtSettings

T = TypeVar("T")
log = structlog.get_logger(__name__)

FIRST_PAUSE_SECONDS = 0.1
UNANSWERED_PROBES = 5


@functools.cache
def _start_event_thread() -> None:
    """libvirt's event loop, once per process; it must run before the first connection is opened."""
    libvirt.registerErrorHandler(lambda _context, _error: None, None)
    libvirt.virEventRegisterDefaultImpl()

    def run() -> None:
        while True:
            libvirt.virEventRunDefaultImpl()

    threading.Thread(target=run, name="libvirt-events", daemon=True).start()


class Connection:
    """One libvirt connection that keeps itself up.

    `on_change` is called in the event loop with a domain's UUID for each of its life-cycle events,
    `on_return` each time the connection is back after a loss.
    """

    def __init__(
        self,
        settings: LibvirtSettings,
        workers: Workers,
        on_change: Callable[[str], None],
        on_return: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._workers = workers
        self._on_change = on_change
        self._on_return = on_return
        self._connection: Any = None
        self._subscription: int | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._reconnecting: asyncio.Task[None] | None = None
        self._closing = False

    async def open(self) -> None:
        """Connect. Raises DriverError where nobody answers."""
        _start_event_thread()
        self._loop = asyncio.get_running_loop()
        await self._workers.run(self._connect)

    async def close(self) -> None:
        """Disconnect for good."""
        self._closing = True
        if self._reconnecting is not None:
            self._reconnecting.cancel()
            await asyncio.gather(self._reconnecting, return_exceptions=True)
        await self._workers.run(self._disconnect)

    async def run(self, work: Callable[[Any], T]) -> T:
        """What `work`, given the libvirt connection, returns; it runs in a worker thread.

        Raises DriverError for what libvirt raises.
        """
        connection = self.libvirt
        try:
            return await self._workers.run(lambda: work(connection))
        except libvirt.libvirtError as error:
            if not await self._workers.run(lambda: _alive(connection)):
                self._lost(connection)
                raise Unreachable(f"libvirt at {self._settings.uri} went away: {error}") from error
            raise translate(error) from error

    async def healthy(self) -> bool:
        """Whether libvirtd answers a call now."""
        connection = self._connection
        return connection is not None and await self._workers.run(lambda: _alive(connection))

    @property
    def libvirt(self) -> Any:
        """The connection as it is now, for what must outlive one call. Raises Unreachable."""
        if self._connection is None:
            raise Unreachable(f"libvirt at {self._settings.uri} does not answer; still trying")
        return self._connection

    # In a worker thread

    def _connect(self) -> None:
        try:
            connection = libvirt.open(self._settings.uri)
            try:
                connection.setKeepAlive(self._settings.keepalive_seconds, UNANSWERED_PROBES)
            except libvirt.libvirtError as error:
                if not is_code(error, libvirt.VIR_ERR_NO_SUPPORT):
                    raise
            connection.registerCloseCallback(self._closed, None)
            self._subscription = connection.domainEventRegisterAny(
                None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, self._event, None
            )
        except libvirt.libvirtError as error:
            raise Unreachable(f"cannot connect to libvirt at {self._settings.uri}: {error}") from error
        self._connection = connection

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        with contextlib.suppress(libvirt.libvirtError):  # it may just have gone away
            connection.domainEventDeregisterAny(self._subscription)
            connection.unregisterCloseCallback()
            connection.close()

    # In libvirt's event thread

    def _event(self, _connection: Any, domain: Any, _event: int, _detail: int, _opaque: Any) -> None:
        self._in_loop(self._on_change, domain.UUIDString())

    def _closed(self, connection: Any, _reason: int, _opaque: Any) -> None:
        self._in_loop(self._lost, connection)

    def _in_loop(self, callback: Callable[[Any], None], argument: Any) -> None:
        assert self._loop is not None  # noqa: S101 - callbacks exist only after open
        with contextlib.suppress(RuntimeError):  # the loop is closed: the process is about to end
            self._loop.call_soon_threadsafe(callback, argument)

    # In the event loop

    def _lost(self, connection: Any) -> None:
        if self._closing or connection is not self._connection:
            return
        self._connection = None
        log.warning("lost the connection to libvirt", uri=self._settings.uri)
        self._reconnecting = asyncio.get_running_loop().create_task(self._reconnect())

    async def _reconnect(self) -> None:
        pause = FIRST_PAUSE_SECONDS
        while True:
            try:
                await self._workers.run(self._connect)
            except Unreachable as error:
                log.info("libvirt does not answer yet", uri=self._settings.uri, error=str(error))
                await asyncio.sleep(pause * random.uniform(0.5, 1))  # noqa: S311 - jitter
                pause = min(pause * 2, self._settings.reconnect_max_seconds)
            else:
                log.info("connected to libvirt again", uri=self._settings.uri)
                self._on_return()
                return


def _alive(connection: Any) -> bool:
    try:
        connection.getVersion()
    except libvirt.libvirtError:
        return False
    return True
