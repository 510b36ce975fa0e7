"""Images of machines: of one moment, once per operation, and without a trace."""

from __future__ import annotations

import pytest

from cairn_agent.drivers.api import Capability, MachineNotFound, Unsupported
from cairn_agent.drivers.driver import Driver
from cairn_crds.instance import PowerState
from contract.backends import NODE, Backend
from contract.machines import operation, power, spawn


@pytest.fixture
def with_snapshots(driver: Driver) -> None:
    if Capability.SNAPSHOT not in driver.capabilities:
        pytest.skip("this hypervisor makes no images, and says so")


async def test_a_missing_capability_is_unsupported(
    backend: Backend, driver: Driver, instance_id: str
) -> None:
    spec = await spawn(backend, instance_id, backend.bare_spec())
    if Capability.SNAPSHOT not in driver.capabilities:
        with pytest.raises(Unsupported):
            await driver.snapshot(operation(instance_id, spec))
    await driver.drop_snapshot(operation(instance_id, spec))


@pytest.mark.usefixtures("with_snapshots")
async def test_there_must_be_a_machine(backend: Backend, driver: Driver, instance_id: str) -> None:
    with pytest.raises(MachineNotFound):
        await driver.snapshot(operation(instance_id, backend.bare_spec()))
    await driver.drop_snapshot(operation(instance_id, backend.bare_spec()))


@pytest.mark.usefixtures("with_snapshots")
@pytest.mark.parametrize(
    "state", [PowerState.SHUTDOWN, PowerState.RUNNING, PowerState.PAUSED, PowerState.SUSPENDED]
)
async def test_the_image_is_the_disk_and_the_machine_stays_as_it_was(
    backend: Backend, driver: Driver, instance_id: str, state: PowerState
) -> None:
    spec = await spawn(backend, instance_id, backend.bare_spec())
    backend.scribble(instance_id, "mine")
    if state is not PowerState.SHUTDOWN:
        await driver.power_on(NODE, instance_id)
    if state is PowerState.PAUSED:
        await driver.pause(NODE, instance_id)
    elif state is PowerState.SUSPENDED:
        await driver.suspend(NODE, instance_id)
    snapshot = operation(instance_id, spec)
    image = await driver.snapshot(snapshot)
    assert await power(driver, instance_id) is state
    assert backend.image_text(image) == "listening mine"

    await driver.drop_snapshot(snapshot)
    assert not image.path.exists()
    await driver.drop_snapshot(snapshot)
    await driver.power_off(NODE, instance_id, 0)
    assert backend.disk_text(instance_id) == "listening mine"


@pytest.mark.usefixtures("with_snapshots")
async def test_the_same_operation_has_the_same_image(
    backend: Backend, driver: Driver, instance_id: str
) -> None:
    spec = await spawn(backend, instance_id)
    snapshot = operation(instance_id, spec)
    first = await driver.snapshot(snapshot)
    backend.scribble(instance_id, "later")
    assert await driver.snapshot(snapshot) == first
    assert backend.image_text(first) == "listening"
    second = await driver.snapshot(operation(instance_id, spec))
    assert backend.image_text(second) == "listening later"
    await driver.destroy(NODE, instance_id)
    assert backend.leftovers(instance_id, spec) == []
    assert not first.path.exists()
