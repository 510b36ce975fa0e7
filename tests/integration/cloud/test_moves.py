"""Instances that go to other hosts: the machine is there or here, never both, and its disk goes with it."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from cairn_crds import ComputeNode, Flavor
from cairn_database import InstanceRecord, TaskState, VmState, moves, moving
from cairn_database.asking import Asked
from cairn_database.moving import HostStillInUse
from integration.cloud.cairn import Cairn, Tenant

LARGER = {"metadata": {"name": "larger"}, "spec": {"vcpus": 2, "memoryMiB": 128, "diskGiB": 2}}


def asked() -> Asked:
    return Asked(request_id=f"req-{uuid.uuid4()}", overrides_lock=True)


def settled(cairn: Cairn, instance_id: str, vm_state: VmState) -> InstanceRecord:
    """Until nothing is done to it and it is that."""

    def look() -> InstanceRecord | None:
        row = cairn.row(instance_id)
        return row if row.task_state is None and row.vm_state is vm_state else None

    found = cairn.wait(f"{instance_id} {vm_state}", look)
    assert found is not None
    return found


def on(cairn: Cairn, node: str, instance_id: str) -> dict[str, Any]:
    found = cairn.machine_on(node, instance_id)
    assert found is not None, f"nothing on {node}"
    return found


def status_of(cairn: Cairn, instance_id: str) -> str:
    [record] = cairn.sql(moves.list_migrations(cairn.db, instance_id=instance_id))
    return record.status


def test_a_cold_migration_takes_the_disk_along_and_is_confirmed(cairn: Cairn, tenant: Tenant) -> None:
    instance_id = tenant.boot(host="quick")
    addresses = cairn.row(instance_id).interfaces
    cairn.sql(moving.migrate(cairn.db, instance_id, asked(), host="frail"))
    row = settled(cairn, instance_id, VmState.RESIZED)
    assert (row.host, row.interfaces) == ("frail", addresses)
    assert on(cairn, "quick", instance_id)["power_state"] == "Shutdown"
    assert on(cairn, "frail", instance_id)["power_state"] == "Running"
    assert on(cairn, "frail", instance_id)["disk"] == on(cairn, "quick", instance_id)["disk"]
    assert status_of(cairn, instance_id) == "finished"
    cairn.sql(moving.confirm_resize(cairn.db, instance_id, asked()))
    settled(cairn, instance_id, VmState.ACTIVE)
    cairn.wait("quick to have nothing of it", lambda: cairn.machine_on("quick", instance_id) is None)
    assert status_of(cairn, instance_id) == "confirmed"
    assert cairn.findings() == []


def test_a_reverted_migration_is_back_where_it_was(cairn: Cairn, tenant: Tenant) -> None:
    instance_id = tenant.boot(host="quick")
    cairn.sql(moving.migrate(cairn.db, instance_id, asked(), host="frail"))
    settled(cairn, instance_id, VmState.RESIZED)
    cairn.sql(moving.revert_resize(cairn.db, instance_id, asked()))
    row = settled(cairn, instance_id, VmState.ACTIVE)
    assert row.host == "quick"
    assert cairn.machine_on("frail", instance_id) is None
    assert on(cairn, "quick", instance_id)["power_state"] == "Running"
    assert status_of(cairn, instance_id) == "reverted"
    assert cairn.findings() == []


def test_a_stopped_instance_migrates_and_stays_stopped(cairn: Cairn, tenant: Tenant) -> None:
    instance_id = tenant.boot(host="quick")
    tenant.patch(powerState="Stopped")
    tenant.phase("Stopped")
    cairn.sql(moving.migrate(cairn.db, instance_id, asked(), host="frail"))
    settled(cairn, instance_id, VmState.RESIZED)
    cairn.sql(moving.confirm_resize(cairn.db, instance_id, asked()))
    row = settled(cairn, instance_id, VmState.STOPPED)
    assert (row.host, on(cairn, "frail", instance_id)["boots"]) == ("frail", 0)


def test_a_live_migration_does_not_boot_it_again(cairn: Cairn, tenant: Tenant) -> None:
    instance_id = tenant.boot(host="quick")
    cairn.sql(moving.live_migrate(cairn.db, instance_id, asked(), host="frail"))
    row = settled(cairn, instance_id, VmState.ACTIVE)
    assert row.host == "frail"
    assert (on(cairn, "frail", instance_id)["boots"], row.power_state) == (1, "Running")
    cairn.wait("quick to have nothing of it", lambda: cairn.machine_on("quick", instance_id) is None)
    assert status_of(cairn, instance_id) == "completed"
    assert cairn.findings() == []
    tenant.patch(powerState="Stopped")
    tenant.phase("Stopped")


def test_a_paused_instance_arrives_paused(cairn: Cairn, tenant: Tenant) -> None:
    instance_id = tenant.boot(host="quick")
    tenant.patch(powerState="Paused")
    tenant.phase("Paused")
    cairn.sql(moving.live_migrate(cairn.db, instance_id, asked(), host="frail"))
    row = settled(cairn, instance_id, VmState.PAUSED)
    assert (row.host, on(cairn, "frail", instance_id)["power_state"]) == ("frail", "Paused")


def test_it_goes_back_and_forth(cairn: Cairn, tenant: Tenant) -> None:
    instance_id = tenant.boot(host="quick")
    for host in ("frail", "quick", "frail"):
        cairn.sql(moving.live_migrate(cairn.db, instance_id, asked(), host=host))
        cairn.wait(f"it to be on {host}", lambda host=host: cairn.row(instance_id).host == host)
        settled(cairn, instance_id, VmState.ACTIVE)
    assert on(cairn, "frail", instance_id)["boots"] == 1


def test_where_no_host_has_room_it_stays_as_it_is(cairn: Cairn, tenant: Tenant) -> None:
    if cairn.api.get(Flavor, "huge") is None:
        spec = {"vcpus": 1024, "memoryMiB": 2**20}
        cairn.api.create(Flavor, {"metadata": {"name": "huge"}, "spec": spec})
    instance_id = tenant.boot(host="quick")
    tenant.patch(flavor="huge")
    tenant.told("NoValidHost")
    row = settled(cairn, instance_id, VmState.ACTIVE)
    assert (row.host, row.flavor["name"], row.move) == ("quick", "tiny", None)
    assert row.fault_message is not None
    assert "No valid host was found" in row.fault_message
    tenant.until(lambda body: body["spec"]["flavor"] == "tiny", "the spec to say the old flavor again")
    assert on(cairn, "quick", instance_id)["boots"] == 1
    assert cairn.findings() == []


def test_only_a_host_that_is_forced_down_is_evacuated(cairn: Cairn, tenant: Tenant) -> None:
    instance_id = tenant.boot(host="frail")
    with pytest.raises(HostStillInUse):
        cairn.sql(moving.evacuate(cairn.db, instance_id, asked(), host="quick"))
    cairn.kill("agent-frail")
    try:
        cairn.api.patch(ComputeNode, "frail", None, {"spec": {"forcedDown": True}})

        def evacuated() -> bool:
            try:
                cairn.sql(moving.evacuate(cairn.db, instance_id, asked(), host="quick"))
            except HostStillInUse:
                return False
            return True

        cairn.wait("the database to know", evacuated)
        row = settled(cairn, instance_id, VmState.ACTIVE)
        assert (row.host, on(cairn, "quick", instance_id)["boots"]) == ("quick", 1)
        assert status_of(cairn, instance_id) == "done"
        assert on(cairn, "frail", instance_id)["power_state"] == "Running", "as far as its disk says"
    finally:
        cairn.api.patch(ComputeNode, "frail", None, {"spec": {"forcedDown": False}})
        cairn.start("agent-frail")
    cairn.wait("frail to remove what it had", lambda: cairn.machine_on("frail", instance_id) is None)
    assert on(cairn, "quick", instance_id)["power_state"] == "Running"
    assert cairn.findings() == []


@pytest.mark.parametrize("moment", ["resize_migrating", "resize_finish"])
def test_a_delete_in_the_middle_leaves_nothing(cairn: Cairn, tenant: Tenant, moment: str) -> None:
    instance_id = tenant.boot(host="quick")
    call = {"resize_migrating": "power_off", "resize_finish": "import_disks"}[moment]
    node = {"resize_migrating": "quick", "resize_finish": "frail"}[moment]
    with cairn.agent_stuck_at(f"agent-{node}", call):
        cairn.sql(moving.migrate(cairn.db, instance_id, asked(), host="frail"))
        cairn.wait(moment, lambda: cairn.row(instance_id).task_state is TaskState(moment))
        tenant.delete()
        cairn.wait("the delete to begin", lambda: cairn.row(instance_id).task_state is TaskState.DELETING)
    cairn.start(f"agent-{node}")
    tenant.gone()
