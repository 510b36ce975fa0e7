"""kill -9 at each step of a boot, of a change and of a delete: one machine or none, and nothing left over.

A process is held at a step by a host that never comes out of it, by a scheduler that is frozen, or by
doing in the test what the dying process still did.
"""

from __future__ import annotations

import itertools

import pytest

from cairn_agent.drivers.api import NoSpace
from cairn_crds import Guest, Instance
from cairn_crds.base import INSTANCE_FINALIZER
from cairn_crds.guest import node_namespace
from cairn_database import TaskState, addresses, removal
from cairn_database.addresses import InterfaceWant
from integration.cloud.cairn import Cairn, Tenant
from integration.cloud.laboratory import Laboratory
from support.api import Body

ZONE = "frail"
AGENT = f"agent-{ZONE}"
SPAWN_STEPS = ("image", "network", "config-drive", "disk", "define")


def spec_of(cairn: Cairn, instance_id: str) -> Body:
    found: Body = (cairn.guest_on(ZONE, instance_id) or {}).get("spec", {})
    return found


def status_of(cairn: Cairn, instance_id: str) -> Body:
    found: Body = (cairn.guest_on(ZONE, instance_id) or {}).get("status", {})
    return found


def power_of(cairn: Cairn, instance_id: str) -> str:
    found: str = (cairn.machine(instance_id) or {}).get("power_state", "")
    return found


def task_of(cairn: Cairn, instance_id: str) -> TaskState | None:
    return cairn.row(instance_id).task_state


def reaches(cairn: Cairn, instance_id: str, step: str) -> None:
    cairn.wait(f"the spawn to reach {step}", lambda: status_of(cairn, instance_id).get("step") == step)


# The agent


def test_an_agent_killed_at_every_step_of_a_boot_makes_one_machine(cairn: Cairn, tenant: Tenant) -> None:
    instance_id = ""
    for step in SPAWN_STEPS:
        with cairn.agent_stuck_at(AGENT, f"spawn.{step}"):
            instance_id = instance_id or tenant.create(availabilityZone=ZONE)
            reaches(cairn, instance_id, step)
    with cairn.agent_stuck_at(AGENT, "power_on"):
        cairn.wait("a machine that is off", lambda: power_of(cairn, instance_id) == "Shutdown")
    cairn.start(AGENT)
    tenant.phase("Active")
    machine = cairn.machine(instance_id) or {}
    assert (machine["power_state"], machine["boots"]) == ("Running", 1)
    assert machine["steps"] == sorted(SPAWN_STEPS)


def test_an_agent_killed_after_the_start_and_before_its_report(cairn: Cairn, tenant: Tenant) -> None:
    instance_id = tenant.boot(availabilityZone=ZONE)
    cairn.kill(AGENT)
    # As if the machine had started and nobody had heard of it.
    cairn.api.patch(
        Guest,
        instance_id,
        node_namespace(ZONE),
        {"status": {"specGeneration": 0, "phase": "Pending"}},
        "status",
    )
    cairn.start(AGENT)
    cairn.wait("the report", lambda: status_of(cairn, instance_id).get("specGeneration"))
    assert status_of(cairn, instance_id)["phase"] == "Ready"
    assert (cairn.machine(instance_id) or {})["boots"] == 1


@pytest.mark.parametrize(
    ("call", "spec", "phase", "boots"),
    [
        ("power_off", {"powerState": "Stopped"}, "Stopped", 1),
        ("suspend", {"powerState": "Suspended"}, "Suspended", 1),
        ("reboot", {"reboot": {"generation": 1, "type": "Hard"}}, "Active", 2),
    ],
)
def test_an_agent_killed_in_a_change_does_it_once(  # noqa: PLR0917 - parameters
    cairn: Cairn, tenant: Tenant, call: str, spec: Body, phase: str, boots: int
) -> None:
    with cairn.agent_stuck_at(AGENT, call):
        instance_id = tenant.boot(availabilityZone=ZONE)
        tenant.patch(**spec)
        cairn.wait("the task to begin", lambda: task_of(cairn, instance_id))
        cairn.wait(
            "the host to be told",
            lambda: (cairn.guest_on(ZONE, instance_id) or {})["metadata"]["generation"] > 1,
        )
    cairn.start(AGENT)
    cairn.wait("the task to end", lambda: task_of(cairn, instance_id) is None)
    tenant.phase(phase)
    assert (cairn.machine(instance_id) or {})["boots"] == boots


def test_an_agent_killed_in_a_delete_before_anything_is_removed(cairn: Cairn, tenant: Tenant) -> None:
    with cairn.agent_stuck_at(AGENT, "destroy"):
        instance_id = tenant.boot(availabilityZone=ZONE)
        tenant.delete()
        cairn.wait("the host to be told", lambda: spec_of(cairn, instance_id).get("absent"))
        tenant.phase("Deleting")
    assert cairn.machine(instance_id)
    cairn.start(AGENT)
    tenant.gone()
    assert cairn.machine(instance_id) is None


