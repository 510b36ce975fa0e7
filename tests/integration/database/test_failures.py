"""Builds that fail, machines that break, and instances whose input was mended."""

from __future__ import annotations

from typing import Any

import pytest

from cairn_crds.instance import PowerState
from cairn_crds.project import ProjectSpec
from cairn_crds.server_group import GroupPolicy, ServerGroupSpec
from cairn_database import (
    ConcurrentUpdate,
    Database,
    QuotaExceeded,
    ServerGroupNotFound,
    TaskState,
    VmState,
    claims,
    failures,
    history,
    hosts,
    instances,
    quotas,
    tasks,
    tenants,
)
from integration.database.support import (
    IMAGE,
    LARGE,
    SMALL,
    UNLIMITED,
    active,
    assert_consistent,
    assert_nothing_left,
    delete,
    make_cloud,
    new,
    place_on,
    spawning,
)


async def _host(db: Database, name: str = "host-0") -> hosts.HostUsage:
    [host] = await hosts.load_hosts(db, names=[name])
    return host


async def test_a_failed_build_gives_back_what_it_held(db: Database) -> None:
    await make_cloud(db)
    record = await spawning(db)
    failed = await failures.fail(db, record.id, record.version, code=500, message="no disk", keep_host=False)
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
    failed = await failures.fail(db, record.id, record.version, code=500, message="broken", keep_host=True)
    assert (failed.host, failed.interfaces) == (record.host, record.interfaces)
    host = await _host(db)
    assert (host.instances, host.build_failures) == (1, 0)
    mended = await tasks.finish_task(
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
        record = await failures.reschedule(
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
    record = await failures.reschedule(
        db, record.id, record.version, exclude_host="host-0", message="no luck"
    )
    assert (record.interfaces, record.excluded_hosts) == ((), ("host-0",))
    await assert_consistent(db)
    with pytest.raises(ConcurrentUpdate):
        await failures.reschedule(db, record.id, record.version, exclude_host="host-0", message="twice")


async def test_a_launch_makes_a_hosts_failures_forgotten(db: Database) -> None:
    await make_cloud(db)
    record = await spawning(db)
    await failures.fail(db, record.id, record.version, code=500, message="no", keep_host=False)
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
        await failures.retry(db, record.id, failed.version, **mended)
    assert await instances.get(db, record.id) == failed
    await tenants.upsert_project(db, "blue", ProjectSpec.model_validate({"quotas": {"cores": 4}}))
    again = await failures.retry(db, record.id, failed.version, request_id="req-2", **mended)
    assert (again.vm_state, again.task_state) == (VmState.BUILDING, TaskState.SCHEDULING)
    assert (again.fault_message, again.placement_message, again.attempts) == (None, None, 0)
    assert (await quotas.report(db, "blue")).cores.in_use == 4
    assert await instances.list_unscheduled(db) == [again]
    smaller = await claims.place_failed(db, record.id, again.version, "no")
    await failures.retry(
        db, record.id, smaller.version, request={"flavor": "small"}, flavor=SMALL, image=IMAGE
    )
    assert (await quotas.report(db, "blue")).cores.in_use == 1
    await assert_consistent(db)
    assert [action.action for action in await history.list_actions(db, record.id)] == ["create"] * 3


async def test_mended_input_may_name_another_group(db: Database) -> None:
    await make_cloud(db)
    spec = ServerGroupSpec(policy=GroupPolicy.AFFINITY)
    for name in ("old", "new"):
        await tenants.upsert_server_group(db, "blue", name, spec, group_id=f"group-{name}")
    record = await instances.register(db, new(group_id="group-old"))
    failed = await claims.place_failed(db, record.id, record.version, "no")
    mended: dict[str, Any] = {"request": {}, "flavor": SMALL, "image": IMAGE}
    with pytest.raises(ServerGroupNotFound):
        await failures.retry(db, record.id, failed.version, group_id="group-none", **mended)
    again = await failures.retry(db, record.id, failed.version, group_id="group-new", **mended)
    members = {group.name: group.members for group in await tenants.list_server_groups(db)}
    assert (again.group_id, members) == ("group-new", {"old": 0, "new": 1})
    await assert_consistent(db)


async def test_only_an_error_without_a_host_is_tried_again(db: Database) -> None:
    await make_cloud(db)
    record = await active(db)
    mended: dict[str, Any] = {"request": {}, "flavor": SMALL, "image": IMAGE}
    with pytest.raises(ConcurrentUpdate):
        await failures.retry(db, record.id, record.version, **mended)
    failed = await failures.fail(db, record.id, record.version, code=500, message="x", keep_host=True)
    with pytest.raises(ConcurrentUpdate):
        await failures.retry(db, record.id, failed.version, **mended)
