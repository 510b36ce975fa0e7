"""A heartbeat says what the agent knows, and leaves alone what others have written."""

from __future__ import annotations

from typing import Any

from cairn_agent.drivers.fake import FakeDriver
from cairn_agent.heartbeat import Heartbeat
from cairn_agent.self_fence import SelfFence
from cairn_agent.settings import AgentSettings
from cairn_crds import Guest
from cairn_runtime.kubernetes import Conflict
from cairn_runtime.store import Store

DRAINED = {"type": "Drained", "status": "False", "reason": "Draining", "message": "3 left."}
DRAIN = {"instances": 3, "moving": 1, "failed": {}, "done": False}


class Server:
    """One ComputeNode, with the API server's merge patches and versions."""

    def __init__(self, status: dict[str, Any]) -> None:
        self.body: dict[str, Any] = {"metadata": {"name": "n", "resourceVersion": "1"}, "status": status}
        self.patches: list[dict[str, Any]] = []
        self.interferes: list[dict[str, Any]] = []
        """Conditions that somebody else writes just before the agent does."""

    async def get(self, _kind: Any, _name: str) -> dict[str, Any]:
        return self.body

    async def patch(
        self, _kind: Any, _name: str, _ns: Any, patch: dict[str, Any], _sub: str
    ) -> dict[str, Any]:
        version = patch.get("metadata", {}).get("resourceVersion")
        if version is not None and self.interferes:
            self._write({"conditions": [self.interferes.pop()]})
        if version not in (None, self.body["metadata"]["resourceVersion"]):
            raise Conflict(409, "Conflict", "the object has been modified")
        self.patches.append(patch)
        return self._write(patch["status"])

    def _write(self, status: dict[str, Any]) -> dict[str, Any]:
        version = str(int(self.body["metadata"]["resourceVersion"]) + 1)
        metadata = {**self.body["metadata"], "resourceVersion": version}
        self.body = {"metadata": metadata, "status": {**self.body["status"], **status}}
        return self.body

    def conditions(self) -> dict[str, str]:
        return {item["type"]: item["status"] for item in self.body["status"]["conditions"]}


def heartbeat(server: Server) -> Heartbeat:
    settings = AgentSettings(driver="fake", nodes=["n"])
    driver = FakeDriver()
    fence = SelfFence(settings, driver)
    return Heartbeat(settings, server, driver, Store(Guest), None, fence=fence)  # type: ignore[arg-type]


async def test_a_new_host_is_up_after_its_first_report() -> None:
    server = Server({})
    await heartbeat(server).report("n")
    assert server.conditions() == {"Up": "True"}
    assert server.body["status"]["vcpus"] > 0


async def test_a_host_that_is_up_costs_one_write() -> None:
    server = Server({})
    agent = heartbeat(server)
    await agent.report("n")
    server.patches.clear()
    await agent.report("n")
    [patch] = server.patches
    assert "conditions" not in patch["status"]


async def test_a_report_leaves_the_drain_alone() -> None:
    server = Server({"conditions": [DRAINED], "drain": DRAIN})
    agent = heartbeat(server)
    await agent.report("n")
    await agent.report("n")
    assert server.body["status"]["drain"] == DRAIN
    assert server.conditions() == {"Drained": "False", "Up": "True"}


async def test_a_host_that_was_taken_for_dead_is_up_again() -> None:
    down = {"type": "Up", "status": "False", "reason": "NoHeartbeat", "message": "Silent."}
    server = Server({"conditions": [down, DRAINED]})
    await heartbeat(server).report("n")
    assert server.conditions() == {"Up": "True", "Drained": "False"}


async def test_two_that_write_conditions_at_once_both_have_their_say() -> None:
    server = Server({})
    server.interferes = [DRAINED]
    await heartbeat(server).report("n")
    assert server.conditions() == {"Drained": "False", "Up": "True"}
