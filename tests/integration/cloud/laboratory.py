"""A host in the test's own process: its agent is Cairn's, its fake driver takes orders from the test."""

from __future__ import annotations

import asyncio
from pathlib import Path

from cairn_agent.app import Agent
from cairn_agent.drivers.fake import FakeDriver
from cairn_agent.drivers.settings import FakeSettings
from cairn_agent.settings import AgentProcessSettings, AgentSettings
from cairn_runtime.settings import KubernetesSettings
from integration.cloud.portal import Portal


class Laboratory:
    """`driver.faults` orders failures, delays and waits; `stop`, `undefine` … happen behind Cairn's back."""

    def __init__(self, portal: Portal, node: str, kubeconfig: Path, directory: Path) -> None:
        self.node = node
        self._portal = portal
        self._settings = AgentProcessSettings(
            kubernetes=KubernetesSettings(kubeconfig=kubeconfig),
            agent=AgentSettings(
                driver="fake",
                nodes=[node],
                heartbeat_seconds=2.0,
                sweep_seconds=0.5,
                graceful_seconds=0.5,
                patience_seconds=0.2,
            ),
            fake=FakeSettings(directory=directory),
        )
        self._agent: Agent | None = None

    def start(self) -> None:
        """Start the agent."""

        async def begin() -> Agent:
            agent = Agent(self._settings)
            await agent.start(asyncio.Event())
            return agent

        self._agent = self._portal.call(begin())

    def close(self) -> None:
        """Stop the agent; its machines stay in its directory."""
        agent, self._agent = self._agent, None
        if agent is not None:
            self._portal.call(agent.stop())

    @property
    def driver(self) -> FakeDriver:
        """The running agent's driver."""
        assert self._agent is not None
        assert isinstance(self._agent.driver, FakeDriver)
        return self._agent.driver

    def fails(self, call: str, error: Exception, times: int | None = None) -> None:
        """`call` raises `error`, until `heal`."""
        self._portal.do(self.driver.faults.fails, call, error, times)

    def block(self, call: str) -> None:
        """`call` waits until `heal`."""
        self._portal.do(self.driver.faults.blocks, call)

    def heal(self, *calls: str) -> None:
        """Forget what was ordered."""
        for call in calls:
            self._portal.do(self.driver.faults.heals, call)

    def stop(self, instance_id: str) -> None:
        """The plug is pulled on the host."""
        self._portal.do(self.driver.stop, instance_id)

    def crash(self, instance_id: str) -> None:
        """The machine's process dies."""
        self._portal.do(self.driver.crash, instance_id)

    def undefine(self, instance_id: str) -> None:
        """Somebody removes the machine and leaves its disks."""
        self._portal.do(self.driver.undefine, instance_id)

    def remove(self, instance_id: str) -> None:
        """Somebody removes the machine with its disks."""
        self._portal.call(self.driver.destroy(self.node, instance_id))
