"""Removing machines, and what is never removed."""

from __future__ import annotations

import pytest

from cairn_agent.drivers.api import Step
from cairn_agent.drivers.driver import Driver
from cairn_crds.instance import PowerState
from contract.backends import NODE, Backend
from contract.machines import Cut, Steps, bring_to, power, spawn


async def test_does_nothing_where_there_is_nothing(driver: Driver, instance_id: str) -> None:
    await driver.destroy(NODE, instance_id)
    assert await driver.get(NODE, instance_id) is None


@pytest.mark.parametrize(
    "state", [PowerState.SHUTDOWN, PowerState.RUNNING, PowerState.PAUSED, PowerState.SUSPENDED]
)
async def test_leaves_nothing(backend: Backend, driver: Driver, instance_id: str, state: PowerState) -> None:
    spec = await bring_to(backend, instance_id, state)
    await driver.destroy(NODE, instance_id)
    assert await driver.get(NODE, instance_id) is None
    assert await driver.machines(NODE) == []
    assert backend.leftovers(instance_id, spec) == []
    await driver.destroy(NODE, instance_id)


async def test_leaves_nothing_of_a_machine_that_was_undefined(
    backend: Backend, driver: Driver, instance_id: str
) -> None:
    spec = await spawn(backend, instance_id)
    backend.undefine(instance_id)
    await driver.destroy(NODE, instance_id)
    assert backend.leftovers(instance_id, spec) == []


async def test_leaves_other_machines_alone(backend: Backend, driver: Driver, instance_id: str) -> None:
    other = instance_id[:-4] + "0000"
    await spawn(backend, other)
    await driver.power_on(NODE, other)
    await spawn(backend, instance_id)
    await driver.destroy(NODE, instance_id)
    assert await power(driver, other) is PowerState.RUNNING


async def test_the_same_id_can_be_made_again(backend: Backend, driver: Driver, instance_id: str) -> None:
    spec = await spawn(backend, instance_id)
    await driver.destroy(NODE, instance_id)
    steps = Steps()
    await driver.spawn(NODE, instance_id, spec, steps)
    assert steps.seen == list(Step)


async def test_a_sweep_removes_no_machine(backend: Backend, driver: Driver, instance_id: str) -> None:
    unfinished = instance_id[:-4] + "0000"
    await spawn(backend, instance_id)
    spec = backend.spec()
    with pytest.raises(Cut):
        await driver.spawn(NODE, unfinished, spec, Steps(cut_at=Step.DISK))
    before = {machine.instance_id: machine for machine in await driver.machines(NODE)}
    assert set(before) == {instance_id, unfinished}

    await driver.sweep(NODE, keep=[])

    assert {machine.instance_id: machine for machine in await driver.machines(NODE)} == before
    steps = Steps()
    await driver.spawn(NODE, unfinished, spec, steps)
    assert steps.seen == [Step.DISK, Step.DEFINE]