def test_an_agent_killed_in_a_delete_after_the_machine_has_gone(cairn: Cairn, tenant: Tenant) -> None:
    cairn.start(AGENT)
    instance_id = tenant.boot(availabilityZone=ZONE)
    hold = {"metadata": {"finalizers": ["tests.cairn.dev/hold"]}}
    cairn.api.patch(Guest, instance_id, node_namespace(ZONE), hold)
    tenant.delete()
    cairn.wait(
        "the Guest to be deleted",
        lambda: (cairn.guest_on(ZONE, instance_id) or {})["metadata"].get("deletionTimestamp"),
    )
    assert cairn.machine(instance_id) is None
    assert task_of(cairn, instance_id) is TaskState.DELETING, "the Guest is still there"
    cairn.kill(AGENT)
    cairn.start(AGENT)
    cairn.api.patch(Guest, instance_id, node_namespace(ZONE), {"metadata": {"finalizers": None}})
    tenant.gone()


def test_deleting_a_build_that_hangs(cairn: Cairn, tenant: Tenant) -> None:
    with cairn.agent_stuck_at(AGENT, "spawn.disk"):
        instance_id = tenant.create(availabilityZone=ZONE)
        reaches(cairn, instance_id, "disk")
        tenant.delete()
        cairn.wait("the host to be told", lambda: spec_of(cairn, instance_id).get("absent"))
    cairn.start(AGENT)
    tenant.gone()
    assert cairn.machine(instance_id) is None


# The conductor


def test_a_conductor_killed_at_every_step_of_a_boot(cairn: Cairn, tenant: Tenant) -> None:
    cairn.kill("conductor")
    instance_id = tenant.create(availabilityZone=ZONE)

    cairn.process("scheduler").freeze()
    cairn.start("conductor")
    cairn.wait("the row", lambda: instance_id in cairn.ids_of(tenant.namespace))
    cairn.kill("conductor")
    assert task_of(cairn, instance_id) is TaskState.SCHEDULING

    cairn.process("scheduler").thaw()
    cairn.wait("the claim", lambda: cairn.row(instance_id).host == ZONE)
    assert task_of(cairn, instance_id) is TaskState.NETWORKING

    with cairn.agent_stuck_at(AGENT, "spawn.image"):
        cairn.start("conductor")
        cairn.wait("the Guest", lambda: spec_of(cairn, instance_id))
        cairn.kill("conductor")
    cairn.start(AGENT)
    cairn.wait("the machine", lambda: status_of(cairn, instance_id).get("phase") == "Ready")
    assert task_of(cairn, instance_id) is TaskState.SPAWNING, "nobody has heard of it"

    cairn.start("conductor")
    tenant.phase("Active")
    assert (cairn.machine(instance_id) or {})["boots"] == 1


def test_a_conductor_killed_between_the_finalizer_and_the_row(cairn: Cairn, tenant: Tenant) -> None:
    body = {
        "metadata": {"name": "vm", "namespace": tenant.namespace, "finalizers": [INSTANCE_FINALIZER]},
        "spec": {"flavor": "none", "image": "demo"},
    }
    cairn.kill("conductor")
    cairn.api.create(Instance, body)
    tenant.delete()
    cairn.start("conductor")
    tenant.gone()
    assert cairn.ids_of(tenant.namespace) == {}


def test_a_conductor_killed_between_the_addresses_and_the_guest(cairn: Cairn, tenant: Tenant) -> None:
    cairn.process("scheduler").freeze()
    instance_id = tenant.create(availabilityZone=ZONE)
    cairn.wait("the row", lambda: instance_id in cairn.ids_of(tenant.namespace))
    cairn.kill("conductor")
    cairn.process("scheduler").thaw()
    cairn.wait("the claim", lambda: cairn.row(instance_id).host)
    version = cairn.row(instance_id).version
    row = cairn.sql(addresses.allocate_interfaces(cairn.db, instance_id, version, [InterfaceWant("blue")]))
    assert row.task_state is TaskState.SPAWNING
    cairn.start("conductor")
    assert tenant.phase("Active")["status"]["addressList"] == row.interfaces[0].address


def test_a_conductor_killed_at_every_step_of_a_delete(cairn: Cairn, tenant: Tenant) -> None:
    cairn.start(AGENT)
    instance_id = tenant.boot(availabilityZone=ZONE)
    cairn.kill("conductor")
    tenant.delete()
    with cairn.agent_stuck_at(AGENT, "destroy"):
        cairn.start("conductor")
        cairn.wait("the host to be told", lambda: spec_of(cairn, instance_id).get("absent"))
        cairn.kill("conductor")
        assert task_of(cairn, instance_id) is TaskState.DELETING
    cairn.start(AGENT)
    cairn.wait("the machine to go", lambda: cairn.guest(instance_id) is None)
    assert cairn.machine(instance_id) is None
    cairn.start("conductor")
    tenant.gone()
    assert cairn.row(instance_id).is_deleted


