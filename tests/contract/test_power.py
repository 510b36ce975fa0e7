"""Power changes, from every state."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from cairn_agent.drivers.api import Capability, MachineNotFound, Step, WrongPowerState
from cairn_agent.drivers.driver import Driver
from cairn_crds.instance import PowerState, RebootType
from contract.backends import NODE, PATIENCE, Backend
from contract.machines import Cut, Steps, bring_to, power, spawn

STATES = [
    PowerState.SHUTDOWN,
    PowerState.RUNNING,
    PowerState.PAUSED,
    PowerState.SUSPENDED,
    PowerState.CRASHED,
]
OFF = {PowerState.SHUTDOWN, PowerState.CRASHED}

Call = Callable[[Driver, str], Awaitable[None]]
CALLS: dict[str, Call] = {
    "power_on": lambda driver, id_: driver.power_on(NODE, id_),
    "power_off": lambda driver, id_: driver.power_off(NODE, id_, 0),
    "pause": lambda driver, id_: driver.pause(NODE, id_),
    "suspend": lambda driver, id_: driver.suspend(NODE, id_),
    "soft_reboot": lambda driver, id_: driver.reboot(NODE, id_, RebootType.SOFT),
    "hard_reboot": lambda driver, id_: driver.reboot(NODE, id_, RebootType.HARD),
}
ENDS: dict[str, dict[PowerState, PowerState | None]] = {
    "power_on": dict.fromkeys(STATES, PowerState.RUNNING),
    "power_off": dict.fromkeys(STATES, PowerState.SHUTDOWN),
    "pause": {
        PowerState.SHUTDOWN: None,
        PowerState.RUNNING: PowerState.PAUSED,
        PowerState.PAUSED: PowerState.PAUSED,
        PowerState.SUSPENDED: None,
        PowerState.CRASHED: None,
    },
    "suspend": {
        PowerState.SHUTDOWN: None,
        PowerState.RUNNING: PowerState.SUSPENDED,
        PowerState.PAUSED: PowerState.SUSPENDED,
        PowerState.SUSPENDED: PowerState.SUSPENDED,
        PowerState.CRASHED: None,
    },
    "hard_reboot": dict.fromkeys(STATES, PowerState.RUNNING),
}
"""Where each call ends from each state; None: it is refused and nothing changes."""


@pytest.mark.parametrize("start", STATES)
@pytest.mark.parametrize("call", ENDS)
async def test_ends_where_it_should(
    backend: Backend, driver: Driver, instance_id: str, call: str, start: PowerState
) -> None:
    if start is PowerState.CRASHED and not backend.can_crash:
        pytest.skip("this hypervisor's machines do not crash")
    await bring_to(backend, instance_id, start, backend.bare_spec())
    end = ENDS[call][start]
    if end is None:
        with pytest.raises(WrongPowerState):
            await CALLS[call](driver, instance_id)
        assert await power(driver, instance_id) is start
    else:
        await CALLS[call](driver, instance_id)
        assert await power(driver, instance_id) is end


async def test_a_paused_machine_that_was_suspended_runs_when_powered_on(
    backend: Backend, driver: Driver, instance_id: str
) -> None:
    await bring_to(backend, instance_id, PowerState.PAUSED)
    await driver.suspend(NODE, instance_id)
    await driver.power_on(NODE, instance_id)
    assert await power(driver, instance_id) is PowerState.RUNNING


async def test_a_guest_that_listens_shuts_itself_down(
    backend: Backend, driver: Driver, instance_id: str
) -> None:
    await spawn(backend, instance_id, backend.bare_spec())
    await driver.power_on(NODE, instance_id)
    await _booted(backend, instance_id, boots=1)
    async with asyncio.timeout(PATIENCE):
        await driver.power_off(NODE, instance_id, graceful_seconds=10 * PATIENCE)
    assert await power(driver, instance_id) is PowerState.SHUTDOWN


async def test_a_guest_that_does_not_listen_has_its_plug_pulled(
    backend: Backend, driver: Driver, instance_id: str
) -> None:
    await spawn(backend, instance_id, backend.bare_spec(image=backend.deaf))
    await driver.power_on(NODE, instance_id)
    await driver.power_off(NODE, instance_id, graceful_seconds=0.3)
    assert await power(driver, instance_id) is PowerState.SHUTDOWN


async def test_a_paused_guest_is_not_waited_for(backend: Backend, driver: Driver, instance_id: str) -> None:
    await bring_to(backend, instance_id, PowerState.PAUSED, backend.bare_spec())
    async with asyncio.timeout(PATIENCE):
        await driver.power_off(NODE, instance_id, graceful_seconds=10 * PATIENCE)
    assert await power(driver, instance_id) is PowerState.SHUTDOWN


@pytest.mark.parametrize("kind", list(RebootType))
async def test_a_rebooted_guest_boots_again(
    backend: Backend, driver: Driver, instance_id: str, kind: RebootType
) -> None:
    await spawn(backend, instance_id, backend.bare_spec())
    await driver.power_on(NODE, instance_id)
    await _booted(backend, instance_id, boots=1)
    await driver.reboot(NODE, instance_id, kind)
    assert await power(driver, instance_id) is PowerState.RUNNING
    await _booted(backend, instance_id, boots=2)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("unfinished", [False, True], ids=["absent", "incomplete"])
async def test_there_must_be_a_complete_machine(
    backend: Backend, driver: Driver, instance_id: str, call: str, unfinished: bool
) -> None:
    if unfinished:
        with pytest.raises(Cut):
            await driver.spawn(NODE, instance_id, backend.bare_spec(), Steps(cut_at=Step.DEFINE))
    with pytest.raises(MachineNotFound):
        await CALLS[call](driver, instance_id)


@pytest.mark.parametrize("state", [PowerState.RUNNING, PowerState.PAUSED, PowerState.SUSPENDED])
async def test_the_next_agent_finds_machines_as_they_were(
    backend: Backend, instance_id: str, state: PowerState
) -> None:
    await bring_to(backend, instance_id, state, backend.bare_spec())
    before = await backend.driver.get(NODE, instance_id)
    driver = await backend.restart()
    assert await driver.get(NODE, instance_id) == before
    assert list(await driver.machines(NODE)) == [before]


async def _booted(backend: Backend, instance_id: str, boots: int) -> None:
    """Until the guest has come up `boots` times, as far as the driver lets one see it."""
    if Capability.CONSOLE_LOG not in backend.driver.capabilities:
        return
    async with asyncio.timeout(PATIENCE):
        while True:
            log = await backend.driver.console_log(NODE, instance_id, 1024**2)
            if log.count(backend.greeting) >= boots:
                return
            await asyncio.sleep(0.02)
