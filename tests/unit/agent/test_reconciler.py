"""One Guest and its machine, brought together by one look after the other."""

from __future__ import annotations

import asyncio

import pytest

from cairn_agent.drivers.api import DriverError, NoSpace, Unsupported
from cairn_agent.drivers.api_operations import OperationFailed
from cairn_agent.settings import AgentSettings
from cairn_crds.instance import PowerState
from unit.agent.conftest import ID, NODE, Bench

NETWORK = {
    "network": "blue",
    "cidr": "10.20.0.0/24",
    "gateway": "10.20.0.1",
    "mac": "fa:16:3e:00:00:01",
    "address": "10.20.0.9",
}


async def power(bench: Bench) -> PowerState | None:
    machine = await bench.driver.get(NODE, ID)
    return machine.power_state if machine else None


async def test_a_quick_boot_is_reported_once(settings: AgentSettings) -> None:
    bench = Bench(settings.model_copy(update={"patience_seconds": 60.0}))
    bench.api.apply()
    await bench.look()
    assert await power(bench) is PowerState.RUNNING
    assert len(bench.api.writes) == 1
    status = bench.api.status
    assert (status["phase"], status["powerState"], status["specGeneration"]) == ("Ready", "Running", 1)
    await bench.look()
    assert len(bench.api.writes) == 1, "nothing new to say"


async def test_a_slow_boot_tells_its_steps(bench: Bench) -> None:
    gate = bench.driver.faults.blocks("spawn.disk")
    bench.api.apply()
    look = asyncio.create_task(bench.look())
    while bench.api.status.get("step") != "disk":  # noqa: ASYNC110 - nothing tells it
        await asyncio.sleep(0.001)
    assert bench.api.status["phase"] == "Spawning"
    gate.set()
    await look
    assert bench.api.status["phase"] == "Ready"
    assert "step" not in bench.api.status


async def test_a_machine_that_is_not_to_run_is_made_and_left_off(bench: Bench) -> None:
    bench.api.apply(powerState="Stopped")
    await bench.look()
    assert await power(bench) is PowerState.SHUTDOWN
    assert (bench.api.status["phase"], bench.api.status["specGeneration"]) == ("Ready", 1)


async def test_a_change_outside_is_reported_and_not_undone(bench: Bench) -> None:
    bench.api.apply()
    await bench.look()
    bench.driver.stop(ID)
    await bench.look()
    assert await power(bench) is PowerState.SHUTDOWN
    assert bench.api.status["powerState"] == "Shutdown"
    bench.api.apply(powerState="Running")
    await bench.look()
    assert await power(bench) is PowerState.RUNNING


async def test_a_machine_that_vanished_is_reported_missing(bench: Bench) -> None:
    bench.api.apply()
    await bench.look()
    await bench.driver.destroy(NODE, ID)
    await bench.look()
    assert (bench.api.status["phase"], bench.api.status["powerState"]) == ("Missing", "NoState")
    await bench.look()
    assert await power(bench) is None


async def test_a_permanent_fault_is_reported_and_not_tried_again(bench: Bench) -> None:
    bench.driver.faults.fails("spawn.disk", NoSpace("the disk is full"))
    bench.api.apply()
    await bench.look()
    assert bench.api.status["phase"] == "Failed"
    assert bench.api.status["fault"]["message"] == "the disk is full"
    assert bench.api.status["fault"]["permanent"]
    bench.driver.faults.heals("spawn.disk")
    await bench.look()
    assert await power(bench) is PowerState.NO_STATE, "no other try before the spec changes"
    bench.api.apply(powerState="Stopped")
    await bench.look()
    assert "fault" not in bench.api.status
    assert bench.api.status["phase"] == "Ready"


async def test_a_fault_that_may_pass_is_reported_and_tried_again(bench: Bench) -> None:
    bench.driver.faults.fails("spawn.image", DriverError("no answer"), times=1)
    bench.api.apply()
    with pytest.raises(DriverError):
        await bench.look()  # the queue backs off and looks again
    assert bench.api.status["fault"] == {
        "reason": "HypervisorFailed",
        "message": "no answer",
        "permanent": False,
        "specGeneration": 1,
    }
    await bench.look()
    assert bench.api.status["phase"] == "Ready"
    assert "fault" not in bench.api.status


async def test_a_failed_change_says_what_the_machine_does_meanwhile(bench: Bench) -> None:
    bench.api.apply()
    await bench.look()
    bench.driver.faults.fails("suspend", Unsupported("cannot suspend"))
    bench.api.apply(powerState="Suspended")
    await bench.look()
    status = bench.api.status
    assert (status["phase"], status["powerState"], status["fault"]["reason"]) == (
        "Ready",
        "Running",
        "Unsupported",
    )
    assert status["specGeneration"] == 1


async def test_a_reboot_is_done_once(bench: Bench) -> None:
    bench.api.apply()
    await bench.look()
    bench.api.apply(reboot={"generation": 1, "type": "Soft"})
    for _ in range(3):
        await bench.look()
    assert b"boot 2 of" in await bench.driver.console_log(NODE, ID, 4096)
    assert b"boot 3 of" not in await bench.driver.console_log(NODE, ID, 4096)
    assert bench.api.status["rebootGeneration"] == 1


