"""A host is emptied: everything that can be moved goes, and what cannot is named."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cairn_crds import ComputeNode, Migration
from cairn_database import nodes
from integration.cloud.cairn import Cairn, Tenant, condition
from support.api import Body


@pytest.fixture(autouse=True)
def undrained(cairn: Cairn) -> Iterator[None]:
    """Afterwards `quick` takes instances again."""
    yield
    drain(cairn, False)
    cairn.wait("quick to be as before", lambda: "drain" not in cairn.node("quick")["status"])
    cairn.wait("the database to know", lambda: not is_disabled(cairn))


def drain(cairn: Cairn, wanted: bool) -> None:
    cairn.api.patch(ComputeNode, "quick", None, {"spec": {"drain": wanted}})


def is_disabled(cairn: Cairn) -> bool:
    node = cairn.sql(nodes.get_compute_node(cairn.db, "quick"))
    return node is not None and node.disabled


def drained(cairn: Cairn) -> Body:
    def look() -> Body | None:
        body = cairn.node("quick")
        return body if condition(body, "Drained")["status"] == "True" else None

    found = cairn.wait("quick to be drained", look)
    assert found is not None
    return found


def test_a_host_with_instances_in_all_states_is_emptied(cairn: Cairn, tenant: Tenant) -> None:
    powers = {"a": "Running", "b": "Running", "c": "Paused", "d": "Stopped", "e": "Stopped", "f": "Suspended"}
    ids = {name: tenant.boot(name, host="quick", locked=name == "b") for name in powers}
    phases = {"Running": "Active", "Paused": "Paused", "Stopped": "Stopped", "Suspended": "Suspended"}
    for name, power in powers.items():
        tenant.patch(name, powerState=power)
    for name, power in powers.items():
        tenant.phase(phases[power], name)
    boots = {name: (cairn.machine(ids[name]) or {})["boots"] for name in ids}

    drain(cairn, True)
    seen: list[tuple[int, int]] = []

    def only_the_suspended_one_is_left() -> Body | None:
        body = cairn.node("quick")
        status = body["status"].get("drain")
        if status and (status["instances"], status["moving"]) not in seen:
            seen.append((status["instances"], status["moving"]))
        return body if status and status["instances"] == 1 and status["moving"] == 0 else None

    body = cairn.wait("the others to go", only_the_suspended_one_is_left) or {}
    assert all(moving <= 4 for _left, moving in seen)
    assert len(seen) >= 2, "progress is shown"
    [(stuck, why)] = body["status"]["drain"]["failed"].items()
    assert (stuck, "resume it, or stop it" in why) == (ids["f"], True)
    cairn.wait("that it is stuck", lambda: condition(cairn.node("quick"), "Drained")["reason"] == "Stuck")
    for name, power in powers.items():
        if name == "f":
            continue
        row = cairn.row(ids[name])
        assert (row.host, row.vm_state, row.move) == ("frail", phases[power].lower(), None)
        after = cairn.machine_on("frail", ids[name]) or {}
        assert after["power_state"] == {"Stopped": "Shutdown"}.get(power, power)
        assert after["boots"] == (0 if power == "Stopped" else boots[name]), "none was booted again"

    tenant.patch("f", powerState="Running")
    status = drained(cairn)["status"]["drain"]
    assert (status["instances"], status["moving"], status["done"]) == (0, 0, True)
    assert condition(cairn.node("quick"), "Up")["status"] == "True"
    cairn.kubectl("wait", "--for=condition=Drained", "computenode/quick", "--timeout=5s")
    cairn.wait("quick to have no machine", lambda: not list((cairn.machines / "quick").glob("*.json")))
    assert is_disabled(cairn)
    tenant.create("late", host="quick")
    assert "disabled" in tenant.refused("Scheduled", "NoValidHost", "late")
    moves = tenant.api.list(Migration, tenant.namespace)
    assert {move["status"]["phase"] for move in moves} <= {"Completed", "Pending"}
    assert "Host quick is being drained" in tenant.told("Draining", "a")["message"]
    listed = cairn.kubectl("get", "computenode", "quick", "-o", "wide")
    assert listed.splitlines()[1].split()[:4] == ["quick", "True", "false", "true"]
    assert cairn.findings() == []


def test_a_move_that_fails_is_shown_and_tried_again(cairn: Cairn, tenant: Tenant) -> None:
    instance_id = tenant.boot(availabilityZone="quick")
    drain(cairn, True)

    def failed() -> str | None:
        status = cairn.node("quick")["status"].get("drain") or {"failed": {}}
        message: str | None = status["failed"].get(instance_id)
        return message

    message = cairn.wait("the failure", failed)
    assert message is not None
    assert "No valid host was found" in message
    assert cairn.row(instance_id).host == "quick"
    tenant.delete()
    drained(cairn)


def test_without_the_drain_nothing_more_goes(cairn: Cairn, tenant: Tenant) -> None:
    for name in ("a", "b"):
        tenant.boot(name, host="quick")
        tenant.patch(name, powerState="Suspended")
        tenant.phase("Suspended", name)
    drain(cairn, True)
    cairn.wait("it to be noticed", lambda: cairn.node("quick")["status"].get("drain"))
    drain(cairn, False)
    cairn.wait("it to be over", lambda: "drain" not in cairn.node("quick")["status"])
    assert condition(cairn.node("quick"), "Drained")["status"] == ""
    tenant.patch("a", powerState="Running")
    assert tenant.phase("Active", "a")["status"]["host"] == "quick"
    cairn.wait("the database to know", lambda: not is_disabled(cairn))
    tenant.boot("late", host="quick")
