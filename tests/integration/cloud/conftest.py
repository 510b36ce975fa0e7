"""What the tests of a whole cloud share: one running Cairn per xdist worker, and a fresh project per test.

Its hosts are zones of their own, so that a test can say where its machines go: `quick` is served by an
ordinary agent, `frail` by one that tests kill and restart, `lab` by one inside the test's process.
Whatever a test does to a process, everything runs again and nothing is left over when it ends: that is
checked after every test.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import pytest
import yaml

from cairn_local.control_plane.running import RunningControlPlane
from cairn_local.process import ProcessGroup
from cairn_local.stack import Stack
from integration.cloud.cairn import Cairn, Tenant
from integration.cloud.catalog import Catalog
from integration.cloud.laboratory import Laboratory
from integration.cloud.portal import Portal
from integration.conftest import control_plane, control_plane_binaries
from support.cloud import CATALOG, Cloud, cluster_of

__all__ = ["control_plane", "control_plane_binaries"]
# A control plane of their own: other tests make hosts and images that this Cairn would take for its own.

AGENT = {"agent__driver": "fake", "agent__sweep_seconds": 1, "agent__heartbeat_seconds": 5}
CONDUCTOR = {"conductor__sweep_seconds": 2}
NODES = ("quick", "frail", "lab")


@pytest.fixture(scope="package")
def portal() -> Iterator[Portal]:
    """An event loop beside the tests."""
    with Portal() as running:
        yield running


@pytest.fixture(scope="package")
def cairn(
    control_plane: RunningControlPlane, portal: Portal, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cairn]:
    """One conductor, one scheduler, the agents of `quick` and `frail`, SQLite."""
    directory = tmp_path_factory.mktemp("cloud")
    stack = Stack(cluster_of(control_plane), directory / "data")
    stack.install()
    with ProcessGroup([], directory / "logs") as processes:
        cairn = Cairn(control_plane, Cloud(stack, processes), portal, directory / "machines")
        processes.add(stack.conductor(**CONDUCTOR), start=False)
        processes.add(stack.scheduler(), start=False)
        cairn.start("conductor", "scheduler")
        start_agents(cairn, NODES, [name for name in NODES if name != "lab"])
        for node in NODES:
            cairn.zone(node)
        yield cairn
        cairn.close()


def start_agents(cairn: Cairn, nodes: tuple[str, ...], served: list[str]) -> None:
    """Enrol nodes, start agents for those `served`, and put the catalog in."""
    stack = cairn.cloud.stack
    stack.enrol(nodes)
    cairn.cloud.apply(*yaml.safe_load_all(CATALOG))
    for node in nodes:
        cairn.cloud.wait_account(node)
    for node in served:
        own = {**AGENT, "fake__directory": cairn.machines / node}
        cairn.cloud.processes.add(stack.agent([node], f"agent-{node}", **own), start=False)
    cairn.start(*(f"agent-{node}" for node in served))


@pytest.fixture(scope="package")
def laboratory(cairn: Cairn, portal: Portal) -> Iterator[Laboratory]:
    """The host `lab`, whose driver takes orders."""
    kubeconfig = cairn.plane.service_account_kubeconfig("cairn-node-lab", "cairn-agent")
    laboratory = Laboratory(portal, "lab", kubeconfig, cairn.machines / "lab")
    laboratory.start()
    cairn.wait("lab to report", lambda: cairn.node("lab").get("status", {}).get("heartbeatTime"))
    yield laboratory
    laboratory.close()


@pytest.fixture
def lab(laboratory: Laboratory) -> Iterator[Laboratory]:
    """The host `lab`, with nothing ordered before or after the test."""
    yield laboratory
    laboratory.heal(*HEALED)


HEALED = (
    *("spawn", "spawn.image", "spawn.network", "spawn.config-drive", "spawn.disk", "spawn.define"),
    *("destroy", "power_on", "power_off", "pause", "suspend", "reboot", "get", "machines"),
    "reconfigure",
)

numbers = itertools.count()


@pytest.fixture
def new_tenant(cairn: Cairn) -> Iterator[Callable[..., Tenant]]:
    """Makes projects; afterwards everything in them is deleted and nothing of it may be left."""
    made: list[Tenant] = []

    def make(**quotas: int) -> Tenant:
        made.append(Tenant(cairn, f"tenant-{next(numbers)}", **quotas))
        return made[-1]

    yield make
    cairn.revive()
    for tenant in made:
        tenant.clear()


@pytest.fixture
def tenant(new_tenant: Callable[..., Tenant]) -> Tenant:
    """A fresh project without limits."""
    return new_tenant()


@pytest.fixture
def make_tenant(cairn: Cairn, request: pytest.FixtureRequest) -> Callable[..., Tenant]:
    """As `new_tenant`; the catalog outlives the tenants' instances."""
    request.getfixturevalue("catalog")
    made: Callable[..., Tenant] = request.getfixturevalue("new_tenant")
    return made


@pytest.fixture
def catalog(cairn: Cairn) -> Iterator[Catalog]:
    """Cluster-wide things, removed after the test."""
    made = Catalog(cairn)
    yield made
    made.clear()