async def test_what_is_absent_is_removed_once(bench: Bench) -> None:
    bench.api.apply()
    await bench.look()
    bench.api.apply(absent=True)
    await bench.look()
    assert await power(bench) is None
    await bench.look()  # the hypervisor's own event of the removal
    assert bench.api.deletes == 1
    bench.api.finish_delete()
    await bench.look()
    bench.api.apply(absent=True)  # the conductor was not sure, and asks again
    await bench.look()
    assert bench.api.deletes == 2


@pytest.mark.parametrize("error", [DriverError("stuck"), NoSpace("stuck")], ids=["passing", "permanent"])
async def test_a_removal_that_fails_is_reported_and_tried_again(bench: Bench, error: DriverError) -> None:
    bench.api.apply()
    await bench.look()
    bench.api.apply(absent=True)
    bench.driver.faults.fails("destroy", error, times=1)
    with pytest.raises(DriverError):
        await bench.look()
    assert bench.api.deletes == 0
    assert bench.api.status["fault"]["message"] == "stuck"
    await bench.look()
    assert bench.api.deletes == 1


async def test_a_guest_that_goes_touches_no_machine(bench: Bench) -> None:
    bench.api.apply()
    await bench.look()
    bench.api.finish_delete()
    await bench.look()
    assert await power(bench) is PowerState.RUNNING


async def test_a_guest_made_anew_reports_its_machine_as_it_is(bench: Bench) -> None:
    bench.api.apply()
    await bench.look()
    bench.driver.stop(ID)
    bench.api.finish_delete()
    bench.api.apply(launched=True, powerState="Running")
    await bench.look()
    assert await power(bench) is PowerState.SHUTDOWN
    status = bench.api.status
    assert (status["phase"], status["powerState"], status["specGeneration"]) == ("Ready", "Shutdown", 1)


async def test_a_guest_made_anew_has_the_devices_that_it_says(bench: Bench) -> None:
    """It was lost between the change of a device and what the host made of it."""
    bench.api.apply(networks=[NETWORK])
    await bench.look()
    bench.api.finish_delete()
    bench.api.apply(launched=True, networks=[])
    await bench.look()
    [machine] = [found for found in bench.driver._nodes[NODE].values() if found.instance_id == ID]
    assert machine.shape["macs"] == []


async def test_a_guest_made_anew_says_which_devices_could_not_be_plugged(bench: Bench) -> None:
    """The machine's power is told all the same, and the next spec is followed."""
    bench.api.apply(networks=[NETWORK])
    await bench.look()
    bench.api.finish_delete()
    bench.driver.faults.fails("reconfigure", OperationFailed("the guest does not let go"))
    bench.api.apply(launched=True, networks=[])
    await bench.look()
    status = bench.api.status
    assert (status["phase"], status["powerState"], status["specGeneration"]) == ("Ready", "Running", 1)
    assert (status["fault"]["message"], status["fault"]["permanent"]) == ("the guest does not let go", True)
    bench.driver.faults.heals("reconfigure")
    bench.api.apply(powerState="Stopped")
    await bench.look()
    assert await power(bench) is PowerState.SHUTDOWN
    assert "fault" not in bench.api.status


async def test_a_machine_of_a_newer_claim_is_left_alone(bench: Bench) -> None:
    bench.api.apply(fencingEpoch=2)
    await bench.look()
    writes = len(bench.api.writes)
    bench.api.apply(fencingEpoch=1, powerState="Stopped")
    await bench.look()
    assert await power(bench) is PowerState.RUNNING
    assert len(bench.api.writes) == writes


async def test_a_machine_that_changes_after_the_host_gave_up_is_reported(bench: Bench) -> None:
    bench.api.apply()
    await bench.look()
    bench.driver.faults.fails("power_off", NoSpace("the disk is full"))
    bench.api.apply(powerState="Stopped")
    await bench.look()
    assert bench.api.status["fault"]["permanent"]
    bench.driver.crash(ID)
    await bench.look()
    assert bench.api.status["powerState"] == "Crashed"


@pytest.mark.parametrize("operation", [None, {"id": ID, "kind": "PrepareIncoming"}])
async def test_what_an_earlier_claim_has_left_goes_before_a_machine_comes_here(
    bench: Bench, operation: dict[str, str] | None
) -> None:
    """Somebody has deleted its Guest, and nobody had it removed: it does not run in place of the new one."""
    bench.api.apply()
    await bench.look()
    bench.api.finish_delete()
    bench.api.apply(fencingEpoch=3, image={"name": "new", "url": "http://images/new", "sha256": "b" * 64})
    if operation:
        bench.api.apply(operation=operation)
    await bench.look()
    machine = await bench.driver.get(NODE, ID)
    assert machine is not None
    assert (machine.fencing_epoch, machine.complete) == (3, operation is None)
    assert bench.api.status["phase"] == ("Prepared" if operation else "Ready")
