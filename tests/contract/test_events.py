"""Every change of a machine is told, whoever made it."""

from __future__ import annotations

import pytest

from cairn_agent.drivers.driver import Driver
from cairn_crds.instance import PowerState
from contract.backends import NODE, Backend
from contract.machines import bring_to, power, spawn


async def test_what_the_driver_does_is_told(backend: Backend, driver: Driver, instance_id: str) -> None:
    await spawn(backend, instance_id, backend.bare_spec())
    await backend.events.wait_for(instance_id)
    for change in (
        driver.power_on(NODE, instance_id),
        driver.pause(NODE, instance_id),
        driver.suspend(NODE, instance_id),
        driver.power_on(NODE, instance_id),
        driver.power_off(NODE, instance_id, 0),
        driver.destroy(NODE, instance_id),
    ):
        backend.events.clear()
        await change
        await backend.events.wait_for(instance_id)


async def test_a_plug_pulled_by_somebody_else_is_told(
    backend: Backend, driver: Driver, instance_id: str
) -> None:
    await bring_to(backend, instance_id, PowerState.RUNNING, backend.bare_spec())
    backend.events.clear()
    backend.stop(instance_id)
    await backend.events.wait_for(instance_id)
    assert await power(driver, instance_id) is PowerState.SHUTDOWN


async def test_a_crash_is_told(backend: Backend, driver: Driver, instance_id: str) -> None:
    if not backend.can_crash:
        pytest.skip("this hypervisor's machines do not crash")
    await bring_to(backend, instance_id, PowerState.RUNNING, backend.bare_spec())
    backend.events.clear()
    backend.crash(instance_id)
    await backend.events.wait_for(instance_id)
    assert await power(driver, instance_id) is PowerState.CRASHED


async def test_a_removal_by_somebody_else_is_told(backend: Backend, driver: Driver, instance_id: str) -> None:
    await spawn(backend, instance_id, backend.bare_spec())
    backend.events.clear()
    backend.undefine(instance_id)
    await backend.events.wait_for(instance_id)
    state = await driver.get(NODE, instance_id)
    assert state is not None
    assert not state.complete


async def test_the_next_agent_is_told_too(backend: Backend, instance_id: str) -> None:
    await bring_to(backend, instance_id, PowerState.RUNNING, backend.bare_spec())
    await backend.restart()
    backend.events.clear()
    backend.stop(instance_id)
    await backend.events.wait_for(instance_id)
