"""What was decided on an old version, or in another task, is refused: by every transaction."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from cairn_crds.instance import PowerState
from cairn_database import (
    ConcurrentUpdate,
    Database,
    InstanceNotFound,
    InstanceRecord,
    TaskState,
    VmState,
    claims,
    failures,
    instances,
    removal,
    tasks,
)
from integration.database.support import (
    assert_consistent,
    assert_nothing_left,
    claimed,
    delete,
    make_cloud,
    spawning,
)

Change = Callable[[Database, InstanceRecord, int], Awaitable[InstanceRecord]]
DONE: dict[str, Any] = {"vm_state": VmState.ACTIVE, "power_state": PowerState.RUNNING}
CHANGES: dict[str, Change] = {
    "begin_task": lambda db, it, version: tasks.begin_task(
        db, it.id, version, TaskState.DELETING, expected_task_state=it.task_state
    ),
    "finish_task": lambda db, it, version: tasks.finish_task(
        db, it.id, version, expected_task_state=it.task_state, **DONE
    ),
    "abandon_task": lambda db, it, version: tasks.abandon_task(
        db, it.id, version, expected_task_state=TaskState.SPAWNING, message="x"
    ),
    "record_power": lambda db, it, version: tasks.record_power(db, it.id, version, **DONE),
    "fail": lambda db, it, version: failures.fail(db, it.id, version, code=500, message="x", keep_host=False),
    "reschedule": lambda db, it, version: failures.reschedule(
        db, it.id, version, exclude_host="host-0", message="x"
    ),
    "update_request": lambda db, it, version: instances.update_request(db, it.id, version, request={}),
    "begin_delete": lambda db, it, version: removal.begin_delete(db, it.id, version),
}


@pytest.mark.parametrize("change", CHANGES)
async def test_a_change_decided_on_an_old_version_is_refused(db: Database, change: str) -> None:
    await make_cloud(db)
    record = await spawning(db)
    with pytest.raises(ConcurrentUpdate, match=f"version {record.version}"):
        await CHANGES[change](db, record, record.version - 1)
    assert await instances.get(db, record.id) == record
    changed = await CHANGES[change](db, record, record.version)
    assert changed.version == record.version + 1
    assert await instances.get(db, record.id) == changed
    await assert_consistent(db)


@pytest.mark.parametrize("change", CHANGES)
async def test_of_four_who_change_the_same_version_one_wins(databases: list[Database], change: str) -> None:
    await make_cloud(databases[0])
    record = await spawning(databases[0])
    results = await asyncio.gather(
        *(CHANGES[change](db, record, record.version) for db in databases), return_exceptions=True
    )
    won = [result for result in results if isinstance(result, InstanceRecord)]
    lost = [result for result in results if isinstance(result, ConcurrentUpdate)]
    if change == "begin_delete":  # asking for what is already so is no conflict
        assert {result.version for result in won} == {record.version + 1}
    else:
        assert (len(won), len(lost)) == (1, 3)
    assert (await instances.get(databases[0], record.id)).version == record.version + 1
    await assert_consistent(databases[0])


@pytest.mark.parametrize("change", sorted(set(CHANGES) - {"begin_delete"}))
async def test_nothing_changes_what_is_deleted(db: Database, change: str) -> None:
    await make_cloud(db)
    record = await delete(db, await spawning(db))
    with pytest.raises(InstanceNotFound):
        await CHANGES[change](db, record, record.version)
    assert await instances.get(db, record.id) == record
    await assert_nothing_left(db)


async def test_a_task_is_begun_from_the_expected_one_only(db: Database) -> None:
    await make_cloud(db)
    record = await claimed(db)
    with pytest.raises(ConcurrentUpdate, match="task none"):
        await tasks.begin_task(db, record.id, record.version, TaskState.POWERING_OFF)
    with pytest.raises(ConcurrentUpdate, match="task spawning"):
        await tasks.finish_task(db, record.id, record.version, expected_task_state=TaskState.SPAWNING, **DONE)
    with pytest.raises(ConcurrentUpdate, match="awaiting a host"):
        await claims.place_failed(db, record.id, record.version, "too late")
