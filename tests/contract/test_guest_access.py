"""Passwords and crash dumps."""

from __future__ import annotations

import asyncio

import pytest

from cairn_agent.drivers.api import Capability, MachineNotFound, Unsupported, WrongPowerState
from cairn_agent.drivers.api_operations import GuestAgentMissing
from cairn_agent.drivers.driver import Driver
from cairn_crds.instance import PowerState
from contract.backends import NODE, PATIENCE, Backend
from contract.machines import bring_to, spawn

HASH = "$6$salt$" + "x" * 86


@pytest.fixture
def with_passwords(driver: Driver) -> None:
    if Capability.SET_PASSWORD not in driver.capabilities:
        pytest.skip("this hypervisor sets no passwords, and says so")


@pytest.fixture
def with_dumps(driver: Driver) -> None:
    if Capability.CRASH_DUMP not in driver.capabilities:
        pytest.skip("this hypervisor sends no NMIs, and says so")


async def test_a_missing_capability_is_unsupported(
    backend: Backend, driver: Driver, instance_id: str
) -> None:
    await bring_to(backend, instance_id, PowerState.RUNNING, backend.bare_spec())
    if Capability.SET_PASSWORD not in driver.capabilities:
        with pytest.raises(Unsupported):
            await driver.set_password(NODE, instance_id, "root", HASH)
    if Capability.CRASH_DUMP not in driver.capabilities:
        with pytest.raises(Unsupported):
            await driver.crash_dump(NODE, instance_id)


@pytest.mark.usefixtures("with_passwords")
@pytest.mark.parametrize("agent", ["no", "yes"])
async def test_a_guest_without_an_agent_has_no_new_password(
    backend: Backend, driver: Driver, instance_id: str, agent: str
) -> None:
    image = backend.deaf.model_copy(update={"properties": {"hw_qemu_guest_agent": agent}})
    await spawn(backend, instance_id, backend.bare_spec(image=image))
    await driver.power_on(NODE, instance_id)
    backend.silence_agent(instance_id)
    backend.lose_patience()
    with pytest.raises(GuestAgentMissing):
        await driver.set_password(NODE, instance_id, "root", HASH)


@pytest.mark.usefixtures("with_passwords")
@pytest.mark.parametrize("state", [PowerState.SHUTDOWN, PowerState.PAUSED, PowerState.SUSPENDED])
async def test_only_a_running_guest_has_a_new_password(
    backend: Backend, driver: Driver, instance_id: str, state: PowerState
) -> None:
    await bring_to(backend, instance_id, state, backend.bare_spec())
    with pytest.raises(WrongPowerState):
        await driver.set_password(NODE, instance_id, "root", HASH)


@pytest.mark.usefixtures("with_passwords", "with_dumps")
async def test_there_must_be_a_machine(driver: Driver, instance_id: str) -> None:
    with pytest.raises(MachineNotFound):
        await driver.set_password(NODE, instance_id, "root", HASH)
    with pytest.raises(MachineNotFound):
        await driver.crash_dump(NODE, instance_id)


@pytest.mark.usefixtures("with_dumps")
async def test_the_guest_gets_an_nmi(backend: Backend, driver: Driver, instance_id: str) -> None:
    await spawn(backend, instance_id, backend.bare_spec())
    await driver.power_on(NODE, instance_id)
    await backend.greeted(instance_id)
    await driver.crash_dump(NODE, instance_id)
    async with asyncio.timeout(PATIENCE):
        log = b""
        while b"NMI received" not in log:
            await asyncio.sleep(0.02)
            log = await driver.console_log(NODE, instance_id, 1024)


@pytest.mark.usefixtures("with_dumps")
@pytest.mark.parametrize("state", [PowerState.SHUTDOWN, PowerState.SUSPENDED])
async def test_only_a_guest_that_is_there_gets_one(
    backend: Backend, driver: Driver, instance_id: str, state: PowerState
) -> None:
    await bring_to(backend, instance_id, state, backend.bare_spec())
    with pytest.raises(WrongPowerState):
        await driver.crash_dump(NODE, instance_id)
