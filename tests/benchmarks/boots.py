"""Boots and deletes through a real API server, SQLite and the fake driver."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.measure import InstanceWatch, cpu_seconds, percentile, rss_mib
from cairn_crds import ComputeNode, Instance
from cairn_local.control_plane.binaries import Binaries
from cairn_local.control_plane.running import RunningControlPlane, running_control_plane
from cairn_runtime.kubernetes import Kubernetes
from cairn_runtime.settings import KubernetesSettings
from support.cloud import Cloud, running_cloud

PROJECT = "bench"
CREATORS = 16
WAIT_SECONDS = 600.0
WARM_WAVES = 5


@dataclass
class BootResult:
    """What one run measured; times in seconds."""

    hosts: int
    instances: int
    all_active: float
    boot_p50: float
    boot_p95: float
    all_gone: float
    delete_p50: float
    delete_p95: float
    boots_per_second: float
    deletes_per_second: float
    cairn_cpu_per_boot: float
    kubernetes_cpu_per_boot: float
    rss_mib: dict[str, float] = field(default_factory=dict)
    writes_per_boot: dict[str, float] = field(default_factory=dict)
    writes_per_delete: dict[str, float] = field(default_factory=dict)


def one_by_one(binaries: Binaries, folder: Path, count: int = 40) -> BootResult:
    """One instance after the other on 10 hosts."""
    return _run(binaries, folder, hosts=10, agents=1, count=count, creators=1)


def at_once(binaries: Binaries, folder: Path, hosts: int, count: int, agents: int = 2) -> BootResult:
    """`count` instances, created as fast as 16 clients can, on `hosts` hosts."""
    return _run(binaries, folder, hosts=hosts, agents=agents, count=count, creators=CREATORS)


def counted_writes(binaries: Binaries, folder: Path, count: int = 100) -> BootResult:
    """As `at_once` on 10 hosts, with the API server's audit log on (which costs time)."""
    return _run(binaries, folder, hosts=10, agents=2, count=count, creators=CREATORS, audit=True)


@dataclass
class SoakResult:
    """Memory over many cycles of create and delete, in MiB by process."""

    cycles: int
    seconds: float
    rss_mib_after_first_wave: dict[str, float]
    rss_mib_after_last_wave: dict[str, float]
    growth_mib: dict[str, float]


def soak(binaries: Binaries, folder: Path, cycles: int = 10_000, wave: int = 100) -> SoakResult:
    """Create and delete, `wave` at a time, `cycles` in all, on 10 hosts: does anything grow?"""
    with cloud_with_hosts(binaries, folder, hosts=10, agents=1) as (plane, cloud):
        return asyncio.run(_soak(plane, cloud, cycles, wave))


