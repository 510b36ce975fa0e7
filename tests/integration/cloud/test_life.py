"""An instance's life, as its user sees it through kubectl."""

from __future__ import annotations

import json
import subprocess

import pytest

from integration.cloud.cairn import Cairn, Tenant, condition
from integration.cloud.laboratory import Laboratory


def test_an_instance_boots_and_says_all_about_itself(cairn: Cairn, tenant: Tenant) -> None:
    manifest = cairn.cloud.instance("vm", tenant.namespace, availabilityZone="quick")
    cairn.kubectl("apply", "-f", "-", stdin=json.dumps(manifest))
    body = tenant.phase("Active")

    status = body["status"]
    assert status["instanceId"] == body["metadata"]["uid"]
    assert (status["vmState"], status["powerState"], status["host"]) == ("active", "Running", "quick")
    assert "taskState" not in status
    assert status["addressList"] == status["addresses"][0]["address"]
    assert status["addresses"][0]["address"].startswith("10.20.")
    assert [condition(body, type_)["status"] for type_ in ("Accepted", "Scheduled", "Ready")] == ["True"] * 3
    machine = cairn.machine(status["instanceId"])
    assert machine is not None
    assert (machine["node"], machine["power_state"], machine["boots"]) == ("quick", "Running", 1)

    listed = cairn.kubectl("get", "instances", "-n", tenant.namespace)
    assert listed.split() == [
        *("NAME", "PHASE", "TASK", "POWER", "HOST", "ADDRESSES", "AGE"),
        *("vm", "Active", "Running", "quick", status["addressList"], listed.split()[-1]),
    ]
    tenant.told("Launched")
    assert [event["reason"] for event in sorted(tenant.events(), key=lambda e: e["message"])] == [
        *("Scheduled", "Launched")
    ]
    described = cairn.kubectl("describe", "instance", "vm", "-n", tenant.namespace)
    assert "Placed on host quick." in described
    assert f"Running on host quick with {status['addressList']}" in described


def test_a_guest_that_asked_for_no_zone_is_told_its_hosts(cairn: Cairn, tenant: Tenant) -> None:
    guest = cairn.guest(tenant.boot(host="quick"))
    assert guest is not None
    assert guest["spec"]["config"]["availabilityZone"] == "quick"


def kubectl_patch(cairn: Cairn, tenant: Tenant, spec: dict[str, object]) -> None:
    cairn.kubectl(
        *("patch", "instance", "vm", "-n", tenant.namespace, "--type=merge"),
        *("-p", json.dumps({"spec": spec})),
    )


@pytest.mark.parametrize(
    ("power", "phase", "machine_state", "boots_after"),
    [
        ("Stopped", "Stopped", "Shutdown", 2),
        ("Paused", "Paused", "Paused", 1),
        ("Suspended", "Suspended", "Suspended", 1),
    ],
)
def test_power_follows_the_spec_there_and_back(  # noqa: PLR0917 - parameters
    cairn: Cairn, tenant: Tenant, power: str, phase: str, machine_state: str, boots_after: int
) -> None:
    instance_id = tenant.boot()
    kubectl_patch(cairn, tenant, {"powerState": power})
    body = tenant.phase(phase)
    assert body["status"]["powerState"] == machine_state
    assert (cairn.machine(instance_id) or {})["power_state"] == machine_state

    kubectl_patch(cairn, tenant, {"powerState": "Running"})
    assert tenant.phase("Active")["status"]["powerState"] == "Running"
    machine = cairn.machine(instance_id) or {}
    assert (machine["power_state"], machine["boots"]) == ("Running", boots_after)


def test_power_goes_from_every_state_to_every_other(cairn: Cairn, tenant: Tenant) -> None:
    instance_id = tenant.boot()
    states = {"Stopped": "Shutdown", "Paused": "Paused", "Suspended": "Suspended", "Running": "Running"}
    walk = ["Stopped", "Paused", "Suspended", "Stopped", "Suspended", "Paused", "Stopped", "Running"]
    for wanted in walk:
        tenant.patch(powerState=wanted)
        tenant.phase("Active" if wanted == "Running" else wanted)
        assert (cairn.machine(instance_id) or {})["power_state"] == states[wanted]


