"""Steps that many tests take."""

from __future__ import annotations

import asyncio
import uuid

from cairn_agent.drivers.api import Step
from cairn_agent.drivers.api_operations import MachineOperation
from cairn_agent.drivers.driver import Driver
from cairn_crds.guest import GuestSpec
from cairn_crds.instance import PowerState
from contract.backends import NODE, PATIENCE, Backend


class Cut(Exception):
    """Stands for the agent being killed."""


class Steps:
    """Notes the steps that a spawn reports, and can cut it off at one of them."""

    def __init__(self, cut_at: Step | None = None) -> None:
        self.seen: list[Step] = []
        self._cut_at = cut_at

    async def __call__(self, step: Step) -> None:
        if step is self._cut_at:
            raise Cut
        self.seen.append(step)


async def spawn(backend: Backend, instance_id: str, spec: GuestSpec | None = None) -> GuestSpec:
    """A complete machine, shut down."""
    spec = spec or backend.spec()
    await backend.driver.spawn(NODE, instance_id, spec, Steps())
    return spec


def operation(instance_id: str, spec: GuestSpec) -> MachineOperation:
    """An operation with an id of its own."""
    return MachineOperation(NODE, instance_id, str(uuid.uuid4()), spec)


async def power(driver: Driver, instance_id: str) -> PowerState | None:
    """The machine's power state; None where there is none."""
    state = await driver.get(NODE, instance_id)
    return None if state is None else state.power_state


async def bring_to(
    backend: Backend, instance_id: str, state: PowerState, spec: GuestSpec | None = None
) -> GuestSpec:
    """Spawn a machine and bring it to a power state."""
    spec = await spawn(backend, instance_id, spec)
    driver = backend.driver
    if state is PowerState.SHUTDOWN:
        return spec
    await driver.power_on(NODE, instance_id)
    if state is PowerState.PAUSED:
        await driver.pause(NODE, instance_id)
    elif state is PowerState.SUSPENDED:
        await driver.suspend(NODE, instance_id)
    elif state is PowerState.CRASHED:
        backend.crash(instance_id)
        # An event may still be one of its start.
        async with asyncio.timeout(PATIENCE):
            crashed = False
            while not crashed:
                await asyncio.sleep(0.02)
                crashed = await power(driver, instance_id) is state
    assert await power(driver, instance_id) is state
    return spec