async def _soak(plane: RunningControlPlane, cloud: Cloud, cycles: int, wave: int) -> SoakResult:
    kubernetes = Kubernetes(KubernetesSettings(kubeconfig=plane.kubeconfig, timeout_seconds=60))
    await kubernetes.open()
    began, first, last = time.perf_counter(), {}, {}
    try:
        async with InstanceWatch(kubernetes, PROJECT) as watch:
            for number in range(cycles // wave):
                names = [f"w{number:04}-{index:03}" for index in range(wave)]
                await boot_all(kubernetes, watch, names, CREATORS)
                await _delete_all(kubernetes, watch, names, CREATORS)
                last = {process.spec.name: round(rss_mib(process.pid), 1) for process in cloud.processes}
                # What the first waves fill (caches, pools, compiled statements) is not growth.
                first = last if number < WARM_WAVES else first
    finally:
        await kubernetes.close()
    growth = {name: round(last[name] - first[name], 1) for name in last}
    return SoakResult(cycles, time.perf_counter() - began, first, last, growth)


@contextmanager
def cloud_with_hosts(
    binaries: Binaries,
    folder: Path,
    *,
    hosts: int,
    agents: int,
    audit: bool = False,
    latency: dict[str, float] | None = None,
) -> Iterator[tuple[RunningControlPlane, Cloud]]:
    """A cloud whose hosts have all reported; `latency`: seconds that calls of the driver take, by name."""
    agent: dict[str, object] = {"agent__concurrency": 64, "agent__heartbeat_seconds": 10}
    if latency:
        agent["fake__latency_seconds"] = json.dumps(latency)
    settings = {"agent": agent}
    with (
        running_control_plane(folder / "plane", binaries, audit=audit) as plane,
        running_cloud(
            plane, folder / "cairn", nodes=hosts, nodes_per_agent=-(-hosts // agents), settings=settings
        ) as cloud,
    ):
        cloud.project(PROJECT)
        cloud.wait("hosts up", lambda: _hosts_up(cloud) == hosts, 120)
        yield plane, cloud


def _run(
    binaries: Binaries,
    folder: Path,
    *,
    hosts: int,
    agents: int,
    count: int,
    creators: int,
    audit: bool = False,
) -> BootResult:
    with cloud_with_hosts(binaries, folder, hosts=hosts, agents=agents, audit=audit) as (plane, cloud):
        return asyncio.run(_measure(plane, cloud, hosts, count, creators, audit=audit))


def _hosts_up(cloud: Cloud) -> int:
    return sum(1 for node in cloud.api.list(ComputeNode) if node.get("status", {}).get("heartbeatTime"))


async def _measure(
    plane: RunningControlPlane, cloud: Cloud, hosts: int, count: int, creators: int, *, audit: bool
) -> BootResult:
    kubernetes = Kubernetes(KubernetesSettings(kubeconfig=plane.kubeconfig, timeout_seconds=60))
    await kubernetes.open()
    try:
        async with InstanceWatch(kubernetes, PROJECT) as watch:
            # The first one pays for what is made once.
            await boot_all(kubernetes, watch, ["warm-up"], 1)
            await _delete_all(kubernetes, watch, ["warm-up"], 1)
            names = [f"i{number:05}" for number in range(count)]
            before, mark = _cpu(plane, cloud), plane.mark() if audit else None
            boots, all_active = await boot_all(kubernetes, watch, names, creators)
            writes = _count_writes(plane, mark, count)
            after = _cpu(plane, cloud)
            memory = {process.spec.name: round(rss_mib(process.pid), 1) for process in cloud.processes}
            mark = plane.mark() if audit else None
            deletes, all_gone = await _delete_all(kubernetes, watch, names, creators)
            return BootResult(
                hosts=hosts,
                instances=count,
                all_active=all_active,
                boot_p50=percentile(boots, 0.5),
                boot_p95=percentile(boots, 0.95),
                all_gone=all_gone,
                delete_p50=percentile(deletes, 0.5),
                delete_p95=percentile(deletes, 0.95),
                boots_per_second=count / all_active,
                deletes_per_second=count / all_gone,
                cairn_cpu_per_boot=(after[0] - before[0]) / count,
                kubernetes_cpu_per_boot=(after[1] - before[1]) / count,
                rss_mib=memory,
                writes_per_boot=writes,
                writes_per_delete=_count_writes(plane, mark, count),
            )
    finally:
        await kubernetes.close()


def _cpu(plane: RunningControlPlane, cloud: Cloud) -> tuple[float, float]:
    return (
        sum(cpu_seconds(process.pid) for process in cloud.processes),
        sum(cpu_seconds(process.pid) for process in plane.group),
    )


def _count_writes(plane: RunningControlPlane, mark: Any, count: int) -> dict[str, float]:
    if mark is None:
        return {}
    counts: dict[str, float] = {}
    for write in plane.writes_since(mark):
        kind = f"{write.verb} {write.resource}"
        by_client = write.resource == "instances" and write.user == "cairn-admin"
        if write.resource not in ("leases", "computenodes/status") and not by_client:
            counts[kind] = counts.get(kind, 0) + 1 / count
    return {kind: round(number, 3) for kind, number in sorted(counts.items())}


async def boot_all(
    kubernetes: Kubernetes, watch: InstanceWatch, names: list[str], creators: int
) -> tuple[list[float], float]:
    """Create them and wait until all are Active; each one's seconds, and those until the last."""

    async def boot(name: str) -> float:
        active = watch.expect(name, "Active")
        body = {
            "apiVersion": "compute.cairn.dev/v1alpha1",
            "kind": "Instance",
            "metadata": {"name": name, "namespace": PROJECT},
            "spec": {"flavor": "tiny", "image": "demo"},
        }
        started = time.perf_counter()
        await kubernetes.create(Instance, body)
        if creators == 1:
            return await asyncio.wait_for(active, WAIT_SECONDS) - started
        waiting.append((started, active))
        return 0.0

    waiting: list[tuple[float, asyncio.Future[float]]] = []
    return await _all(boot, names, creators, waiting)


async def _delete_all(
    kubernetes: Kubernetes, watch: InstanceWatch, names: list[str], creators: int
) -> tuple[list[float], float]:
    async def delete(name: str) -> float:
        gone = watch.expect(name, "Gone")
        started = time.perf_counter()
        await kubernetes.delete(Instance, name, PROJECT)
        if creators == 1:
            return await asyncio.wait_for(gone, WAIT_SECONDS) - started
        waiting.append((started, gone))
        return 0.0

    waiting: list[tuple[float, asyncio.Future[float]]] = []
    return await _all(delete, names, creators, waiting)


async def _all(
    act: Any, names: list[str], clients: int, waiting: list[tuple[float, asyncio.Future[float]]]
) -> tuple[list[float], float]:
    """Run `act` for every name with so many clients; each one's time, and that until the last was done."""
    rest = iter(names)
    began = time.perf_counter()
    times: list[float] = []

    async def client() -> None:
        for name in rest:
            taken = await act(name)
            if taken:
                times.append(taken)

    await asyncio.gather(*(client() for _ in range(clients)))
    ends = await asyncio.wait_for(asyncio.gather(*(future for _, future in waiting)), WAIT_SECONDS)
    times += [end - started for (started, _), end in zip(waiting, ends, strict=True)]
    return times, time.perf_counter() - began
