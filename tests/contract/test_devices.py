"""Interfaces of machines that there are."""

from __future__ import annotations

import asyncio

import pytest

from cairn_agent.drivers.api import Capability, MachineNotFound, Unsupported
from cairn_agent.drivers.api_operations import OperationFailed
from cairn_agent.drivers.driver import Driver
from cairn_crds.guest import GuestSpec
from cairn_crds.instance import PowerState
from contract.backends import NODE, PATIENCE, Backend
from contract.machines import bring_to, power, spawn

STATES = [PowerState.SHUTDOWN, PowerState.RUNNING]


@pytest.fixture
def with_plugging(driver: Driver) -> None:
    if Capability.ATTACH_INTERFACE not in driver.capabilities:
        pytest.skip("this hypervisor plugs nothing into running machines, and says so")


def _with_another(backend: Backend, spec: GuestSpec) -> GuestSpec:
    return spec.model_copy(update={"networks": [*spec.networks, *backend.spec().networks]})


def _macs(spec: GuestSpec) -> list[str]:
    return [network.mac for network in spec.networks]


async def test_there_must_be_a_machine(backend: Backend, driver: Driver, instance_id: str) -> None:
    with pytest.raises(MachineNotFound):
        await driver.reconfigure(NODE, instance_id, backend.spec())


@pytest.mark.parametrize("state", [*STATES, PowerState.PAUSED])
async def test_nothing_is_changed_where_it_is_so(
    backend: Backend, driver: Driver, instance_id: str, state: PowerState
) -> None:
    spec = await bring_to(backend, instance_id, state)
    await driver.reconfigure(NODE, instance_id, spec)
    assert await power(driver, instance_id) is state
    assert backend.macs(instance_id) == _macs(spec)


async def test_a_machine_that_is_off_has_it_at_its_next_start(
    backend: Backend, driver: Driver, instance_id: str
) -> None:
    spec = await spawn(backend, instance_id)
    more = _with_another(backend, spec)
    for _ in range(2):
        await driver.reconfigure(NODE, instance_id, more)
        assert backend.macs(instance_id) == _macs(more)
    await driver.power_on(NODE, instance_id)
    assert backend.macs(instance_id) == _macs(more)
    await driver.destroy(NODE, instance_id)
    assert backend.leftovers(instance_id, more) == []


async def test_a_machine_that_is_off_loses_it_at_once(
    backend: Backend, driver: Driver, instance_id: str
) -> None:
    spec = await spawn(backend, instance_id)
    more = _with_another(backend, spec)
    await driver.reconfigure(NODE, instance_id, more)
    less = spec.model_copy(update={"networks": more.networks[1:]})
    await driver.reconfigure(NODE, instance_id, less)
    assert backend.macs(instance_id) == _macs(less)
    assert not [left for left in backend.leftovers(instance_id, spec) if left.startswith("DHCP")]


async def test_without_the_capability_a_running_machine_stays_as_it_was(
    backend: Backend, driver: Driver, instance_id: str
) -> None:
    if Capability.ATTACH_INTERFACE in driver.capabilities:
        return
    spec = await bring_to(backend, instance_id, PowerState.RUNNING)
    with pytest.raises(Unsupported):
        await driver.reconfigure(NODE, instance_id, _with_another(backend, spec))
    assert backend.macs(instance_id) == _macs(spec)


@pytest.mark.usefixtures("with_plugging")
async def test_a_running_machine_has_it_at_once_and_after_a_restart(
    backend: Backend, driver: Driver, instance_id: str
) -> None:
    spec = await bring_to(backend, instance_id, PowerState.RUNNING)
    more = _with_another(backend, _with_another(backend, spec))
    for _ in range(2):
        await driver.reconfigure(NODE, instance_id, more)
        assert backend.macs(instance_id, live=True) == _macs(more)
    await driver.power_off(NODE, instance_id, 0)
    await driver.power_on(NODE, instance_id)
    assert backend.macs(instance_id, live=True) == _macs(more)
    await driver.destroy(NODE, instance_id)
    assert backend.leftovers(instance_id, more) == []


@pytest.mark.usefixtures("with_plugging")
async def test_a_guest_lets_go_of_it(backend: Backend, driver: Driver, instance_id: str) -> None:
    spec = await spawn(backend, instance_id)
    await driver.power_on(NODE, instance_id)
    await backend.greeted(instance_id)
    more = _with_another(backend, spec)
    await driver.reconfigure(NODE, instance_id, more)
    async with asyncio.timeout(PATIENCE):
        await driver.reconfigure(NODE, instance_id, spec)
    assert backend.macs(instance_id, live=True) == _macs(spec)
    assert backend.macs(instance_id) == _macs(spec)
    assert await power(driver, instance_id) is PowerState.RUNNING
    await driver.reconfigure(NODE, instance_id, more)
    assert backend.macs(instance_id, live=True) == _macs(more)


@pytest.mark.usefixtures("with_plugging")
async def test_a_guest_that_does_not_let_go_keeps_it(
    backend: Backend, driver: Driver, instance_id: str
) -> None:
    if not backend.can_hold_on:
        pytest.skip("this hypervisor's guests hold on to nothing")
    spec = await spawn(backend, instance_id, backend.spec(image=backend.deaf))
    await driver.power_on(NODE, instance_id)
    backend.lose_patience()
    less = spec.model_copy(update={"networks": []})
    with pytest.raises(OperationFailed, match=spec.networks[0].mac):
        await driver.reconfigure(NODE, instance_id, less)
    assert backend.macs(instance_id) == _macs(spec)
    await driver.power_off(NODE, instance_id, 0)
    await driver.reconfigure(NODE, instance_id, less)
    assert backend.macs(instance_id) == []


@pytest.mark.usefixtures("with_plugging")
async def test_a_paused_guest_takes_it_and_cannot_let_go(
    backend: Backend, driver: Driver, instance_id: str
) -> None:
    spec = await bring_to(backend, instance_id, PowerState.PAUSED)
    more = _with_another(backend, spec)
    await driver.reconfigure(NODE, instance_id, more)
    assert backend.macs(instance_id, live=True) == _macs(more)
    assert await power(driver, instance_id) is PowerState.PAUSED
    if backend.can_hold_on:
        with pytest.raises(OperationFailed, match="paused"):
            await driver.reconfigure(NODE, instance_id, spec)


@pytest.mark.usefixtures("with_plugging")
async def test_an_interface_with_another_address_may_send_from_that(
    backend: Backend, driver: Driver, instance_id: str
) -> None:
    spec = await bring_to(backend, instance_id, PowerState.RUNNING)
    address = backend.spec().networks[0].address
    moved = spec.networks[0].model_copy(update={"address": address})
    await driver.reconfigure(NODE, instance_id, spec.model_copy(update={"networks": [moved]}))
    assert backend.macs(instance_id, live=True) == _macs(spec)
    assert address in backend.addresses(instance_id) or not backend.can_hold_on
