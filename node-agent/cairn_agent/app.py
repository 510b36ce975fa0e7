"""`cairn agent`: the process."""

from __future__ import annotations

import asyncio

import structlog

from cairn_agent.drivers.api import DriverError, MachineEvent
from cairn_agent.drivers.load import load_driver
from cairn_agent.endpoint.service import Endpoint
from cairn_agent.heartbeat import Heartbeat
from cairn_agent.reconciler import GuestReconciler
from cairn_agent.self_fence import SelfFence
from cairn_agent.settings import AgentProcessSettings
from cairn_agent.transfers import HttpTransfers
from cairn_agent.volumes import VolumeReconciler
from cairn_agent.watchdog import Watchdog
from cairn_crds import Guest, HostVolume
from cairn_crds.guest import node_namespace
from cairn_runtime.health import Health
from cairn_runtime.kubernetes import Kubernetes, KubernetesError
from cairn_runtime.process import run_process, wait_for
from cairn_runtime.store import Store
from cairn_runtime.watching import Watches

log = structlog.get_logger()


def main(arguments: list[str]) -> int:
    """Run until told to stop."""
    return run_process("agent", AgentProcessSettings, arguments, run)


async def run(settings: AgentProcessSettings, health: Health, stop: asyncio.Event) -> None:
    """Start everything, wait for `stop`, end in the reverse order. Machines run on."""
    agent = Agent(settings)
    agent.add_checks(health)
    try:
        await agent.start(stop)
        await stop.wait()
    finally:
        await agent.stop()


class Agent:
    """One agent: its driver, its watch on the Guests of its nodes, its reports."""

    def __init__(self, settings: AgentProcessSettings) -> None:
        own = settings.agent
        self._nodes = own.nodes
        self._kubernetes = Kubernetes(settings.kubernetes)
        driver_settings = settings.fake if own.driver == "fake" else settings.libvirt
        self.driver = load_driver(own.driver, driver_settings, settings.volumes)
        self._guests = Store(Guest)
        self._transfers = HttpTransfers()
        self._host_volumes = Store(HostVolume)
        self._volumes = VolumeReconciler(self._kubernetes, self.driver, self._host_volumes)
        watchdog = Watchdog(own.watchdog_device) if own.watchdog_device is not None else None
        self._fence = SelfFence(own, self.driver, watchdog)
        self._fence.read_anew = self._read_anew
        self._reconciler = GuestReconciler(
            own, self._kubernetes, self.driver, self._guests, self._transfers, is_closed=self._fence.is_closed
        )
        self._heartbeat = Heartbeat(
            own, self._kubernetes, self.driver, self._guests, self._reconciler.queue, fence=self._fence
        )
        self._watches = Watches(
            self._kubernetes,
            [self._guests, self._host_volumes],
            namespaces=[node_namespace(node) for node in own.nodes],
        )
        self._endpoint = Endpoint(own, self._kubernetes, self.driver)
        self._started = False

    def add_checks(self, health: Health) -> None:
        """What has to be so for this process to be ready, and to be healthy."""
        health.add_live("watches", self._watches.check_live)
        health.add_ready("started", self._check_started)
        health.add_ready("hypervisor", self._check_hypervisor)
        health.add_ready("kubernetes", self._check_kubernetes)

    async def start(self, stop: asyncio.Event) -> None:
        """Connect to both sides, take stock, go to work."""
        await self._kubernetes.open()
        # From etcd itself: a cache may not know yet that a machine was evacuated while this host was down,
        # and what ran before is about to be started.
        await wait_for("API server", self._watches.fill, (KubernetesError,), stop)
        await wait_for("hypervisor", self._open_driver, (DriverError,), stop)
        if stop.is_set():
            return
        await self._volumes.queue.start()
        self._host_volumes.on_change(self._volumes.queue.add)
        for key in self._host_volumes:
            self._volumes.queue.add(key)
        await self._reconciler.queue.start()
        self._guests.on_change(self._reconciler.queue.add)
        for key, body in self._guests.bodies():  # what has been listed before anybody listened
            is_reached = body["status"].get("specGeneration", 0) >= body["metadata"].get("generation", 1)
            self._reconciler.queue.add(key, behind=is_reached)
        await self._watches.start(stop)
        await self._endpoint.start()
        self._fence.start()
        await self._heartbeat.start()
        self._started = True
        log.info("agent.started", nodes=self._nodes, guests=len(self._guests))

    async def stop(self) -> None:
        """Let running calls end, disconnect."""
        self._started = False
        if self._kubernetes.is_open:
            await self._heartbeat.stop()
            await self._fence.stop(withdrawn=await self._heartbeat.withdraw())
            await self._endpoint.stop()
            await self._watches.stop()
            await self._volumes.queue.stop(grace=30.0)
            await self._reconciler.queue.stop(grace=30.0)
        await self._transfers.close()
        await self.driver.close()
        await self._kubernetes.close()

    async def _read_anew(self) -> None:
        """What is wanted of the guests, from etcd itself: they may have been started elsewhere."""
        await self._watches.resync(fresh=True)
        self._reconciler.begin_anew()

    async def _open_driver(self) -> None:
        await self.driver.open(self._take_event)

    def _take_event(self, event: MachineEvent) -> None:
        self._reconciler.queue.add((node_namespace(event.node), event.instance_id))

    async def _check_started(self) -> str | None:
        return None if self._started else "still starting"

    async def _check_hypervisor(self) -> str | None:
        return None if await self.driver.healthy() else "the hypervisor does not answer"

    async def _check_kubernetes(self) -> str | None:
        await self._kubernetes.version()
        return None
