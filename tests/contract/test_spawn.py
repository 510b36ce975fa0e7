"""Making machines: whole, once, and again after being cut off anywhere."""

from __future__ import annotations

import asyncio
import uuid

import pytest

from cairn_agent.drivers.api import ImageUnavailable, MachineState, Step
from cairn_agent.drivers.driver import Driver
from cairn_crds.instance import PowerState
from contract.backends import NODE, Backend
from contract.machines import Cut, Steps, power, spawn

ALL_STEPS = list(Step)
CONCURRENT = 6


async def test_makes_a_complete_machine_that_is_shut_down(backend: Backend, instance_id: str) -> None:
    await spawn(backend, instance_id)
    expected = MachineState(instance_id, PowerState.SHUTDOWN, fencing_epoch=3, complete=True)
    assert await backend.driver.get(NODE, instance_id) == expected
    assert list(await backend.driver.machines(NODE)) == [expected]


async def test_reports_every_step_in_order(backend: Backend, driver: Driver, instance_id: str) -> None:
    steps = Steps()
    await driver.spawn(NODE, instance_id, backend.spec(), steps)
    assert steps.seen == ALL_STEPS


@pytest.mark.parametrize("running", [False, True])
async def test_does_nothing_to_a_complete_machine(
    backend: Backend, driver: Driver, instance_id: str, running: bool
) -> None:
    spec = await spawn(backend, instance_id)
    if running:
        await driver.power_on(NODE, instance_id)
    before = await driver.get(NODE, instance_id)
    steps = Steps()
    await driver.spawn(NODE, instance_id, spec, steps)
    assert steps.seen == []
    assert await driver.get(NODE, instance_id) == before


async def test_without_networks_or_config_drive_there_are_fewer_steps(
    backend: Backend, driver: Driver, instance_id: str
) -> None:
    bare = backend.spec(networks=[])
    bare = bare.model_copy(update={"config": bare.config.model_copy(update={"config_drive": False})})
    steps = Steps()
    await driver.spawn(NODE, instance_id, bare, steps)
    assert steps.seen == [Step.IMAGE, Step.DISK, Step.DEFINE]
    await driver.power_on(NODE, instance_id)
    assert await power(driver, instance_id) is PowerState.RUNNING


@pytest.mark.parametrize("restarted", [False, True], ids=["same-agent", "new-agent"])
@pytest.mark.parametrize("step", ALL_STEPS)
async def test_cut_off_at_a_step_the_next_try_does_the_rest(
    backend: Backend, instance_id: str, step: Step, restarted: bool
) -> None:
    spec = backend.spec()
    with pytest.raises(Cut):
        await backend.driver.spawn(NODE, instance_id, spec, Steps(cut_at=step))
    if restarted:
        await backend.restart()
    state = await backend.driver.get(NODE, instance_id)
    if step is Step.IMAGE:
        assert state is None
    else:
        assert state == MachineState(instance_id, PowerState.NO_STATE, fencing_epoch=3, complete=False)
        assert list(await backend.driver.machines(NODE)) == [state]

    again = Steps()
    await backend.driver.spawn(NODE, instance_id, spec, again)
    assert again.seen == ALL_STEPS[ALL_STEPS.index(step) :]
    await backend.driver.power_on(NODE, instance_id)
    assert await power(backend.driver, instance_id) is PowerState.RUNNING


@pytest.mark.parametrize("step", ALL_STEPS)
async def test_cut_off_at_a_step_destroy_leaves_nothing(
    backend: Backend, driver: Driver, instance_id: str, step: Step
) -> None:
    spec = backend.spec()
    with pytest.raises(Cut):
        await driver.spawn(NODE, instance_id, spec, Steps(cut_at=step))
    await driver.destroy(NODE, instance_id)
    assert await driver.get(NODE, instance_id) is None
    assert backend.leftovers(instance_id, spec) == []


@pytest.mark.parametrize("step", ALL_STEPS)
async def test_cancelled_after_a_step_began_destroy_leaves_nothing(
    backend: Backend, driver: Driver, instance_id: str, step: Step
) -> None:
    spec = backend.spec()
    reached = asyncio.Event()

    async def report(now: Step) -> None:
        if now is step:
            reached.set()

    task = asyncio.create_task(driver.spawn(NODE, instance_id, spec, report))
    await reached.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await driver.destroy(NODE, instance_id)
    assert await driver.get(NODE, instance_id) is None
    assert backend.leftovers(instance_id, spec) == []


async def test_a_machine_without_an_image_fails_and_succeeds_once_it_is_there(
    backend: Backend, driver: Driver, instance_id: str
) -> None:
    backend.break_images(ImageUnavailable("the image server is down"))
    with pytest.raises(ImageUnavailable):
        await spawn(backend, instance_id)
    assert await driver.machines(NODE) == []
    backend.break_images(None)
    await spawn(backend, instance_id)
    assert await power(driver, instance_id) is PowerState.SHUTDOWN


async def test_makes_an_undefined_machine_whole_again(
    backend: Backend, driver: Driver, instance_id: str
) -> None:
    spec = await spawn(backend, instance_id)
    backend.undefine(instance_id)
    assert await driver.get(NODE, instance_id) == MachineState(
        instance_id, PowerState.NO_STATE, fencing_epoch=3, complete=False
    )
    steps = Steps()
    await driver.spawn(NODE, instance_id, spec, steps)
    assert steps.seen == [Step.DEFINE]
    assert await power(driver, instance_id) is PowerState.SHUTDOWN


async def test_a_later_try_has_the_later_epoch(backend: Backend, driver: Driver, instance_id: str) -> None:
    with pytest.raises(Cut):
        await driver.spawn(NODE, instance_id, backend.spec(), Steps(cut_at=Step.DISK))
    await spawn(backend, instance_id, backend.spec(fencing_epoch=4))
    state = await driver.get(NODE, instance_id)
    assert state is not None
    assert state.fencing_epoch == 4


async def test_many_at_once(backend: Backend, driver: Driver) -> None:
    specs = {str(uuid.uuid4()): backend.spec() for _ in range(CONCURRENT)}
    await asyncio.gather(*(spawn(backend, instance_id, spec) for instance_id, spec in specs.items()))
    await asyncio.gather(*(driver.power_on(NODE, instance_id) for instance_id in specs))
    machines = await driver.machines(NODE)
    assert {machine.instance_id for machine in machines} == set(specs)
    assert {machine.power_state for machine in machines} == {PowerState.RUNNING}
    await asyncio.gather(*(driver.destroy(NODE, instance_id) for instance_id in specs))
    assert [backend.leftovers(instance_id, spec) for instance_id, spec in specs.items()] == [[]] * CONCURRENT


async def test_a_machine_is_on_its_own_node_only(backend: Backend, driver: Driver, instance_id: str) -> None:
    await spawn(backend, instance_id)
    assert await driver.get("node-2", instance_id) is None
    assert await driver.machines("node-2") == []
    await driver.destroy("node-2", instance_id)
    assert await power(driver, instance_id) is PowerState.SHUTDOWN
