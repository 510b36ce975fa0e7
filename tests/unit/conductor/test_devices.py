"""Whether a device has been plugged in or out."""

from __future__ import annotations

from typing import Any

import pytest

from cairn_database import TaskState, VmState
from cairn_operator.conductor.devices import Plugging, is_done
from unit.conductor.records import guest, record

READY = {"phase": "Ready", "specGeneration": 1, "powerState": "Running"}
FAULT = {"reason": "OperationFailed", "message": "no", "permanent": True, "specGeneration": 1}
MISSING = {"phase": "Missing", "specGeneration": 1}


def done(row: Any, *, attaches: bool, is_told: bool = True, **status: Any) -> bool:
    return is_done(row, guest(1, **status), Plugging(attaches, is_told, None))


@pytest.mark.parametrize("attaches", [True, False])
def test_it_is_done_once_the_host_has_reached_a_spec_that_says_it(attaches: bool) -> None:
    assert done(record(), attaches=attaches, **READY)
    assert not done(record(), attaches=attaches, is_told=False, **READY)
    assert not done(record(), attaches=attaches, **{**READY, "specGeneration": 0})
    assert not done(record(), attaches=attaches, phase="Failed", specGeneration=1)


@pytest.mark.parametrize("attaches", [True, False])
def test_a_host_that_reached_the_spec_but_for_its_devices_has_not_done_it(attaches: bool) -> None:
    """As it says of a machine that it takes in for a Guest made anew."""
    assert not done(record(), attaches=attaches, **READY, fault=FAULT)


@pytest.mark.parametrize("vm_state", [VmState.ACTIVE, VmState.ERROR])
def test_a_machine_that_is_gone_has_nothing(vm_state: VmState) -> None:
    assert not done(record(vm_state=vm_state), attaches=True, **MISSING)
    assert done(record(vm_state=vm_state), attaches=False, is_told=False, **MISSING)


def test_a_machine_that_is_to_come_is_not_gone() -> None:
    assert not done(record(task_state=TaskState.RESIZE_FINISH), attaches=False, **MISSING)


def test_one_that_is_on_no_host_has_no_machine_to_change() -> None:
    row = record(host=None)
    assert is_done(row, None, Plugging(attaches=True, is_told=False, since=None))
    assert not is_done(record(), None, Plugging(attaches=False, is_told=True, since=None))
