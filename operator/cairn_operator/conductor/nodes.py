"""Tells when a host has fallen silent: its agent cannot say so itself.

Silence is judged by the local clock, from when this replica last saw the heartbeat change. While the API
server itself was away nothing could be heard, so that time does not count against anybody.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

import structlog

from cairn_crds import ComputeNode, Condition, ConditionStatus
from cairn_crds.conditions import find_condition, merge_conditions
from cairn_runtime.kubernetes import Kubernetes, NotFound
from cairn_runtime.store import Store

log = structlog.get_logger()


class NodeWatchdog:
    """Writes `Up: False` on ComputeNodes that are not heard of; their agents write `True`."""

    def __init__(
        self,
        kubernetes: Kubernetes,
        nodes: Store[ComputeNode],
        down_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._kubernetes = kubernetes
        self._nodes = nodes
        self._down_seconds = down_seconds
        self._clock = clock
        self._heard: dict[str, tuple[str, float]] = {}
        self._looked_at = clock()

    async def look(self, owns: Callable[[str], bool]) -> None:
        """Look at every node; of those that `owns`, write down the silent ones."""
        now = self._clock()
        gap, self._looked_at = now - self._looked_at, now
        for (_namespace, name), body in self._nodes.bodies():
            heartbeat = str(body["status"].get("heartbeatTime", ""))
            before, at = self._heard.get(name, ("", now))
            if heartbeat != before or gap > self._down_seconds:
                at = now
            self._heard[name] = (heartbeat, at)
            if heartbeat and now - at > self._down_seconds and owns(name):
                await self._write_down(name)

    async def _write_down(self, name: str) -> None:
        node = self._nodes.get("", name)
        shown = find_condition(node.status.conditions, "Up") if node else None
        if node is None or (shown is not None and shown.status is ConditionStatus.FALSE):
            return
        down = Condition(
            type="Up",
            status=ConditionStatus.FALSE,
            reason="NoHeartbeat",
            message=f"Silent for {self._down_seconds:.0f} s: is its agent running? Its guests may well be.",
        )
        others = [condition for condition in node.status.conditions if condition.type != "Up"]
        conditions = merge_conditions(node.status.conditions, [*others, down], datetime.now(UTC))
        patch = {
            "metadata": {"resourceVersion": node.metadata.resource_version},
            "status": {"conditions": [condition.to_api() for condition in conditions]},
        }
        try:
            self._nodes.put(await self._kubernetes.patch(ComputeNode, name, None, patch, "status"))
        except NotFound:
            return
        log.warning("node.down", node=name)
