"""What the gateway reads from the hosts themselves: console logs and diagnostics."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from cairn_crds.peer import Peer
from cairn_runtime.agent_client import AgentClient
from cairn_runtime.agent_errors import AgentUnreachable
from cairn_runtime.diagnostics import MachineDiagnostics
from cairn_runtime.kubernetes import Kubernetes
from cairn_runtime.peers import Peers

T = TypeVar("T")


class Agents:
    """The hosts' agents, by the ComputeNode's name. Every call raises AgentError and ApiServerUnavailable."""

    def __init__(self, kubernetes: Kubernetes, timeout_seconds: float) -> None:
        self._peers = Peers(kubernetes)
        self._client = AgentClient()
        self._timeout = timeout_seconds
        """For all that one call takes: the Secret, a second attempt, the hypervisor."""

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def console_log(self, node: str, instance_id: str, max_bytes: int) -> bytes:
        """The end of what the machine wrote to its serial console."""
        return await self._ask(node, lambda peer: self._client.console_log(peer, instance_id, max_bytes))

    async def diagnostics(self, node: str, instance_id: str) -> MachineDiagnostics:
        """What the machine has used. Raises WrongPowerState unless it runs."""
        return await self._ask(node, lambda peer: self._client.diagnostics(peer, instance_id))

    async def _ask(self, node: str, question: Callable[[Peer], Awaitable[T]]) -> T:
        try:
            async with asyncio.timeout(self._timeout):
                return await self._peers.ask(node, question)
        except TimeoutError as error:
            raise AgentUnreachable(f"{node} did not answer within {self._timeout:.0f} s") from error
