"""What happens on a host behind Cairn's back is seen, recorded and told."""

from __future__ import annotations

from cairn_crds import Guest
from cairn_crds.guest import node_namespace
from integration.cloud.cairn import Cairn, Tenant, condition
from integration.cloud.laboratory import Laboratory


def test_a_machine_stopped_on_its_host_stays_stopped_and_starts_again(
    cairn: Cairn, tenant: Tenant, lab: Laboratory
) -> None:
    instance_id = tenant.boot(availabilityZone="lab")
    lab.stop(instance_id)
    tenant.phase("Stopped", seconds=10)
    body = tenant.until(lambda body: body["spec"]["powerState"] == "Stopped", "the spec follows")
    assert body["status"]["powerState"] == "Shutdown"
    event = tenant.told("PowerChangedOutside")
    assert event["type"] == "Warning"
    assert "changed from outside of Cairn" in event["message"]
    assert (cairn.machine(instance_id) or {})["power_state"] == "Shutdown", (
        "nobody started it behind his back"
    )
    tenant.patch(powerState="Running")
    tenant.phase("Active")
    assert (cairn.machine(instance_id) or {})["boots"] == 2


def test_a_crashed_machine_is_stopped_and_says_that_it_crashed(
    cairn: Cairn, tenant: Tenant, lab: Laboratory
) -> None:
    instance_id = tenant.boot(availabilityZone="lab")
    lab.crash(instance_id)
    assert tenant.phase("Stopped", seconds=10)["status"]["powerState"] == "Crashed"
    tenant.until(lambda body: body["spec"]["powerState"] == "Stopped", "the spec follows")
    tenant.patch(powerState="Running")
    tenant.phase("Active")


def test_a_machine_that_vanished_is_an_error_and_is_not_made_anew(
    cairn: Cairn, tenant: Tenant, lab: Laboratory
) -> None:
    instance_id = tenant.boot(availabilityZone="lab")
    lab.remove(instance_id)
    body = tenant.phase("Error", seconds=10)
    assert "is gone from host lab, with its disks" in body["status"]["fault"]["message"]
    assert "Delete the instance and create it again" in condition(body, "Ready")["message"]
    tenant.told("MachineVanished")
    assert body["status"]["host"] == "lab", "what it holds there stays its own until it is deleted"
    assert cairn.machine(instance_id) is None
    tenant.patch(powerState="Stopped")
    tenant.patch(powerState="Running")
    tenant.delete()
    tenant.gone()


def test_a_machine_that_lost_its_definition_gets_it_back(
    cairn: Cairn, tenant: Tenant, lab: Laboratory
) -> None:
    instance_id = tenant.boot(availabilityZone="lab")
    lab.undefine(instance_id)
    cairn.wait("the machine to run again", lambda: (cairn.machine(instance_id) or {})["boots"] == 2)
    tenant.phase("Active")
    assert "define" in (cairn.machine(instance_id) or {})["steps"]


def test_a_machine_stopped_while_its_agent_was_away(cairn: Cairn, tenant: Tenant) -> None:
    instance_id = tenant.boot(availabilityZone="frail")
    cairn.kill("agent-frail")
    path = cairn.machines / "frail" / f"{instance_id}.json"
    path.write_text(path.read_text().replace('"Running"', '"Shutdown"'))
    cairn.start("agent-frail")
    tenant.phase("Stopped")
    tenant.until(lambda body: body["spec"]["powerState"] == "Stopped", "the spec follows")


def test_a_build_that_used_up_its_time_keeps_its_host_and_is_taken_when_it_comes(
    cairn: Cairn, tenant: Tenant, lab: Laboratory
) -> None:
    with cairn.settings("conductor", conductor__build_timeout_seconds=2):
        lab.block("spawn.disk")
        instance_id = tenant.create(availabilityZone="lab")
        body = tenant.phase("Error")
        assert "Is its agent running?" in body["status"]["fault"]["message"]
        assert cairn.row(instance_id).host == "lab", "the host may have a machine of it"
        assert tenant.told("Timeout")
        lab.heal("spawn.disk")
        body = tenant.phase("Active")
        assert "fault" not in body["status"]
        assert body["status"]["launchedAt"]
    cairn.start("conductor")
    # It counts as made: a Guest that is lost and a machine that is gone are not made anew over lost disks.
    lab.remove(instance_id)
    cairn.api.delete(Guest, instance_id, node_namespace("lab"))
    tenant.phase("Error")
    assert cairn.machine(instance_id) is None


def test_a_change_that_used_up_its_time_is_given_up(cairn: Cairn, tenant: Tenant, lab: Laboratory) -> None:
    instance_id = tenant.boot(availabilityZone="lab")
    with cairn.settings("conductor", conductor__task_timeout_seconds=2):
        lab.block("pause")
        tenant.patch(powerState="Paused")
        assert "did not finish 'pausing' in time" in tenant.told("Timeout")["message"]
        tenant.until(lambda body: body["spec"]["powerState"] == "Running", "the spec says what is so")
        lab.heal("pause")
        cairn.wait("no task", lambda: cairn.row(instance_id).task_state is None)
        tenant.phase("Active")
    cairn.start("conductor")
