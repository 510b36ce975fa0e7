"""What an agent does next for a Guest: every cell."""

from __future__ import annotations

from typing import Any

import pytest

from cairn_agent.converge import (
    Call,
    Clear,
    Decision,
    Enforce,
    Missing,
    Operate,
    Refuse,
    Remove,
    Report,
    Spawn,
    TakeIn,
    Wait,
    decide,
    power_calls,
)
from cairn_agent.drivers.api import MachineState
from cairn_crds import Guest
from cairn_crds.guest_operation import OperationKind
from cairn_crds.instance import DesiredPower, PowerState

ID = "0f5a3c1e-1111-4222-8333-444455556666"
ON, OFF, PAUSE, SUSPEND = Call.POWER_ON, Call.POWER_OFF, Call.PAUSE, Call.SUSPEND
D, P = DesiredPower, PowerState
WAYS: dict[tuple[DesiredPower, PowerState], tuple[Call, ...]] = {
    (D.RUNNING, P.RUNNING): (),
    (D.RUNNING, P.PAUSED): (ON,),
    (D.RUNNING, P.SUSPENDED): (ON,),
    (D.RUNNING, P.SHUTDOWN): (ON,),
    (D.RUNNING, P.CRASHED): (ON,),
    (D.RUNNING, P.NO_STATE): (ON,),
    (D.STOPPED, P.RUNNING): (OFF,),
    (D.STOPPED, P.PAUSED): (OFF,),
    (D.STOPPED, P.SUSPENDED): (OFF,),
    (D.STOPPED, P.SHUTDOWN): (),
    (D.STOPPED, P.CRASHED): (),
    (D.STOPPED, P.NO_STATE): (),
    (D.SHELVED, P.RUNNING): (OFF,),
    (D.SHELVED, P.PAUSED): (OFF,),
    (D.SHELVED, P.SUSPENDED): (OFF,),
    (D.SHELVED, P.SHUTDOWN): (),
    (D.SHELVED, P.CRASHED): (),
    (D.SHELVED, P.NO_STATE): (),
    (D.PAUSED, P.RUNNING): (PAUSE,),
    (D.PAUSED, P.PAUSED): (),
    (D.PAUSED, P.SUSPENDED): (ON, PAUSE),
    (D.PAUSED, P.SHUTDOWN): (ON, PAUSE),
    (D.PAUSED, P.CRASHED): (ON, PAUSE),
    (D.PAUSED, P.NO_STATE): (ON, PAUSE),
    (D.SUSPENDED, P.RUNNING): (SUSPEND,),
    (D.SUSPENDED, P.PAUSED): (SUSPEND,),
    (D.SUSPENDED, P.SUSPENDED): (),
    (D.SUSPENDED, P.SHUTDOWN): (ON, SUSPEND),
    (D.SUSPENDED, P.CRASHED): (ON, SUSPEND),
    (D.SUSPENDED, P.NO_STATE): (ON, SUSPEND),
}


def test_every_cell_is_written_down() -> None:
    assert len(WAYS) == len(D) * len(P)


@pytest.mark.parametrize(("desired", "observed"), list(WAYS))
def test_the_way_from_one_power_state_to_another(desired: DesiredPower, observed: PowerState) -> None:
    assert power_calls(observed, desired) == WAYS[desired, observed]


def guest(generation: int = 1, spec: dict[str, Any] | None = None, **status: Any) -> Guest:
    body = {
        "metadata": {"name": ID, "namespace": "cairn-node-h1", "uid": "g", "generation": generation},
        "spec": {
            "instance": {"namespace": "acme", "name": "web", "project": "acme"},
            "fencingEpoch": 3,
            "vcpus": 1,
            "memoryMiB": 64,
            "image": {"name": "demo", "url": "http://images/demo", "sha256": "a" * 64},
            "config": {"hostname": "web"},
            **(spec or {}),
        },
        "status": status,
    }
    found: Guest = Guest.from_api(body)
    return found


def machine(power: PowerState = P.RUNNING, epoch: int = 3, *, complete: bool = True) -> MachineState:
    return MachineState(ID, power, epoch, complete)


