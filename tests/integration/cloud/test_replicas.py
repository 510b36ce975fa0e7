"""Two conductors and two schedulers on PostgreSQL, on a control plane of their own: each can be lost, and so
can the database, the API server and etcd. No machine notices."""

from __future__ import annotations

import functools
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from cairn_crds import Instance
from cairn_local.control_plane.binaries import Binaries
from cairn_local.control_plane.running import running_control_plane
from cairn_local.process import ChildProcess, ProcessGroup
from cairn_local.stack import Stack
from cairn_operator.conductor.shards import owner
from integration.cloud.cairn import Cairn, Tenant, condition
from integration.cloud.conftest import start_agents
from integration.cloud.portal import Portal
from integration.conftest import COLLECT_LESS
from integration.database.servers import POSTGRESQL_BIN, PostgresqlServer
from support.cloud import Cloud, cluster_of

NODES = ("east", "west")
CONDUCTORS = ("conductor-0", "conductor-1")
SCHEDULERS = ("scheduler-0", "scheduler-1")
TAKEN_OVER_SECONDS = 25.0
"""A lost replica's share moves within 10 s; the rest is for a busy machine."""

pytestmark = pytest.mark.skipif(
    not (POSTGRESQL_BIN / "postgres").exists(), reason="needs Debian's postgresql-15"
)


@pytest.fixture(scope="module")
def database() -> Iterator[PostgresqlServer]:
    server = PostgresqlServer()
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture(scope="module")
def replicated(
    control_plane_binaries: Binaries,
    database: PostgresqlServer,
    portal: Portal,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Cairn]:
    directory = tmp_path_factory.mktemp("replicas")
    with running_control_plane(
        directory / "plane", control_plane_binaries, audit=True, environment=COLLECT_LESS
    ) as plane:
        stack = Stack(cluster_of(plane), directory / "data", database_url=database.new_database())
        stack.install()
        with ProcessGroup([], directory / "logs") as processes:
            cairn = Cairn(plane, Cloud(stack, processes), portal, directory / "machines")
            for name in CONDUCTORS:
                processes.add(stack.conductor(name, conductor__sweep_seconds=2), start=False)
            for name in SCHEDULERS:
                processes.add(stack.scheduler(name), start=False)
            cairn.start(*CONDUCTORS, *SCHEDULERS)
            start_agents(cairn, NODES, list(NODES))
            yield cairn
            cairn.close()


@pytest.fixture
def cairn(replicated: Cairn) -> Cairn:
    """The cloud of this module, in place of the one that other modules share."""
    return replicated


@contextmanager
def lost(database: PostgresqlServer) -> Iterator[None]:
    database.kill()
    try:
        yield
    finally:
        database.start()


def names(number: int) -> list[str]:
    return [f"vm-{index}" for index in range(number)]


def create(tenant: Tenant, number: int) -> dict[str, str]:
    return {name: tenant.create(name) for name in names(number)}


def assert_active_once(tenant: Tenant, ids: dict[str, str], seconds: float = 60.0) -> None:
    for name, instance_id in ids.items():
        tenant.phase("Active", name, seconds)
        assert (tenant.cairn.machine(instance_id) or {})["boots"] == 1


def fingerprints(cairn: Cairn, ids: dict[str, str]) -> list[tuple[int, int]]:
    stats = [os.stat(next(cairn.machines.glob(f"*/{instance_id}.json"))) for instance_id in ids.values()]
    return [(stat.st_ino, stat.st_mtime_ns) for stat in stats]


def failures(cairn: Cairn, name: str) -> str:
    """What a process' readiness probe complains of; empty where it is ready."""
    probe = cairn.process(name).spec.ready
    assert probe is not None
    return probe() or ""


# Conductors


def test_two_conductors_share_the_work_and_do_none_of_it_twice(cairn: Cairn, tenant: Tenant) -> None:
    mark = cairn.plane.mark()
    ids = create(tenant, 20)
    assert_active_once(tenant, ids)
    members = frozenset(CONDUCTORS)
    owners = {owner(f"{tenant.namespace}/{name}", members) for name in ids}
    assert owners == members, "both had something to do"
    made = [
        write
        for write in cairn.plane.writes_since(mark)
        if write.verb == "create" and write.resource == "guests"
    ]
    assert len(made) == len(ids)
    assert {write.code for write in made} == {201}


