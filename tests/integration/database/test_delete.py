"""Deleting: from any state, once, leaving nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import pytest

from cairn_crds.instance import PowerState
from cairn_crds.server_group import GroupPolicy, ServerGroupSpec
from cairn_database import (
    ConcurrentUpdate,
    Database,
    InstanceNotFound,
    InstanceRecord,
    TaskState,
    VmState,
    asking,
    claims,
    history,
    hosts,
    instances,
    legality,
    moving,
    removal,
    tasks,
    tenants,
)
from integration.database.support import (
    active,
    assert_nothing_left,
    claimed,
    delete,
    make_cloud,
    new,
    spawning,
)


async def _in_error(db: Database) -> InstanceRecord:
    record = await instances.register(db, new())
    return await claims.place_failed(db, record.id, record.version, "none")


async def _stopping(db: Database) -> InstanceRecord:
    record = await active(db)
    return await tasks.begin_task(db, record.id, record.version, TaskState.POWERING_OFF, action="stop")


STATES: dict[str, Callable[[Database], Awaitable[InstanceRecord]]] = {
    "scheduling": lambda db: instances.register(db, new()),
    "networking": claimed,
    "spawning": spawning,
    "active": active,
    "powering-off": _stopping,
    "error": _in_error,
}


@pytest.mark.parametrize("state", STATES)
async def test_deleting_gives_everything_back_whatever_the_state(db: Database, state: str) -> None:
    await make_cloud(db)
    record = await STATES[state](db)
    begun = await removal.begin_delete(db, record.id, record.version, request_id="req-delete")
    assert (begun.task_state, begun.vm_state) == (TaskState.DELETING, record.vm_state)
    assert begun.host == record.host
    assert await removal.begin_delete(db, record.id) == begun
    gone = await removal.finish_delete(db, record.id)
    assert (gone.vm_state, gone.task_state, gone.interfaces) == (VmState.DELETED, None, ())
    assert gone.power_state is PowerState.NO_STATE
    assert gone.deleted_at is not None
    assert gone.terminated_at is not None
    assert await removal.finish_delete(db, record.id) == gone
    assert await removal.begin_delete(db, record.id) == gone
    assert await instances.get(db, record.id) == gone
    assert await instances.get_by_name(db, "blue", "web") is None
    assert await instances.list_live(db) == []
    await assert_nothing_left(db)
    actions = await history.list_actions(db, record.id)
    assert (actions[0].action, actions[0].result, actions[0].request_id) == (
        "delete",
        "Success",
        "req-delete",
    )
    assert all(action.finished_at is not None for action in actions)


async def test_a_member_leaves_its_group(db: Database) -> None:
    await make_cloud(db)
    spec = ServerGroupSpec(policy=GroupPolicy.AFFINITY)
    group = await tenants.upsert_server_group(db, "blue", "together", spec, group_id="g")
    record = await active(db, group_id=group.id)
    assert (await hosts.group_hosts(db, group.id))[1] == {"host-0": 1}
    await delete(db, record)
    assert (await hosts.group_hosts(db, group.id))[1] == {}
    await assert_nothing_left(db)


async def test_deletion_is_finished_only_after_it_began(db: Database) -> None:
    await make_cloud(db)
    record = await active(db)
    with pytest.raises(ConcurrentUpdate, match="deleting"):
        await removal.finish_delete(db, record.id)
    for function in (removal.begin_delete, removal.finish_delete):
        with pytest.raises(InstanceNotFound):
            await function(db, "nothing")


async def test_finished_by_four_at_once_it_gives_back_once(databases: list[Database]) -> None:
    db = databases[0]
    await make_cloud(db)
    other = await active(db, name="other")
    record = await active(db)
    await removal.begin_delete(db, record.id)
    results = await asyncio.gather(*(removal.finish_delete(each, record.id) for each in databases))
    assert len(set(map(str, results))) == 1
    await delete(db, other)
    await assert_nothing_left(db)


async def test_claim_and_delete_at_once_end_in_nothing(databases: list[Database]) -> None:
    db = databases[0]
    await make_cloud(db, hosts=1, vcpus=64)
    records = [await instances.register(db, new(f"web-{index}")) for index in range(20)]

    async def claim(record: InstanceRecord) -> None:
        request = claims.ClaimRequest(record.id, record.version, "host-0", 1, 512, 1)
        await claims.claim_many(databases[1], [request])

    async def remove(record: InstanceRecord) -> None:
        await removal.begin_delete(databases[2], record.id)
        while True:
            try:
                await removal.finish_delete(databases[3], record.id)
            except ConcurrentUpdate:
                continue
            return

    await asyncio.gather(*(work(record) for record in records for work in (claim, remove)))
    await assert_nothing_left(db)


async def test_a_delete_that_has_begun_is_not_softened(db: Database) -> None:
    await make_cloud(db)
    record = await active(db)
    await removal.begin_delete(db, record.id)
    with pytest.raises(legality.ActionRefused, match="deleting"):
        await moving.soft_delete(db, record.id, asking.Asked(request_id="req-soft"))
    assert (await instances.get(db, record.id)).task_state is TaskState.DELETING


async def test_a_resource_that_went_without_a_row_gets_none(db: Database) -> None:
    await make_cloud(db)
    early, late = (new(name, id=uid, resource_uid=uid) for name, uid in (("early", "a"), ("late", "b")))
    record = await instances.register(db, early)
    assert not await removal.release_resource(db, "a", "blue"), "it has one"
    assert await removal.release_resource(db, "b", "blue")
    assert await removal.release_resource(db, "b", "blue")
    assert await removal.release_resource(db, "c", None)
    with pytest.raises(InstanceNotFound):
        await instances.register(db, late)
    await delete(db, record)
    assert await removal.release_resource(db, "a", "blue"), "it was deleted"
    await assert_nothing_left(db)
    await removal.forget_released(db, datetime.now(UTC) + timedelta(hours=1))
    await instances.register(db, late)


async def test_a_resource_is_registered_or_released_but_never_both(databases: list[Database]) -> None:
    db = databases[0]
    await make_cloud(db)
    resources = [new(f"web-{number}", id=f"{number}", resource_uid=f"{number}") for number in range(10)]

    async def register(number: int) -> bool:
        try:
            return bool(await instances.register(databases[number % 4], resources[number]))
        except InstanceNotFound:
            return False

    async def release(number: int) -> bool:
        return await removal.release_resource(databases[(number + 1) % 4], f"{number}", "blue")

    numbers = range(10)
    done = await asyncio.gather(*(work(number) for number in numbers for work in (register, release)))
    assert [done[2 * number] + done[2 * number + 1] for number in numbers] == [1] * 10


async def test_old_deleted_rows_are_purged_with_their_history(db: Database) -> None:
    await make_cloud(db)
    kept = await active(db, name="kept")
    gone = [await delete(db, await active(db, name=f"gone-{index}")) for index in range(5)]
    assert await history.purge(db, datetime.now(UTC) - timedelta(hours=1)) == 0
    later = datetime.now(UTC) + timedelta(hours=1)
    assert await history.purge(db, later, limit=3) == 3
    with pytest.raises(InstanceNotFound):
        await instances.get(db, gone[0].id)
    assert await history.list_actions(db, gone[0].id) == []
    assert (await instances.get(db, gone[4].id)).is_deleted
    assert await history.purge(db, later, limit=3) == 2
    assert await instances.get(db, kept.id) == kept
    assert len(await history.list_actions(db, kept.id)) == 1