@pytest.mark.parametrize("kind", ["Soft", "Hard"])
def test_a_reboot_happens_once(cairn: Cairn, tenant: Tenant, kind: str) -> None:
    instance_id = tenant.boot()
    kubectl_patch(cairn, tenant, {"reboot": {"generation": 1, "type": kind}})
    tenant.until(lambda body: body["status"]["rebootGeneration"] == 1, "rebooted")
    assert (cairn.machine(instance_id) or {})["boots"] == 2
    kubectl_patch(cairn, tenant, {"metadata": {"role": "web"}})
    cairn.wait(
        "the guest to hear of its metadata",
        lambda: (cairn.guest(instance_id) or {})["spec"]["config"]["metadata"] == {"role": "web"},
    )
    tenant.phase("Active")
    assert (cairn.machine(instance_id) or {})["boots"] == 2


def test_only_a_running_guest_can_be_asked_to_reboot(cairn: Cairn, tenant: Tenant) -> None:
    instance_id = tenant.boot()
    tenant.patch(powerState="Stopped")
    tenant.phase("Stopped")
    tenant.patch(reboot={"generation": 1, "type": "Soft"})
    assert "vm_state stopped" in tenant.refused("SpecApplied", "RebootRefused")
    tenant.patch(reboot={"generation": 1, "type": "Hard"})
    tenant.phase("Active")
    body = tenant.until(lambda body: body["spec"]["powerState"] == "Running", "the spec follows")
    assert not condition(body, "SpecApplied")["status"]
    assert (cairn.machine(instance_id) or {})["boots"] == 2


def test_an_instance_can_be_made_without_starting_it(cairn: Cairn, tenant: Tenant) -> None:
    instance_id = tenant.create(powerState="Stopped")
    tenant.phase("Stopped")
    assert (cairn.machine(instance_id) or {})["boots"] == 0
    tenant.patch(powerState="Running")
    tenant.phase("Active")
    assert (cairn.machine(instance_id) or {})["boots"] == 1


def test_a_deleted_instance_leaves_nothing(cairn: Cairn, tenant: Tenant) -> None:
    instance_id = tenant.boot()
    cairn.kubectl("delete", "instance", "vm", "-n", tenant.namespace, "--timeout=30s")
    assert cairn.machine(instance_id) is None
    assert cairn.guest(instance_id) is None
    assert cairn.row(instance_id).is_deleted
    assert tenant.leftovers() == []


def test_a_slow_boot_is_worth_watching(cairn: Cairn, tenant: Tenant, lab: Laboratory) -> None:
    lab.block("spawn.disk")
    columns = "custom-columns=PHASE:.status.phase,TASK:.status.taskState"
    command = [
        str(cairn.plane.plane.binaries.kubectl),
        *(f"--kubeconfig={cairn.plane.kubeconfig}", "-n", tenant.namespace),
        *("get", "instances", "-w", "--no-headers", "-o", columns),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as watch:
        instance_id = tenant.create(availabilityZone="lab")
        body = tenant.until(lambda body: "disk" in condition(body, "Ready")["message"], "shows its step")
        assert body["status"]["phase"] == "Building"
        assert body["status"]["taskState"] == "spawning"
        assert condition(body, "Ready")["reason"] == "Spawning"
        lab.heal("spawn.disk")
        tenant.phase("Active")
        assert watch.stdout is not None
        seen = []
        for line in watch.stdout:
            seen.append(line.split())
            if line.startswith("Active"):
                break
        watch.kill()
    assert ["Building", "spawning"] in seen
    assert seen[-1] == ["Active", "<none>"]
    assert (cairn.machine(instance_id) or {})["boots"] == 1
