"""An agent does operations: once each, told from its machine's state, and until they are not wanted."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from unittest.mock import AsyncMock

import pytest

from cairn_agent.drivers.api import DriverError, MachineState, NoSpace
from cairn_agent.drivers.api_operations import MachineOperation, OperationFailed
from cairn_agent.transfers import DisksUnavailable
from cairn_crds.instance import PowerState
from unit.agent.conftest import ID, NODE, Bench

OPERATION = "11111111-2222-4333-8444-555555555555"
PEER = {"url": "https://other:1", "certificate": "PEM", "token": "secret"}


def operation(kind: str, **with_: Any) -> dict[str, Any]:
    return {"id": OPERATION, "kind": kind, **with_}


async def running(bench: Bench, **spec: Any) -> None:
    """A machine that has been made and runs."""
    bench.api.apply(**spec)
    await bench.look()
    assert bench.api.status["powerState"] == "Running"


async def machine(bench: Bench) -> MachineState:
    found = await bench.driver.get(NODE, ID)
    assert found is not None
    return found


def inside(bench: Bench) -> Any:
    """The fake machine itself."""
    return bench.driver._nodes[NODE][ID]


def said(bench: Bench) -> dict[str, Any]:
    """What the agent says of the operation."""
    found: dict[str, Any] = bench.api.status["operation"]
    return found


async def test_a_rebuild_makes_the_disk_anew_and_starts_it_in_one_word(bench: Bench) -> None:
    await running(bench)
    bench.driver.scribble(ID, "love letters")
    bench.api.writes.clear()
    image = {"name": "other", "url": "http://images/other", "sha256": "c" * 64}
    bench.api.apply(image=image, operation=operation("Rebuild"))
    await bench.look()
    assert said(bench) == {"id": OPERATION, "phase": "Done", "result": {}}
    assert (inside(bench).disk, bench.api.status["powerState"]) == ("other", "Running")
    assert len(bench.api.writes) == 1, bench.api.writes
    await bench.look()
    assert inside(bench).boots == 2, "done once"


async def test_a_snapshot_is_uploaded_while_the_machine_runs_on(bench: Bench) -> None:
    await running(bench)
    bench.driver.scribble(ID, "work")
    bench.api.apply(operation=operation("Snapshot", upload={"url": "http://store/1"}))
    await bench.look()
    assert said(bench)["result"] == {"sha256": "b" * 64, "sizeBytes": "512", "diskFormat": "raw"}
    assert bench.transfers.uploads["http://store/1"].startswith(b"demo work")
    assert inside(bench).boots == 1
    assert list(bench.driver.scratch.glob("*.image")) == []


async def test_a_failure_for_good_ends_the_operation_and_leaves_the_machine_as_it_was(bench: Bench) -> None:
    await running(bench)
    bench.transfers.error = OperationFailed("no such image any more")
    bench.api.apply(operation=operation("Snapshot", upload={"url": "http://store/1"}))
    await bench.look()
    expected = {"phase": "Failed", "reason": "OperationFailed", "message": "no such image any more"}
    assert {name: said(bench)[name] for name in expected} == expected
    assert bench.api.status["powerState"] == "Running"
    assert bench.api.status["specGeneration"] == 2


async def test_a_failure_that_may_pass_is_tried_again(bench: Bench) -> None:
    await running(bench)
    bench.transfers.error = DisksUnavailable("the network is down")
    bench.api.apply(operation=operation("Snapshot", upload={"url": "http://store/1"}))
    with pytest.raises(DisksUnavailable):
        await bench.look()
    assert bench.api.status["fault"]["reason"] == "DisksUnavailable"
    assert "operation" not in bench.api.status
    bench.transfers.error = None
    await bench.look()
    assert said(bench)["phase"] == "Done"
    assert "fault" not in bench.api.status


async def test_a_resize_shuts_down_first_and_can_be_taken_back(bench: Bench) -> None:
    await running(bench, memoryMiB=64)
    bench.api.apply(memoryMiB=128, operation=operation("Resize"))
    await bench.look()
    assert inside(bench).shape["memory_mib"] == 128
    assert inside(bench).boots == 2
    back = operation("RevertResize") | {"id": OPERATION.replace("1", "2")}
    bench.api.apply(memoryMiB=64, operation=back)
    await bench.look()
    assert (inside(bench).shape["memory_mib"], inside(bench).kept) == (64, None)
    assert bench.api.status["powerState"] == "Running"


async def test_an_operation_is_done_also_where_what_comes_after_it_cannot_be(bench: Bench) -> None:
    await running(bench, memoryMiB=64)
    bench.driver.faults.fails("reconfigure", OperationFailed("no such device"))
    bench.api.apply(memoryMiB=128, operation=operation("Resize"))
    await bench.look()
    assert said(bench)["phase"] == "Done"
    assert bench.api.status["fault"]["message"] == "no such device"
    assert inside(bench).shape["memory_mib"] == 128


async def test_a_crashed_machine_is_off_enough(bench: Bench) -> None:
    await running(bench, memoryMiB=64)
    bench.driver.crash(ID)
    bench.api.apply(memoryMiB=128, powerState="Stopped", operation=operation("Resize"))
    await bench.look()
    assert inside(bench).shape["memory_mib"] == 128
    assert said(bench)["phase"] == "Done"


async def test_released_disks_belong_to_a_machine_that_stays_off(bench: Bench) -> None:
    await running(bench)
    bench.api.apply(powerState="Stopped", operation=operation("ReleaseDisks"))
    await bench.look()
    assert (await machine(bench)).power_state is PowerState.SHUTDOWN
    disks = await bench.driver.export_disks(NODE, ID, OPERATION)
    assert [disk.name for disk in disks] == ["disk"]


async def test_fetched_disks_become_a_machine_that_runs(bench: Bench) -> None:
    bench.transfers.theirs["disk"] = json.dumps({"disk": "demo work", "root_disk_gib": 0}).encode()
    bench.api.apply(operation=operation("FetchDisks", peer=PEER))
    await bench.look()
    assert (inside(bench).disk, bench.api.status["powerState"]) == ("demo work", "Running")
    assert said(bench)["phase"] == "Done"


async def test_a_migration_hears_of_an_abort(bench: Bench) -> None:
    await running(bench)
    bench.driver.wire.hold(ID)  # type: ignore[attr-defined]
    destination = {"host": "h2", "address": "/nowhere"}
    bench.api.apply(operation=operation("LiveMigrate", destination=destination))
    look = asyncio.create_task(bench.look())
    while "operation" not in bench.api.status:  # noqa: ASYNC110 - the status has no event
        await asyncio.sleep(0)
    assert said(bench)["phase"] == "Running"
    assert said(bench)["progress"]["memoryTotalBytes"] == 64 * 1024**2
    bench.api.apply(operation=operation("LiveMigrate", destination={**destination, "abort": True}))
    await look
    assert (said(bench)["phase"], said(bench)["reason"]) == ("Failed", "Aborted")
    assert (await machine(bench)).power_state is PowerState.RUNNING


async def test_what_is_to_go_does_not_wait_for_its_operation(bench: Bench) -> None:
    await running(bench)
    bench.transfers.gate = asyncio.Event()
    bench.api.apply(operation=operation("Snapshot", upload={"url": "http://store/1"}))
    look = asyncio.create_task(bench.look())
    await asyncio.sleep(0)
    bench.api.apply(absent=True)
    await look
    await bench.look()
    assert await bench.driver.get(NODE, ID) is None
    assert bench.api.deletes == 1


async def test_a_place_is_prepared_and_says_where_it_is(bench: Bench) -> None:
    bench.api.apply(reboot={"generation": 3, "type": "Hard"}, operation=operation("PrepareIncoming"))
    await bench.look()
    assert bench.api.status["phase"] == "Prepared"
    assert bench.api.status["rebootGeneration"] == 3, "what arrives has been rebooted elsewhere"
    assert said(bench)["result"]["address"]
    assert not (await machine(bench)).complete


async def test_a_crash_dump_is_asked_for_once(bench: Bench) -> None:
    await running(bench)
    bench.api.apply(crashDump=1)
    await bench.look()
    await bench.look()
    assert inside(bench).crash_dumps == 1
    assert bench.api.status["crashDump"] == 1


async def test_a_crashed_machine_is_shut_down_before_its_disks_go(bench: Bench) -> None:
    await running(bench)
    bench.driver.crash(ID)
    bench.api.apply(powerState="Stopped", operation=operation("ReleaseDisks"))
    await bench.look()
    assert (await machine(bench)).power_state is PowerState.SHUTDOWN
    assert await bench.driver.export_disks(NODE, ID, OPERATION)


@pytest.mark.parametrize("lost", ["stop", "undefine"])
async def test_a_machine_that_is_not_there_to_move_ends_its_migration(bench: Bench, lost: str) -> None:
    await running(bench)
    bench.driver.stop(ID)
    if lost == "undefine":
        bench.driver.undefine(ID)
    where = {"host": "h2", "address": "nowhere"}
    bench.api.apply(operation=operation("LiveMigrate", destination=where))
    await bench.look()
    assert said(bench)["phase"] == "Failed"


async def test_a_machine_that_has_left_is_not_made_again_whatever_the_error_says(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    await running(bench)
    migrate = bench.driver.live_migrate
    guest = bench.guests.get(f"cairn-node-{NODE}", ID)
    assert guest is not None
    arrival = MachineOperation("h2", ID, OPERATION, guest.spec)
    address = await bench.driver.prepare_incoming(arrival, AsyncMock())

    async def answer_lost(*given: Any) -> None:
        await migrate(*given)
        raise NoSpace("the disk is full")

    monkeypatch.setattr(bench.driver, "live_migrate", answer_lost)
    destination = {"host": "h2", "address": address}
    bench.api.apply(operation=operation("LiveMigrate", destination=destination))
    with pytest.raises(DriverError, match="the disk is full"):
        await bench.look()
    monkeypatch.undo()
    await bench.look()
    assert (said(bench)["phase"], bench.api.status["phase"]) == ("Done", "Moved")
    assert not (await machine(bench)).complete
