"""What the agent says of its nodes, and how it notices what nobody told it.

One write per node and heartbeat; between them the hypervisor is asked for all its machines, and those
whose state is not what their Guest says are looked at.
"""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, datetime
from typing import Any

import structlog

from cairn_agent.drivers.api import DriverError, Inventory
from cairn_agent.drivers.driver import Driver
from cairn_agent.metrics import MACHINES, UNCLAIMED, timed
from cairn_agent.self_fence import SelfFence
from cairn_agent.settings import AgentSettings
from cairn_crds import ComputeNode, ComputeNodeStatus, Condition, ConditionStatus, Guest
from cairn_crds.conditions import find_condition
from cairn_crds.guest import node_namespace
from cairn_runtime.kubernetes import Conflict, Kubernetes, KubernetesError
from cairn_runtime.store import Store
from cairn_runtime.workqueue import WorkQueue

log = structlog.get_logger()
CONDITION_ATTEMPTS = 3
UP = Condition(type="Up", status=ConditionStatus.TRUE, reason="AgentReports", message="The agent reports.")
NOT_THE_AGENTS = ("conditions", "drain")


class Heartbeat:
    """The reports and sweeps of one agent."""

    def __init__(
        self,
        settings: AgentSettings,
        kubernetes: Kubernetes,
        driver: Driver,
        guests: Store[Guest],
        queue: WorkQueue[tuple[str, str]],
        *,
        fence: SelfFence,
    ) -> None:
        self._settings = settings
        self._kubernetes = kubernetes
        self._driver = driver
        self._guests = guests
        self._queue = queue
        self._fence = fence
        self._unclaimed: dict[str, list[str]] = {}
        self._up_since: dict[str, datetime] = {}
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Report every node once, then keep going. Raises KubernetesError where a report is refused."""
        for node in self._settings.nodes:
            await self.sweep(node)
        await asyncio.gather(*(self.report(node) for node in self._settings.nodes))
        self._tasks = [
            *(asyncio.create_task(self._report_forever(node)) for node in self._settings.nodes),
            asyncio.create_task(self._sweep_forever()),
            asyncio.create_task(self._tidy_forever()),
        ]

    async def stop(self) -> None:
        """End the loops."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def report(self, node: str) -> None:
        """Write what the node has, and that it is alive."""
        inventory = await self._driver.inventory(node)
        began = self._fence.clock()
        now = datetime.now(UTC)
        since = self._up_since.setdefault(node, now)
        status = _status(inventory, now, self._unclaimed.get(node, []))
        status["selfFenceSeconds"] = self._fence.reported
        body = await self._kubernetes.patch(ComputeNode, node, None, {"status": status}, "status")
        await self._fence.heard(node, began)
        await self._show_up(node, body, since)

    async def withdraw(self) -> bool:
        """Say that nobody fences the nodes any more; False where that did not get through."""
        if self._fence.reported is None:
            return True
        try:
            for node in self._settings.nodes:
                patch = {"status": {"selfFenceSeconds": None}}
                await self._kubernetes.patch(ComputeNode, node, None, patch, "status")
        except KubernetesError as error:
            log.warning("self_fence.not_withdrawn", error=str(error))
            return False
        return True

    async def _show_up(self, node: str, body: dict[str, Any], since: datetime) -> None:
        """The condition Up says so. Others write conditions as well, and a patch replaces the whole list: so
        it is written only where it does not say so already, and only over the version that was read."""
        for _ in range(CONDITION_ATTEMPTS):
            shown: ComputeNode = ComputeNode.from_api(body)
            before = find_condition(shown.status.conditions, "Up")
            if before is not None and before.says_the_same(UP):
                return
            moment = since if before is None else datetime.now(UTC)
            others = [item for item in shown.status.conditions if item.type != "Up"]
            up = UP.model_copy(update={"last_transition_time": moment})
            patch = {
                "metadata": {"resourceVersion": shown.metadata.resource_version},
                "status": {"conditions": [item.to_api() for item in (up, *others)]},
            }
            try:
                await self._kubernetes.patch(ComputeNode, node, None, patch, "status")
            except Conflict:
                body = await self._kubernetes.get(ComputeNode, node)
            else:
                return

    async def sweep(self, node: str) -> None:
        """Compare the hypervisor's machines with the Guests."""
        with timed("machines"):
            machines = await self._driver.machines(node)
        namespace = node_namespace(node)
        unclaimed = []
        for machine in machines:
            guest = self._guests.get(namespace, machine.instance_id)
            if guest is None:
                unclaimed.append(machine.instance_id)
            elif not guest.spec.absent and guest.status.power_state is not machine.power_state:
                self._queue.add((namespace, machine.instance_id))
        here = {machine.instance_id for machine in machines}
        for key, body in self._guests.bodies():
            if key[0] == namespace and key[1] not in here and body["status"].get("phase") == "Ready":
                self._queue.add(key)
        self._unclaimed[node] = sorted(unclaimed)
        MACHINES.labels(node).set(len(machines))
        UNCLAIMED.labels(node).set(len(unclaimed))

    async def _report_forever(self, node: str) -> None:
        pause = self._settings.heartbeat_seconds
        # Many nodes in one agent do not all report at the same moment.
        await asyncio.sleep(pause * (1 + 0.2 * random.random()))  # noqa: S311
        while True:
            try:
                await self.report(node)
            except (KubernetesError, DriverError) as error:
                log.warning("heartbeat.failed", node=node, error=str(error))
            await asyncio.sleep(pause)

    async def _sweep_forever(self) -> None:
        while True:
            await asyncio.sleep(self._settings.sweep_seconds)
            for node in self._settings.nodes:
                try:
                    await self.sweep(node)
                except DriverError as error:
                    log.warning("sweep.failed", node=node, error=str(error))

    async def _tidy_forever(self) -> None:
        while True:
            await asyncio.sleep(self._settings.tidy_seconds)
            for node in self._settings.nodes:
                namespace = node_namespace(node)
                keep = {name for where, name in self._guests if where == namespace}
                try:
                    with timed("sweep"):
                        await self._driver.sweep(node, keep)
                except DriverError as error:
                    log.warning("tidy.failed", node=node, error=str(error))


def _status(inventory: Inventory, now: datetime, unclaimed: list[str]) -> dict[str, Any]:
    """What only the agent writes. Everything else in the status is the conductor's."""
    status = ComputeNodeStatus(
        hypervisor_type=inventory.hypervisor_type,
        hypervisor_version=inventory.hypervisor_version,
        hostname=inventory.hostname,
        address=inventory.address,
        boot_time=inventory.boot_time,
        architecture=inventory.architecture,
        vcpus=inventory.vcpus,
        memory_mib=inventory.memory_mib,
        disk_gib=inventory.disk_gib,
        cpu_model=inventory.cpu_model,
        traits=sorted(inventory.traits),
        capabilities=dict(inventory.capabilities),
        metrics=dict(inventory.metrics),
        heartbeat_time=now,
        unclaimed_machines=unclaimed,
    )
    return {name: value for name, value in status.to_api().items() if name not in NOT_THE_AGENTS}
