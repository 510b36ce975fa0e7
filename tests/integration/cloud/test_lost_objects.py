"""Resources removed behind Cairn's back come back from SQL, and no machine notices."""

from __future__ import annotations

import os
import uuid

import pytest

from cairn_crds import Guest, Instance
from cairn_crds.guest import node_namespace
from cairn_database import NewInstance, TaskState, instances
from integration.cloud.cairn import Cairn, Tenant, condition

ZONE, AGENT = "frail", "agent-frail"


def fingerprint(cairn: Cairn, instance_id: str) -> tuple[int, int]:
    """Changes with every change of the machine, be it undone again."""
    (path,) = cairn.machines.glob(f"*/{instance_id}.json")
    stat = os.stat(path)
    return stat.st_ino, stat.st_mtime_ns


def remove_by_force(cairn: Cairn, tenant: Tenant) -> None:
    """Every Instance and Guest of the tenant, finalizers first."""
    for body in cairn.api.list(Instance, tenant.namespace):
        name = body["metadata"]["name"]
        cairn.api.patch(Instance, name, tenant.namespace, {"metadata": {"finalizers": None}})
        cairn.api.delete(Instance, name, tenant.namespace)
    for guest in cairn.api.list(Guest):
        if guest["spec"]["instance"]["namespace"] == tenant.namespace:
            cairn.api.delete(Guest, guest["metadata"]["name"], guest["metadata"]["namespace"])


@pytest.mark.parametrize("conductor", ["running", "away"])
def test_instances_and_guests_come_back(cairn: Cairn, tenant: Tenant, conductor: str) -> None:
    names = [f"vm-{number}" for number in range(4)]
    spec = {"metadata": {"role": "web"}, "schedulerHints": {"query": '[">=", "$free_ram_mb", 1]'}}
    ids = {name: tenant.boot(name, **spec) for name in names}
    tenant.patch("vm-3", powerState="Stopped")
    tenant.phase("Stopped", "vm-3")
    before = {name: tenant.get(name) for name in names}
    machines = {name: fingerprint(cairn, ids[name]) for name in names}
    if conductor == "away":
        cairn.kill("conductor")

    remove_by_force(cairn, tenant)
    if conductor == "away":
        assert cairn.api.list(Instance, tenant.namespace) == []
        cairn.start("conductor")

    for name in names:
        body = tenant.until(
            lambda body, name=name: (  # type: ignore[misc]
                body["metadata"]["uid"] != before[name]["metadata"]["uid"]
                and body["status"].get("phase") == before[name]["status"]["phase"]
                and condition(body, "Ready") != {}
            ),
            "back again",
            name,
        )
        assert body["spec"] == before[name]["spec"]
        for field in ("instanceId", "host", "addresses", "launchedAt", "vmState", "powerState"):
            assert body["status"][field] == before[name]["status"][field]
        assert body["metadata"]["finalizers"] == before[name]["metadata"]["finalizers"]
        cairn.wait(
            "the Guest",
            lambda name=name: (cairn.guest(ids[name]) or {}).get("status", {}).get("phase") == "Ready",  # type: ignore[misc]
        )
        assert fingerprint(cairn, ids[name]) == machines[name], "the machine was not touched"
        assert cairn.row(ids[name]).task_state is None
        tenant.told("Restored", name)

    # They are the same instances: what is asked of them happens to the same machines.
    tenant.patch("vm-3", powerState="Running")
    tenant.phase("Active", "vm-3")
    assert (cairn.machine(ids["vm-3"]) or {})["boots"] == 2


def test_instances_lost_while_they_are_being_built_are_built(cairn: Cairn, tenant: Tenant) -> None:
    with cairn.agent_stuck_at(AGENT, "spawn.disk"):
        ids = {name: tenant.create(name, availabilityZone=ZONE) for name in ("one", "two")}
        for instance_id in ids.values():
            cairn.wait("the Guest", lambda instance_id=instance_id: cairn.guest(instance_id))  # type: ignore[misc]
        remove_by_force(cairn, tenant)
        for name in ids:
            cairn.wait("the Instance", lambda name=name: tenant.find(name))  # type: ignore[misc]
    cairn.start(AGENT)
    for name, instance_id in ids.items():
        assert tenant.phase("Active", name)["status"]["instanceId"] == instance_id
        assert (cairn.machine(instance_id) or {})["boots"] == 1


def test_deleting_a_guest_touches_no_machine(cairn: Cairn, tenant: Tenant) -> None:
    instance_id = tenant.boot(availabilityZone=ZONE)
    machine = fingerprint(cairn, instance_id)
    uid = (cairn.guest(instance_id) or {})["metadata"]["uid"]
    cairn.kubectl("delete", "guest", instance_id, "-n", node_namespace(ZONE))

    def is_back() -> bool:
        guest = cairn.guest(instance_id) or {}
        return guest.get("metadata", {}).get("uid", uid) != uid and guest["status"].get("phase") == "Ready"

    cairn.wait("the Guest to come back", is_back)
    assert fingerprint(cairn, instance_id) == machine
    assert tenant.get()["status"]["phase"] == "Active"


