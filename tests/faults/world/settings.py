"""How the world's processes are set up, and what its cloud has to offer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any

import cairn_agent.app
import cairn_operator.conductor.app
import cairn_operator.scheduler.app
from cairn_agent.settings import AgentProcessSettings, AgentSettings
from cairn_crds import API_VERSION
from cairn_operator.conductor.settings import ConductorProcessSettings, ConductorSettings
from cairn_operator.scheduler.app import SchedulerProcessSettings
from cairn_operator.scheduler.settings import SchedulerSettings
from faults.world.hypervisor import Host

CANARIES = "canaries"
"""A project without limits, for instances that show whether one can be had."""


def of_process(name: str, hosts: Mapping[str, Host]) -> tuple[ModuleType, Any]:
    """The module whose `run` it is, and its settings: the defaults, but for what only costs time."""
    if name.startswith("conductor-"):
        conductor = ConductorSettings(
            identity=name,
            claim_poll_seconds=0.1,
            concurrency=8,
        )
        return cairn_operator.conductor.app, ConductorProcessSettings(conductor=conductor)
    if name.startswith("scheduler-"):
        scheduler = SchedulerSettings(hot_poll_seconds=0.3)
        return cairn_operator.scheduler.app, SchedulerProcessSettings(scheduler=scheduler)
    node = name.removeprefix("agent-")
    agent = AgentSettings(
        driver="fake",
        nodes=[node],
        graceful_seconds=2.0,
        boot_id_file=hosts[node].boot_id_file,
        state_directory=hosts[node].boot_id_file.parent,
    )
    return cairn_agent.app, AgentProcessSettings(agent=agent)


def catalog(project: str, hosts: list[str]) -> Iterator[dict[str, Any]]:
    """What an administrator sets up. The quota and the network are small enough to run out now and then."""
    for host in hosts:
        yield _body("ComputeNode", host)
    quotas = {"instances": 40, "cores": 60, "memoryMiB": -1}
    yield _body("Project", project, quotas=quotas)
    unlimited = {"instances": -1, "cores": -1, "memoryMiB": -1}
    yield _body("Project", CANARIES, quotas=unlimited)
    yield _body("Flavor", "small", vcpus=1, memoryMiB=512)
    yield _body("Flavor", "large", vcpus=4, memoryMiB=4096)
    yield _body("Image", "demo", url="http://images.test/demo.qcow2", sha256="0" * 64)
    yield _body("Network", "blue", cidr="10.20.0.0/24", default=True)
    yield _body("Network", "tiny", cidr="10.30.0.0/28")


def _body(kind: str, name: str, **spec: Any) -> dict[str, Any]:
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": name}, "spec": spec}