READY = {"phase": "Ready", "specGeneration": 1, "powerState": "Running"}
FAULT = {"reason": "NoSpace", "message": "full", "permanent": True, "specGeneration": 1}


@pytest.mark.parametrize("there", [None, machine(), machine(epoch=9), machine(complete=False)])
@pytest.mark.parametrize("status", [{}, READY, {"phase": "Failed", "fault": FAULT}])
def test_what_is_to_be_absent_is_removed_whatever_is_there(
    there: MachineState | None, status: dict[str, Any]
) -> None:
    assert decide(guest(spec={"absent": True}, **status), there) == Remove()


@pytest.mark.parametrize(
    ("status", "there", "expected"),
    [
        ({}, None, Spawn()),
        ({"phase": "Spawning", "step": "disk"}, None, Spawn()),
        ({"phase": "Spawning"}, machine(P.NO_STATE, complete=False), Spawn()),
        ({}, machine(P.SHUTDOWN), Enforce(reboot=False)),
        ({}, machine(P.RUNNING), Enforce(reboot=False)),
        ({"phase": "Failed", "fault": {**FAULT, "permanent": False}}, None, Spawn()),
        ({"phase": "Failed", "fault": FAULT}, None, Wait()),
        ({"phase": "Failed", "fault": FAULT}, machine(complete=False), Wait()),
    ],
)
def test_a_first_boot(status: dict[str, Any], there: MachineState | None, expected: Decision) -> None:
    assert decide(guest(**status), there) == expected


def test_a_permanent_fault_ends_with_its_spec() -> None:
    status = {"phase": "Failed", "fault": FAULT}
    assert decide(guest(generation=1, **status), None) == Wait()
    assert decide(guest(generation=2, **status), None) == Spawn()


@pytest.mark.parametrize("power", list(P))
def test_a_spec_that_was_reached_leaves_the_power_to_the_hypervisor(power: PowerState) -> None:
    assert decide(guest(**READY), machine(power)) == Report()


def test_a_new_spec_is_enforced() -> None:
    assert decide(guest(generation=2, **READY), machine()) == Enforce(reboot=False)


def test_a_reboot_is_a_count_above_the_one_that_was_reached() -> None:
    spec = {"reboot": {"generation": 2, "type": "Soft"}}
    assert decide(guest(2, spec, **READY, rebootGeneration=1), machine()) == Enforce(reboot=True)
    assert decide(guest(2, spec, **READY, rebootGeneration=2), machine()) == Enforce(reboot=False)


def test_a_machine_that_is_being_made_needs_no_reboot() -> None:
    spec = {"reboot": {"generation": 7, "type": "Hard"}}
    assert decide(guest(spec=spec), machine(P.SHUTDOWN)) == Enforce(reboot=False)


@pytest.mark.parametrize(
    ("spec", "status"),
    [
        ({"launched": True}, {}),
        ({"launched": True}, READY),
        ({}, READY),
        ({}, {"phase": "Missing", "specGeneration": 1}),
        ({}, {"phase": "Missing"}),
        ({}, {"phase": "Failed", "specGeneration": 1}),
    ],
)
def test_a_machine_that_was_made_and_is_gone_is_not_made_anew(
    spec: dict[str, Any], status: dict[str, Any]
) -> None:
    assert decide(guest(spec=spec, **status), None) == Missing()


def test_a_machine_that_lost_a_part_is_made_whole() -> None:
    assert decide(guest(**READY), machine(P.NO_STATE, complete=False)) == Spawn()
    assert decide(guest(spec={"launched": True}), machine(P.NO_STATE, complete=False)) == Spawn()


@pytest.mark.parametrize("power", list(P))
def test_a_guest_made_anew_takes_its_machine_as_it_is(power: PowerState) -> None:
    spec = {"launched": True, "powerState": "Stopped", "reboot": {"generation": 4, "type": "Hard"}}
    assert decide(guest(spec=spec), machine(power)) == TakeIn()


def test_a_machine_of_a_newer_claim_is_left_alone() -> None:
    assert decide(guest(**READY), machine(epoch=4)) == Refuse()
    assert decide(guest(), machine(epoch=4)) == Refuse()
    assert decide(guest(**READY), machine(epoch=2)) == Report()