def test_the_share_of_a_killed_conductor_moves_to_the_other(cairn: Cairn, tenant: Tenant) -> None:
    victim, heir = CONDUCTORS
    members = frozenset(CONDUCTORS)
    running = create(tenant, 6)
    assert_active_once(tenant, running)
    before = fingerprints(cairn, running)
    cairn.kill(victim)
    orphans = [
        name
        for name in (f"orphan-{index}" for index in range(40))
        if owner(f"{tenant.namespace}/{name}", members) == victim
    ][:5]
    ids = {name: tenant.create(name) for name in orphans}
    assert_active_once(tenant, ids, TAKEN_OVER_SECONDS)
    tenant.patch("vm-0", metadata={"still": "heard"})
    assert fingerprints(cairn, running) == before
    assert cairn.process(heir).running


def test_a_conductor_that_is_told_to_stop_hands_its_share_over_at_once(cairn: Cairn, tenant: Tenant) -> None:
    child = cairn.process(CONDUCTORS[0])
    child.stop()
    leases = cairn.api.request("GET", "/apis/coordination.k8s.io/v1/namespaces/cairn-system/leases")["items"]
    assert [lease["spec"]["holderIdentity"] for lease in leases] == [CONDUCTORS[1]]
    assert '"process.stopped"' in child.log.read_text().splitlines()[-1]
    assert_active_once(tenant, create(tenant, 6), TAKEN_OVER_SECONDS)


def test_a_conductor_that_wakes_up_late_does_no_harm(cairn: Cairn, tenant: Tenant) -> None:
    """It still believes in its share for a moment; what it decides on is refused or done already."""
    cairn.process(CONDUCTORS[0]).freeze()
    ids = create(tenant, 8)
    assert_active_once(tenant, ids, TAKEN_OVER_SECONDS)
    for name in ids:
        tenant.patch(name, powerState="Stopped")
    cairn.process(CONDUCTORS[0]).thaw()
    for name, instance_id in ids.items():
        tenant.phase("Stopped", name)
        assert (cairn.machine(instance_id) or {})["power_state"] == "Shutdown"
    cairn.wait("both to be ready", lambda: not failures(cairn, CONDUCTORS[0]))


# Schedulers


def test_two_schedulers_place_everything_once_and_one_may_die(cairn: Cairn, tenant: Tenant) -> None:
    for name in SCHEDULERS:
        cairn.process(name).freeze()
    ids = create(tenant, 30)
    cairn.wait("the rows", lambda: len(cairn.ids_of(tenant.namespace)) == len(ids))
    for name in SCHEDULERS:
        cairn.process(name).thaw()
    cairn.kill(SCHEDULERS[0])
    assert_active_once(tenant, ids)
    assert cairn.findings() == []


# What Cairn stands on


@pytest.mark.parametrize("victims", [("kube-apiserver",), ("etcd",), ("kube-apiserver", "etcd")])
def test_a_lost_control_plane_touches_no_machine(
    cairn: Cairn, tenant: Tenant, victims: tuple[str, ...]
) -> None:
    running = create(tenant, 3)
    assert_active_once(tenant, running)
    before = fingerprints(cairn, running)
    for victim in victims:
        cairn.plane.group[victim].kill()
    ready = cairn.plane.group["kube-apiserver"].spec.ready
    cairn.wait("the loss to be felt", lambda: ready and ready())
    assert fingerprints(cairn, running) == before
    cairn.plane.group.start()
    assert fingerprints(cairn, running) == before
    later = {name: tenant.create(name) for name in ("later-0", "later-1")}
    assert_active_once(tenant, later)
    tenant.patch("vm-0", powerState="Stopped")
    tenant.phase("Stopped", "vm-0")
    cairn.wait(
        "everything to be ready", lambda: not any(failures(cairn, p) for p in (*CONDUCTORS, *SCHEDULERS))
    )