def test_a_conductor_killed_between_the_row_and_the_finalizer(cairn: Cairn, tenant: Tenant) -> None:
    cairn.start(AGENT)
    instance_id = tenant.boot(availabilityZone=ZONE)
    cairn.kill("conductor")
    tenant.delete()
    # What the conductor did before it died: told the host, waited for it, settled the books.
    cairn.sql(removal.begin_delete(cairn.db, instance_id))
    cairn.api.patch(Guest, instance_id, node_namespace(ZONE), {"spec": {"absent": True}})
    cairn.wait("the machine to go", lambda: cairn.guest(instance_id) is None)
    cairn.sql(removal.finish_delete(cairn.db, instance_id))
    cairn.start("conductor")
    tenant.gone()


def test_a_delete_that_only_the_database_knows_of_is_finished(cairn: Cairn, tenant: Tenant) -> None:
    cairn.start(AGENT)
    instance_id = tenant.boot(availabilityZone=ZONE)
    cairn.kill("conductor")
    cairn.sql(removal.begin_delete(cairn.db, instance_id))
    cairn.start("conductor")
    tenant.gone()
    assert cairn.machine(instance_id) is None


def test_a_conductor_killed_while_it_waits_for_a_host_to_stop_a_machine(cairn: Cairn, tenant: Tenant) -> None:
    with cairn.agent_stuck_at(AGENT, "power_off"):
        instance_id = tenant.boot(availabilityZone=ZONE)
        tenant.patch(powerState="Stopped")
        cairn.wait("the task", lambda: task_of(cairn, instance_id) is TaskState.POWERING_OFF)
        cairn.kill("conductor")
    cairn.start(AGENT)
    cairn.start("conductor")
    tenant.phase("Stopped")
    assert power_of(cairn, instance_id) == "Shutdown"


def test_a_conductor_killed_while_a_failed_build_is_cleared_away(
    cairn: Cairn, tenant: Tenant, lab: Laboratory
) -> None:
    """What it knew of the failure is gone with it: the next one finds it out again."""
    lab.fails("spawn.disk", NoSpace("the disk of lab is full"))
    lab.block("destroy")
    instance_id = tenant.create(availabilityZone="lab")
    cairn.wait("the retreat", lambda: (cairn.guest(instance_id) or {}).get("spec", {}).get("absent"))
    cairn.kill("conductor")
    cairn.start("conductor")
    lab.heal("destroy")
    tenant.phase("Error")
    assert cairn.machine(instance_id) is None
    assert cairn.row(instance_id).host is None
    assert cairn.findings() == []


# The scheduler


def test_a_scheduler_killed_before_it_has_placed_anything(cairn: Cairn, tenant: Tenant) -> None:
    cairn.process("scheduler").freeze()
    names = [f"vm-{number}" for number in range(5)]
    ids = {name: tenant.create(name) for name in names}
    cairn.wait("the rows", lambda: len(cairn.ids_of(tenant.namespace)) == len(names))
    cairn.kill("scheduler")
    assert {task_of(cairn, instance_id) for instance_id in ids.values()} == {TaskState.SCHEDULING}
    cairn.start("scheduler")
    for name in names:
        tenant.phase("Active", name)
        assert (cairn.machine(ids[name]) or {})["boots"] == 1


def test_an_instance_is_deleted_while_nobody_schedules(cairn: Cairn, tenant: Tenant) -> None:
    cairn.kill("scheduler")
    tenant.create()
    cairn.wait("the row", lambda: cairn.ids_of(tenant.namespace))
    tenant.delete()
    tenant.gone()
    assert tenant.leftovers() == []


# Everything, while much is going on


def test_boots_and_deletes_while_everything_is_killed_in_turn(cairn: Cairn, tenant: Tenant) -> None:
    names = [f"vm-{number}" for number in range(24)]
    kept, doomed = names[::2], names[1::2]
    victims = itertools.cycle(["scheduler", AGENT, "conductor", "agent-quick"])
    ids: dict[str, str] = {}
    for start in range(0, len(names), 6):
        for name in names[start : start + 6]:
            ids[name] = tenant.create(name)
        victim = next(victims)
        cairn.kill(victim)
        for name in doomed[: start // 2]:
            tenant.delete(name)
        cairn.start(victim)
    for name in doomed:
        tenant.delete(name)
    for name in kept:
        tenant.phase("Active", name)
        assert (cairn.machine(ids[name]) or {})["boots"] == 1
    for name in doomed:
        tenant.gone(name)
        cairn.wait(f"machine of {name} to go", lambda name=name: not cairn.machine(ids[name]))  # type: ignore[misc]
