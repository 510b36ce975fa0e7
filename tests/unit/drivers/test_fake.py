"""What tests can order from the fake driver, and what it keeps over a restart."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from cairn_agent.drivers.api import DriverError, MachineEvent, Step
from cairn_agent.drivers.fake import FakeDriver
from cairn_agent.drivers.settings import FakeCapacity, FakeSettings
from cairn_crds.instance import PowerState
from unit.drivers.specs import INSTANCE_ID, guest


async def _report(_step: Step) -> None:
    return


async def test_an_ordered_failure_hits_as_often_as_ordered() -> None:
    driver = FakeDriver()
    driver.faults.fails("spawn.disk", DriverError("no"), times=2)
    for _ in range(2):
        with pytest.raises(DriverError, match="no"):
            await driver.spawn("n", INSTANCE_ID, guest(), _report)
    await driver.spawn("n", INSTANCE_ID, guest(), _report)


async def test_a_blocked_call_goes_on_when_told() -> None:
    driver = FakeDriver()
    await driver.spawn("n", INSTANCE_ID, guest(), _report)
    gate = driver.faults.blocks("power_on")
    call = asyncio.create_task(driver.power_on("n", INSTANCE_ID))
    await asyncio.sleep(0)
    state = await driver.get("n", INSTANCE_ID)
    assert state is not None
    assert state.power_state is PowerState.SHUTDOWN
    gate.set()
    await call
    state = await driver.get("n", INSTANCE_ID)
    assert state is not None
    assert state.power_state is PowerState.RUNNING


async def test_an_unhealthy_hypervisor_says_so() -> None:
    driver = FakeDriver()
    driver.faults.fails("healthy", DriverError("down"))
    assert not await driver.healthy()
    driver.faults.heals("healthy")
    assert await driver.healthy()


async def test_nodes_have_what_is_set() -> None:
    small = FakeCapacity(vcpus=2, memory_mib=512, disk_gib=10)
    driver = FakeDriver(FakeSettings(node_capacity={"small": small}))
    assert (await driver.inventory("small")).vcpus == 2
    assert (await driver.inventory("other")).vcpus == FakeCapacity().vcpus


async def test_an_agent_killed_in_mid_spawn_finds_what_was_made(tmp_path: Path) -> None:
    settings = FakeSettings(directory=tmp_path)
    killed = FakeDriver(settings)
    killed.faults.fails("spawn.disk", DriverError("killed"))
    with pytest.raises(DriverError):
        await killed.spawn("n", INSTANCE_ID, guest(), _report)

    driver = FakeDriver(settings)
    await driver.open(lambda _event: None)
    steps: list[Step] = []

    async def note(step: Step) -> None:
        steps.append(step)

    await driver.spawn("n", INSTANCE_ID, guest(), note)
    assert steps == [Step.DISK, Step.DEFINE]


async def test_events_come_after_the_call_that_caused_them() -> None:
    driver = FakeDriver()
    events: list[MachineEvent] = []
    await driver.open(events.append)
    await driver.spawn("n", INSTANCE_ID, guest(), _report)
    driver.crash(INSTANCE_ID)
    assert events == []
    await asyncio.sleep(0)
    assert set(events) == {MachineEvent("n", INSTANCE_ID)}