def test_a_control_plane_lost_in_the_middle_of_ten_boots(cairn: Cairn, tenant: Tenant) -> None:
    ids = create(tenant, 10)
    for victim in ("kube-apiserver", "etcd"):
        cairn.plane.group[victim].kill()
    cairn.plane.group.start()
    # What the API server had answered for is there; the last of it may not have reached etcd's disk.
    there = {body["metadata"]["name"] for body in cairn.api.list(Instance, tenant.namespace)}
    assert there == ids.keys()
    assert_active_once(tenant, ids)


def test_deletes_go_on_after_the_control_plane_was_lost(cairn: Cairn, tenant: Tenant) -> None:
    ids = create(tenant, 6)
    assert_active_once(tenant, ids)
    for name in ids:
        tenant.delete(name)
    cairn.plane.group["kube-apiserver"].kill()
    time.sleep(1.0)  # hosts remove machines whose Guests they cannot delete now
    cairn.plane.group.start()
    for name, instance_id in ids.items():
        tenant.gone(name)
        assert cairn.machine(instance_id) is None


def test_a_lost_database_is_waited_for(cairn: Cairn, tenant: Tenant, database: PostgresqlServer) -> None:
    running = create(tenant, 3)
    assert_active_once(tenant, running)
    before = fingerprints(cairn, running)
    with lost(database):
        late = {name: tenant.create(name) for name in ("late-0", "late-1", "late-2", "late-3")}
        tenant.delete("vm-2")
        for name in CONDUCTORS:
            cairn.wait(f"{name} to say so", lambda name=name: "database" in failures(cairn, name))  # type: ignore[misc]
            assert cairn.process(name).running
        assert fingerprints(cairn, running) == before
    assert_active_once(tenant, late)
    tenant.gone("vm-2")
    running.pop("vm-2")
    assert fingerprints(cairn, running) == before[:2]
    assert cairn.findings() == []


def test_a_database_lost_in_the_middle_of_boots_loses_none(
    cairn: Cairn, tenant: Tenant, database: PostgresqlServer
) -> None:
    ids = create(tenant, 12)
    with lost(database):
        cairn.wait("it to be missed", lambda: "database" in failures(cairn, CONDUCTORS[0]))
    assert_active_once(tenant, ids)
    assert cairn.findings() == []


def test_every_process_restarted_in_turn_and_all_at_once(cairn: Cairn, tenant: Tenant) -> None:
    ids = create(tenant, 4)
    assert_active_once(tenant, ids)
    before = fingerprints(cairn, ids)
    everything = [child.spec.name for child in cairn.cloud.processes]
    for name in everything:
        cairn.process(name).stop()
    cairn.start(*everything)
    assert fingerprints(cairn, ids) == before
    for name in ids:
        body = tenant.get(name)
        assert (body["status"]["phase"], condition(body, "Ready")["status"]) == ("Active", "True")
    assert_active_once(tenant, {"one-more": tenant.create("one-more")})


def test_processes_that_wait_for_the_api_server_can_be_stopped(cairn: Cairn, tenant: Tenant) -> None:
    """And those that found none at their start begin when there is one."""
    children = [cairn.process(name) for name in (CONDUCTORS[0], SCHEDULERS[0], "agent-east")]
    for child in children:
        child.stop()
    said_before = {child.spec.name: child.log.stat().st_size for child in children}

    def waits(child: ChildProcess) -> bool:
        return b'"process.waiting"' in child.log.read_bytes()[said_before[child.spec.name] :]

    cairn.plane.group["kube-apiserver"].kill()
    for child in children:
        child.start(wait=False)
    for child in children:
        cairn.wait(f"{child.spec.name} to wait", functools.partial(waits, child))
        os.kill(child.pid, signal.SIGTERM)
        assert child.wait_ended(10) == 0, child.spec.name
        child.start(wait=False)
    cairn.plane.group.start()
    for child in children:
        child.wait_ready()
    assert_active_once(tenant, create(tenant, 2))
