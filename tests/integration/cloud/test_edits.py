"""Edits of the spec: what follows, what is refused, and what comes while something else is under way."""

from __future__ import annotations

import pytest

from cairn_agent.drivers.api import Unsupported
from cairn_database import TaskState
from integration.cloud.cairn import Cairn, Tenant, condition
from integration.cloud.laboratory import Laboratory


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("availabilityZone", "frail"),
        ("host", "other"),
    ],
)
def test_what_cannot_change_is_refused_until_it_is_set_back(
    cairn: Cairn, tenant: Tenant, field: str, value: str
) -> None:
    instance_id = tenant.boot()
    before = cairn.guest(instance_id) or {}
    was = tenant.get()["spec"].get(field)
    tenant.patch(**{field: value})
    message = tenant.refused("SpecApplied", "FieldImmutable")
    assert f"spec.{field} (built with {was or 'none'!r})" in message
    assert "Set it back" in message
    assert tenant.told("FieldImmutable")["message"] == message
    body = tenant.get()
    assert (body["status"]["phase"], condition(body, "Ready")["status"]) == ("Active", "True")

    tenant.patch(**{field: was})
    tenant.until(lambda body: not condition(body, "SpecApplied")["status"], "no complaint any more")
    assert (cairn.guest(instance_id) or {})["spec"] == before["spec"]
    assert (cairn.machine(instance_id) or {})["boots"] == 1


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("flavor", "other", "FlavorNotFound"),
        ("image", "other", "RebuildNeeded"),
        ("userData", "#!/bin/sh", "RebuildNeeded"),
        ("rescue", {"image": "other"}, "ImageNotFound"),
    ],
)
def test_a_wish_that_cannot_be_followed_is_refused_until_it_is_set_back(
    cairn: Cairn, tenant: Tenant, field: str, value: object, reason: str
) -> None:
    instance_id = tenant.boot()
    before = cairn.guest(instance_id) or {}
    was = tenant.get()["spec"].get(field)
    tenant.patch(**{field: value})
    tenant.refused("SpecApplied", reason)
    tenant.patch(**{field: was})
    tenant.until(lambda body: not condition(body, "SpecApplied")["status"], "no complaint any more")
    assert (cairn.guest(instance_id) or {})["spec"] == before["spec"]
    assert (cairn.machine(instance_id) or {})["boots"] == 1


def test_everything_else_is_followed_beside_a_refused_field(cairn: Cairn, tenant: Tenant) -> None:
    instance_id = tenant.boot()
    tenant.patch(flavor="other", powerState="Stopped", metadata={"role": "db"})
    tenant.phase("Stopped")
    tenant.refused("SpecApplied", "FlavorNotFound")
    guest = cairn.guest(instance_id) or {}
    assert guest["spec"]["config"]["metadata"] == {"role": "db"}
    assert guest["spec"]["memoryMiB"] == 64


def test_an_edit_while_it_is_being_built_is_followed_afterwards(
    cairn: Cairn, tenant: Tenant, lab: Laboratory
) -> None:
    lab.block("spawn.disk")
    instance_id = tenant.create(availabilityZone="lab")
    cairn.wait("the build", lambda: (cairn.guest(instance_id) or {}).get("status", {}).get("step") == "disk")
    tenant.patch(powerState="Stopped", metadata={"role": "db"})
    tenant.patch(flavor="other")
    lab.heal("spawn.disk")
    tenant.phase("Stopped")
    tenant.refused("SpecApplied", "FlavorNotFound")
    machine = cairn.machine(instance_id) or {}
    assert (machine["power_state"], machine["boots"]) == ("Shutdown", 1)
    assert (cairn.guest(instance_id) or {})["spec"]["config"]["metadata"] == {"role": "db"}
    tenant.patch(flavor="tiny")


def test_the_last_of_many_quick_edits_wins(cairn: Cairn, tenant: Tenant) -> None:
    instance_id = tenant.boot()
    for wanted in ("Stopped", "Running", "Paused", "Stopped", "Running", "Suspended", "Running", "Paused"):
        tenant.patch(powerState=wanted)
    tenant.until(
        lambda body: body["status"]["phase"] == "Paused" and cairn.row(instance_id).task_state is None,
        "paused in the end",
    )
    assert tenant.get()["spec"]["powerState"] == "Paused"
    assert (cairn.machine(instance_id) or {})["power_state"] == "Paused"


@pytest.mark.parametrize("step", ["spawn.image", "spawn.define", "power_on"])
def test_a_delete_while_it_is_being_built(cairn: Cairn, tenant: Tenant, lab: Laboratory, step: str) -> None:
    lab.block(step)
    instance_id = tenant.create(availabilityZone="lab")
    cairn.wait("the host to be told", lambda: cairn.guest(instance_id))
    tenant.delete()
    cairn.wait("the delete", lambda: cairn.row(instance_id).task_state is TaskState.DELETING)
    lab.heal(step)
    tenant.gone()
    assert cairn.machine(instance_id) is None


def test_a_delete_while_it_is_being_stopped(cairn: Cairn, tenant: Tenant, lab: Laboratory) -> None:
    instance_id = tenant.boot(availabilityZone="lab")
    lab.block("power_off")
    tenant.patch(powerState="Stopped")
    cairn.wait("the stop", lambda: cairn.row(instance_id).task_state is TaskState.POWERING_OFF)
    tenant.delete()
    cairn.wait("the delete", lambda: cairn.row(instance_id).task_state is TaskState.DELETING)
    lab.heal("power_off")
    tenant.gone()


def test_what_the_host_cannot_do_is_given_up_and_the_spec_says_so(
    cairn: Cairn, tenant: Tenant, lab: Laboratory
) -> None:
    instance_id = tenant.boot(availabilityZone="lab")
    lab.fails("suspend", Unsupported("this hypervisor cannot suspend"))
    tenant.patch(powerState="Suspended")
    event = tenant.told("Unsupported")
    assert "Task 'suspending' failed: this hypervisor cannot suspend" in event["message"]
    tenant.until(lambda body: body["spec"]["powerState"] == "Running", "the spec says what is so")
    cairn.wait("no task", lambda: cairn.row(instance_id).task_state is None)
    # The failure is over: the next change is not held back by it.
    tenant.patch(powerState="Stopped")
    tenant.phase("Stopped")
    tenant.patch(powerState="Running")
    tenant.phase("Active")
