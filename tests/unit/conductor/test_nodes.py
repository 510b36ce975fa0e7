"""A silent host is shown as down; a silent API server excuses everybody."""

from __future__ import annotations

from typing import Any

from cairn_crds import ComputeNode
from cairn_operator.conductor.nodes import NodeWatchdog
from cairn_runtime.store import Store


class Api:
    """Takes the patches that the watchdog writes."""

    def __init__(self, body: dict[str, Any]) -> None:
        self.body = body
        self.patches: list[dict[str, Any]] = []

    async def patch(self, _kind: Any, _name: str, _namespace: Any, patch: dict[str, Any], _sub: str) -> Any:
        self.patches.append(patch)
        version = str(int(self.body["metadata"]["resourceVersion"]) + 1)
        self.body = {**self.body, "metadata": {**self.body["metadata"], "resourceVersion": version}}
        self.body["status"] = {**self.body["status"], **patch["status"]}
        return self.body


class World:
    """One node, one watchdog, one clock that stands still."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.api = Api({"metadata": {"name": "n", "resourceVersion": "1"}, "spec": {}, "status": {}})
        self.nodes = Store(ComputeNode)
        self.dog = NodeWatchdog(self.api, self.nodes, 60.0, clock=lambda: self.now)  # type: ignore[arg-type]
        self.beat("2026-01-01T00:00:00Z")

    def beat(self, when: str) -> None:
        version = str(int(self.api.body["metadata"]["resourceVersion"]) + 1)
        up = {"type": "Up", "status": "True", "reason": "AgentReports", "message": ""}
        self.api.body = {
            "metadata": {"name": "n", "resourceVersion": version},
            "spec": {},
            "status": {"heartbeatTime": when, "conditions": [up]},
        }
        self.nodes.put(self.api.body)

    async def pass_time(self, seconds: float, step: float = 10.0) -> None:
        for _ in range(int(seconds / step)):
            self.now += step
            await self.dog.look(lambda _name: True)


async def test_a_silent_host_is_written_down_once() -> None:
    world = World()
    await world.pass_time(60)
    assert world.api.patches == []
    await world.pass_time(60)
    [patch] = world.api.patches
    [condition] = patch["status"]["conditions"]
    assert (condition["type"], condition["status"], condition["reason"]) == ("Up", "False", "NoHeartbeat")


async def test_a_host_that_is_heard_of_stays_up_whatever_its_clock_says() -> None:
    world = World()
    for minute in range(10):
        world.beat(f"1999-01-01T00:{minute:02}:00Z")
        await world.pass_time(30)
    assert world.api.patches == []


async def test_time_in_which_nobody_could_be_heard_does_not_count() -> None:
    world = World()
    await world.pass_time(30)
    await world.pass_time(600, step=600)
    assert world.api.patches == []


async def test_another_replicas_nodes_are_left_to_it() -> None:
    world = World()
    for _ in range(20):
        world.now += 10
        await world.dog.look(lambda _name: False)
    assert world.api.patches == []
