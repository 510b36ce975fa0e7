"""Real guests: how much longer than the guest's own boot it takes from `kubectl apply` to its userspace.

One `cairn up` in a folder of its own. Each instance is created through the API, and its console log is
watched for the first line of its userspace; then the very same machine is stopped and started by libvirt
alone, from the start call to the same line. What is between the two is Cairn's.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

import libvirt

from benchmarks.measure import InstanceWatch, percentile
from cairn_crds import API_VERSION, Instance
from cairn_runtime.kubernetes import Kubernetes
from cairn_runtime.settings import KubernetesSettings
from e2e.machine_cloud import BOOT_SECONDS, NAMESPACE, MachineCloud, machine_cloud

BANNER = re.compile(rb"cairn-demo: userspace up after ([\d.]+) s")
POLL_SECONDS = 0.002
SAMPLE = re.compile(r"^(\w+)_(sum|count)\{(?:call|step|phase)=\"([\w-]+)\"\} (\S+)$", re.MULTILINE)
FAMILIES = {
    "cairn_boot_phase_seconds": "",
    "cairn_driver_call_seconds": "driver ",
    "cairn_spawn_step_seconds": "driver spawn: ",
}


@dataclass
class QemuResult:
    """Times in seconds; medians where nothing else is said."""

    boots: int
    apply_to_active: float
    apply_to_userspace: float
    start_to_userspace_by_libvirt: float
    """The guest's own boot time."""
    difference: float
    """Between the two of one machine; at most 1 is wanted."""
    power_on_by_libvirt: float
    guest_clock_after_apply: float
    """What the guest's own kernel says of its boot: the rest of it is firmware, boot loader and host."""
    guest_clock_by_libvirt: float
    apply_to_userspace_each: str
    start_to_userspace_each: str
    phases: dict[str, float] = field(default_factory=dict)
    """Mean times of parts of a boot; the driver's are inside of "spawn"."""


def real_guests(count: int = 5) -> QemuResult:
    """`count` instances, one after the other."""
    with machine_cloud() as cloud:
        cloud.cairn("up")
        cloud.delete("web")  # it has warmed up what is made once: the image cache, the network
        return asyncio.run(_measure(cloud, count))


async def _measure(cloud: MachineCloud, count: int) -> QemuResult:
    kubernetes = Kubernetes(KubernetesSettings(kubeconfig=cloud.home.kubeconfig))
    await kubernetes.open()
    hypervisor = libvirt.open(cloud.room.uri)
    active, userspace, started, own = [], [], [], []
    clocks: tuple[list[float], list[float]] = [], []
    before = _phase_times(cloud)
    try:
        async with InstanceWatch(kubernetes, NAMESPACE) as watch:
            for number in range(count):
                name = f"bench-{number}"
                instance_id, to_active, to_userspace = await _boot(cloud, kubernetes, watch, name)
                active.append(to_active)
                userspace.append(to_userspace)
                stopped = watch.expect(name, "Stopped")
                domain = hypervisor.lookupByUUIDString(instance_id)
                domain.destroy()
                await asyncio.wait_for(stopped, BOOT_SECONDS)
                to_started, to_banner = await _start(cloud, domain)
                started.append(to_started)
                own.append(to_banner)
                for clock, seconds in zip(
                    clocks, BANNER.findall(_log(cloud, instance_id).read_bytes()), strict=True
                ):
                    clock.append(float(seconds))
                gone = watch.expect(name, "Gone")
                await kubernetes.delete(Instance, name, NAMESPACE)
                await asyncio.wait_for(gone, BOOT_SECONDS)
    finally:
        hypervisor.close()
        await kubernetes.close()
    return QemuResult(
        boots=count,
        apply_to_active=percentile(active, 0.5),
        apply_to_userspace=percentile(userspace, 0.5),
        start_to_userspace_by_libvirt=percentile(own, 0.5),
        difference=percentile((mine - bare for mine, bare in zip(userspace, own, strict=True)), 0.5),
        power_on_by_libvirt=percentile(started, 0.5),
        guest_clock_after_apply=percentile(clocks[0], 0.5),
        guest_clock_by_libvirt=percentile(clocks[1], 0.5),
        apply_to_userspace_each=" ".join(f"{value:.2f}" for value in userspace),
        start_to_userspace_each=" ".join(f"{value:.2f}" for value in own),
        phases=_means(before, _phase_times(cloud)),
    )


async def _boot(
    cloud: MachineCloud, kubernetes: Kubernetes, watch: InstanceWatch, name: str
) -> tuple[str, float, float]:
    """Its id, and the seconds to Active and to its userspace."""
    active = watch.expect(name, "Active")
    body = {
        "apiVersion": API_VERSION,
        "kind": "Instance",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"flavor": "m1.nano", "image": "demo", "keyPair": "default"},
    }
    began = time.perf_counter()
    created = await kubernetes.create(Instance, body)
    instance_id = str(created["metadata"]["uid"])
    up = await _banner(cloud, instance_id, 1)
    return instance_id, await active - began, up - began


async def _start(cloud: MachineCloud, domain: libvirt.virDomain) -> tuple[float, float]:
    """Start a machine by libvirt alone: the seconds that the call takes, and those to its userspace."""
    began = time.perf_counter()
    await asyncio.to_thread(domain.create)
    started = time.perf_counter()
    return started - began, await _banner(cloud, domain.UUIDString(), 2) - began


async def _banner(cloud: MachineCloud, instance_id: str, count: int) -> float:
    """When the guest's userspace had come up `count` times."""
    log = _log(cloud, instance_id)
    async with asyncio.timeout(BOOT_SECONDS):
        while True:
            if log.exists() and len(BANNER.findall(log.read_bytes())) >= count:
                return time.perf_counter()
            await asyncio.sleep(POLL_SECONDS)


def _log(cloud: MachineCloud, instance_id: str) -> Path:
    return cloud.home.instances / instance_id / "console.log"


def _phase_times(cloud: MachineCloud) -> dict[tuple[str, str], tuple[float, float]]:
    """Sum and count of what the conductor and the agent measure themselves."""
    ports = json.loads((cloud.home.stack / "ports.json").read_text())
    found: dict[tuple[str, str], dict[str, float]] = {}
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    for process in ("conductor", "agent"):
        with opener.open(f"http://127.0.0.1:{ports[process]}/metrics", timeout=10) as answer:
            for family, part, label, value in SAMPLE.findall(answer.read().decode()):
                if family in FAMILIES:
                    found.setdefault((family, label), {})[part] = float(value)
    return {key: (parts["sum"], parts["count"]) for key, parts in found.items()}


def _means(
    before: dict[tuple[str, str], tuple[float, float]], after: dict[tuple[str, str], tuple[float, float]]
) -> dict[str, float]:
    means = {}
    for (family, label), (total, count) in after.items():
        earlier_total, earlier_count = before.get((family, label), (0.0, 0.0))
        if count > earlier_count:
            means[FAMILIES[family] + label] = round((total - earlier_total) / (count - earlier_count), 4)
    return means
