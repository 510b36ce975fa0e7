"""What one scheduler does with its queue: refused claims, stale figures, rows that make no sense, hints."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import sqlalchemy as sa

from cairn_crds.flavor import FlavorSpec
from cairn_crds.server_group import GroupPolicy
from cairn_database import (
    Database,
    InstanceRecord,
    TaskState,
    VmState,
    claims,
    failures,
    hosts,
    instances,
    removal,
    tables,
    tenants,
)
from cairn_operator.scheduler import metrics
from integration.scheduler.support import (
    SMALL,
    ask,
    drain,
    make_group,
    make_host,
    make_hosts,
    outcome,
    scheduler_for,
)


async def host_of(db: Database, record: InstanceRecord) -> str | None:
    return (await instances.get(db, record.id)).host


async def message_of(db: Database, record: InstanceRecord) -> str:
    found = await instances.get(db, record.id)
    assert (found.vm_state, found.task_state, found.host) == (VmState.ERROR, None, None)
    return found.placement_message or ""


async def occupy(db: Database, host: str, vcpus: int) -> InstanceRecord:
    """Somebody else puts an instance there."""
    flavor = FlavorSpec(vcpus=vcpus, memory_mib=1)
    record = await ask(db, flavor=flavor)
    [granted] = await claims.claim_many(
        db, [claims.ClaimRequest(record.id, record.version, host, vcpus, 1, 0)]
    )
    assert isinstance(granted, claims.Claimed)
    return granted.record


async def stamp_long_ago(db: Database, host: str) -> None:
    """As if the last to change this host had a clock that is far behind: only reading it by name sees it."""
    nodes = tables.compute_nodes
    await db.run(lambda conn: conn.execute(sa.update(nodes).where(nodes.c.name == host).values(changed=1)))


def refusals(reason: str) -> float:
    return float(metrics.CLAIMS.labels(reason)._value.get())


async def test_the_claim_takes_what_the_flavor_says(db: Database) -> None:
    await make_hosts(db, ["a"])
    flavor = FlavorSpec(vcpus=2, memory_mib=1024, disk_gib=10, ephemeral_gib=5, swap_mib=100)
    record = await ask(db, flavor=flavor)
    await drain(scheduler_for(db, ["a"]))
    found = await instances.get(db, record.id)
    assert (found.host, found.task_state, found.fencing_epoch) == ("a", TaskState.NETWORKING, 1)
    [host] = await hosts.load_hosts(db)
    assert (host.vcpus_used, host.memory_used_mib, host.disk_used_gib, host.instances) == (2, 1024, 16, 1)


async def test_instances_are_spread_over_hosts(db: Database) -> None:
    await make_hosts(db, ["a", "b", "c"])
    records = [await ask(db) for _ in range(9)]
    await drain(scheduler_for(db, ["a", "b", "c"]))
    placed, _ = await outcome(db, records)
    assert sorted(str(record.host) for record in placed) == ["a"] * 3 + ["b"] * 3 + ["c"] * 3


async def test_a_refused_claim_tries_the_next_host_in_the_same_pass(db: Database) -> None:
    await make_hosts(db, ["a", "b"])
    await occupy(db, "b", 8)
    scheduler = scheduler_for(db, ["a", "b"], usage_refresh_seconds=3600.0, io_ops_weight_multiplier=0.0)
    await ask(db)
    await scheduler.run_pass()
    await occupy(db, "a", 14)
    await occupy(db, "a", 1)  # full: 1 + 14 + 1, while the scheduler believes in 15 left
    await stamp_long_ago(db, "a")
    before = refusals("HostFull")
    record = await ask(db)
    await scheduler.run_pass()
    assert await host_of(db, record) == "b"
    assert refusals("HostFull") == before + 1


async def test_a_host_disabled_in_sql_already_is_left_for_the_next(db: Database) -> None:
    await make_hosts(db, ["a", "b"])
    await occupy(db, "b", 8)
    scheduler = scheduler_for(db, ["a", "b"], usage_refresh_seconds=3600.0)
    await ask(db)
    await scheduler.run_pass()
    await make_host(db, "a", 16, disabled=True)
    before = refusals("HostGone")
    record = await ask(db)
    await scheduler.run_pass()
    assert await host_of(db, record) == "b"
    assert refusals("HostGone") == before + 1


async def test_room_that_was_freed_unseen_is_found_before_an_instance_fails(db: Database) -> None:
    await make_hosts(db, ["a"])
    full = await occupy(db, "a", 16)
    scheduler = scheduler_for(db, ["a"], usage_refresh_seconds=3600.0)
    failing = await ask(db)
    await drain(scheduler)
    assert "CoreFilter removed 1" in await message_of(db, failing)
    await removal.begin_delete(db, full.id)
    await removal.finish_delete(db, full.id)
    record = await ask(db)
    await drain(scheduler)
    assert await host_of(db, record) == "a"


async def test_the_oldest_come_first(db: Database) -> None:
    await make_hosts(db, ["a"], vcpus=2)
    records = [await ask(db) for _ in range(4)]
    scheduler = scheduler_for(db, ["a"], 2, batch_size=1)
    for _ in range(4):
        await scheduler.run_pass()
    assert [await host_of(db, record) for record in records] == ["a", "a", None, None]


async def test_no_host_at_all(db: Database) -> None:
    await make_hosts(db, [])
    record = await ask(db)
    await drain(scheduler_for(db, []))
    assert await message_of(db, record) == "There are no hosts: create a ComputeNode and start its agent."


async def test_a_host_that_sql_does_not_know_yet_is_not_chosen(db: Database) -> None:
    await make_hosts(db, ["a"])
    records = [await ask(db) for _ in range(3)]
    await drain(scheduler_for(db, ["a", "new"]))
    assert [await host_of(db, record) for record in records] == ["a"] * 3


async def test_each_filter_tells_its_share(db: Database) -> None:
    await make_hosts(db, ["a", "b", "c"])
    await make_host(db, "a", 16, disabled=True)
    await occupy(db, "b", 12)
    record = await ask(db, flavor=FlavorSpec(vcpus=8, memory_mib=2**21))
    await drain(scheduler_for(db, ["a", "b", "c", "ghost"]))
    assert await message_of(db, record) == (
        "4 hosts: ComputeFilter removed 1 (1 disabled), CoreFilter removed 2 (need 8 vCPUs, the roomiest has "
        "4 left), RamFilter removed 1 (need 2097152 MiB, the roomiest has 1048064 left)."
    )


async def test_hosts_where_it_failed_are_not_tried_again(db: Database) -> None:
    await make_hosts(db, ["a", "b"])
    scheduler = scheduler_for(db, ["a", "b"])
    record = await ask(db)
    tried = []
    for _ in range(2):
        await drain(scheduler)
        record = await instances.get(db, record.id)
        assert record.host is not None
        tried.append(record.host)
        await failures.reschedule(db, record.id, record.version, exclude_host=record.host, message="broken")
    assert sorted(tried) == ["a", "b"]
    await drain(scheduler)
    assert "RetryFilter removed 2 (building it failed there before)" in await message_of(db, record)


async def test_hints_name_instances_by_name_or_id(db: Database) -> None:
    await make_hosts(db, ["a", "b", "c"])
    scheduler = scheduler_for(db, ["a", "b", "c"])
    first = await occupy(db, "b", 1)
    same = await ask(db, hints={"sameHost": [first.name]})
    apart = await ask(db, hints={"different_host": first.id, "query": '["in", "$host", "b", "c"]'})
    nowhere = await ask(db, hints={"sameHost": ["nobody"]})
    await drain(scheduler)
    assert await host_of(db, same) == "b"
    assert await host_of(db, apart) == "c"
    assert "SameHostFilter removed 3 (no instance of the hint sameHost is on a host)" in await message_of(
        db, nowhere
    )


async def test_rows_that_make_no_sense_fail_alone_and_say_why(db: Database) -> None:
    await make_hosts(db, ["a"])
    good = [await ask(db) for _ in range(2)]
    hint = await ask(db, hints={"query": "[not json"})
    operator = await ask(db, hints={"query": '["xor", 1, 2]'})
    trait = await ask(db, flavor=SMALL.model_copy(update={"extra_specs": {"trait:X": "perhaps"}}))
    broken = await ask(db)
    await db.run(lambda conn: _break_flavor(conn, broken.id))
    good.append(await ask(db))
    await drain(scheduler_for(db, ["a"]))
    assert [await host_of(db, record) for record in good] == ["a"] * 3
    assert "'query' is not JSON" in await message_of(db, hint)
    assert "operator 'xor'; known are" in await message_of(db, operator)
    assert "must be 'required' or 'forbidden'" in await message_of(db, trait)
    assert "cannot be read (KeyError: 'vcpus')" in await message_of(db, broken)


def _break_flavor(conn: sa.Connection, instance_id: str) -> None:
    conn.execute(
        sa.update(tables.instances).where(tables.instances.c.id == instance_id).values(flavor={"name": "x"})
    )


async def test_a_group_that_is_gone_is_said_to_be(db: Database) -> None:
    await make_hosts(db, ["a"])
    group = await make_group(db, GroupPolicy.AFFINITY)
    record = await ask(db, group_id=group)
    [found] = await tenants.list_server_groups(db, "blue")
    await tenants.remove_server_group(db, "blue", found.name)
    await drain(scheduler_for(db, ["a"]))
    assert "Create a ServerGroup resource first" in await message_of(db, record)


async def test_a_member_placed_by_somebody_else_meanwhile_is_seen_in_the_same_pass(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await make_hosts(db, ["a", "b"])
    await occupy(db, "b", 8)
    group = await make_group(db, GroupPolicy.ANTI_AFFINITY)
    mine, other = await ask(db, group_id=group), await ask(db, group_id=group)
    claim = claims.claim_many

    async def other_first(database: Database, requests: Sequence[claims.ClaimRequest]) -> Any:
        monkeypatch.setattr(claims, "claim_many", claim)
        rule = claims.GroupRule(group, GroupPolicy.ANTI_AFFINITY, 1, 0)
        [granted] = await claim(db, [claims.ClaimRequest(other.id, other.version, "a", 1, 1, 0, rule)])
        assert isinstance(granted, claims.Claimed)
        return await claim(database, requests)

    monkeypatch.setattr(claims, "claim_many", other_first)
    await scheduler_for(db, ["a", "b"]).run_pass()
    assert (await host_of(db, mine), await host_of(db, other)) == ("b", "a")


async def test_an_instance_deleted_meanwhile_is_dropped_and_its_room_is_free(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await make_hosts(db, ["a", "full"], vcpus=1)
    await occupy(db, "full", 1)
    await stamp_long_ago(db, "a")
    scheduler = scheduler_for(db, ["a", "full"], 1, usage_refresh_seconds=3600.0)
    gone, stays = await ask(db), await ask(db)
    claim = claims.claim_many

    async def delete_first(database: Database, requests: Sequence[claims.ClaimRequest]) -> Any:
        monkeypatch.setattr(claims, "claim_many", claim)
        await removal.begin_delete(db, gone.id)
        return await claim(database, requests)

    monkeypatch.setattr(claims, "claim_many", delete_first)
    await drain(scheduler)
    assert await host_of(db, stays) == "a"
    assert (await instances.get(db, gone.id)).task_state is TaskState.DELETING
    await removal.finish_delete(db, gone.id)


async def test_a_row_that_breaks_the_transaction_does_not_take_the_others_along(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await make_hosts(db, ["a"])
    records = [await ask(db) for _ in range(3)]
    claim = claims.claim_many

    async def break_on_the_second(database: Database, requests: Sequence[claims.ClaimRequest]) -> Any:
        if any(request.instance_id == records[1].id for request in requests):
            raise RuntimeError("no such thing")
        return await claim(database, requests)

    monkeypatch.setattr(claims, "claim_many", break_on_the_second)
    await scheduler_for(db, ["a"]).run_pass()
    assert [await host_of(db, record) for record in records] == ["a", None, "a"]
    [host] = await hosts.load_hosts(db)
    assert host.instances == 2


async def test_claims_refused_for_too_long_end_in_an_error(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await make_hosts(db, ["a"])
    scheduler = scheduler_for(db, ["a"], give_up_seconds=60.0)
    now = 1000.0
    monkeypatch.setattr(scheduler, "_clock", lambda: now)
    scheduler.hosts.heard_at[:] = now
    record = await ask(db)

    async def refuse(database: Database, requests: Sequence[claims.ClaimRequest]) -> Any:
        return [claims.Refused(request, claims.Refusal.HOST_FULL) for request in requests]

    monkeypatch.setattr(claims, "claim_many", refuse)
    await scheduler.run_pass()
    assert (await instances.get(db, record.id)).task_state is TaskState.SCHEDULING
    now += 59.0
    await scheduler.run_pass()
    assert (await instances.get(db, record.id)).task_state is TaskState.SCHEDULING
    now += 1.0
    await scheduler.run_pass()
    assert "taken by others first, for 60 s" in await message_of(db, record)
