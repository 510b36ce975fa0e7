"""Aggregates and hosts as the Compute API knows them: numbers and UUIDs that stay, zones, who is up."""

from __future__ import annotations

import asyncio

import pytest

from cairn_crds.compute_node import ComputeNodeSpec, ComputeNodeStatus
from cairn_crds.conditions import Condition, ConditionStatus
from cairn_crds.host_aggregate import HostAggregateSpec
from cairn_database import Database, IdTaken, aggregates, hosts, nodes
from integration.database.support import active, claimed, make_cloud

EAST = HostAggregateSpec(hosts=["a", "b"], availability_zone="east", metadata={"ssd": "true"})


async def test_an_aggregate_keeps_its_number_while_it_lives(db: Database) -> None:
    first, changed = await aggregates.upsert(db, "fast", HostAggregateSpec(), "uid-1")
    assert changed
    assert (first.id, first.uuid, first.display_name, first.zone) == (1, "uid-1", "fast", None)
    assert first.created_at == first.updated_at
    same, changed = await aggregates.upsert(db, "fast", HostAggregateSpec(), "uid-1")
    assert (same, changed) == (first, False)
    moved, changed = await aggregates.upsert(db, "fast", EAST, "uid-after-a-restore")
    assert (changed, moved.id, moved.uuid, moved.zone) == (True, 1, "uid-1", "east")
    assert moved.updated_at > moved.created_at == first.created_at
    assert moved.metadata == {"ssd": "true", "availability_zone": "east"}
    assert await aggregates.find(db, 1) == await aggregates.get(db, "fast") == moved


async def test_a_number_is_never_given_twice(db: Database) -> None:
    await aggregates.upsert(db, "one", HostAggregateSpec(), "uid-1")
    await aggregates.remove(db, "one")
    assert await aggregates.find(db, 1) is None
    again, _ = await aggregates.upsert(db, "one", HostAggregateSpec(), "uid-2")
    assert (again.id, again.uuid) == (2, "uid-2")
    await aggregates.remove(db, "one")
    back, _ = await aggregates.upsert(db, "one", HostAggregateSpec(), "uid-2")
    assert back.id == 2
    chosen, _ = await aggregates.upsert(db, "chosen", HostAggregateSpec(id=40), "uid-3")
    assert chosen.id == 40
    with pytest.raises(IdTaken, match="HostAggregate chosen"):
        await aggregates.upsert(db, "greedy", HostAggregateSpec(id=40), "uid-4")
    kept, _ = await aggregates.upsert(db, "chosen", HostAggregateSpec(id=41), "uid-3")
    assert kept.id == 40


async def test_aggregates_made_at_once_have_numbers_of_their_own(db: Database) -> None:
    made = await asyncio.gather(
        *(aggregates.upsert(db, f"a{n}", HostAggregateSpec(), f"uid-{n}") for n in range(4))
    )
    assert sorted(record.id for record, _ in made) == [1, 2, 3, 4]
    assert [record.id for record in await aggregates.list_all(db)] == [1, 2, 3, 4]


async def test_a_host_has_the_zone_of_its_aggregates(db: Database) -> None:
    await aggregates.upsert(db, "east", EAST)
    await aggregates.upsert(db, "ssd", HostAggregateSpec(hosts=["a", "c"]))
    west = HostAggregateSpec(hosts=["b"], metadata={"availability_zone": "west"})
    await aggregates.upsert(db, "west", west)
    assert await aggregates.host_zones(db) == {"a": "east", "b": "east,west"}
    assert aggregates.DEFAULT_ZONE == "nova"


def up(status: ConditionStatus) -> ComputeNodeStatus:
    return ComputeNodeStatus(vcpus=4, conditions=[Condition(type="Up", status=status)])


async def test_a_host_is_up_while_its_agent_is_heard_of(db: Database) -> None:
    async def take_in(status: ComputeNodeStatus, **spec: bool) -> nodes.ComputeNodeRecord:
        await nodes.upsert_compute_node(db, "host", ComputeNodeSpec(**spec), status, "uid-1")  # type: ignore[arg-type]
        record = await nodes.get_compute_node(db, "host")
        assert record is not None
        return record

    silent = await take_in(ComputeNodeStatus(vcpus=4))
    assert not silent.alive
    heard = await take_in(up(ConditionStatus.TRUE))
    assert heard.alive
    assert heard.updated_at > silent.updated_at
    assert (await take_in(up(ConditionStatus.TRUE))).updated_at == heard.updated_at
    forced = await take_in(up(ConditionStatus.TRUE), forced_down=True)
    assert forced.up
    assert not forced.alive
    assert not (await take_in(up(ConditionStatus.FALSE))).alive


async def test_a_host_keeps_its_ids_until_it_is_removed(db: Database) -> None:
    async def take_in(name: str, uid: str) -> tuple[str, int]:
        await nodes.upsert_compute_node(db, name, ComputeNodeSpec(), ComputeNodeStatus(), uid)
        record = await nodes.get_compute_node(db, name)
        assert record is not None
        return record.id, record.number

    assert await take_in("a", "uid-1") == ("uid-1", 1)
    assert await take_in("b", "uid-2") == ("uid-2", 2)
    assert await take_in("a", "uid-after-a-restore") == ("uid-1", 1)
    await nodes.remove_compute_node(db, "a")
    assert await nodes.find_compute_node(db, id="uid-1") is None
    assert await take_in("a", "uid-3") == ("uid-3", 3)
    found = await nodes.find_compute_node(db, number=2)
    assert found is not None
    assert found.name == "b"
    assert [node.number for node in await nodes.page_of_compute_nodes(db, 0, 10)] == [2, 3]
    assert [node.number for node in await nodes.page_of_compute_nodes(db, 2, 10)] == [3]
    assert [node.number for node in await nodes.page_of_compute_nodes(db, 0, 1)] == [2]


async def test_what_is_on_a_host(db: Database) -> None:
    await make_cloud(db)
    web = await active(db, name="web")
    building = await claimed(db, name="db")
    found = await hosts.instances_on(db, ["host-0", "host-1"])
    assert {name: [item.id for item in items] for name, items in found.items()} == {
        "host-0": [web.id, building.id]
    }
    assert [item.display_name for item in found["host-0"]] == ["web", "db"]
    assert await hosts.tasks_per_host(db) == {"host-0": 1}
    [share] = await hosts.shares_of_host(db, "host-0")
    assert (share.project, share.vcpus, share.memory_mib) == ("blue", 2, 1024)
    node = await nodes.get_compute_node(db, "host-0")
    assert node is not None
    assert (node.instances, node.vcpus_used, node.memory_mib_used) == (2, 2, 1024)
