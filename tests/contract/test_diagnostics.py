"""What machines have used."""

from __future__ import annotations

import pytest

from cairn_agent.drivers.api import MachineNotFound, WrongPowerState
from cairn_agent.drivers.driver import Driver
from cairn_crds.instance import PowerState
from contract.backends import NODE, Backend
from contract.machines import bring_to


async def test_a_running_machine_tells_what_it_is_made_of(
    backend: Backend, driver: Driver, instance_id: str
) -> None:
    spec = await bring_to(backend, instance_id, PowerState.RUNNING)
    found = await driver.diagnostics(NODE, instance_id)
    assert found.state is PowerState.RUNNING
    assert found.driver == "libvirt"
    assert found.hypervisor
    assert found.memory_maximum_kib == spec.memory_mib * 1024
    assert [cpu.id for cpu in found.cpus] == list(range(spec.vcpus))
    assert [nic.mac_address for nic in found.nics] == [network.mac for network in spec.networks]
    assert all(nic.device for nic in found.nics)
    assert "vda" in {disk.device for disk in found.disks}


async def test_no_counter_is_below_zero(backend: Backend, driver: Driver, instance_id: str) -> None:
    await bring_to(backend, instance_id, PowerState.RUNNING)
    found = await driver.diagnostics(NODE, instance_id)
    counted = [
        value
        for part in (*found.cpus, *found.nics, *found.disks)
        for value in vars(part).values()
        if isinstance(value, int)
    ]
    assert all(value >= 0 for value in counted)


@pytest.mark.parametrize("state", [PowerState.SHUTDOWN, PowerState.PAUSED])
async def test_a_machine_that_does_not_run_has_none(
    backend: Backend, driver: Driver, instance_id: str, state: PowerState
) -> None:
    await bring_to(backend, instance_id, state)
    with pytest.raises(WrongPowerState):
        await driver.diagnostics(NODE, instance_id)


async def test_a_machine_that_is_not_there_has_none(driver: Driver, instance_id: str) -> None:
    with pytest.raises(MachineNotFound):
        await driver.diagnostics(NODE, instance_id)
