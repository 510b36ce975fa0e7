"""Mirrors of the resources that instances refer to."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from cairn_crds.compute_node import ComputeNodeSpec, ComputeNodeStatus
from cairn_crds.flavor import FlavorSpec
from cairn_crds.key_pair import KeyPairSpec
from cairn_crds.network import NetworkSpec
from cairn_crds.project import ProjectSpec
from cairn_crds.server_group import GroupPolicy, ServerGroupSpec
from cairn_database import Database, StillInUse, catalog, claims, hosts, instances, nodes, tenants
from cairn_database.mirroring import SpecTable
from integration.database.support import active, claimed, delete, make_cloud, new

NAMED: dict[str, tuple[SpecTable[Any], Any, Any]] = {
    "flavor": (
        catalog.flavors,
        FlavorSpec(vcpus=1, memory_mib=512),
        FlavorSpec(vcpus=2, memory_mib=512, extra_specs={"hw:cpu_policy": "shared"}),
    ),
    "network": (
        catalog.networks,
        NetworkSpec(cidr="10.0.0.0/24"),
        NetworkSpec(cidr="10.0.0.0/24", default=True),
    ),
}


@pytest.mark.parametrize("kind", NAMED)
async def test_a_mirror_follows_its_resource(db: Database, kind: str) -> None:
    table, first, second = NAMED[kind]
    assert await table.get(db, "it") is None
    assert await table.upsert(db, "it", first)
    assert not await table.upsert(db, "it", first)
    assert await table.get(db, "it") == first
    assert await table.upsert(db, "it", second)
    assert await table.list(db) == {"it": second}
    await table.remove(db, "it")
    await table.remove(db, "it")
    assert (await table.get(db, "it"), await table.list(db)) == (None, {})
    assert await table.upsert(db, "it", second)
    assert await table.get(db, "it") == second


async def test_key_pairs_are_of_a_namespace(db: Database) -> None:
    key = KeyPairSpec(public_key="ssh-ed25519 AAAA")
    assert await catalog.key_pairs.upsert(db, "blue", "key", key)
    assert not await catalog.key_pairs.upsert(db, "blue", "key", key)
    assert await catalog.key_pairs.list(db, "blue") == {"key": key}
    assert await catalog.key_pairs.get(db, "green", "key") is None
    await catalog.key_pairs.remove(db, "blue", "key")
    assert await catalog.key_pairs.get(db, "blue", "key") is None


async def test_a_group_keeps_its_id_until_it_is_made_anew(db: Database) -> None:
    spec = ServerGroupSpec(policy=GroupPolicy.ANTI_AFFINITY, max_server_per_host=2)
    group = await tenants.upsert_server_group(db, "blue", "group", spec, group_id="one")
    assert (group.id, group.max_per_host, group.members) == ("one", 2, 0)
    assert await tenants.upsert_server_group(db, "blue", "group", spec, group_id="two") == group
    assert await tenants.get_server_group(db, "blue", "group") == group
    assert await tenants.list_server_groups(db) == [group]
    assert await tenants.list_server_groups(db, "green") == []
    await tenants.remove_server_group(db, "blue", "group")
    assert await tenants.get_server_group(db, "blue", "group") is None
    assert (await tenants.upsert_server_group(db, "blue", "group", spec, group_id="two")).id == "two"


async def test_a_project_in_use_cannot_be_removed(db: Database) -> None:
    await make_cloud(db)
    record = await instances.register(db, new())
    with pytest.raises(StillInUse, match="Project blue is still used by 1"):
        await tenants.remove_project(db, "blue")
    assert await tenants.get_project(db, "blue") is not None
    await delete(db, record)
    await tenants.remove_project(db, "blue")
    assert await tenants.list_projects(db) == []


async def test_a_project_is_found_by_its_namespace(db: Database) -> None:
    await tenants.upsert_project(db, "blue", ProjectSpec(namespace="team-blue"))
    project = await tenants.project_of_namespace(db, "team-blue")
    assert project is not None
    assert (project.name, project.enabled, project.spec.quotas.instances) == ("blue", True, None)
    assert await tenants.project_of_namespace(db, "blue") is None


async def test_a_host_in_use_cannot_be_removed(db: Database) -> None:
    await make_cloud(db)
    record = await active(db)
    with pytest.raises(StillInUse, match="ComputeNode host-0 is still used by 1"):
        await nodes.remove_compute_node(db, "host-0")
    await delete(db, record)
    await nodes.remove_compute_node(db, "host-0")
    assert [host.name for host in await nodes.list_compute_nodes(db)] == ["host-1"]


async def test_what_an_instance_arrives_on_at_the_same_moment_is_not_removed(
    databases: list[Database],
) -> None:
    db = databases[0]
    await make_cloud(db, hosts=8)
    waiting = [await instances.register(db, new(f"web-{n}")) for n in range(8)]

    async def claim(n: int) -> bool:
        request = claims.ClaimRequest(waiting[n].id, 1, f"host-{n}", 1, 1, 1)
        [outcome] = await claims.claim_many(databases[1], [request])
        return isinstance(outcome, claims.Claimed)

    async def remove(n: int) -> bool:
        try:
            await nodes.remove_compute_node(databases[2], f"host-{n}")
        except StillInUse:
            return False
        return True

    async def both(n: int) -> None:
        order: list[Callable[[int], Awaitable[bool]]] = [claim, remove] if n % 2 else [remove, claim]
        results = await asyncio.gather(*(work(n) for work in order))
        assert sum(results) == 1

    await asyncio.gather(*(both(n) for n in range(8)))


async def test_a_heartbeat_alone_writes_nothing(db: Database) -> None:
    spec = ComputeNodeSpec()
    status = ComputeNodeStatus(vcpus=4, memory_mib=8192, disk_gib=100, traits=["COMPUTE_NODE"])
    assert await nodes.upsert_compute_node(db, "host", spec, status)
    beat = status.model_copy(update={"heartbeat_time": datetime.now(UTC), "metrics": {"cpu.percent": 3.0}})
    assert not await nodes.upsert_compute_node(db, "host", spec, beat)
    node = await nodes.get_compute_node(db, "host")
    assert node is not None
    assert (node.spec, node.inventory) == (spec, status)
    assert await nodes.upsert_compute_node(db, "host", ComputeNodeSpec(forced_down=True), beat)
    [host] = await hosts.load_hosts(db)
    assert host.forced_down


async def test_a_host_that_comes_back_has_its_counters(db: Database) -> None:
    await make_cloud(db, hosts=1)
    await claimed(db)
    before = await hosts.load_hosts(db)
    status = ComputeNodeStatus(vcpus=32, memory_mib=2**20, disk_gib=2**20)
    await nodes.upsert_compute_node(db, "host-0", ComputeNodeSpec(), status)
    [after] = await hosts.load_hosts(db)
    assert (after.vcpus_used, after.instances) == (before[0].vcpus_used, 1)
    assert after.generation > before[0].generation
