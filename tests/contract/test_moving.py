"""Cold migration: the same machine with the same disks, on another host."""

from __future__ import annotations

import pytest

from cairn_agent.drivers.api import DiskTooSmall, MachineNotFound, MachineState, Step, WrongPowerState
from cairn_agent.drivers.driver import Driver
from cairn_crds.guest import GuestSpec
from cairn_crds.instance import PowerState
from contract.backends import NODE, Backend, Shape
from contract.machines import Cut, Steps, bring_to, operation, power, spawn
from contract.pairs import THERE, Lost, Pair, arrival

SMALL = {"vcpus": 1, "memory_mib": 32, "root_disk_gib": 1}
LARGE = {"vcpus": 2, "memory_mib": 48, "root_disk_gib": 2}
NOT_OFF = [PowerState.RUNNING, PowerState.PAUSED, PowerState.SUSPENDED]


async def _with_disk(pair: Pair, instance_id: str, **size: int) -> GuestSpec:
    spec = await spawn(pair.source, instance_id, pair.source.spec(**(size or SMALL)))
    pair.source.scribble(instance_id, "mine")
    return spec


@pytest.mark.parametrize("state", NOT_OFF)
async def test_only_a_machine_that_is_off_hands_its_disks_out(
    backend: Backend, driver: Driver, instance_id: str, state: PowerState
) -> None:
    await bring_to(backend, instance_id, state)
    with pytest.raises(WrongPowerState):
        await driver.export_disks(NODE, instance_id, "move")


async def test_a_machine_that_is_not_there_has_no_disks(driver: Driver, instance_id: str) -> None:
    with pytest.raises(MachineNotFound):
        await driver.export_disks(NODE, instance_id, "move")


async def test_it_is_complete_there_and_still_here(pair: Pair, instance_id: str) -> None:
    spec = await _with_disk(pair, instance_id)
    courier = await pair.disks(instance_id, "move")
    there = pair.destination.driver
    await there.import_disks(arrival(instance_id, spec), courier.source, Steps())
    expected = MachineState(instance_id, PowerState.SHUTDOWN, fencing_epoch=4, complete=True)
    assert await there.get(THERE, instance_id) == expected
    assert pair.destination.disk_text(instance_id) == "listening mine"
    assert pair.destination.shape(instance_id) == Shape(**SMALL)
    await there.power_on(THERE, instance_id)
    assert await pair.power_there(instance_id) is PowerState.RUNNING

    assert await power(pair.source.driver, instance_id) is PowerState.SHUTDOWN
    await pair.source.driver.destroy(NODE, instance_id)
    assert pair.source.leftovers(instance_id, spec) == []
    assert await pair.power_there(instance_id) is PowerState.RUNNING


async def test_it_arrives_larger(pair: Pair, instance_id: str) -> None:
    spec = await _with_disk(pair, instance_id)
    courier = await pair.disks(instance_id, "move")
    larger = arrival(instance_id, spec.model_copy(update=LARGE))
    await pair.destination.driver.import_disks(larger, courier.source, Steps())
    assert pair.destination.shape(instance_id) == Shape(**LARGE)
    assert pair.destination.disk_text(instance_id) == "listening mine"


async def test_it_does_not_arrive_smaller(pair: Pair, instance_id: str) -> None:
    spec = await _with_disk(pair, instance_id, **LARGE)
    courier = await pair.disks(instance_id, "move")
    smaller = arrival(instance_id, spec.model_copy(update=SMALL))
    with pytest.raises(DiskTooSmall):
        await pair.destination.driver.import_disks(smaller, courier.source, Steps())
    assert await pair.power_there(instance_id) is None
    await pair.destination.driver.destroy(THERE, instance_id)
    assert pair.destination.leftovers(instance_id, spec) == []


async def test_a_complete_machine_is_left_alone(pair: Pair, instance_id: str) -> None:
    spec = await _with_disk(pair, instance_id)
    move = arrival(instance_id, spec)
    courier = await pair.disks(instance_id, "move")
    await pair.destination.driver.import_disks(move, courier.source, Steps())
    pair.destination.scribble(instance_id, "later")
    there = await pair.destination.restart() if pair.destination.survives_restart else pair.destination.driver
    steps = Steps()
    await there.import_disks(move, courier.source, steps)
    assert steps.seen == []
    assert pair.destination.disk_text(instance_id) == "listening mine later"


@pytest.mark.parametrize("step", list(Step))
async def test_cut_off_at_a_step_the_next_try_does_the_rest(pair: Pair, instance_id: str, step: Step) -> None:
    spec = await _with_disk(pair, instance_id)
    move = arrival(instance_id, spec)
    courier = await pair.disks(instance_id, "move")
    there = pair.destination.driver
    with pytest.raises(Cut):
        await there.import_disks(move, courier.source, Steps(cut_at=step))
    assert await pair.power_there(instance_id) is None
    await there.import_disks(move, courier.source, Steps())
    assert pair.destination.disk_text(instance_id) == "listening mine"
    await there.destroy(THERE, instance_id)
    assert pair.destination.leftovers(instance_id, spec) == []


async def test_a_connection_that_breaks_is_no_disk(pair: Pair, instance_id: str) -> None:
    spec = await _with_disk(pair, instance_id)
    move = arrival(instance_id, spec)
    courier = await pair.disks(instance_id, "move")
    courier.lose = ["disk"]
    with pytest.raises(Lost):
        await pair.destination.driver.import_disks(move, courier.source, Steps())
    assert await pair.power_there(instance_id) is None
    courier.lose = []
    await pair.destination.driver.import_disks(move, courier.source, Steps())
    assert pair.destination.disk_text(instance_id) == "listening mine"


async def test_what_was_moved_can_come_back(pair: Pair, instance_id: str) -> None:
    spec = await _with_disk(pair, instance_id)
    courier = await pair.disks(instance_id, "move")
    await pair.destination.driver.import_disks(arrival(instance_id, spec), courier.source, Steps())
    await pair.source.driver.destroy(NODE, instance_id)
    pair.destination.scribble(instance_id, "there")
    back = Pair(pair.destination, pair.source)
    exported = await back.source.driver.export_disks(THERE, instance_id, "back")
    courier.paths = {disk.name: disk.path for disk in exported}
    await pair.source.driver.import_disks(operation(instance_id, spec), courier.source, Steps())
    assert pair.source.disk_text(instance_id) == "listening mine there"
