"""Rebuild, rescue and resize: what they make, what they keep, and once per operation."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from cairn_agent.drivers.api import (
    Capability,
    DiskTooSmall,
    ImageUnavailable,
    MachineNotFound,
    Step,
    WrongPowerState,
)
from cairn_agent.drivers.api_operations import MachineOperation
from cairn_agent.drivers.driver import Driver
from cairn_crds.instance import PowerState
from contract.backends import NODE, Backend, Shape
from contract.machines import Cut, Steps, bring_to, operation, power, spawn

STATES = [PowerState.SHUTDOWN, PowerState.RUNNING, PowerState.PAUSED, PowerState.SUSPENDED]
SMALL = {"vcpus": 1, "memory_mib": 32, "root_disk_gib": 1}
LARGE = {"vcpus": 2, "memory_mib": 48, "root_disk_gib": 2}

Call = Callable[[Backend, MachineOperation], Awaitable[object]]
CALLS: dict[str, Call] = {
    "rebuild": lambda backend, op: backend.driver.rebuild(op, Steps()),
    "rescue": lambda backend, op: backend.driver.rescue(op, backend.deaf),
    "unrescue": lambda backend, op: backend.driver.unrescue(op),
    "resize": lambda backend, op: backend.driver.resize(op),
    "confirm_resize": lambda backend, op: backend.driver.confirm_resize(op),
    "revert_resize": lambda backend, op: backend.driver.revert_resize(op),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("unfinished", [False, True], ids=["absent", "incomplete"])
async def test_there_must_be_a_complete_machine(
    backend: Backend, driver: Driver, instance_id: str, call: str, unfinished: bool
) -> None:
    if unfinished:
        with pytest.raises(Cut):
            await driver.spawn(NODE, instance_id, backend.bare_spec(), Steps(cut_at=Step.DEFINE))
    with pytest.raises(MachineNotFound):
        await CALLS[call](backend, operation(instance_id, backend.bare_spec()))


async def test_every_driver_can_reshape(driver: Driver) -> None:
    assert {Capability.REBUILD, Capability.RESCUE, Capability.RESIZE} <= driver.capabilities


# Rebuild


@pytest.mark.parametrize("state", STATES)
async def test_a_rebuilt_machine_is_off_with_new_disks(
    backend: Backend, driver: Driver, instance_id: str, state: PowerState
) -> None:
    spec = await spawn(backend, instance_id, backend.bare_spec())
    backend.scribble(instance_id, "old")
    await _bring(backend, instance_id, state)
    steps = Steps()
    await driver.rebuild(operation(instance_id, spec.model_copy(update={"image": backend.deaf})), steps)
    assert await power(driver, instance_id) is PowerState.SHUTDOWN
    assert backend.disk_text(instance_id) == "deaf"
    assert {Step.IMAGE, Step.DISK} <= set(steps.seen)
    await driver.power_on(NODE, instance_id)
    assert await power(driver, instance_id) is PowerState.RUNNING


async def test_a_rebuild_with_the_same_image_is_a_new_disk_too(
    backend: Backend, driver: Driver, instance_id: str
) -> None:
    spec = await spawn(backend, instance_id, backend.bare_spec())
    backend.scribble(instance_id, "old")
    await driver.rebuild(operation(instance_id, spec), Steps())
    assert backend.disk_text(instance_id) == "listening"


async def test_a_rebuild_is_done_once(backend: Backend, instance_id: str) -> None:
    spec = await spawn(backend, instance_id, backend.bare_spec())
    rebuild = operation(instance_id, spec)
    await backend.driver.rebuild(rebuild, Steps())
    backend.scribble(instance_id, "new")
    driver = await backend.restart()
    await driver.power_on(NODE, instance_id)
    await driver.rebuild(rebuild, Steps())
    assert await power(driver, instance_id) is PowerState.RUNNING
    await driver.power_off(NODE, instance_id, 0)
    assert backend.disk_text(instance_id) == "listening new"


@pytest.mark.parametrize("step", [Step.IMAGE, Step.DISK])
async def test_a_rebuild_that_was_cut_off_goes_on(backend: Backend, instance_id: str, step: Step) -> None:
    spec = await spawn(backend, instance_id)
    backend.scribble(instance_id, "old")
    await backend.driver.power_on(NODE, instance_id)
    rebuild = operation(instance_id, spec.model_copy(update={"image": backend.deaf}))
    with pytest.raises(Cut):
        await backend.driver.rebuild(rebuild, Steps(cut_at=step))
    driver = await backend.restart()
    await driver.rebuild(rebuild, Steps())
    assert backend.disk_text(instance_id) == "deaf"
    assert await power(driver, instance_id) is PowerState.SHUTDOWN
    await driver.destroy(NODE, instance_id)
    assert backend.leftovers(instance_id, spec) == []


# Rescue


@pytest.mark.parametrize("state", STATES)
async def test_a_rescued_machine_runs_and_comes_back(
    backend: Backend, driver: Driver, instance_id: str, state: PowerState
) -> None:
    spec = await spawn(backend, instance_id, backend.bare_spec())
    backend.scribble(instance_id, "mine")
    await _bring(backend, instance_id, state)
    await driver.rescue(operation(instance_id, spec), backend.deaf)
    assert await power(driver, instance_id) is PowerState.RUNNING
    await driver.unrescue(operation(instance_id, spec))
    assert await power(driver, instance_id) is PowerState.SHUTDOWN
    assert backend.disk_text(instance_id) == "listening mine"
    await driver.power_on(NODE, instance_id)
    assert await power(driver, instance_id) is PowerState.RUNNING


async def test_rescue_and_unrescue_are_done_once(backend: Backend, instance_id: str) -> None:
    spec = await bring_to(backend, instance_id, PowerState.RUNNING, backend.bare_spec())
    rescue, unrescue = operation(instance_id, spec), operation(instance_id, spec)
    await backend.driver.rescue(rescue, backend.deaf)
    driver = await backend.restart()
    await driver.power_off(NODE, instance_id, 0)
    await driver.rescue(rescue, backend.deaf)
    assert await power(driver, instance_id) is PowerState.SHUTDOWN
    await driver.unrescue(unrescue)
    await driver.power_on(NODE, instance_id)
    await driver.unrescue(unrescue)
    assert await power(driver, instance_id) is PowerState.RUNNING


async def test_a_rescued_machine_leaves_nothing(backend: Backend, driver: Driver, instance_id: str) -> None:
    spec = await spawn(backend, instance_id)
    await driver.rescue(operation(instance_id, spec), backend.deaf)
    await driver.destroy(NODE, instance_id)
    assert backend.leftovers(instance_id, spec) == []


# Resize


async def test_a_resized_machine_is_larger_and_has_its_disk(
    backend: Backend, driver: Driver, instance_id: str
) -> None:
    spec = await spawn(backend, instance_id, backend.bare_spec(**SMALL))
    backend.scribble(instance_id, "mine")
    await driver.resize(operation(instance_id, spec.model_copy(update=LARGE)))
    assert await power(driver, instance_id) is PowerState.SHUTDOWN
    assert backend.shape(instance_id) == Shape(**LARGE)
    assert backend.disk_text(instance_id) == "listening mine"
    await driver.power_on(NODE, instance_id)
    assert await power(driver, instance_id) is PowerState.RUNNING


@pytest.mark.parametrize("state", STATES[1:])
async def test_only_a_machine_that_is_off_is_resized(
    backend: Backend, driver: Driver, instance_id: str, state: PowerState
) -> None:
    spec = await bring_to(backend, instance_id, state, backend.bare_spec())
    with pytest.raises(WrongPowerState):
        await driver.resize(operation(instance_id, spec.model_copy(update={"vcpus": 2})))
    assert await power(driver, instance_id) is state
    assert backend.shape(instance_id).vcpus == 1


async def test_a_disk_does_not_shrink(backend: Backend, driver: Driver, instance_id: str) -> None:
    spec = await spawn(backend, instance_id, backend.bare_spec(**LARGE))
    with pytest.raises(DiskTooSmall):
        await driver.resize(operation(instance_id, spec.model_copy(update=SMALL)))
    assert backend.shape(instance_id) == Shape(**LARGE)
    assert await power(driver, instance_id) is PowerState.SHUTDOWN


@pytest.mark.parametrize("running", [False, True])
@pytest.mark.parametrize("restarted", [False, True], ids=["same-agent", "new-agent"])
async def test_a_reverted_machine_is_as_it_was(
    backend: Backend, instance_id: str, running: bool, restarted: bool
) -> None:
    small = await spawn(backend, instance_id, backend.bare_spec(**SMALL))
    backend.scribble(instance_id, "before")
    await backend.driver.resize(operation(instance_id, small.model_copy(update=LARGE)))
    backend.scribble(instance_id, "after")
    if restarted:
        await backend.restart()
    if running:
        await backend.driver.power_on(NODE, instance_id)
    revert = operation(instance_id, small)
    await backend.driver.revert_resize(revert)
    assert await power(backend.driver, instance_id) is PowerState.SHUTDOWN
    assert backend.shape(instance_id) == Shape(**SMALL)
    assert backend.disk_text(instance_id) == "listening before"
    await backend.driver.power_on(NODE, instance_id)
    await backend.driver.revert_resize(revert)
    assert await power(backend.driver, instance_id) is PowerState.RUNNING


@pytest.mark.parametrize("running", [False, True])
async def test_a_confirmed_machine_cannot_be_reverted(
    backend: Backend, driver: Driver, instance_id: str, running: bool
) -> None:
    small = await spawn(backend, instance_id, backend.spec(**SMALL))
    large = small.model_copy(update=LARGE)
    await driver.resize(operation(instance_id, large))
    backend.scribble(instance_id, "after")
    if running:
        await driver.power_on(NODE, instance_id)
    state = await power(driver, instance_id)
    confirm = operation(instance_id, large)
    for _ in range(2):
        await driver.confirm_resize(confirm)
        assert await power(driver, instance_id) is state
    await driver.power_off(NODE, instance_id, 0)
    await driver.revert_resize(operation(instance_id, small))
    assert backend.shape(instance_id) == Shape(**LARGE)
    assert backend.disk_text(instance_id) == "listening after"
    assert backend.macs(instance_id) == [network.mac for network in large.networks]


async def test_a_resize_is_done_once(backend: Backend, instance_id: str) -> None:
    small = await spawn(backend, instance_id, backend.bare_spec(**SMALL))
    resize = operation(instance_id, small.model_copy(update=LARGE))
    await backend.driver.resize(resize)
    backend.scribble(instance_id, "after")
    driver = await backend.restart()
    await driver.resize(resize)
    await driver.revert_resize(operation(instance_id, small))
    assert backend.disk_text(instance_id) == "listening"
    await driver.resize(operation(instance_id, resize.spec))
    assert backend.shape(instance_id) == Shape(**LARGE)


async def test_a_rebuild_without_its_image_leaves_the_machine_alone(
    backend: Backend, driver: Driver, instance_id: str
) -> None:
    spec = await spawn(backend, instance_id, backend.bare_spec())
    backend.scribble(instance_id, "old")
    backend.break_images(ImageUnavailable("the image server is down"))
    with pytest.raises(ImageUnavailable):
        await driver.rebuild(operation(instance_id, spec), Steps())
    backend.break_images(None)
    assert backend.disk_text(instance_id) == "listening old"


async def _bring(backend: Backend, instance_id: str, state: PowerState) -> None:
    """From SHUTDOWN."""
    driver = backend.driver
    if state is PowerState.SHUTDOWN:
        return
    await driver.power_on(NODE, instance_id)
    if state is PowerState.PAUSED:
        await driver.pause(NODE, instance_id)
    elif state is PowerState.SUSPENDED:
        await driver.suspend(NODE, instance_id)