@pytest.mark.parametrize("there", [machine(P.SHUTDOWN, epoch=2), machine(epoch=2, complete=False)])
def test_what_an_earlier_claim_has_left_goes_before_a_machine_comes_here(there: MachineState) -> None:
    assert decide(guest(), there) == Clear()
    for kind in ("FetchDisks", "PrepareIncoming"):
        assert decide(operating(kind, None, phase="Spawning", specGeneration=0), there) == Clear()
    assert decide(guest(spec={"absent": True}), there) == Remove()


def test_a_machine_that_was_here_when_the_claim_became_newer_stays() -> None:
    """Resized here, say, or not gone after all: its Guest has been reached, or was made anew."""
    assert decide(guest(2, **READY), machine(epoch=2)) == Enforce(reboot=False)
    assert decide(guest(spec={"launched": True}), machine(epoch=2)) == TakeIn()


@pytest.mark.parametrize(
    ("recorded", "power", "expected"),
    [
        ("boot-1", P.SHUTDOWN, Enforce(reboot=False)),
        ("boot-1", P.CRASHED, Enforce(reboot=False)),
        ("boot-1", P.RUNNING, Report()),
        ("boot-1", P.PAUSED, Report()),
        ("boot-2", P.SHUTDOWN, Report()),
        (None, P.SHUTDOWN, Report()),
    ],
)
def test_what_ran_when_the_host_went_down_is_started_again(
    recorded: str | None, power: PowerState, expected: Decision
) -> None:
    status = READY | ({"bootId": recorded} if recorded else {})
    assert decide(guest(**status), machine(power), "boot-2") == expected
    assert decide(guest(**status), machine(power), None) == Report(), "where that is turned off"


OPERATION = "11111111-2222-4333-8444-555555555555"


def operating(kind: str, said: str | None, *, other: bool = False, **status: Any) -> Guest:
    """A Guest with an operation of that kind, and what the agent said of it (or of an `other` one)."""
    if said:
        of = OPERATION.replace("1", "9") if other else OPERATION
        status["operation"] = {"id": of, "phase": said}
    return guest(2, {"operation": {"id": OPERATION, "kind": kind}}, **{**READY, **status})


@pytest.mark.parametrize("kind", [kind.value for kind in OperationKind])
def test_an_operation_is_done_until_it_has_ended(kind: str) -> None:
    assert decide(operating(kind, None), machine()) == Operate()
    assert decide(operating(kind, "Running"), machine()) == Operate()
    assert decide(operating(kind, "Done", other=True), machine()) == Operate(), "an earlier one is over"
    there = machine(P.SHUTDOWN) if kind == "ReleaseDisks" else machine()
    for ended in ("Done", "Failed"):
        assert decide(operating(kind, ended), there) == Enforce(reboot=False), "then comes the power"


@pytest.mark.parametrize("power", [P.RUNNING, P.PAUSED, P.CRASHED])
def test_what_has_been_released_is_kept_off(power: PowerState) -> None:
    released = operating("ReleaseDisks", "Done", specGeneration=2)
    assert decide(released, machine(power)) == Operate()
    assert decide(released, machine(P.SHUTDOWN)) == Report()


@pytest.mark.parametrize("kind", ["FetchDisks", "PrepareIncoming", "LiveMigrate"])
def test_what_arrives_or_leaves_needs_no_machine_here(kind: str) -> None:
    for there in (None, machine(P.NO_STATE, complete=False)):
        assert decide(operating(kind, None), there) == Operate()
    assert decide(operating("Rebuild", None), None) == Missing()


def test_a_prepared_place_waits_and_makes_nothing_of_its_own() -> None:
    prepared = operating("PrepareIncoming", "Done", phase="Prepared")
    assert decide(prepared, machine(P.NO_STATE, complete=False)) == Wait()
    assert decide(prepared, machine()) == Enforce(reboot=False), "it has arrived"
    left = operating("LiveMigrate", "Done", phase="Moved")
    assert decide(left, None) == Wait()
    assert decide(left, machine(P.NO_STATE, complete=False)) == Wait()
