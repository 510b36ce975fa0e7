"""What the Compute API asks of instances: each in one transaction, with the table of legality."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from cairn_crds.instance import PowerState, RebootType
from cairn_database import Database, InstanceNotFound, TaskState, VmState, asking, history, instances, tasks
from cairn_database.asking import Asked
from cairn_database.legality import ACTIONS, ActionRefused, InstanceLocked, check
from cairn_database.records import InstanceRecord
from cairn_database.rows import compare_and_set, load, now
from integration.database.support import active, delete, make_cloud


async def put(db: Database, instance_id: str, **changes: Any) -> InstanceRecord:
    """The row with these fields, whatever led to them."""
    return await db.run(lambda conn: compare_and_set(conn, load(conn, instance_id), moment=now(), **changes))


@pytest.mark.parametrize("action", sorted(asking.POWER_TASKS))
async def test_a_power_action_begins_its_task_once(db: Database, action: str) -> None:
    await make_cloud(db)
    record = await active(db)
    states = ACTIONS[action].vm_states
    assert states is not None
    record = await put(db, record.id, vm_state=sorted(states)[0])
    task, power = asking.POWER_TASKS[action]
    asked = [asking.change_power(db, record.id, action, Asked(request_id=f"req-{n}")) for n in range(5)]
    answers = await asyncio.gather(*asked, return_exceptions=True)
    begun = [answer for answer in answers if isinstance(answer, InstanceRecord)]
    refused = [answer for answer in answers if isinstance(answer, ActionRefused)]
    assert (len(begun), len(refused)) == (1, 4)
    assert (begun[0].task_state, begun[0].spec["powerState"]) == (task, power)
    actions = await history.list_actions(db, record.id)
    assert [entry.action for entry in actions if entry.finished_at is None] == [action]


async def test_a_lock_is_for_everybody_but_who_overrides_it(db: Database) -> None:
    await make_cloud(db)
    record = await active(db)
    locked = await asking.lock(db, record.id, reason="audit", by_admin=True, request_id="req-1")
    assert (locked.locked, locked.spec["lockedReason"]) == (True, "audit")
    assert locked.details["lockedBy"] == "admin"
    with pytest.raises(InstanceLocked):
        await asking.change_power(db, record.id, "stop", Asked(request_id="req-2"))
    await asking.change_power(db, record.id, "stop", Asked(request_id="req-3", overrides_lock=True))
    free = await asking.unlock(db, record.id, request_id="req-4")
    assert (free.locked, "lockedReason" in free.spec, free.details) == (False, False, {})


async def test_a_reboot_counts_on_from_what_was_reached(db: Database) -> None:
    await make_cloud(db)
    record = await put(db, (await active(db)).id, reboot_generation=4)
    after = await asking.reboot(db, record.id, RebootType.HARD, Asked(request_id="req-1"))
    assert (after.task_state, after.spec["reboot"]) == (
        TaskState.REBOOTING_HARD, {"generation": 5, "type": "Hard"},
    )  # fmt: skip


async def test_an_administrators_error_is_lifted_by_a_task_that_ends_well(db: Database) -> None:
    await make_cloud(db)
    record = await active(db)
    held = await asking.reset_state(db, record.id, VmState.ERROR, request_id="req-1")
    assert (held.vm_state, held.fault_code, held.details) == (VmState.ERROR, 500, {"heldInError": True})
    rebooting = await asking.reboot(db, record.id, RebootType.HARD, Asked(request_id="req-2"))
    ended = await tasks.finish_task(
        db,
        record.id,
        rebooting.version,
        expected_task_state=TaskState.REBOOTING_HARD,
        vm_state=VmState.ACTIVE,
        power_state=PowerState.RUNNING,
    )
    assert (ended.details, ended.fault_message) == ({}, None)


async def test_labels_change_what_they_name_and_nothing_when_nothing_changes(db: Database) -> None:
    await make_cloud(db)
    record = await active(db)
    tagged = await asking.change_labels(db, record.id, lambda _row: ({"tags": ["a"]}, {"diskConfig": "AUTO"}))
    assert (tagged.spec["tags"], tagged.details) == (["a"], {"diskConfig": "AUTO"})
    same = await asking.change_labels(db, record.id, lambda _row: ({"tags": ["a"]}, {}))
    assert same.version == tagged.version
    bare = await asking.change_labels(db, record.id, lambda _row: ({"tags": None}, {"diskConfig": None}))
    assert ("tags" in bare.spec, bare.details) == (False, {})


async def test_nothing_is_asked_of_what_is_gone(db: Database) -> None:
    await make_cloud(db)
    record = await active(db)
    await delete(db, await instances.get(db, record.id))
    with pytest.raises(InstanceNotFound):
        await asking.change_power(db, record.id, "stop", Asked(request_id="req-1"))
    with pytest.raises(InstanceNotFound):
        await asking.change_labels(db, record.id, lambda _row: ({}, {}))


async def test_every_cell_of_the_table(db: Database) -> None:
    await make_cloud(db)
    record = await active(db)
    checked = 0
    for action, needed in ACTIONS.items():
        for vm_state in VmState:
            for task in (None, TaskState.MIGRATING, TaskState.DELETING):
                row = await _as(record, vm_state, task)
                in_state = needed.vm_states is None or vm_state in needed.vm_states
                in_task = needed.task_states is None or task in needed.task_states
                checked += 1
                if in_state and in_task:
                    check(action, row)
                else:
                    with pytest.raises(ActionRefused) as refused:
                        check(action, row)
                    attribute = "task_state" if in_state else "vm_state"
                    state = task if in_state else vm_state
                    assert str(refused.value) == (
                        f"Cannot '{action}' instance {row.id} while it is in {attribute} {state}"
                    )
    assert checked == len(ACTIONS) * len(VmState) * 3


async def _as(record: InstanceRecord, vm_state: VmState, task: TaskState | None) -> InstanceRecord:
    from dataclasses import replace

    return replace(record, vm_state=vm_state, task_state=task)
