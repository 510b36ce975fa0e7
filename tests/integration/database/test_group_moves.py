"""Server groups hold while members move: wherever a move ends, the policy is kept."""

from __future__ import annotations

import asyncio

import pytest

from cairn_crds.server_group import GroupPolicy, ServerGroupSpec
from cairn_database import (
    Database,
    InstanceRecord,
    TaskState,
    claims,
    hosts,
    instances,
    moving,
    steps,
    tenants,
)
from cairn_database.asking import Asked
from cairn_database.claims import Claimed, GroupRule, Refusal, Refused
from integration.database.support import active, claim_of, make_cloud, new

ASKED = Asked(request_id="req-move")
ANTI, TOGETHER = GroupPolicy.ANTI_AFFINITY, GroupPolicy.AFFINITY


async def group_of(db: Database, policy: GroupPolicy, maximum: int | None = None) -> str:
    spec = ServerGroupSpec(policy=policy, max_server_per_host=maximum)
    group = await tenants.upsert_server_group(db, "blue", "group", spec, group_id="group-1")
    return group.id


async def rule_of(db: Database, policy: GroupPolicy, maximum: int = 1) -> GroupRule:
    generation, _ = await hosts.group_hosts(db, "group-1", policy)
    return GroupRule("group-1", policy, maximum, generation)


async def claim(
    db: Database, record: InstanceRecord, host: str, policy: GroupPolicy, maximum: int = 1
) -> Refusal | InstanceRecord:
    rule = await rule_of(db, policy, maximum)
    [outcome] = await claims.claim_many(db, [claim_of(record, host, group=rule)])
    return outcome.reason if isinstance(outcome, Refused) else outcome.record


async def begin(db: Database, record: InstanceRecord) -> InstanceRecord:
    return await moving.migrate(db, record.id, ASKED)


async def arrive(db: Database, record: InstanceRecord) -> InstanceRecord:
    """The steps of the flow that a group can see."""
    assert record.move is not None
    step = steps.Step(
        task_state=TaskState.RESIZE_FINISH, host=record.move.destination, holding=steps.Holding.SWAP
    )
    return await steps.advance(db, record.id, record.version, TaskState.RESIZE_PREP, step)


@pytest.mark.parametrize("has_arrived", [False, True])
async def test_one_that_moves_keeps_others_from_both_hosts(db: Database, has_arrived: bool) -> None:
    await make_cloud(db, hosts=4)
    group = await group_of(db, ANTI)
    first = await active(db, "host-0", name="first", group_id=group)
    second = await active(db, "host-1", name="second", group_id=group)
    moved = await claim(db, await begin(db, first), "host-2", ANTI)
    assert isinstance(moved, InstanceRecord)
    if has_arrived:
        await arrive(db, moved)
    assert (await hosts.group_hosts(db, group))[1] == {"host-0": 1, "host-1": 1, "host-2": 1}
    waiting = await begin(db, second)
    for host in ("host-0", "host-2"):
        assert await claim(db, waiting, host, ANTI) is Refusal.GROUP_POLICY
    assert isinstance(await claim(db, waiting, "host-3", ANTI), InstanceRecord)


async def test_the_most_that_a_host_may_have_counts_movers(db: Database) -> None:
    await make_cloud(db, hosts=3)
    group = await group_of(db, ANTI, 2)
    members = [await active(db, f"host-{n // 2}", name=f"vm-{n}", group_id=group) for n in range(4)]
    for member in members[:2]:
        assert isinstance(await claim(db, await begin(db, member), "host-2", ANTI, 2), InstanceRecord)
    assert await claim(db, await begin(db, members[2]), "host-2", ANTI, 2) is Refusal.GROUP_POLICY


async def test_one_that_leaves_its_own_host_does_not_stand_in_its_own_way(db: Database) -> None:
    await make_cloud(db, hosts=2)
    group = await group_of(db, TOGETHER)
    only = await active(db, "host-0", group_id=group)
    assert isinstance(await claim(db, await begin(db, only), "host-1", TOGETHER), InstanceRecord)


async def test_members_that_stay_together_follow_to_where_the_first_goes(db: Database) -> None:
    await make_cloud(db, hosts=2)
    group = await group_of(db, TOGETHER)
    first = await active(db, "host-0", name="first", group_id=group)
    moved = await claim(db, await begin(db, first), "host-1", TOGETHER)
    assert isinstance(moved, InstanceRecord)
    other = await instances.register(db, new("other", group_id=group))
    assert await claim(db, other, "host-0", TOGETHER) is Refusal.GROUP_POLICY
    assert isinstance(await claim(db, other, "host-1", TOGETHER), InstanceRecord)


async def test_one_of_two_that_stay_together_goes_nowhere(db: Database) -> None:
    await make_cloud(db, hosts=2)
    group = await group_of(db, TOGETHER)
    first = await active(db, "host-0", name="first", group_id=group)
    await active(db, "host-0", name="second", group_id=group)
    assert await claim(db, await begin(db, first), "host-1", TOGETHER) is Refusal.GROUP_POLICY


async def test_a_batch_with_a_mover_keeps_the_group_together(db: Database) -> None:
    await make_cloud(db, hosts=2)
    group = await group_of(db, TOGETHER)
    first = await begin(db, await active(db, "host-0", name="first", group_id=group))
    other = await instances.register(db, new("other", group_id=group))
    rule = await rule_of(db, TOGETHER)
    requests = [claim_of(first, "host-1", group=rule), claim_of(other, "host-0", group=rule)]
    outcomes = await claims.claim_many(db, requests)
    assert isinstance(outcomes[0], Claimed)
    assert isinstance(outcomes[1], Refused)


async def test_moves_in_parallel_never_meet(databases: list[Database]) -> None:
    await make_cloud(databases[0], hosts=6)
    group = await group_of(databases[0], ANTI)
    members = [await active(databases[0], f"host-{n}", name=f"vm-{n}", group_id=group) for n in range(3)]
    waiting = [await begin(databases[0], member) for member in members]

    async def place(db: Database, record: InstanceRecord) -> str:
        while True:
            _, taken = await hosts.group_hosts(db, group)
            free = sorted({f"host-{n}" for n in range(6)} - set(taken))
            outcome = await claim(db, record, free[0], ANTI)
            if isinstance(outcome, InstanceRecord):
                return free[0]
            assert outcome is Refusal.GROUP_POLICY

    found = await asyncio.gather(*(place(databases[n], record) for n, record in enumerate(waiting)))
    assert sorted(found) == ["host-3", "host-4", "host-5"]
    _, counted = await hosts.group_hosts(databases[0], group)
    assert counted == {f"host-{n}": 1 for n in range(6)}
