"""A small cloud in SQL and schedulers that know its hosts."""

from __future__ import annotations

import time
import uuid
from typing import Any

from cairn_crds import ComputeNode
from cairn_crds.compute_node import ComputeNodeSpec, ComputeNodeStatus
from cairn_crds.flavor import FlavorSpec
from cairn_crds.project import ProjectSpec
from cairn_crds.server_group import GroupPolicy, ServerGroupSpec
from cairn_database import (
    Database,
    InstanceRecord,
    NewInstance,
    TaskState,
    VmState,
    instances,
    nodes,
    tenants,
)
from cairn_operator.scheduler.service import Scheduler
from cairn_operator.scheduler.settings import SchedulerSettings

UNLIMITED = {"instances": -1, "cores": -1, "memoryMiB": -1, "serverGroupMembers": -1}
SMALL = FlavorSpec(vcpus=1, memory_mib=512, disk_gib=1)
IMAGE = {"name": "debian", "url": "https://images.example/debian.qcow2", "sha256": "0" * 64}


async def make_hosts(db: Database, names: list[str], vcpus: int = 16) -> None:
    """Project `blue`, and hosts with so many vCPUs to give out and plenty of the rest."""
    quotas = {"quotas": UNLIMITED}
    await tenants.upsert_project(db, "blue", ProjectSpec.model_validate(quotas))
    for name in names:
        await make_host(db, name, vcpus)


async def make_host(db: Database, name: str, vcpus: int, *, disabled: bool = False) -> None:
    await nodes.upsert_compute_node(db, name, _spec(disabled), _status(vcpus))


def know_host(scheduler: Scheduler, name: str, vcpus: int = 16) -> None:
    """What the watch would tell the scheduler of a host that is up."""
    body = {"metadata": {"name": name}, "spec": _spec(False).to_api(), "status": _status(vcpus).to_api()}
    found: ComputeNode = ComputeNode.from_api(body)
    beat = found.status.heartbeat_time
    assert beat is not None
    scheduler.hosts.set_node(found, time.monotonic(), beat.timestamp())


def scheduler_for(db: Database, names: list[str], vcpus: int = 16, **settings: Any) -> Scheduler:
    """A scheduler whose watches have seen these hosts."""
    configured = SchedulerSettings(**{"seed": 1, "service_down_time": 3600.0, **settings})
    scheduler = Scheduler(db, configured)
    for name in names:
        know_host(scheduler, name, vcpus)
    return scheduler


async def ask(db: Database, name: str = "", flavor: FlavorSpec = SMALL, **changes: Any) -> InstanceRecord:
    """An instance that waits for a host."""
    values: dict[str, Any] = {
        "id": str(uuid.uuid4()),
        "project": "blue",
        "namespace": "blue",
        "name": name or f"i-{uuid.uuid4().hex[:12]}",
        "request": {"flavor": "small", "image": "debian"},
        "flavor": flavor.to_api() | {"name": "small"},
        "image": IMAGE,
    }
    return await instances.register(db, NewInstance(**(values | changes)))


async def make_group(db: Database, policy: GroupPolicy, most: int | None = None) -> str:
    """The id of a new server group."""
    spec = ServerGroupSpec(policy=policy, max_server_per_host=most)
    name = f"g-{uuid.uuid4().hex[:8]}"
    group = await tenants.upsert_server_group(db, "blue", name, spec, group_id=str(uuid.uuid4()))
    return group.id


async def drain(scheduler: Scheduler, passes: int = 2000) -> None:
    """Look at the queue until it is empty."""
    for _ in range(passes):
        if not (await scheduler.run_pass()).seen:
            return
    raise AssertionError(f"the queue is not empty after {passes} passes")


async def outcome(
    db: Database, records: list[InstanceRecord]
) -> tuple[list[InstanceRecord], list[InstanceRecord]]:
    """The placed and the failed; there is nothing in between."""
    found = await instances.get_many(db, [record.id for record in records])
    now = [found[record.id] for record in records]
    placed = [record for record in now if record.task_state is TaskState.NETWORKING and record.host]
    failed = [record for record in now if record.vm_state is VmState.ERROR and record.host is None]
    assert len(placed) + len(failed) == len(records)
    return placed, failed


def _spec(disabled: bool) -> ComputeNodeSpec:
    return ComputeNodeSpec.model_validate({"ratios": {"cpu": 1.0}, "disabled": disabled})


def _status(vcpus: int) -> ComputeNodeStatus:
    return ComputeNodeStatus.model_validate(
        {
            "vcpus": vcpus,
            "memoryMiB": 2**20,
            "diskGiB": 2**20,
            "hypervisorType": "QEMU",
            "hypervisorVersion": "8.2.0",
            "heartbeatTime": "2026-01-01T00:00:00Z",
        }
    )
