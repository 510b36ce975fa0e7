"""libvirtd dies and comes back; guests run on."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from cairn_agent.drivers.api import DriverError, MachineState
from cairn_crds.instance import PowerState
from contract.backends import NODE, PATIENCE
from contract.libvirt_backends import LibvirtQemuBackend
from contract.machines import bring_to, power

pytestmark = pytest.mark.qemu


async def _state_once_it_answers(backend: LibvirtQemuBackend, instance_id: str) -> MachineState | None:
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                return await backend.driver.get(NODE, instance_id)
            except DriverError:
                await asyncio.sleep(0.05)


async def test_a_killed_libvirtd_takes_no_guest_along(qemu: LibvirtQemuBackend, instance_id: str) -> None:
    await bring_to(qemu, instance_id, PowerState.RUNNING)
    pid = qemu.room.qemu_pid(instance_id)
    qemu.events.clear()

    qemu.room.kill_libvirtd()

    # What was missed may be anything, so every machine is told.
    await qemu.events.wait_for(instance_id)
    state = await _state_once_it_answers(qemu, instance_id)
    assert state == MachineState(instance_id, PowerState.RUNNING, fencing_epoch=3)
    assert qemu.room.qemu_pid(instance_id) == pid


async def test_events_and_calls_work_over_the_new_connection(
    qemu: LibvirtQemuBackend, instance_id: str
) -> None:
    await bring_to(qemu, instance_id, PowerState.RUNNING)
    qemu.events.clear()
    qemu.room.kill_libvirtd()
    await qemu.events.wait_for(instance_id)
    assert await _state_once_it_answers(qemu, instance_id)

    qemu.events.clear()
    qemu.room.virsh("destroy", instance_id)
    await qemu.events.wait_for(instance_id)
    assert await power(qemu.driver, instance_id) is PowerState.SHUTDOWN
    await qemu.driver.power_on(NODE, instance_id)
    assert await power(qemu.driver, instance_id) is PowerState.RUNNING


async def test_while_libvirtd_is_away_calls_fail_and_the_loop_runs_on(
    qemu: LibvirtQemuBackend, instance_id: str
) -> None:
    """A stopped room keeper cannot start libvirtd again until it is told to go on."""
    await bring_to(qemu, instance_id, PowerState.RUNNING)
    keeper = qemu.room.hypervisor.pid
    assert keeper is not None
    os.kill(keeper, signal.SIGSTOP)
    try:
        qemu.events.clear()
        qemu.room.kill_libvirtd()
        async with asyncio.timeout(PATIENCE):
            while True:
                if not await qemu.driver.healthy():
                    break
                await asyncio.sleep(0.02)
        with pytest.raises(DriverError):
            await qemu.driver.get(NODE, instance_id)
        with pytest.raises(DriverError):
            await qemu.driver.power_off(NODE, instance_id, graceful_seconds=30)
    finally:
        os.kill(keeper, signal.SIGCONT)
    await qemu.events.wait_for(instance_id)
    assert await _state_once_it_answers(qemu, instance_id) is not None
    assert await qemu.driver.healthy()


async def test_a_guest_that_died_meanwhile_is_noticed(qemu: LibvirtQemuBackend, instance_id: str) -> None:
    await bring_to(qemu, instance_id, PowerState.RUNNING)
    keeper = qemu.room.hypervisor.pid
    assert keeper is not None
    os.kill(keeper, signal.SIGSTOP)
    try:
        qemu.events.clear()
        qemu.room.kill_libvirtd()
        qemu.room.kill_qemu(instance_id)
    finally:
        os.kill(keeper, signal.SIGCONT)
    await qemu.events.wait_for(instance_id)
    # libvirtd answers before it has looked after its guests, and has no event for one that it finds dead
    # (libvirt: qemuProcessReconnect): the agent's sweep asks again, and so does this.
    async with asyncio.timeout(PATIENCE):
        while True:
            state = await _state_once_it_answers(qemu, instance_id)
            assert state is not None
            if state.power_state is not PowerState.RUNNING:
                break
            await asyncio.sleep(0.1)
    assert state.power_state in {PowerState.SHUTDOWN, PowerState.CRASHED}


async def test_closing_leaves_guests_running(qemu: LibvirtQemuBackend, instance_id: str) -> None:
    await bring_to(qemu, instance_id, PowerState.RUNNING)
    pid = qemu.room.qemu_pid(instance_id)
    await qemu.driver.close()
    assert qemu.room.qemu_pid(instance_id) == pid
    qemu.driver = qemu._new_driver()
    await qemu.driver.open(qemu.events)
    assert await power(qemu.driver, instance_id) is PowerState.RUNNING
