"""A host with many guests is drained: what the moves themselves take, and what Cairn adds.

The fake driver's live migrations take `DRIVER_SECONDS` each, and `conductor.drain_parallel` of them are
under way at a time: that bounds the drain. A second drain with moves that take no time shows what Cairn alone
could do.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.boots import PROJECT, boot_all, cloud_with_hosts
from benchmarks.measure import InstanceWatch, cpu_seconds
from cairn_crds import ComputeNode, Instance
from cairn_local.control_plane.binaries import Binaries
from cairn_operator.conductor.settings import ConductorSettings
from cairn_runtime.kubernetes import Kubernetes
from cairn_runtime.settings import KubernetesSettings

DRIVER_SECONDS = 1.0
WAIT_SECONDS = 600.0
POLL_SECONDS = 0.05


@dataclass
class DrainResult:
    """Seconds from `spec.drain` to the condition Drained."""

    guests: int
    parallel: int
    drained: float
    driver_alone: float
    """What moves of `DRIVER_SECONDS` take, `parallel` at a time."""
    drained_by_instant_moves: float
    cairn_cpu_per_guest: float


def with_many(binaries: Binaries, folder: Path, guests: int = 100) -> DrainResult:
    """One host of two has all the guests."""
    parallel = ConductorSettings().drain_parallel
    slow, cpu = _drained(binaries, folder / "slow", guests, DRIVER_SECONDS)
    instant, _cpu = _drained(binaries, folder / "instant", guests, 0.0)
    bound = -(-guests // parallel) * DRIVER_SECONDS
    return DrainResult(guests, parallel, slow, bound, instant, cpu / guests)


def _drained(binaries: Binaries, folder: Path, guests: int, seconds: float) -> tuple[float, float]:
    """How long that took, and the CPU seconds of Cairn's processes meanwhile."""
    latency = {"live_migrate": seconds}
    with cloud_with_hosts(binaries, folder, hosts=2, agents=2, latency=latency) as (plane, cloud):
        names = sorted(node["metadata"]["name"] for node in cloud.api.list(ComputeNode))

        def used() -> float:
            return sum(cpu_seconds(process.pid) for process in cloud.processes)

        async def drain() -> tuple[float, float]:
            kubernetes = Kubernetes(KubernetesSettings(kubeconfig=plane.kubeconfig, timeout_seconds=60))
            await kubernetes.open()
            try:
                await _fill(kubernetes, *names, guests)
                before, began = used(), time.perf_counter()
                await kubernetes.patch(ComputeNode, names[0], None, {"spec": {"drain": True}})
                await _until_drained(kubernetes, names[0])
                return time.perf_counter() - began, used() - before
            finally:
                await kubernetes.close()

        return asyncio.run(drain())


async def _fill(kubernetes: Kubernetes, full: str, empty: str, guests: int) -> None:
    await kubernetes.patch(ComputeNode, empty, None, {"spec": {"disabled": True}})
    async with InstanceWatch(kubernetes, PROJECT) as watch:
        await boot_all(kubernetes, watch, [f"web-{number:03}" for number in range(guests)], creators=8)
    await kubernetes.patch(ComputeNode, empty, None, {"spec": {"disabled": False}})
    bodies, _version = await kubernetes.list_all(Instance, PROJECT)
    assert [body["status"]["host"] for body in bodies] == [full] * guests


async def _until_drained(kubernetes: Kubernetes, name: str) -> None:
    deadline = time.perf_counter() + WAIT_SECONDS
    while time.perf_counter() < deadline:
        drain = (await kubernetes.get(ComputeNode, name))["status"].get("drain") or {}
        if drain.get("done"):
            return
        await asyncio.sleep(POLL_SECONDS)
    raise AssertionError(f"{name} is not drained after {WAIT_SECONDS:g} s: {drain}")