def test_a_stop_survives_the_loss_of_its_guest(cairn: Cairn, tenant: Tenant) -> None:
    instance_id = tenant.boot(availabilityZone=ZONE)
    cairn.kill(AGENT)
    tenant.patch(powerState="Stopped")
    cairn.wait("the task", lambda: cairn.row(instance_id).task_state is TaskState.POWERING_OFF)
    uid = (cairn.guest(instance_id) or {})["metadata"]["uid"]
    cairn.api.delete(Guest, instance_id, node_namespace(ZONE))
    cairn.wait(
        "the Guest to come back",
        lambda: (cairn.guest(instance_id) or {}).get("metadata", {}).get("uid", uid) != uid,
    )
    cairn.start(AGENT)
    tenant.phase("Stopped")
    assert tenant.get()["spec"]["powerState"] == "Stopped"
    assert (cairn.machine(instance_id) or {})["power_state"] == "Shutdown"


def test_a_reboot_survives_the_loss_of_its_guest(cairn: Cairn, tenant: Tenant) -> None:
    instance_id = tenant.boot(availabilityZone=ZONE)
    cairn.kill(AGENT)
    tenant.patch(reboot={"generation": 1, "type": "Hard"})
    cairn.wait("the task", lambda: cairn.row(instance_id).task_state is TaskState.REBOOTING_HARD)
    uid = (cairn.guest(instance_id) or {})["metadata"]["uid"]
    cairn.api.delete(Guest, instance_id, node_namespace(ZONE))
    cairn.wait(
        "the Guest to come back",
        lambda: (cairn.guest(instance_id) or {}).get("metadata", {}).get("uid", uid) != uid,
    )
    cairn.start(AGENT)
    tenant.until(lambda body: body["status"]["rebootGeneration"] == 1, "rebooted")
    assert (cairn.machine(instance_id) or {})["boots"] == 2


def test_a_guest_removed_while_its_instance_is_deleted_leaves_no_machine(
    cairn: Cairn, tenant: Tenant
) -> None:
    """The conductor cannot tell that from the host's own answer; the host's next report puts it right."""
    instance_id = tenant.boot(availabilityZone=ZONE)
    cairn.kill(AGENT)
    tenant.delete()
    cairn.wait("the host to be told", lambda: (cairn.guest(instance_id) or {})["spec"]["absent"])
    cairn.api.delete(Guest, instance_id, node_namespace(ZONE))
    tenant.gone()
    assert cairn.machine(instance_id)
    cairn.start(AGENT)
    cairn.wait("the stray machine to go", lambda: cairn.machine(instance_id) is None)
    cairn.wait("its Guest to go", lambda: cairn.guest(instance_id) is None)


def test_a_machine_that_nobody_knows_is_left_alone(cairn: Cairn, tenant: Tenant) -> None:
    instance_id = tenant.boot(availabilityZone=ZONE)
    stranger = "11111111-2222-4333-8444-555555555555"
    cairn.kill(AGENT)
    mine = cairn.machines / ZONE / f"{instance_id}.json"
    theirs = mine.with_name(f"{stranger}.json")
    theirs.write_text(mine.read_text().replace(instance_id, stranger))
    try:
        cairn.start(AGENT)
        cairn.wait("the report", lambda: stranger in cairn.node(ZONE)["status"].get("unclaimedMachines", []))
        log = cairn.process("conductor").log
        cairn.wait("the complaint", lambda: f'"instance_id":"{stranger}"' in log.read_text())
        assert theirs.exists()
        assert cairn.guest(stranger) is None
    finally:
        cairn.kill(AGENT)
        theirs.unlink()
        cairn.start(AGENT)


def test_a_name_used_again_after_a_removal_by_force(cairn: Cairn, tenant: Tenant) -> None:
    """Its predecessor was being deleted when it was removed by force: the new one is another instance."""
    with cairn.agent_stuck_at(AGENT, "destroy"):
        first = tenant.boot(availabilityZone=ZONE)
        tenant.delete()
        cairn.wait("the delete", lambda: cairn.row(first).task_state is TaskState.DELETING)
        cairn.api.patch(Instance, "vm", tenant.namespace, {"metadata": {"finalizers": None}})
        tenant.gone()
        second = tenant.create(availabilityZone="quick")
    cairn.start(AGENT)
    assert tenant.phase("Active")["status"]["instanceId"] == second
    assert cairn.machine(first) is None


def test_a_server_whose_gateway_died_before_it_made_the_resource_is_built(
    cairn: Cairn, tenant: Tenant
) -> None:
    model = cairn.row(tenant.boot("model"))
    instance_id = str(uuid.uuid4())
    new = NewInstance(
        id=instance_id,
        project=model.project,
        namespace=tenant.namespace,
        name="orphan-x7k2p",
        request={**model.request, "generation": 1},
        flavor=model.flavor,
        image=model.image,
        request_id="req-11111111-2222-4333-8444-555555555555",
        user_id="ann",
    )
    cairn.portal.call(instances.register(cairn.db, new))
    assert tenant.phase("Active", "orphan-x7k2p")["status"]["instanceId"] == instance_id
    tenant.told("Created", "orphan-x7k2p")
    body = tenant.get("orphan-x7k2p")
    assert body["metadata"]["labels"] == {"compute.cairn.dev/instance": instance_id}
    assert (cairn.machine(instance_id) or {})["boots"] == 1
