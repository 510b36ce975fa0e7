"""A conductor that starts with 10,000 instances to look at, while new ones arrive: who is served when?

The instances that are there already are written in bulk: rows (`filling`), resources (into etcd) and machines
(the fake driver's files), all as Cairn itself wrote them for one that was booted.
"""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import orjson

from benchmarks.boots import PROJECT
from benchmarks.filling import Clone, fill_hosts
from benchmarks.measure import InstanceWatch, cpu_seconds, percentile, rss_mib
from cairn_crds import GROUP, ComputeNode, Guest, Instance
from cairn_crds.guest import node_namespace
from cairn_local.control_plane.binaries import Binaries
from cairn_local.control_plane.running import RunningControlPlane, running_control_plane
from cairn_runtime.kubernetes import Kubernetes
from cairn_runtime.settings import KubernetesSettings
from support.cloud import Cloud, running_cloud

CONDUCTOR = "conductor-0"
PATTERN = "pattern"
AT_A_TIME = 100
"""Objects in one transaction of etcd; it takes 128."""
HEARTBEAT_SECONDS = 5
EVERY_SECONDS = 0.25
ARRIVALS = 60
WAIT_SECONDS = 300.0


@dataclass
class RestartResult:
    """Seconds; a new instance's are from its creation to Active, or from the conductor's start if it was
    created before that."""

    instances: int
    hosts: int
    filling: float
    """Making the instances that are there."""
    first_boot: float
    """Of the one that was created with the conductor down."""
    boot_p50: float
    """Of those that were created one every quarter of a second from the conductor's start on."""
    boot_worst: float
    ready: float
    """Until the conductor says so."""
    conductor_cpu: float
    """In that time and while the new ones came."""
    conductor_rss_mib: float


def with_many(binaries: Binaries, folder: Path, instances: int = 10_000, hosts: int = 20) -> RestartResult:
    """Real API server, fake driver, SQLite."""
    machines = folder / "machines"
    capacity = {"vcpus": 4 * instances, "memory_mib": 1024 * instances, "disk_gib": 1024 * instances}
    settings: dict[str, dict[str, object]] = {
        "agent": {
            "agent__concurrency": 64,
            "agent__heartbeat_seconds": HEARTBEAT_SECONDS,
            "fake__directory": machines,
            "fake__capacity": json.dumps(capacity),
        }
    }
    with (
        running_control_plane(folder / "plane", binaries) as plane,
        running_cloud(
            plane, folder / "cairn", nodes=hosts, nodes_per_agent=hosts, settings=settings
        ) as cloud,
    ):
        cloud.project(PROJECT)
        cloud.apply(cloud.instance(PATTERN, PROJECT))
        cloud.wait_phase(PATTERN, PROJECT, "Active", 60)
        began = time.perf_counter()
        _fill(plane, cloud, machines, instances, hosts)
        return asyncio.run(_measure(plane, cloud, hosts, instances, time.perf_counter() - began))


def _fill(plane: RunningControlPlane, cloud: Cloud, machines: Path, count: int, hosts: int) -> None:
    """With Cairn stopped; all but the conductor runs again afterwards."""
    instance = cloud.api.get(Instance, PATTERN, PROJECT)
    assert instance is not None
    host, instance_id = instance["status"]["host"], instance["status"]["instanceId"]
    guest = cloud.api.get(Guest, instance_id, node_namespace(host))
    for process in cloud.processes:
        process.stop()
    clones = fill_hosts(cloud.stack.database_url, instance_id, count, hosts)
    asyncio.run(_put(plane, list(_objects(clones, instance, guest))))
    machine = (machines / f"{instance_id}.json").read_text()
    for clone in clones:
        (machines / f"{clone.id}.json").write_text(_renamed(machine, clone))
    began = datetime.now(UTC)
    for process in cloud.processes:
        if process.spec.name != CONDUCTOR:
            process.start()
    cloud.wait("the hosts", lambda: _all_heard_since(cloud, began), 120)


