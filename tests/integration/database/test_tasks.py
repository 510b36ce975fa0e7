"""Doing something to an instance that has a host, and what the history says of it."""

from __future__ import annotations

from cairn_crds.instance import PowerState
from cairn_database import (
    Database,
    TaskState,
    VmState,
    history,
    instances,
    tasks,
)
from integration.database.support import (
    active,
    assert_consistent,
    make_cloud,
)


async def test_a_boot_ends_active_and_its_history_tells_it(db: Database) -> None:
    await make_cloud(db)
    record = await active(db)
    assert (record.vm_state, record.task_state) == (VmState.ACTIVE, None)
    assert record.power_state is PowerState.RUNNING
    assert record.launched_at is not None
    assert record.version == 4
    assert await instances.get(db, record.id) == record
    [create] = await history.list_actions(db, record.id)
    assert (create.action, create.result) == ("create", "Success")
    assert create.finished_at == record.updated_at
    assert [event.event for event in create.events] == [
        "conductor_schedule_and_build_instances",
        "compute__build_networks_for_instance",
        "compute__do_build_and_run_instance",
    ]
    assert {event.host for event in create.events} == {"host-0"}
    await assert_consistent(db)


async def test_stop_is_an_action_with_a_beginning_and_an_end(db: Database) -> None:
    await make_cloud(db)
    record = await active(db)
    edited = {"flavor": "small", "powerState": "Stopped"}
    begun = await tasks.begin_task(
        db,
        record.id,
        record.version,
        TaskState.POWERING_OFF,
        action="stop",
        request=edited,
        request_id="req-stop",
    )
    assert (begun.task_state, begun.request, begun.request_id) == (
        TaskState.POWERING_OFF,
        edited,
        "req-stop",
    )
    [stop, _] = await history.list_actions(db, record.id)
    assert (stop.action, stop.request_id, stop.finished_at, stop.events) == ("stop", "req-stop", None, ())
    done = await tasks.finish_task(
        db,
        record.id,
        begun.version,
        expected_task_state=TaskState.POWERING_OFF,
        vm_state=VmState.STOPPED,
        power_state=PowerState.SHUTDOWN,
    )
    assert (done.vm_state, done.task_state, done.launched_at) == (VmState.STOPPED, None, record.launched_at)
    [stop, _] = await history.list_actions(db, record.id)
    assert (stop.result, [event.event for event in stop.events]) == ("Success", ["compute_stop_instance"])
    assert await instances.get(db, record.id) == done


async def test_reboot_records_the_generation_it_reached(db: Database) -> None:
    await make_cloud(db)
    record = await active(db)
    begun = await tasks.begin_task(db, record.id, record.version, TaskState.REBOOTING, action="reboot")
    done = await tasks.finish_task(
        db,
        record.id,
        begun.version,
        expected_task_state=TaskState.REBOOTING,
        vm_state=VmState.ACTIVE,
        power_state=PowerState.RUNNING,
        reboot_generation=7,
    )
    assert (await instances.get(db, record.id)).reboot_generation == done.reboot_generation == 7


async def test_a_task_goes_through_steps_of_the_same_action(db: Database) -> None:
    await make_cloud(db)
    record = await active(db)
    record = await tasks.begin_task(db, record.id, record.version, TaskState.REBOOTING, action="reboot")
    record = await tasks.begin_task(
        db, record.id, record.version, TaskState.REBOOT_STARTED, expected_task_state=TaskState.REBOOTING
    )
    assert record.task_state is TaskState.REBOOT_STARTED
    [reboot, _] = await history.list_actions(db, record.id)
    assert (reboot.finished_at, [event.event for event in reboot.events]) == (
        None,
        ["compute_reboot_instance"],
    )


async def test_an_abandoned_task_leaves_the_instance_as_it_was(db: Database) -> None:
    await make_cloud(db)
    record = await active(db)
    begun = await tasks.begin_task(db, record.id, record.version, TaskState.PAUSING, action="pause")
    back = await tasks.abandon_task(
        db,
        record.id,
        begun.version,
        expected_task_state=TaskState.PAUSING,
        message="not now",
        request={"as": "before"},
        power_state=PowerState.RUNNING,
        reboot_generation=3,
    )
    assert (back.vm_state, back.task_state, back.fault_message) == (VmState.ACTIVE, None, None)
    assert (back.request, back.reboot_generation) == ({"as": "before"}, 3)
    [pause, _] = await history.list_actions(db, record.id)
    assert (pause.result, pause.message) == ("Error", "not now")
    assert pause.events[0].result == "Error"


async def test_a_change_behind_cairns_back_is_recorded(db: Database) -> None:
    await make_cloud(db)
    record = await active(db)
    off = await tasks.record_power(
        db, record.id, record.version, vm_state=VmState.STOPPED, power_state=PowerState.SHUTDOWN
    )
    assert (off.vm_state, off.power_state, off.version) == (
        VmState.STOPPED,
        PowerState.SHUTDOWN,
        record.version + 1,
    )
    [sync, _] = await history.list_actions(db, record.id)
    assert (sync.action, sync.result) == ("power-sync", "Success")
    same = await tasks.record_power(
        db, record.id, off.version, vm_state=VmState.STOPPED, power_state=PowerState.SHUTDOWN
    )
    assert same == off
    asked = await tasks.record_power(
        db,
        record.id,
        off.version,
        vm_state=VmState.STOPPED,
        power_state=PowerState.SHUTDOWN,
        request={"powerState": "Stopped"},
    )
    assert asked.request == {"powerState": "Stopped"}
