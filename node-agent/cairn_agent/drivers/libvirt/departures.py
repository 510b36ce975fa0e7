"""Live migrations that this process has begun, each in a thread of its own.

libvirtd on this host does the work (peer to peer), so a migration goes on when the agent ends; the call that
waits for it is all that ends with the agent. It has a connection of its own, as it may last for hours.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import libvirt

PROBE_SECONDS = 5
UNANSWERED_PROBES = 5
STATISTICS_SECONDS = 2.0
"""How long libvirt may take to tell how it went, once it has."""


@dataclass(frozen=True)
class Flight:
    """One migration, as libvirt is asked for it."""

    local_uri: str
    instance_id: str
    uri: str
    parameters: Mapping[str, Any]
    flags: int


@dataclass
class Departure:
    """One that is under way."""

    operation_id: str
    result: asyncio.Future[int | None] | None = None
    """The downtime in milliseconds, where libvirt told it; raises libvirt's error. None: another process has
    begun it, and it is only looked at."""
    abort: bool = False
    """Whether somebody wants it to give up."""
    force: bool = False
    """Whether somebody wants it to come to an end."""


class Departures:
    """Those of one driver, by instance id. Lives in the event loop."""

    def __init__(self) -> None:
        self._under_way: dict[str, Departure] = {}

    def get(self, instance_id: str) -> Departure | None:
        """The one whose end nobody has taken note of."""
        return self._under_way.get(instance_id)

    def found(self, instance_id: str, operation_id: str) -> Departure:
        """One that another process has begun."""
        return self._under_way.setdefault(instance_id, Departure(operation_id))

    def begin(self, flight: Flight, operation_id: str) -> Departure:
        """Begin one."""
        loop = asyncio.get_running_loop()
        result: asyncio.Future[int | None] = loop.create_future()
        # Its error may be of no interest to anybody: the call that waited was cancelled.
        result.add_done_callback(lambda future: future.cancelled() or future.exception())
        departure = Departure(operation_id, result)

        def settle(downtime: int | None, error: BaseException | None) -> None:
            if error is None:
                result.set_result(downtime)
            else:
                result.set_exception(error)

        def run() -> None:
            try:
                outcome: tuple[int | None, BaseException | None] = (_migrate(flight), None)
            except BaseException as error:  # noqa: BLE001 - handed to who waits
                outcome = (None, error)
            with contextlib.suppress(RuntimeError):  # the loop is closed: the process is about to end
                loop.call_soon_threadsafe(settle, *outcome)

        self._under_way[flight.instance_id] = departure
        threading.Thread(target=run, name="libvirt-migration", daemon=True).start()
        return departure

    def landed(self, instance_id: str) -> None:
        """Its end has been taken note of."""
        self._under_way.pop(instance_id, None)


def _migrate(flight: Flight) -> int | None:
    """Move it, and say how long the guest stood still, in milliseconds. Blocks until it is there."""
    told: dict[str, Any] = {}
    news = threading.Event()

    def completed(_connection: Any, _domain: Any, statistics: dict[str, Any], _opaque: Any) -> None:
        told.update(statistics)
        news.set()

    connection = libvirt.open(flight.local_uri)
    try:
        connection.setKeepAlive(PROBE_SECONDS, UNANSWERED_PROBES)
        domain = connection.lookupByUUIDString(flight.instance_id)
        subscription = connection.domainEventRegisterAny(
            domain, libvirt.VIR_DOMAIN_EVENT_ID_JOB_COMPLETED, completed, None
        )
        domain.migrateToURI3(flight.uri, dict(flight.parameters), flight.flags)
        news.wait(STATISTICS_SECONDS)
        with contextlib.suppress(libvirt.libvirtError):  # the connection may just have gone away
            connection.domainEventDeregisterAny(subscription)
        return told.get(libvirt.VIR_DOMAIN_JOB_DOWNTIME)
    finally:
        with contextlib.suppress(libvirt.libvirtError):
            connection.close()
