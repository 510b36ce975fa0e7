"""How often Cairn writes to the API server: what a boot, a delete and an idle cloud may cost."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from cairn_local.control_plane.audit import AuditedWrite
from integration.cloud.cairn import Cairn, Tenant
from integration.cloud.laboratory import Laboratory

SETTLED_SECONDS = 1.0
"""Long enough for a write that should not be, which is what these tests look for."""


def writes_about(cairn: Cairn, mark: int, instance_ids: set[str], namespace: str) -> list[AuditedWrite]:
    """What Cairn itself has written to anything of these instances; events, and lost races, left out."""
    return [
        write
        for write in cairn.plane.writes_since(mark)
        if write.user.startswith("system:serviceaccount:cairn-")
        and (write.namespace == namespace or write.name in instance_ids)
        and write.resource != "events"
        and write.code < 300
    ]


def events_of(cairn: Cairn, mark: int, namespace: str) -> list[AuditedWrite]:
    return [
        write
        for write in cairn.plane.writes_since(mark)
        if write.resource == "events" and write.namespace == namespace
    ]


PATIENCE_SECONDS = 60


@pytest.fixture
def patient(cairn: Cairn) -> Iterator[None]:
    """Nothing is slow enough to be shown on its way: the budget is of boots and deletes that end within
    `patience_seconds`, and the machine that tests run on may be busy."""
    with (
        cairn.settings("conductor", conductor__patience_seconds=PATIENCE_SECONDS),
        cairn.settings("agent-quick", agent__patience_seconds=PATIENCE_SECONDS),
    ):
        yield
    cairn.start("conductor", "agent-quick")  # the next test's project is made before anybody else starts them


@pytest.fixture
def quiet(cairn: Cairn, laboratory: Laboratory, tenant: Tenant) -> Tenant:
    """A project after everything that its making wrote."""
    time.sleep(SETTLED_SECONDS)
    return tenant


@pytest.mark.usefixtures("patient")
def test_a_boot_costs_four_writes_and_two_events(cairn: Cairn, quiet: Tenant) -> None:
    mark = cairn.plane.mark()
    instance_id = quiet.boot(availabilityZone="quick")
    quiet.told("Launched")
    time.sleep(SETTLED_SECONDS)
    written = writes_about(cairn, mark, {instance_id}, quiet.namespace)
    assert [(write.verb, write.resource) for write in written] == [
        ("patch", "instances"),
        ("create", "guests"),
        ("patch", "guests/status"),
        ("patch", "instances/status"),
    ]
    assert len(events_of(cairn, mark, quiet.namespace)) == 2


@pytest.mark.usefixtures("patient")
def test_a_delete_costs_three_writes(cairn: Cairn, quiet: Tenant) -> None:
    instance_id = quiet.boot(availabilityZone="quick")
    time.sleep(SETTLED_SECONDS)
    mark = cairn.plane.mark()
    quiet.delete()
    quiet.gone()
    time.sleep(SETTLED_SECONDS)
    written = writes_about(cairn, mark, {instance_id}, quiet.namespace)
    assert [(write.verb, write.resource) for write in written] == [
        ("patch", "guests"),
        ("delete", "guests"),
        ("patch", "instances"),
    ]


def test_twenty_boots_and_deletes_at_once_cost_no_more_each(cairn: Cairn, quiet: Tenant) -> None:
    mark = cairn.plane.mark()
    names = [f"vm-{number}" for number in range(20)]
    ids = {quiet.create(name, availabilityZone="quick") for name in names}
    for name in names:
        quiet.phase("Active", name)
    time.sleep(SETTLED_SECONDS)
    # Passing states are shown where a boot lasts; the cloud shares its machine with other tests.
    boots = writes_about(cairn, mark, ids, quiet.namespace)
    assert sum(write.resource != "instances/status" for write in boots) == 3 * len(names)
    assert sum(write.resource == "instances/status" for write in boots) <= 2 * len(names)

    mark = cairn.plane.mark()
    for name in names:
        quiet.delete(name)
    for name in names:
        quiet.gone(name)
    time.sleep(SETTLED_SECONDS)
    deletes = writes_about(cairn, mark, ids, quiet.namespace)
    assert sum(write.resource != "instances/status" for write in deletes) == 3 * len(names)


ALIVE = {("patch", "leases"), ("patch", "computenodes/status")}
"""What says that somebody is there."""


def what_is_written(cairn: Cairn, seconds: float) -> list[AuditedWrite]:
    """By Cairn, within that time."""
    mark = cairn.plane.mark()
    time.sleep(seconds)
    writes = cairn.plane.writes_since(mark)
    return [write for write in writes if write.user.startswith("system:serviceaccount:cairn-")]


def is_alive(write: AuditedWrite) -> bool:
    return (write.verb, write.resource) in ALIVE


def test_an_idle_cloud_writes_heartbeats_and_leases_only(cairn: Cairn, quiet: Tenant) -> None:
    for name in ("one", "two"):
        quiet.boot(name)
    quiet.create("lost", flavor="none")
    quiet.told("FlavorNotFound", "lost")
    quiet.create("huge", availabilityZone="nowhere")
    quiet.told("NoValidHost", "huge")
    cairn.wait(
        "all that was asked for before to be over",
        lambda: all(map(is_alive, what_is_written(cairn, SETTLED_SECONDS))),
    )
    idle = what_is_written(cairn, 12)
    assert [write for write in idle if not is_alive(write)] == []
    assert {(write.verb, write.resource) for write in idle} == ALIVE
    heartbeats = [write.name for write in idle if write.resource == "computenodes/status"]
    assert 1 <= heartbeats.count("quick") <= 3, "set to one in 5 s in these tests"
