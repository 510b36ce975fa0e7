"""Placing instances on hosts: never more than fits, whoever places, and one refusal spoils nothing."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
from pathlib import Path

import pytest

from cairn_crds.compute_node import ComputeNodeSpec, ComputeNodeStatus
from cairn_crds.server_group import GroupPolicy, ServerGroupSpec
from cairn_database import (
    Database,
    InstanceRecord,
    ServerGroupNotFound,
    TaskState,
    claims,
    failures,
    hosts,
    instances,
    nodes,
    tenants,
)
from cairn_database.claims import Claimed, ClaimOutcome, GroupRule, Refusal, Refused
from integration.database import claimer
from integration.database.support import (
    active,
    assert_consistent,
    assert_nothing_left,
    claim_of,
    claimed,
    delete,
    make_cloud,
    make_host,
    new,
    place_on,
    spawning,
)


async def _waiting(db: Database, count: int, **changes: object) -> list[InstanceRecord]:
    return [await instances.register(db, new(f"web-{index}", **changes)) for index in range(count)]


def _results(outcomes: list[ClaimOutcome]) -> list[str]:
    return [outcome.reason if isinstance(outcome, Refused) else "claimed" for outcome in outcomes]


async def test_a_claim_gives_the_instance_its_host_and_the_host_its_load(db: Database) -> None:
    await make_cloud(db)
    record = await instances.register(db, new())
    before = {host.name: host for host in await hosts.load_hosts(db)}
    [outcome] = await claims.claim_many(db, [claim_of(record, "host-1", disk_gib=7)])
    assert isinstance(outcome, Claimed)
    assert outcome.record == await instances.get(db, record.id)
    assert (outcome.record.host, outcome.record.task_state) == ("host-1", TaskState.NETWORKING)
    assert (outcome.record.fencing_epoch, outcome.record.attempts, outcome.record.version) == (1, 1, 2)
    [host] = await hosts.load_hosts(db, names=["host-1"])
    assert (host.vcpus_used, host.memory_used_mib, host.disk_used_gib, host.instances) == (1, 512, 7, 1)
    assert host.generation == before["host-1"].generation + 1
    assert await instances.list_unscheduled(db) == []
    await assert_consistent(db)


async def test_one_refused_claim_does_not_spoil_the_others(db: Database) -> None:
    await make_cloud(db, hosts=2, vcpus=2)
    await make_host(db, "off", disabled=True)
    records = await _waiting(db, 6)
    requests = [
        claim_of(records[0], "host-0"),
        claim_of(records[1], "host-0"),
        claim_of(records[2], "host-0"),
        claim_of(records[3], "off"),
        claim_of(records[4], "host-1"),
        claim_of(records[4], "host-1"),
        claim_of(records[5], "nowhere"),
        claims.ClaimRequest("not-an-instance", 1, "host-1", 1, 1, 1),
        claims.ClaimRequest(records[5].id, 9, "host-1", 1, 1, 1),
    ]
    outcomes = await claims.claim_many(db, requests)
    assert _results(outcomes) == [
        "claimed",
        "claimed",
        Refusal.HOST_FULL,
        Refusal.HOST_GONE,
        "claimed",
        Refusal.STATE_CHANGED,
        Refusal.HOST_GONE,
        Refusal.STATE_CHANGED,
        Refusal.STATE_CHANGED,
    ]
    assert [outcome.request for outcome in outcomes] == requests
    for index in (2, 3, 5):
        assert await instances.get(db, records[index].id) == records[index]
    await assert_consistent(db)
    assert await claims.claim_many(db, []) == []


@pytest.mark.parametrize("resource", ["vcpus", "memory_mib", "disk_gib"])
async def test_each_resource_is_a_limit(db: Database, resource: str) -> None:
    await make_cloud(db, hosts=0)
    spec = ComputeNodeSpec.model_validate(
        {"ratios": {"cpu": 2, "memory": 1.5, "disk": 1}, "reserved": {"vcpus": 1, "memoryMiB": 512}}
    )
    status = ComputeNodeStatus(vcpus=4, memory_mib=4608, disk_gib=10)
    await nodes.upsert_compute_node(db, "host-0", spec, status)
    [host] = await hosts.load_hosts(db)
    limits = {"vcpus": 6, "memory_mib": 6144, "disk_gib": 10}
    assert (host.vcpus_limit, host.memory_limit_mib, host.disk_limit_gib) == tuple(limits.values())
    one, two, three = await _waiting(db, 3)
    amounts = dict.fromkeys(limits, 0)
    too_much = claim_of(one, "host-0", **amounts | {resource: limits[resource] + 1})
    assert _results(await claims.claim_many(db, [too_much])) == [Refusal.HOST_FULL]
    just_right = claim_of(two, "host-0", **amounts | {resource: limits[resource]})
    assert _results(await claims.claim_many(db, [just_right])) == ["claimed"]
    one_more = claim_of(three, "host-0", **amounts | {resource: 1})
    assert _results(await claims.claim_many(db, [one_more])) == [Refusal.HOST_FULL]
    # What it does not need is no obstacle.
    assert _results(await claims.claim_many(db, [claim_of(three, "host-0", **amounts)])) == ["claimed"]
    await assert_consistent(db)


async def test_a_host_shrunk_below_its_load_takes_no_more_and_loses_nothing(db: Database) -> None:
    await make_cloud(db, hosts=1, vcpus=4)
    for index in range(3):
        await claimed(db, name=f"old-{index}")
    await make_host(db, "host-0", vcpus=2)
    record = await instances.register(db, new("late"))
    assert _results(await claims.claim_many(db, [claim_of(record, "host-0")])) == [Refusal.HOST_FULL]
    [host] = await hosts.load_hosts(db)
    assert (host.vcpus_used, host.vcpus_limit) == (3, 2)
    await assert_consistent(db)


async def test_of_1000_instances_four_schedulers_place_the_500_that_fit(databases: list[Database]) -> None:
    await make_cloud(databases[0], hosts=10, vcpus=50)
    await asyncio.gather(*(instances.register(databases[0], new(f"web-{n}")) for n in range(1000)))
    won = await asyncio.gather(*(claimer.claim_until_full(db, seed, 40) for seed, db in enumerate(databases)))
    assert sum(won) == 500
    assert {host.vcpus_used for host in await hosts.load_hosts(databases[0])} == {50}
    assert len(await instances.list_unscheduled(databases[0], 1000)) == 500
    await assert_consistent(databases[0])


async def test_four_processes_place_the_500_that_fit(url: str, db: Database) -> None:
    await make_cloud(db, hosts=10, vcpus=50)
    await asyncio.gather(*(instances.register(db, new(f"web-{number}")) for number in range(1000)))
    won = await asyncio.to_thread(_race, url)
    assert sum(won) == 500
    assert {host.vcpus_used for host in await hosts.load_hosts(db)} == {50}
    await assert_consistent(db)


def _race(url: str) -> list[int]:
    """Four processes, told to go once all are there; how many claims each of them won."""
    processes = [
        subprocess.Popen(
            [sys.executable, str(Path(claimer.__file__ or "")), url, str(seed), "40"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for seed in range(4)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    return [int(process.communicate(timeout=120)[0]) for process in processes]


async def test_random_claims_and_releases_by_four_never_pass_a_limit(databases: list[Database]) -> None:
    await make_cloud(databases[0], hosts=3, vcpus=5)
    chance = random.Random(7)
    plans = [(chance.choice(databases), f"host-{chance.randrange(3)}", n) for n in range(60)]
    most: list[int] = []

    async def work(db: Database, host: str, number: int) -> None:
        record = await instances.register(db, new(f"web-{number}"))
        [outcome] = await claims.claim_many(db, [claim_of(record, host)])
        most.extend(each.vcpus_used for each in await hosts.load_hosts(db))
        if isinstance(outcome, Claimed) and number % 2:
            await failures.reschedule(
                db, record.id, outcome.record.version, exclude_host=host, message="again"
            )
        elif number % 3:
            await delete(db, record)

    await asyncio.gather(*(work(*plan) for plan in plans))
    assert max(most) <= 5
    await assert_consistent(databases[0])
    for record in await instances.list_live(databases[0]):
        await delete(databases[0], record)
    await assert_nothing_left(databases[0])


# --- server groups ---------------------------------------------------------------------------------------


async def _group(db: Database, policy: GroupPolicy, maximum: int | None = None) -> GroupRule:
    spec = ServerGroupSpec(policy=policy, max_server_per_host=maximum)
    group = await tenants.upsert_server_group(db, "blue", "group", spec, group_id="group-1")
    generation, _ = await hosts.group_hosts(db, group.id)
    return GroupRule(group.id, policy, group.max_per_host, generation)


async def test_two_schedulers_cannot_put_two_of_an_anti_affinity_group_on_one_host(
    databases: list[Database],
) -> None:
    await make_cloud(databases[0], hosts=4)
    rule = await _group(databases[0], GroupPolicy.ANTI_AFFINITY)
    records = await _waiting(databases[0], 4, group_id=rule.group_id)
    results = await asyncio.gather(
        *(
            claims.claim_many(db, [claim_of(record, "host-0", group=rule)])
            for db, record in zip(databases, records, strict=True)
        )
    )
    assert sorted(_results([outcome for [outcome] in results])) == [*[Refusal.GROUP_POLICY] * 3, "claimed"]
    generation, members = await hosts.group_hosts(databases[0], rule.group_id)
    assert (generation > rule.group_generation, members) == (True, {"host-0": 1})
    await assert_consistent(databases[0])


async def test_schedulers_that_look_again_spread_the_whole_group(databases: list[Database]) -> None:
    await make_cloud(databases[0], hosts=8)
    rule = await _group(databases[0], GroupPolicy.ANTI_AFFINITY)
    records = await _waiting(databases[0], 8, group_id=rule.group_id)

    async def place(db: Database, record: InstanceRecord) -> None:
        while True:
            generation, members = await hosts.group_hosts(db, rule.group_id)
            free = sorted({f"host-{index}" for index in range(8)} - set(members))
            now = GroupRule(rule.group_id, rule.policy, 1, generation)
            [outcome] = await claims.claim_many(db, [claim_of(record, free[0], group=now)])
            if isinstance(outcome, Claimed):
                return
            assert outcome.reason is Refusal.GROUP_POLICY

    await asyncio.gather(*(place(databases[index % 4], record) for index, record in enumerate(records)))
    _, members = await hosts.group_hosts(databases[0], rule.group_id)
    assert members == {f"host-{index}": 1 for index in range(8)}


async def test_a_batch_keeps_the_rule_of_its_groups(db: Database) -> None:
    await make_cloud(db, hosts=2)
    rule = await _group(db, GroupPolicy.ANTI_AFFINITY, 2)
    records = await _waiting(db, 5, group_id=rule.group_id)
    chosen = ["host-0", "host-0", "host-0", "host-1", "host-1"]
    requests = [claim_of(record, host, group=rule) for record, host in zip(records, chosen, strict=True)]
    assert _results(await claims.claim_many(db, requests)) == [
        "claimed",
        "claimed",
        Refusal.GROUP_POLICY,
        "claimed",
        "claimed",
    ]


async def test_members_of_an_affinity_group_share_a_host(db: Database) -> None:
    await make_cloud(db, hosts=2)
    rule = await _group(db, GroupPolicy.AFFINITY)
    one, two, three = await _waiting(db, 3, group_id=rule.group_id)
    requests = [
        claim_of(one, "host-1", group=rule),
        claim_of(two, "host-0", group=rule),
        claim_of(three, "host-1", group=rule),
    ]
    outcomes = await claims.claim_many(db, requests)
    assert _results(outcomes) == ["claimed", Refusal.GROUP_POLICY, "claimed"]


async def test_a_removed_group_is_not_found(db: Database) -> None:
    await make_cloud(db)
    rule = await _group(db, GroupPolicy.AFFINITY)
    [record] = await _waiting(db, 1, group_id=rule.group_id)
    await tenants.remove_server_group(db, "blue", "group")
    with pytest.raises(ServerGroupNotFound):
        await hosts.group_hosts(db, rule.group_id)
    outcomes = await claims.claim_many(db, [claim_of(record, "host-0", group=rule)])
    assert _results(outcomes) == [Refusal.GROUP_POLICY]


# --- what the scheduler reads ----------------------------------------------------------------------------


async def test_a_scheduler_reads_only_the_hosts_that_changed(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hosts, "CHANGED_OVERLAP_US", 0)
    await make_cloud(db, hosts=5)
    seen = max(host.changed for host in await hosts.load_hosts(db)) + 1
    assert await hosts.load_hosts(db, changed_since=seen) == []
    await claimed(db, "host-3")
    [changed] = await hosts.load_hosts(db, changed_since=seen)
    assert (changed.name, changed.vcpus_used) == ("host-3", 1)
    seen = changed.changed + 1
    await make_host(db, "host-4", disabled=True)
    [changed] = await hosts.load_hosts(db, changed_since=seen)
    assert (changed.name, changed.disabled) == ("host-4", True)
    seen = changed.changed + 1
    await nodes.remove_compute_node(db, "host-1")
    [changed] = await hosts.load_hosts(db, changed_since=seen)
    assert (changed.name, changed.removed) == ("host-1", True)
    assert {host.name for host in await hosts.load_hosts(db)} == {"host-0", "host-2", "host-3", "host-4"}


async def test_io_ops_are_the_instances_being_built(db: Database) -> None:
    await make_cloud(db)
    await active(db, name="done")
    await spawning(db, "host-1", name="one")
    two = await claimed(db, "host-1", name="two")
    await instances.register(db, new("waiting"))
    assert await hosts.io_ops_per_host(db) == {"host-1": 2}
    await delete(db, two)
    assert await hosts.io_ops_per_host(db) == {"host-1": 1}


async def test_the_queue_is_oldest_first(db: Database) -> None:
    await make_cloud(db)
    records = await _waiting(db, 5)
    assert await instances.list_unscheduled(db, 3) == records[:3]
    await place_on(db, records[0], "host-0")
    assert [record.id for record in await instances.list_unscheduled(db)] == [
        record.id for record in records[1:]
    ]


async def test_an_instance_says_what_it_waits_for(db: Database) -> None:
    await make_cloud(db)
    record = await instances.register(db, new())
    waiting = await claims.note_waiting(db, record.id, record.version, "no host is up")
    assert waiting.placement_message == "no host is up"
    assert await claims.note_waiting(db, record.id, waiting.version, "no host is up") == waiting
    assert (await place_on(db, waiting, "host-0")).placement_message is None
