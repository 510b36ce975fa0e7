"""Self-fencing: a host that nobody can hear powers its guests off, so that they may be started elsewhere.

Whoever is cut off cannot know what is decided without him: the control plane may evacuate his instances. With
`agent.self_fence_seconds` the agent counts from its last heartbeat that got through and powers all guests
off when the time is over; the watchdog device does it for an agent that cannot (`watchdog.py`). Only with the
device does the host say so in `ComputeNode.status.selfFenceSeconds`, which others rely on.

Guests are started again only after a heartbeat got through and what is wanted has been read anew.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable

import structlog

from cairn_agent.drivers.api import DriverError, MachineState
from cairn_agent.drivers.driver import Driver
from cairn_agent.settings import AgentSettings
from cairn_agent.watchdog import Watchdog, WatchdogUnusable
from cairn_crds.instance import PowerState
from cairn_runtime.kubernetes import KubernetesError

log = structlog.get_logger()
WATCHDOG_LATER_SECONDS = 15
"""How much longer than the agent the device waits: it is for the case that the agent could not."""
LOOK_SECONDS = 1.0
ON = frozenset({PowerState.RUNNING, PowerState.PAUSED})


def boottime() -> float:
    """Seconds since the host was started, whatever is done to its clock."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class SelfFence:
    """The nodes of one agent; without a limit it never does anything."""

    def __init__(
        self,
        settings: AgentSettings,
        driver: Driver,
        watchdog: Watchdog | None = None,
        clock: Callable[[], float] = boottime,
    ) -> None:
        self._limit = settings.self_fence_seconds
        self._driver = driver
        self._watchdog = watchdog if self._limit else None
        self.clock = clock
        self._heard = dict.fromkeys(settings.nodes, clock())
        self._closed: set[str] = set()
        self._loop: asyncio.Task[None] | None = None
        self.read_anew: Callable[[], Awaitable[None]] | None = None
        """What to do before guests may be started again. Raises KubernetesError."""

    @property
    def reported(self) -> int | None:
        """What the control plane may rely on: seconds of silence after which no guest runs here."""
        if self._watchdog is None or not self._watchdog.armed:
            return None
        return math.ceil(self._limit)

    def is_closed(self, node: str) -> bool:
        """Whether nothing may be started there."""
        return node in self._closed

    def start(self) -> None:
        """Start counting."""
        if self._limit:
            self._loop = asyncio.create_task(self._watch(), name="self-fence")

    async def stop(self, *, withdrawn: bool) -> None:
        """Stop counting. `withdrawn`: the control plane has been told that nobody fences here any more; else
        the device is left to reset the host."""
        if self._loop is not None:
            self._loop.cancel()
            await asyncio.gather(self._loop, return_exceptions=True)
        if self._watchdog is not None and withdrawn:
            self._watchdog.disarm()

    async def heard(self, node: str, began: float) -> None:
        """A heartbeat that was sent at `began` got through."""
        self._heard[node] = began
        if self._watchdog is not None:
            self._feed(self._watchdog)
        if node not in self._closed:
            return
        try:
            if self.read_anew is not None:
                await self.read_anew()
        except KubernetesError as error:
            log.warning("self_fence.still_closed", node=node, error=str(error))
            return
        self._closed.discard(node)
        log.warning("self_fence.opened", node=node)

    def _feed(self, watchdog: Watchdog) -> None:
        try:
            if not watchdog.armed:
                watchdog.arm(math.ceil(self._limit) + WATCHDOG_LATER_SECONDS)
            if not any(self._is_silent(node) for node in self._heard):
                watchdog.feed()
        except (WatchdogUnusable, OSError) as error:
            log.warning("watchdog.unusable", error=str(error))

    def _is_silent(self, node: str) -> bool:
        return self.clock() - self._heard[node] > self._limit

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            await self.look()

    async def look(self) -> None:
        """Power off what runs on nodes that have been silent for too long."""
        silent = [node for node in self._heard if self._is_silent(node)]
        are_off = [await self._fence(node) for node in silent]
        if silent and all(are_off) and self._watchdog is not None:
            self._watchdog.feed()  # nothing runs: there is nothing to reset the host for

    async def _fence(self, node: str) -> bool:
        """True once nothing runs there."""
        if node not in self._closed:
            self._closed.add(node)
            log.error("self_fence.closed", node=node, silent_seconds=self._limit)
        try:
            running = [m for m in await self._driver.machines(node) if m.power_state in ON]
        except DriverError as error:
            log.warning("self_fence.failed", node=node, error=str(error))
            return False
        outcomes = await asyncio.gather(
            *(self._power_off(node, machine) for machine in running), return_exceptions=True
        )
        for machine, outcome in zip(running, outcomes, strict=True):
            if isinstance(outcome, BaseException):
                log.error("self_fence.failed", instance_id=machine.instance_id, error=str(outcome))
        return not any(isinstance(outcome, BaseException) for outcome in outcomes)

    async def _power_off(self, node: str, machine: MachineState) -> None:
        await self._driver.power_off(node, machine.instance_id, 0.0)
        log.error("self_fence.powered_off", node=node, instance_id=machine.instance_id)
