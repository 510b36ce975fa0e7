"""Looking at and typing into machines, where the driver can."""

from __future__ import annotations

import asyncio

import pytest

from cairn_agent.drivers.api import Capability, MachineNotFound, Unsupported, WrongPowerState
from cairn_agent.drivers.driver import Driver
from cairn_crds.instance import PowerState
from contract.backends import NODE, PATIENCE, Backend
from contract.machines import bring_to, spawn


@pytest.fixture
def with_consoles(driver: Driver) -> None:
    if not {Capability.CONSOLE_LOG, Capability.SERIAL_CONSOLE} <= driver.capabilities:
        pytest.skip("this hypervisor has no consoles, and says so")


async def _log_with(backend: Backend, instance_id: str, greetings: int) -> bytes:
    async with asyncio.timeout(PATIENCE):
        while True:
            log = await backend.driver.console_log(NODE, instance_id, 1024**2)
            if log.count(backend.greeting) >= greetings:
                return log
            await asyncio.sleep(0.02)


@pytest.mark.usefixtures("with_consoles")
async def test_the_log_has_what_the_guest_wrote(backend: Backend, driver: Driver, instance_id: str) -> None:
    await bring_to(backend, instance_id, PowerState.RUNNING, backend.bare_spec())
    log = await _log_with(backend, instance_id, greetings=1)
    assert await driver.console_log(NODE, instance_id, 5) == log[-5:]
    assert await driver.console_log(NODE, instance_id, 0) == b""


@pytest.mark.usefixtures("with_consoles")
async def test_the_log_outlives_power_cycles(backend: Backend, driver: Driver, instance_id: str) -> None:
    await bring_to(backend, instance_id, PowerState.RUNNING, backend.bare_spec())
    await _log_with(backend, instance_id, greetings=1)
    await driver.power_off(NODE, instance_id, 0)
    await _log_with(backend, instance_id, greetings=1)
    await driver.power_on(NODE, instance_id)
    await _log_with(backend, instance_id, greetings=2)


@pytest.mark.usefixtures("with_consoles")
async def test_a_machine_that_never_ran_has_an_empty_log(
    backend: Backend, driver: Driver, instance_id: str
) -> None:
    await spawn(backend, instance_id, backend.bare_spec())
    assert await driver.console_log(NODE, instance_id, 100) == b""
    with pytest.raises(MachineNotFound):
        await driver.console_log(NODE, instance_id[:-4] + "0000", 100)


@pytest.mark.usefixtures("with_consoles")
async def test_the_serial_console_reaches_the_guest(
    backend: Backend, driver: Driver, instance_id: str
) -> None:
    await bring_to(backend, instance_id, PowerState.RUNNING, backend.bare_spec())
    await _log_with(backend, instance_id, greetings=1)
    path = await driver.serial_console(NODE, instance_id)
    for _ in range(2):
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(b"are you there?")
        async with asyncio.timeout(PATIENCE):
            await reader.readuntil(b"are you there?")
        writer.close()
        await writer.wait_closed()
    assert b"are you there?" in await driver.console_log(NODE, instance_id, 1024)


@pytest.mark.usefixtures("with_consoles")
async def test_a_machine_that_is_off_has_no_serial_console(
    backend: Backend, driver: Driver, instance_id: str
) -> None:
    await spawn(backend, instance_id, backend.bare_spec())
    with pytest.raises(WrongPowerState):
        await driver.serial_console(NODE, instance_id)


async def test_a_missing_capability_is_unsupported(
    backend: Backend, driver: Driver, instance_id: str
) -> None:
    await bring_to(backend, instance_id, PowerState.RUNNING, backend.bare_spec())
    if Capability.CONSOLE_LOG not in driver.capabilities:
        with pytest.raises(Unsupported):
            await driver.console_log(NODE, instance_id, 10)
    if Capability.SERIAL_CONSOLE not in driver.capabilities:
        with pytest.raises(Unsupported):
            await driver.serial_console(NODE, instance_id)
