"""Every transaction of an instance's life after it has a host, and what it refuses."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from cairn_crds.instance import PowerState
from cairn_crds.project import ProjectSpec
from cairn_crds.server_group import GroupPolicy, ServerGroupSpec
from cairn_database import (
    ConcurrentUpdate,
    Database,
    InstanceNotFound,
    InstanceRecord,
    QuotaExceeded,
    ServerGroupNotFound,
    TaskState,
    VmState,
    catalog,
    claims,
    history,
    instances,
    quotas,
)
from integration.database.support import (
    IMAGE,
    LARGE,
    SMALL,
    UNLIMITED,
    active,
    assert_consistent,
    assert_nothing_left,
    claimed,
    delete,
    make_cloud,
    new,
    place_on,
    spawning,
)


async def _host(db: Database, name: str = "host-0") -> claims.HostUsage:
    [host] = await claims.load_hosts(db, names=[name])
    return host


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
    begun = await instances.begin_task(
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
    assert await instances.list_in_task(db, [TaskState.POWERING_OFF]) == [(record.id, begun.version)]
    [stop, _] = await history.list_actions(db, record.id)
    assert (stop.action, stop.request_id, stop.finished_at, stop.events) == ("stop", "req-stop", None, ())
    done = await instances.finish_task(
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
    begun = await instances.begin_task(db, record.id, record.version, TaskState.REBOOTING, action="reboot")
    done = await instances.finish_task(
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
    record = await instances.begin_task(db, record.id, record.version, TaskState.REBOOTING, action="reboot")
    record = await instances.begin_task(
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
    begun = await instances.begin_task(db, record.id, record.version, TaskState.PAUSING, action="pause")
    back = await instances.abandon_task(
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
    off = await instances.record_power(
        db, record.id, record.version, vm_state=VmState.STOPPED, power_state=PowerState.SHUTDOWN
    )
    assert (off.vm_state, off.power_state, off.version) == (
        VmState.STOPPED,
        PowerState.SHUTDOWN,
        record.version + 1,
    )
    [sync, _] = await history.list_actions(db, record.id)
    assert (sync.action, sync.result) == ("power-sync", "Success")
    same = await instances.record_power(
        db, record.id, off.version, vm_state=VmState.STOPPED, power_state=PowerState.SHUTDOWN
    )
    assert same == off
    asked = await instances.record_power(
        db,
        record.id,
        off.version,
        vm_state=VmState.STOPPED,
        power_state=PowerState.SHUTDOWN,
        request={"powerState": "Stopped"},
    )
    assert asked.request == {"powerState": "Stopped"}


async def test_a_failed_build_gives_back_what_it_held(db: Database) -> None:
    await make_cloud(db)
    record = await spawning(db)
    failed = await instances.fail(db, record.id, record.version, code=500, message="no disk", keep_host=False)
    assert (failed.vm_state, failed.task_state, failed.host) == (VmState.ERROR, None, None)
    assert (failed.fault_code, failed.fault_message, failed.interfaces) == (500, "no disk", ())
    assert failed.fault_at is not None
    host = await _host(db)
    assert (host.vcpus_used, host.instances, host.build_failures) == (0, 0, 1)
    assert (await quotas.report(db, "blue")).instances.in_use == 1
    [create] = await history.list_actions(db, record.id)
    assert (create.result, create.message) == ("Error", "no disk")
    await assert_consistent(db)
    await delete(db, failed)
    await assert_nothing_left(db)


async def test_a_machine_that_breaks_keeps_its_host_and_addresses(db: Database) -> None:
    await make_cloud(db)
    record = await active(db)
    failed = await instances.fail(db, record.id, record.version, code=500, message="broken", keep_host=True)
    assert (failed.host, failed.interfaces) == (record.host, record.interfaces)
    host = await _host(db)
    assert (host.instances, host.build_failures) == (1, 0)
    mended = await instances.finish_task(
        db,
        record.id,
        failed.version,
        expected_task_state=None,
        vm_state=VmState.ACTIVE,
        power_state=PowerState.RUNNING,
    )
    assert (mended.fault_code, mended.fault_message, mended.fault_at) == (None, None, None)
    await assert_consistent(db)


async def test_a_build_is_tried_on_three_hosts_then_fails(db: Database) -> None:
    await make_cloud(db, hosts=4)
    record = await instances.register(db, new())
    for attempt in range(3):
        assert (record.vm_state, record.task_state) == (VmState.BUILDING, TaskState.SCHEDULING)
        host = f"host-{attempt}"
        record = await place_on(db, record, host)
        assert (record.attempts, record.fencing_epoch) == (attempt + 1, attempt + 1)
        record = await instances.reschedule(
            db, record.id, record.version, exclude_host=host, message="no luck"
        )
        assert (await _host(db, host)).build_failures == 1
        assert record.host is None
    assert (record.vm_state, record.task_state) == (VmState.ERROR, None)
    assert record.excluded_hosts == ("host-0", "host-1")
    assert record.fault_message is not None
    assert "Exceeded max scheduling attempts 3" in record.fault_message
    assert "no luck" in record.fault_message
    assert await instances.get(db, record.id) == record
    await assert_consistent(db)


async def test_reschedule_gives_back_the_addresses_too(db: Database) -> None:
    await make_cloud(db)
    record = await spawning(db)
    record = await instances.reschedule(
        db, record.id, record.version, exclude_host="host-0", message="no luck"
    )
    assert (record.interfaces, record.excluded_hosts) == ((), ("host-0",))
    await assert_consistent(db)
    with pytest.raises(ConcurrentUpdate):
        await instances.reschedule(db, record.id, record.version, exclude_host="host-0", message="twice")


async def test_a_launch_makes_a_hosts_failures_forgotten(db: Database) -> None:
    await make_cloud(db)
    record = await spawning(db)
    await instances.fail(db, record.id, record.version, code=500, message="no", keep_host=False)
    assert (await _host(db)).build_failures == 1
    await active(db, name="next")
    assert (await _host(db)).build_failures == 0


async def test_mended_input_is_scheduled_again_and_pays_the_quota_difference(db: Database) -> None:
    await make_cloud(db, quotas=UNLIMITED | {"cores": 3})
    record = await instances.register(db, new())
    failed = await claims.place_failed(db, record.id, record.version, "RamFilter removed 2 of 2 hosts")
    assert failed.fault_message == "No valid host was found. RamFilter removed 2 of 2 hosts"
    assert failed.placement_message == "RamFilter removed 2 of 2 hosts"
    mended: dict[str, Any] = {"request": {"flavor": "large"}, "flavor": LARGE, "image": IMAGE}
    with pytest.raises(QuotaExceeded):
        await instances.retry(db, record.id, failed.version, **mended)
    assert await instances.get(db, record.id) == failed
    await catalog.upsert_project(db, "blue", ProjectSpec.model_validate({"quotas": {"cores": 4}}))
    again = await instances.retry(db, record.id, failed.version, request_id="req-2", **mended)
    assert (again.vm_state, again.task_state) == (VmState.BUILDING, TaskState.SCHEDULING)
    assert (again.fault_message, again.placement_message, again.attempts) == (None, None, 0)
    assert (await quotas.report(db, "blue")).cores.in_use == 4
    assert await instances.list_unscheduled(db) == [again]
    smaller = await claims.place_failed(db, record.id, again.version, "no")
    await instances.retry(
        db, record.id, smaller.version, request={"flavor": "small"}, flavor=SMALL, image=IMAGE
    )
    assert (await quotas.report(db, "blue")).cores.in_use == 1
    await assert_consistent(db)
    assert [action.action for action in await history.list_actions(db, record.id)] == ["create"] * 3


async def test_mended_input_may_name_another_group(db: Database) -> None:
    await make_cloud(db)
    spec = ServerGroupSpec(policy=GroupPolicy.AFFINITY)
    for name in ("old", "new"):
        await catalog.upsert_server_group(db, "blue", name, spec, group_id=f"group-{name}")
    record = await instances.register(db, new(group_id="group-old"))
    failed = await claims.place_failed(db, record.id, record.version, "no")
    mended: dict[str, Any] = {"request": {}, "flavor": SMALL, "image": IMAGE}
    with pytest.raises(ServerGroupNotFound):
        await instances.retry(db, record.id, failed.version, group_id="group-none", **mended)
    again = await instances.retry(db, record.id, failed.version, group_id="group-new", **mended)
    members = {group.name: group.members for group in await catalog.list_server_groups(db)}
    assert (again.group_id, members) == ("group-new", {"old": 0, "new": 1})
    await assert_consistent(db)


async def test_only_an_error_without_a_host_is_tried_again(db: Database) -> None:
    await make_cloud(db)
    record = await active(db)
    mended: dict[str, Any] = {"request": {}, "flavor": SMALL, "image": IMAGE}
    with pytest.raises(ConcurrentUpdate):
        await instances.retry(db, record.id, record.version, **mended)
    failed = await instances.fail(db, record.id, record.version, code=500, message="x", keep_host=True)
    with pytest.raises(ConcurrentUpdate):
        await instances.retry(db, record.id, failed.version, **mended)


async def test_an_instance_says_what_it_waits_for(db: Database) -> None:
    await make_cloud(db)
    record = await instances.register(db, new())
    waiting = await claims.note_waiting(db, record.id, record.version, "no host is up")
    assert waiting.placement_message == "no host is up"
    assert await claims.note_waiting(db, record.id, waiting.version, "no host is up") == waiting
    assert (await place_on(db, waiting, "host-0")).placement_message is None


async def test_edits_and_a_new_resource_are_recorded_once(db: Database) -> None:
    await make_cloud(db)
    record = await active(db)
    edited = await instances.update_request(
        db, record.id, record.version, request={"metadata": {"a": "b"}}, hints={"group": "g"}
    )
    assert (edited.request, edited.hints) == ({"metadata": {"a": "b"}}, {"group": "g"})
    same = await instances.update_request(db, record.id, edited.version, request={"metadata": {"a": "b"}})
    assert same == edited
    bound = await instances.rebind(db, "blue", "web", "uid-2")
    assert (bound.resource_uid, bound.version) == ("uid-2", edited.version + 1)
    assert await instances.rebind(db, "blue", "web", "uid-2") == bound
    with pytest.raises(InstanceNotFound):
        await instances.rebind(db, "green", "web", "uid-3")


async def test_a_hosts_instances_are_listed_while_they_live(db: Database) -> None:
    await make_cloud(db)
    one = await active(db, name="one")
    two = await active(db, "host-1", name="two")
    assert await instances.list_by_host(db, "host-0") == [one]
    keys = await instances.list_keys(db)
    assert {key.id for key in keys} == {one.id, two.id}
    assert await instances.list_keys(db, after_id=max(one.id, two.id)) == []
    await delete(db, one)
    assert await instances.list_by_host(db, "host-0") == []


# --- compare-and-set -------------------------------------------------------------------------------------

Change = Callable[[Database, InstanceRecord, int], Awaitable[InstanceRecord]]
DONE: dict[str, Any] = {"vm_state": VmState.ACTIVE, "power_state": PowerState.RUNNING}
CHANGES: dict[str, Change] = {
    "begin_task": lambda db, it, version: instances.begin_task(
        db, it.id, version, TaskState.DELETING, expected_task_state=it.task_state
    ),
    "finish_task": lambda db, it, version: instances.finish_task(
        db, it.id, version, expected_task_state=it.task_state, **DONE
    ),
    "abandon_task": lambda db, it, version: instances.abandon_task(
        db, it.id, version, expected_task_state=TaskState.SPAWNING, message="x"
    ),
    "record_power": lambda db, it, version: instances.record_power(db, it.id, version, **DONE),
    "fail": lambda db, it, version: instances.fail(
        db, it.id, version, code=500, message="x", keep_host=False
    ),
    "reschedule": lambda db, it, version: instances.reschedule(
        db, it.id, version, exclude_host="host-0", message="x"
    ),
    "update_request": lambda db, it, version: instances.update_request(db, it.id, version, request={}),
    "begin_delete": lambda db, it, version: instances.begin_delete(db, it.id, version),
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
        await instances.begin_task(db, record.id, record.version, TaskState.POWERING_OFF)
    with pytest.raises(ConcurrentUpdate, match="task spawning"):
        await instances.finish_task(
            db, record.id, record.version, expected_task_state=TaskState.SPAWNING, **DONE
        )
    with pytest.raises(ConcurrentUpdate, match="task scheduling"):
        await claims.place_failed(db, record.id, record.version, "too late")
