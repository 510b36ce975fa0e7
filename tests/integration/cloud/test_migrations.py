"""Moves as people see them: a Migration is made, watched, decided on, and goes."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from cairn_crds import ComputeNode, Migration
from cairn_database import VmState, moving, nodes
from cairn_database.asking import Asked
from integration.cloud.cairn import Cairn, Tenant, condition
from support.api import Body


def create(cairn: Cairn, tenant: Tenant, name: str = "move", **spec: Any) -> None:
    """kubectl create -f migration.yaml"""
    body = {
        "apiVersion": "compute.cairn.dev/v1alpha1",
        "kind": "Migration",
        "metadata": {"name": name, "namespace": tenant.namespace},
        "spec": {"instance": "vm", **spec},
    }
    cairn.kubectl("create", "-f", "-", stdin=json.dumps(body))


def until(tenant: Tenant, phase: str, name: str = "move") -> Body:
    """Until the Migration shows `phase`."""

    def look() -> Body | None:
        body = tenant.api.get(Migration, name, tenant.namespace)
        return body if body and body.get("status", {}).get("phase") == phase else None

    found = tenant.cairn.wait(f"migration {name} {phase}", look)
    assert found is not None
    return found


def decide(tenant: Tenant, decision: str, name: str = "move") -> None:
    tenant.api.patch(Migration, name, tenant.namespace, {"spec": {"decision": decision}})


def told(tenant: Tenant, *reasons: str) -> list[str]:
    for reason in reasons:
        tenant.told(reason)
    return [event["message"] for event in tenant.events() if event["reason"] in reasons]


def test_a_live_migration_made_with_kubectl(cairn: Cairn, tenant: Tenant) -> None:
    instance_id = tenant.boot(host="quick")
    create(cairn, tenant, type="Live", host="frail")
    status = until(tenant, "Completed")["status"]
    assert (status["source"], status["destination"]) == ("quick", "frail")
    assert status["startedAt"] <= status["endedAt"]
    body = tenant.api.get(Migration, "move", tenant.namespace) or {}
    assert status["migrationId"] == body["metadata"]["uid"]
    assert condition(body, "Accepted")["status"] == condition(body, "Completed")["status"] == "True"
    assert cairn.row(instance_id).host == "frail"
    assert (cairn.machine_on("frail", instance_id) or {})["boots"] == 1
    story = told(tenant, "Migrating", "Migrated")
    assert "Live migration from host quick to host frail begins." in story
    assert "It runs on host frail now; host quick has nothing of it any more." in story
    listed = cairn.kubectl("get", "migrations", "-n", tenant.namespace)
    assert listed.splitlines()[1].split()[:6] == ["move", "vm", "Live", "Completed", "quick", "frail"]


@pytest.mark.parametrize(
    ("decision", "phase", "host", "reason"),
    [
        ("Confirm", "Completed", "frail", "MoveConfirmed"),
        ("Revert", "Reverted", "quick", "MoveReverted"),
    ],
)
def test_a_cold_migration_waits_for_a_decision(  # noqa: PLR0917 - parameters
    cairn: Cairn, tenant: Tenant, decision: str, phase: str, host: str, reason: str
) -> None:
    instance_id = tenant.boot(host="quick")
    create(cairn, tenant, type="Cold", host="frail")
    assert "spec.decision" in condition(until(tenant, "Finished"), "Completed")["message"]
    tenant.phase("Resized")
    decide(tenant, decision)
    until(tenant, phase)
    tenant.phase("Active")
    assert cairn.row(instance_id).host == host
    assert told(tenant, reason)
    assert cairn.findings() == []


def test_a_decision_may_be_made_beforehand(cairn: Cairn, tenant: Tenant) -> None:
    instance_id = tenant.boot(host="quick")
    create(cairn, tenant, type="Cold", host="frail", decision="Confirm")
    until(tenant, "Completed")
    assert (cairn.row(instance_id).host, cairn.row(instance_id).vm_state) == ("frail", VmState.ACTIVE)


def test_an_edited_flavor_gets_a_migration_that_confirms_it(cairn: Cairn, tenant: Tenant) -> None:
    tenant.boot(host="quick")
    cairn.cloud.apply(
        {
            "apiVersion": "compute.cairn.dev/v1alpha1",
            "kind": "Flavor",
            "metadata": {"name": "larger"},
            "spec": {"vcpus": 2, "memoryMiB": 128, "diskGiB": 2},
        }
    )
    tenant.patch(flavor="larger")
    tenant.phase("Resized")
    [migration] = cairn.wait("a migration", lambda: tenant.api.list(Migration, tenant.namespace))
    name = migration["metadata"]["name"]
    assert name.startswith("vm-")
    status = until(tenant, "Finished", name)["status"]
    assert (status["oldFlavor"], status["newFlavor"]) == ("tiny", "larger")
    decide(tenant, "Confirm", name)
    until(tenant, "Completed", name)
    tenant.phase("Active")


def test_a_move_that_the_api_began_is_shown_and_comes_back_when_it_is_lost(
    cairn: Cairn, tenant: Tenant
) -> None:
    instance_id = tenant.boot(host="quick")
    asked = Asked(request_id=f"req-{uuid.uuid4()}")
    cairn.sql(moving.migrate(cairn.db, instance_id, asked, host="frail"))
    [first] = cairn.wait("a migration", lambda: tenant.api.list(Migration, tenant.namespace))
    name = first["metadata"]["name"]
    until(tenant, "Finished", name)
    tenant.api.delete(Migration, name, tenant.namespace)
    body = until(tenant, "Finished", name)
    assert body["metadata"]["uid"] != first["metadata"]["uid"]
    decide(tenant, "Revert", name)
    until(tenant, "Reverted", name)
    assert tenant.phase("Active")["status"]["host"] == "quick"


def test_an_evacuation_needs_a_host_that_is_down_for_certain(cairn: Cairn, tenant: Tenant) -> None:
    instance_id = tenant.boot(host="frail")
    create(cairn, tenant, "early", type="Evacuate", host="quick")
    status = until(tenant, "Failed", "early")["status"]
    assert (status["reason"], "migrate the instance, or drain the host" in status["message"]) == (
        "HostStillInUse",
        True,
    )
    cairn.kill("agent-frail")
    try:
        cairn.api.patch(ComputeNode, "frail", None, {"spec": {"forcedDown": True}})
        cairn.wait("the database to know", lambda: _is_forced_down(cairn, "frail"))
        create(cairn, tenant, type="Evacuate", host="quick")
        until(tenant, "Completed")
        assert cairn.row(instance_id).host == "quick"
        assert told(tenant, "Evacuating", "Evacuated")
    finally:
        cairn.api.patch(ComputeNode, "frail", None, {"spec": {"forcedDown": False}})
        cairn.start("agent-frail")
    cairn.wait("frail to remove what it had", lambda: cairn.machine_on("frail", instance_id) is None)


def _is_forced_down(cairn: Cairn, host: str) -> bool:
    node = cairn.sql(nodes.get_compute_node(cairn.db, host))
    return node is not None and node.spec.forced_down


def test_an_abort_lets_it_run_on_where_it_is(cairn: Cairn, tenant: Tenant) -> None:
    instance_id = tenant.boot(host="quick")
    with cairn.agent_stuck_at("agent-frail", "prepare_incoming"):
        create(cairn, tenant, type="Live", host="frail")
        cairn.wait("it to begin", lambda: cairn.row(instance_id).operation is not None)
        tenant.api.patch(Migration, "move", tenant.namespace, {"spec": {"abort": True}})
        status = until(tenant, "Aborted")["status"]
        assert "aborted" in status["message"]
    cairn.start("agent-frail")
    row = cairn.row(instance_id)
    assert (row.host, row.vm_state, row.move) == ("quick", VmState.ACTIVE, None)
    cairn.wait("frail to have nothing of it", lambda: cairn.machine_on("frail", instance_id) is None)
    tenant.api.patch(Migration, "move", tenant.namespace, {"spec": {"forceComplete": True}})


@pytest.mark.parametrize(
    ("spec", "reason", "words"),
    [
        ({"type": "Resize"}, "NotToBeCreated", "change spec.flavor"),
        ({"host": "nowhere"}, "UnknownHost", "nowhere could not be found"),
        ({"host": "quick"}, "UnknownHost", "is on host quick already"),
        ({"type": "Evacuate"}, "HostStillInUse", "still in use"),
        ({"instance": "nobody"}, "InstanceNotFound", "There is no Instance"),
    ],
)
def test_what_cannot_be_begun_is_refused(
    cairn: Cairn, tenant: Tenant, spec: dict[str, Any], reason: str, words: str
) -> None:
    instance_id = tenant.boot(host="quick")
    create(cairn, tenant, **spec)
    body = until(tenant, "Failed")
    assert body["status"]["reason"] == condition(body, "Accepted")["reason"] == reason
    assert words in body["status"]["message"]
    row = cairn.row(instance_id)
    assert (row.task_state, row.move, row.host) == (None, None, "quick")


def test_a_state_that_does_not_allow_it_is_named(cairn: Cairn, tenant: Tenant) -> None:
    tenant.boot(host="quick")
    tenant.patch(powerState="Stopped")
    tenant.phase("Stopped")
    create(cairn, tenant, type="Live")
    status = until(tenant, "Failed")["status"]
    assert (status["reason"], "vm_state stopped" in status["message"]) == ("ActionRefused", True)
    assert "move is refused" in told(tenant, "MigrationRefused")[0]


def test_a_locked_instance_moves_all_the_same(cairn: Cairn, tenant: Tenant) -> None:
    tenant.boot(host="quick", locked=True)
    create(cairn, tenant, type="Live", host="frail")
    until(tenant, "Completed")


def test_a_decision_on_a_live_migration_is_refused(cairn: Cairn, tenant: Tenant) -> None:
    instance_id = tenant.boot(host="quick")
    with cairn.agent_stuck_at("agent-frail", "prepare_incoming"):
        create(cairn, tenant, type="Live", host="frail")
        cairn.wait("it to begin", lambda: cairn.row(instance_id).operation is not None)
        decide(tenant, "Confirm")

        def look() -> Body | None:
            body = tenant.api.get(Migration, "move", tenant.namespace) or {}
            return body if condition(body, "SpecApplied")["reason"] == "NothingToDecide" else None

        cairn.wait("the refusal", look)
    cairn.start("agent-frail")
    until(tenant, "Completed")


@pytest.fixture
def short_memory(cairn: Cairn) -> Iterator[None]:
    """A conductor that keeps two ended Migrations in a namespace."""
    with cairn.settings("conductor", conductor__run_keep_count=2, conductor__sweep_seconds=1):
        yield
    cairn.start("conductor")


def test_only_the_newest_ended_ones_are_kept(cairn: Cairn, tenant: Tenant, short_memory: None) -> None:
    tenant.boot(host="quick")
    for number in range(4):
        create(cairn, tenant, f"move-{number}", type="Resize")
        cairn.wait(
            "it to end or go",
            lambda name=f"move-{number}": (
                (tenant.api.get(Migration, name, tenant.namespace) or {"status": {"phase": "Failed"}})
                .get("status", {})
                .get("phase")
                == "Failed"
            ),
        )

    def names() -> list[str]:
        return sorted(body["metadata"]["name"] for body in tenant.api.list(Migration, tenant.namespace))

    cairn.wait("two to be left", lambda: len(names()) == 2)
    assert "move-3" in names()


@pytest.fixture
def hasty(cairn: Cairn) -> Iterator[None]:
    """A conductor that confirms moves after a second, and gives moves up after four."""
    settings = {"conductor__resize_confirm_seconds": 1, "conductor__move_timeout_seconds": 4}
    with cairn.settings("conductor", **settings):
        yield
    cairn.start("conductor")


def test_a_move_is_confirmed_by_itself_after_a_set_time(cairn: Cairn, tenant: Tenant, hasty: None) -> None:
    instance_id = tenant.boot(host="quick")
    create(cairn, tenant, type="Cold", host="frail")
    until(tenant, "Completed")
    row = cairn.row(instance_id)
    assert (row.host, row.vm_state, row.move) == ("frail", VmState.ACTIVE, None)
    assert "host quick kept" in told(tenant, "MoveConfirmed")[0]


def test_a_move_that_takes_too_long_is_given_up(cairn: Cairn, tenant: Tenant, hasty: None) -> None:
    instance_id = tenant.boot(host="quick")
    with cairn.agent_stuck_at("agent-frail", "prepare_incoming"):
        create(cairn, tenant, type="Live", host="frail")
        message = until(tenant, "Failed")["status"]["message"]
    cairn.start("agent-frail")
    assert "not finished in time" in message
    row = cairn.row(instance_id)
    assert (row.host, row.vm_state, row.task_state, row.move) == ("quick", VmState.ACTIVE, None, None)
    assert cairn.machine_on("quick", instance_id) is not None
    cairn.wait("frail to have nothing of it", lambda: cairn.machine_on("frail", instance_id) is None)