def _all_heard_since(cloud: Cloud, moment: datetime) -> bool:
    """Whether every host has reported twice: only the conductor is to have anything to catch up with."""
    times = [node["status"].get("heartbeatTime") for node in cloud.api.list(ComputeNode)]
    earliest = moment + timedelta(seconds=2 * HEARTBEAT_SECONDS)
    return all(text and datetime.fromisoformat(text) > earliest for text in times)


def _renamed(text: str, clone: Clone) -> str:
    for old, new in clone.renamed.items():
        text = text.replace(f'"{old}"', f'"{new}"').replace(f"-{old}", f"-{new}")
    return text


def _objects(clones: list[Clone], instance: Any, guest: Any) -> Iterator[tuple[str, str]]:
    """Keys and values of etcd."""
    for number, clone in enumerate(clones):
        for plural, body in (("instances", instance), ("guests", guest)):
            metadata = {
                key: value
                for key, value in body["metadata"].items()
                if key not in ("resourceVersion", "managedFields", "annotations", "ownerReferences")
            }
            metadata["uid"] = clone.id if plural == "instances" else str(uuid.UUID(int=number + 1))
            text = _renamed(json.dumps({**body, "metadata": metadata}), clone)
            made = json.loads(text)["metadata"]
            yield f"/registry/{GROUP}/{plural}/{made['namespace']}/{made['name']}", text


async def _put(plane: RunningControlPlane, objects: list[tuple[str, str]]) -> None:
    """Write them as the API server would."""
    keys = plane.plane._keys
    context = ssl.create_default_context(cafile=str(keys.etcd_authority.certificate))
    context.load_cert_chain(keys.etcd_client.certificate, keys.etcd_client.key)
    url = f"https://127.0.0.1:{plane.plane.ports.etcd}/v3/kv/txn"
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as session:
        for start in range(0, len(objects), AT_A_TIME):
            puts = [
                {"requestPut": {"key": _encoded(key), "value": _encoded(value)}}
                for key, value in objects[start : start + AT_A_TIME]
            ]
            async with session.post(url, data=orjson.dumps({"success": puts})) as answer:
                answer.raise_for_status()


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


async def _measure(
    plane: RunningControlPlane, cloud: Cloud, hosts: int, count: int, filling: float
) -> RestartResult:
    kubernetes = Kubernetes(KubernetesSettings(kubeconfig=plane.kubeconfig, timeout_seconds=60))
    await kubernetes.open()
    try:
        async with InstanceWatch(kubernetes, PROJECT) as watch:

            async def boot(name: str) -> float:
                began, active = time.perf_counter(), watch.expect(name, "Active")
                await kubernetes.create(Instance, cloud.instance(name, PROJECT))
                return await asyncio.wait_for(active, WAIT_SECONDS) - began

            first = asyncio.create_task(boot("first"))
            await asyncio.sleep(3)
            conductor = cloud.processes[CONDUCTOR]
            began = time.perf_counter()
            conductor.start(wait=False)
            ready = asyncio.create_task(asyncio.to_thread(conductor.wait_ready))
            ready.add_done_callback(lambda _task: readiness.append(time.perf_counter() - began))
            readiness: list[float] = []
            boots = []
            for number in range(ARRIVALS):
                boots.append(asyncio.create_task(boot(f"new-{number:03}")))
                await asyncio.sleep(EVERY_SECONDS)
            times = await asyncio.gather(*boots)
            await ready
            return RestartResult(
                instances=count,
                hosts=hosts,
                filling=filling,
                first_boot=await first - 3,
                boot_p50=percentile(times, 0.5),
                boot_worst=max(times),
                ready=readiness[0],
                conductor_cpu=cpu_seconds(conductor.pid),
                conductor_rss_mib=rss_mib(conductor.pid),
            )
    finally:
        await kubernetes.close()
