"""A small cloud to test on: a project, a network, hosts, and short ways to get an instance into a state."""

from __future__ import annotations

import uuid
from typing import Any

import sqlalchemy as sa

from cairn_crds.compute_node import ComputeNodeSpec, ComputeNodeStatus
from cairn_crds.flavor import FlavorSpec
from cairn_crds.instance import PowerState
from cairn_crds.network import NetworkSpec
from cairn_crds.project import ProjectSpec
from cairn_database import (
    Database,
    InstanceRecord,
    NewInstance,
    TaskState,
    VmState,
    audit,
    catalog,
    claims,
    instances,
    moving,
    nodes,
    removal,
    steps,
    tables,
    tasks,
    tenants,
)
from cairn_database import addresses as addresses_
from cairn_database.asking import Asked
from cairn_database.claims import Claimed
from cairn_database.steps import Holding, Step

UNLIMITED = {"instances": -1, "cores": -1, "memoryMiB": -1, "serverGroupMembers": -1}
SMALL = FlavorSpec(vcpus=1, memory_mib=512, disk_gib=1).to_api() | {"name": "small"}
LARGE = FlavorSpec(vcpus=4, memory_mib=4096, disk_gib=10).to_api() | {"name": "large"}
IMAGE = {"name": "debian", "url": "https://images.example/debian.qcow2", "sha256": "0" * 64}


async def make_cloud(
    db: Database,
    *,
    hosts: int = 2,
    vcpus: int = 16,
    quotas: dict[str, int] | None = None,
    cidr: str = "10.0.0.0/24",
) -> None:
    """Project `blue`, network `lan`, hosts `host-0` … with `vcpus` to give out each."""
    await tenants.upsert_project(
        db, "blue", ProjectSpec.model_validate({"quotas": UNLIMITED if quotas is None else quotas})
    )
    await catalog.networks.upsert(db, "lan", NetworkSpec(cidr=cidr))
    for index in range(hosts):
        await make_host(db, f"host-{index}", vcpus=vcpus)


async def make_host(
    db: Database, name: str, *, vcpus: int = 16, disabled: bool = False, up: bool = True
) -> None:
    spec = ComputeNodeSpec.model_validate({"ratios": {"cpu": 1.0}, "disabled": disabled})
    status = {
        "vcpus": vcpus,
        "memoryMiB": 2**20,
        "diskGiB": 2**20,
        "conditions": [{"type": "Up", "status": "True" if up else "False"}],
    }
    await nodes.upsert_compute_node(db, name, spec, ComputeNodeStatus.model_validate(status))


def new(name: str = "web", **changes: Any) -> NewInstance:
    """What register takes."""
    values: dict[str, Any] = {
        "id": str(uuid.uuid4()),
        "project": "blue",
        "namespace": "blue",
        "name": name,
        "request": {"spec": {"flavor": "small", "image": "debian"}},
        "flavor": SMALL,
        "image": IMAGE,
        "request_id": "req-create",
    }
    return NewInstance(**(values | changes))


def claim_of(record: InstanceRecord, host: str, **changes: Any) -> claims.ClaimRequest:
    values: dict[str, Any] = {
        "vcpus": record.counted_vcpus,
        "memory_mib": record.counted_memory_mib,
        "disk_gib": 1,
    }
    return claims.ClaimRequest(record.id, record.version, host, **(values | changes))


async def claimed(db: Database, host: str = "host-0", **changes: Any) -> InstanceRecord:
    """An instance that has a host, in task networking."""
    record = await instances.register(db, new(**changes))
    return await place_on(db, record, host)


async def place_on(db: Database, record: InstanceRecord, host: str) -> InstanceRecord:
    [outcome] = await claims.claim_many(db, [claim_of(record, host)])
    assert isinstance(outcome, claims.Claimed), outcome
    return outcome.record


async def spawning(db: Database, host: str = "host-0", **changes: Any) -> InstanceRecord:
    """An instance that has host and address, in task spawning."""
    record = await claimed(db, host, **changes)
    return await addresses_.allocate_interfaces(
        db, record.id, record.version, [addresses_.InterfaceWant("lan")]
    )


async def active(db: Database, host: str = "host-0", **changes: Any) -> InstanceRecord:
    """An instance that runs."""
    record = await spawning(db, host, **changes)
    return await tasks.finish_task(
        db,
        record.id,
        record.version,
        expected_task_state=TaskState.SPAWNING,
        vm_state=VmState.ACTIVE,
        power_state=PowerState.RUNNING,
        launched=True,
    )


async def delete(db: Database, record: InstanceRecord) -> InstanceRecord:
    await removal.begin_delete(db, record.id)
    return await removal.finish_delete(db, record.id)


async def place(db: Database, row: InstanceRecord, host: str, flavor: Any = None) -> InstanceRecord:
    """What the scheduler does."""
    amounts = {"vcpus": flavor["vcpus"], "memory_mib": flavor["memoryMiB"]} if flavor else {}
    [outcome] = await claims.claim_many(db, [claim_of(row, host, **amounts)])
    assert isinstance(outcome, Claimed), outcome
    return outcome.record


async def step(db: Database, row: InstanceRecord, **values: Any) -> InstanceRecord:
    """What a conductor does."""
    return await steps.advance(db, row.id, row.version, row.task_state, Step(**values))


async def resized(db: Database, host: str = "host-1") -> InstanceRecord:
    """One that has been resized from SMALL on host-0 to LARGE on `host`."""
    row = await active(db)
    row = await moving.resize(db, row.id, Asked(request_id="req-resize"), flavor=LARGE)
    row = await place(db, row, host, LARGE)
    switch = {"host": host} if host != "host-0" else {}
    row = await step(
        db, row, task_state=TaskState.RESIZE_FINISH, flavor=LARGE, holding=Holding.SWAP, **switch
    )
    return await step(db, row, task_state=None, vm_state=VmState.RESIZED, migration="finished")


async def assert_consistent(db: Database) -> None:
    assert await audit.findings(db) == []


async def assert_nothing_left(db: Database) -> None:
    """Nothing lives, so nothing is held: no allocation, address, quota, membership; every address is free."""
    await assert_consistent(db)

    def counts(conn: sa.Connection) -> dict[str, int]:
        def count(statement: sa.Select[Any]) -> int:
            return int(conn.scalar(statement) or 0)

        host, projects, free = tables.compute_nodes.c, tables.projects.c, tables.free_addresses.c
        return {
            "live instances": count(
                sa.select(sa.func.count()).where(tables.instances.c.deleted == tables.LIVE)
            ),
            "allocations": count(sa.select(sa.func.count()).select_from(tables.allocations)),
            "addresses": count(sa.select(sa.func.count()).select_from(tables.addresses)),
            "used on hosts": count(
                sa.select(sa.func.sum(host.vcpus_used + host.memory_mib_used + host.instances))
            ),
            "used of quotas": count(
                sa.select(
                    sa.func.sum(projects.instances_used + projects.cores_used + projects.memory_mib_used)
                )
            ),
            "group members": count(sa.select(sa.func.sum(tables.server_groups.c.members))),
            "addresses not free": sum(
                addresses_.count_usable(NetworkSpec.model_validate(row.spec))
                - count(sa.select(sa.func.sum(free.last - free.first + 1)).where(free.network == row.name))
                for row in conn.execute(
                    sa.select(tables.networks).where(tables.networks.c.removed_at.is_(None))
                ).all()
            ),
        }

    left = await db.read(counts)
    assert left == dict.fromkeys(left, 0)
