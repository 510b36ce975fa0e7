"""Volumes that take another's place in a machine."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import dataclass

import pytest

from cairn_agent.drivers.api import Capability
from cairn_agent.drivers.api_operations import Aborted, VolumeMissing
from cairn_agent.drivers.driver import Driver
from cairn_crds.guest import GuestSpec, GuestSuccessor, GuestVolume
from cairn_crds.instance import PowerState
from contract.backends import NODE, PATIENCE, Backend
from contract.machines import bring_to, power
from contract.test_volumes import having, of

STATES = [PowerState.SHUTDOWN, PowerState.RUNNING]


@dataclass
class Swap:
    """A machine that has one volume, and another one to replace that."""

    backend: Backend
    instance_id: str
    spec: GuestSpec
    volume: GuestVolume
    new_id: str

    @classmethod
    async def prepare(cls, backend: Backend, instance_id: str, state: PowerState) -> Swap:
        old_id, new_id = str(uuid.uuid4()), str(uuid.uuid4())
        driver = backend.driver
        await driver.make_volume(NODE, old_id, of(1))
        await driver.make_volume(NODE, new_id, of(2))
        backend.write_volume(old_id, "kept")
        successor = GuestSuccessor(id=str(uuid.uuid4()), volume=new_id, size_gib=2)
        volume = GuestVolume(id=old_id, size_gib=1, device="/dev/vdc", successor=successor)
        spec = await bring_to(backend, instance_id, state, backend.bare_spec())
        if state is PowerState.RUNNING:
            await backend.greeted(instance_id)
        await driver.reconfigure(NODE, instance_id, having(spec, volume))
        return cls(backend, instance_id, spec, volume, new_id)

    async def step(self) -> int:
        return await self.backend.driver.swap_volume(NODE, self.instance_id, self.volume)

    async def until_done(self) -> None:
        async with asyncio.timeout(PATIENCE):
            while await self.step() < 100:
                assert len(self.attached()) == 1
                await asyncio.sleep(0.02)

    def attached(self) -> set[str]:
        return set(self.backend.volumes(self.instance_id))

    def is_swapped(self, *, live: bool) -> bool:
        found = [self.backend.volumes(self.instance_id, live=one) for one in {False, live}]
        return all(volumes == {self.new_id: False} for volumes in found)


@pytest.fixture(params=STATES)
async def swap(request: pytest.FixtureRequest, backend: Backend, instance_id: str) -> Swap:
    if Capability.ATTACH_VOLUME not in backend.driver.capabilities:
        pytest.skip("this hypervisor has no volumes, and says so")
    return await Swap.prepare(backend, instance_id, request.param)


async def test_the_new_one_has_the_old_ones_place_and_content(swap: Swap) -> None:
    backend, driver = swap.backend, swap.backend.driver
    state = await power(driver, swap.instance_id)
    await swap.until_done()
    assert await swap.step() == 100
    assert swap.is_swapped(live=state is PowerState.RUNNING)
    assert await power(driver, swap.instance_id) is state
    after = having(swap.spec, swap.volume.succeeded)
    for _ in range(2):
        await driver.reconfigure(NODE, swap.instance_id, after)
        assert swap.is_swapped(live=state is PowerState.RUNNING)
    assert backend.volume_gib(swap.instance_id, swap.new_id) == 2
    await driver.power_off(NODE, swap.instance_id, 0)
    assert backend.volume_text(swap.new_id) == "kept"
    assert backend.volume_text(swap.volume.id) == "kept"


async def test_another_process_goes_on(swap: Swap) -> None:
    await swap.step()
    await swap.backend.restart()
    await swap.until_done()
    assert len(swap.attached()) == 1


async def test_a_machine_that_goes_off_meanwhile_is_swapped_all_the_same(swap: Swap) -> None:
    await swap.step()
    await swap.backend.driver.power_off(NODE, swap.instance_id, 0)
    await swap.until_done()
    assert swap.is_swapped(live=False)
    assert swap.backend.volume_text(swap.new_id) == "kept"


async def test_one_that_is_cancelled_leaves_the_old_one(swap: Swap) -> None:
    running = await power(swap.backend.driver, swap.instance_id) is PowerState.RUNNING
    if running:
        await swap.step()
    successor = swap.volume.successor
    assert successor is not None
    cancelled = successor.model_copy(update={"cancel": True})
    swap.volume = swap.volume.model_copy(update={"successor": cancelled})
    for _ in range(2):
        with pytest.raises(Aborted):
            await swap.step()
        assert swap.backend.volumes(swap.instance_id, live=running) == {swap.volume.id: False}


async def test_without_the_new_ones_file_the_old_one_stays(swap: Swap, driver: Driver) -> None:
    await driver.remove_volume(NODE, swap.new_id, swap.volume.backend)
    with pytest.raises(VolumeMissing):
        await swap.step()
    assert swap.attached() == {swap.volume.id}
