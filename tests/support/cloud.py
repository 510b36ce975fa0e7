"""A whole Cairn with the fake driver over a real API server, for tests and benchmarks."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

from cairn_crds import Instance
from cairn_crds.guest import node_namespace
from cairn_local.cluster import Cluster
from cairn_local.control_plane.running import RunningControlPlane
from cairn_local.process import ProcessGroup
from cairn_local.stack import AGENT_ACCOUNT, Stack
from support.api import Api, Body
from support.waiting import until

CATALOG = """
apiVersion: compute.cairn.dev/v1alpha1
kind: Flavor
metadata: {name: tiny}
spec: {vcpus: 1, memoryMiB: 64}
---
apiVersion: compute.cairn.dev/v1alpha1
kind: Image
metadata: {name: demo}
spec:
  url: "http://127.0.0.1:9/demo.qcow2"
  sha256: "0000000000000000000000000000000000000000000000000000000000000000"
---
apiVersion: compute.cairn.dev/v1alpha1
kind: Network
metadata: {name: blue}
spec: {cidr: 10.20.0.0/16, default: true}
"""


class Cloud:
    """One Cairn: `apply`, `api`, `wait`, and its processes by name in `processes`."""

    def __init__(self, stack: Stack, processes: ProcessGroup) -> None:
        self.stack = stack
        self.processes = processes
        self.kubectl = stack.cluster.run
        self.api = Api(stack.cluster.kubeconfig)

    def apply(self, *manifests: Body) -> None:
        """kubectl apply."""
        self.kubectl("apply", "-f", "-", stdin="\n".join(map(json.dumps, manifests)))

    def instance(self, name: str, namespace: str, **spec: Any) -> Body:
        """An Instance manifest."""
        return {
            "apiVersion": "compute.cairn.dev/v1alpha1",
            "kind": "Instance",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"flavor": "tiny", "image": "demo", **spec},
        }

    def project(self, name: str, **quotas: int) -> None:
        """A Project, ready for use; unlimited unless `quotas` say otherwise."""
        limits = {"instances": -1, "cores": -1, "memoryMiB": -1, **quotas}
        body = {
            "apiVersion": "compute.cairn.dev/v1alpha1",
            "kind": "Project",
            "metadata": {"name": name},
            "spec": {"quotas": limits},
        }
        self.apply(body)
        self.kubectl("wait", "--for=condition=Ready", f"project/{name}", "--timeout=30s")

    def wait(self, what: str, condition: Callable[[], Any], seconds: float = 30.0) -> Any:
        """Until `condition()` is true; its value. Fails with `what` and the end of the logs."""
        return until(what, condition, seconds, self.tails)

    def wait_phase(self, name: str, namespace: str, phase: str, seconds: float = 30.0) -> Body:
        """Until the Instance shows `phase`."""

        def look() -> Body | None:
            body = self.api.get(Instance, name, namespace)
            return body if body and body.get("status", {}).get("phase") == phase else None

        result: Body = self.wait(f"{namespace}/{name} {phase}", look, seconds)
        return result

    def wait_account(self, node: str) -> None:
        """Until the agent of a node that has been enrolled may speak to the API server."""
        namespace = node_namespace(node)
        self.wait(f"account of {node}", lambda: self.api.has_account(namespace, AGENT_ACCOUNT))

    def tails(self) -> str:
        """The end of every process' log."""
        parts = []
        for process in self.processes:
            lines = process.log.read_text(errors="replace").splitlines()[-15:]
            parts.append(f"--- {process.spec.name}\n" + "\n".join(lines))
        return "\n".join(parts)


def cluster_of(plane: RunningControlPlane) -> Cluster:
    """The control plane as Cairn's processes see it."""
    return Cluster(
        kubectl=plane.plane.binaries.kubectl,
        kubeconfig=plane.kubeconfig,
        account_kubeconfig=plane.plane.service_account_kubeconfig,
    )


@contextmanager
def running_cloud(
    plane: RunningControlPlane,
    directory: Path,
    *,
    nodes: int = 2,
    nodes_per_agent: int = 1,
    database_url: str = "",
    environment: Mapping[str, str] = MappingProxyType({}),
    conductors: int = 1,
    schedulers: int = 1,
    settings: dict[str, dict[str, object]] | None = None,
) -> Iterator[Cloud]:
    """Start everything; `settings` by process kind: {"agent": {"agent__sweep_seconds": 1}}, `environment` for
    all."""
    settings = settings or {}
    stack = Stack(cluster_of(plane), directory, database_url=database_url, environment=environment)
    stack.install()
    names = [f"node-{number}" for number in range(nodes)]
    with ProcessGroup([], directory / "logs") as group:
        for number in range(conductors):
            group.add(stack.conductor(f"conductor-{number}", **settings.get("conductor", {})))
        for number in range(schedulers):
            group.add(stack.scheduler(f"scheduler-{number}", **settings.get("scheduler", {})))
        stack.enrol(names)
        cloud = Cloud(stack, group)
        for name in names:
            cloud.wait_account(name)
        own = {"agent__driver": "fake", **settings.get("agent", {})}
        for start in range(0, nodes, nodes_per_agent):
            served = names[start : start + nodes_per_agent]
            group.add(stack.agent(served, f"agent-{start // nodes_per_agent}", **own))
        cloud.apply(*yaml.safe_load_all(CATALOG))
        yield cloud
