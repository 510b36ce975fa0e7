"""Which task leads from what an instance is to what its user wants."""

from __future__ import annotations

import itertools

import pytest

from cairn_crds.instance import DesiredPower, PowerState, RebootType
from cairn_database import TaskState, VmState
from cairn_operator.conductor.power import (
    ACTIONS,
    DESIRED,
    FINISHABLE,
    TASKS,
    VM_STATES,
    power_task,
    reboot_task,
)

NATURAL = dict(DESIRED)
"""A state, and the wish that it fulfils."""


@pytest.mark.parametrize(("vm_state", "wanted"), list(itertools.product(NATURAL, DesiredPower)))
def test_there_is_a_way_between_any_two_states(vm_state: VmState, wanted: DesiredPower) -> None:
    task = power_task(vm_state, wanted)
    assert (task is None) == (wanted in (NATURAL[vm_state], DesiredPower.SHELVED))


@pytest.mark.parametrize("vm_state", sorted(set(VmState) - set(NATURAL)))
@pytest.mark.parametrize("wanted", list(DesiredPower))
def test_there_is_none_from_a_state_without_a_machine_at_rest(
    vm_state: VmState, wanted: DesiredPower
) -> None:
    assert power_task(vm_state, wanted) is None


@pytest.mark.parametrize("vm_state", sorted(VmState))
def test_nova_allows_a_soft_reboot_of_an_active_instance_only(vm_state: VmState) -> None:
    task = reboot_task(vm_state, RebootType.SOFT)
    assert task == (TaskState.REBOOTING if vm_state is VmState.ACTIVE else None)


@pytest.mark.parametrize("vm_state", sorted(VmState))
def test_nova_allows_a_hard_reboot_of_whatever_has_a_machine(vm_state: VmState) -> None:
    allowed = {VmState.ACTIVE, VmState.STOPPED, VmState.PAUSED, VmState.SUSPENDED, VmState.ERROR}
    task = reboot_task(vm_state, RebootType.HARD)
    assert task == (TaskState.REBOOTING_HARD if vm_state in allowed else None)


def test_every_task_ends_and_has_a_name_in_the_history() -> None:
    assert set(TASKS.values()) <= FINISHABLE
    assert set(ACTIONS) == FINISHABLE - {TaskState.SPAWNING}


def test_what_a_hypervisor_can_say_is_a_state_that_can_be_wished_for() -> None:
    assert set(VM_STATES) == set(PowerState) - {PowerState.NO_STATE}
    assert set(VM_STATES.values()) == set(DESIRED)
