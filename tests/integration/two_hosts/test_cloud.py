"""Real guests of a whole Cairn go from one real host to another, and never run on both."""

from __future__ import annotations

import contextlib

import pytest

from cairn_crds import ComputeNode, Migration
from cairn_database import VmState, moving, removal
from contract.disks import disk_content
from contract.guests import COUNT_PLACE
from integration.cloud.cairn import Tenant
from integration.two_hosts.cloud import TwoHosts, counted
from integration.two_hosts.guests import asked, boot, migrate, until_phase

pytestmark = pytest.mark.qemu


def test_a_live_migration_loses_no_tick(cloud: TwoHosts, tenant: Tenant) -> None:
    instance_id = boot(cloud, tenant)
    with (cloud.files("h1", instance_id) / "console.log").open("rb") as log:  # stays readable when it goes
        name = migrate(cloud, tenant, "Live", host="h2")
        until_phase(cloud, tenant, name, "Completed")
        cloud.counting("h2", instance_id)
        before = log.read()
    after = (cloud.files("h2", instance_id) / "console.log").read_bytes()
    counts = counted(before + after)
    assert counts == list(range(counts[0], counts[0] + len(counts))), "one guest, without a gap"
    assert counted(after)[0] > 1, "it was not booted again"
    cloud.cairn.wait("h1 to be clean", lambda: not cloud.leftovers("h1", instance_id))
    tenant.until(lambda body: (body["status"]["host"], body["status"]["phase"]) == ("h2", "Active"), "on h2")


def test_a_stopped_guest_takes_its_disk_along(cloud: TwoHosts, tenant: Tenant) -> None:
    instance_id = boot(cloud, tenant)
    cloud.counting("h1", instance_id, 16)
    tenant.patch(powerState="Stopped")
    tenant.phase("Stopped")
    written = _written(cloud, "h1", instance_id)
    assert int(written, 16) > 0
    name = migrate(cloud, tenant, "Cold", host="h2")
    until_phase(cloud, tenant, name, "Finished")
    cloud.cairn.api.patch(Migration, name, tenant.namespace, {"spec": {"decision": "Confirm"}})
    until_phase(cloud, tenant, name, "Completed")
    tenant.phase("Stopped")
    assert _written(cloud, "h2", instance_id) == written
    assert cloud.domain_state("h1", instance_id) is None
    tenant.patch(powerState="Running")
    tenant.phase("Active")
    cloud.counting("h2", instance_id)


def _written(cloud: TwoHosts, node: str, instance_id: str) -> bytes:
    content = disk_content(cloud.files(node, instance_id) / "disk", "qcow2")
    return bytes(content[COUNT_PLACE : COUNT_PLACE + 8])


def test_what_was_deleted_comes_back_with_its_disk_until_it_is_deleted_for_good(
    cloud: TwoHosts, tenant: Tenant
) -> None:
    cairn = cloud.cairn
    instance_id = boot(cloud, tenant)
    cloud.counting("h1", instance_id, 16)
    cairn.sql(moving.soft_delete(cairn.db, instance_id, asked()))
    tenant.phase("SoftDeleted")
    assert cloud.domain_state("h1", instance_id) == "shut off"
    disk = cloud.files("h1", instance_id) / "disk"
    written, number = _written(cloud, "h1", instance_id), disk.stat().st_ino
    assert int(written, 16) > 0
    cairn.sql(moving.restore(cairn.db, instance_id, asked()))
    tenant.phase("Active")
    cloud.counting("h1", instance_id, 3)
    assert disk.stat().st_ino == number, "its own disk"
    cairn.sql(moving.soft_delete(cairn.db, instance_id, asked()))
    tenant.phase("SoftDeleted")
    cairn.sql(removal.begin_delete(cairn.db, instance_id))
    tenant.delete()
    tenant.gone()
    assert cloud.domain_state("h1", instance_id) is None
    assert not cloud.files("h1", instance_id).exists()


def test_a_reverted_migration_runs_where_it_was(cloud: TwoHosts, tenant: Tenant) -> None:
    instance_id = boot(cloud, tenant)
    name = migrate(cloud, tenant, "Cold", host="h2")
    until_phase(cloud, tenant, name, "Finished")
    assert (cloud.domain_state("h1", instance_id), cloud.domain_state("h2", instance_id)) == (
        "shut off",
        "running",
    )
    cloud.cairn.api.patch(Migration, name, tenant.namespace, {"spec": {"decision": "Revert"}})
    until_phase(cloud, tenant, name, "Reverted")
    assert cloud.domain_state("h2", instance_id) is None
    cloud.counting("h1", instance_id)


@pytest.mark.parametrize("lost", ["off", "cut off"])
def test_an_evacuated_guest_runs_once_when_its_old_host_is_back(
    cloud: TwoHosts, tenant: Tenant, lost: str
) -> None:
    """`off`: its machines are gone. `cut off`: they run on, and an administrator was wrong about that."""
    cairn = cloud.cairn
    instance_id = boot(cloud, tenant)
    cairn.kill("agent-h1")
    if lost == "off":
        cloud.room("h1").kill_qemu(instance_id)
    try:
        cairn.api.patch(ComputeNode, "h1", None, {"spec": {"forcedDown": True}})

        def evacuated() -> bool:
            with contextlib.suppress(moving.HostStillInUse):
                cairn.sql(moving.evacuate(cairn.db, instance_id, asked(), host="h2"))
                return True
            return False

        cairn.wait("the database to know", evacuated)
        cloud.counting("h2", instance_id)
        row = cairn.row(instance_id)
        assert (row.host, row.vm_state) == ("h2", VmState.ACTIVE)
    finally:
        cairn.api.patch(ComputeNode, "h1", None, {"spec": {"forcedDown": False}})
        cairn.start("agent-h1")
    cairn.wait("h1 to remove it", lambda: cloud.domain_state("h1", instance_id) is None)
    cairn.wait("its files to go", lambda: not cloud.files("h1", instance_id).exists())
    assert cloud.domain_state("h2", instance_id) == "running"
    counts = cloud.counting("h2", instance_id)
    assert counts == list(range(counts[0], counts[0] + len(counts)))


def test_a_drained_host_is_empty_and_its_guests_noticed_nothing(cloud: TwoHosts, tenant: Tenant) -> None:
    cairn = cloud.cairn
    running = [boot(cloud, tenant, f"run-{number}") for number in range(2)]
    stopped = boot(cloud, tenant, "off")
    tenant.patch("off", powerState="Stopped")
    tenant.phase("Stopped", "off")
    try:
        cairn.api.patch(ComputeNode, "h1", None, {"spec": {"drain": True}})

        def drained() -> bool:
            return bool(cairn.node("h1")["status"].get("drain", {}).get("done"))

        cairn.wait("h1 to be drained", drained, 180)
        for instance_id in running:
            assert counted((cloud.files("h2", instance_id) / "console.log").read_bytes())[0] > 1
            assert cloud.domain_state("h2", instance_id) == "running"
        assert cloud.domain_state("h2", stopped) == "shut off"
        for instance_id in (*running, stopped):
            assert cloud.domain_state("h1", instance_id) is None
        assert cairn.findings() == []
    finally:
        cairn.api.patch(ComputeNode, "h1", None, {"spec": {"drain": False}})
