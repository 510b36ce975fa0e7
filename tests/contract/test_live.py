"""Live migration: a machine that runs on while it goes to another host."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Coroutine
from typing import Any

import pytest

from cairn_agent.drivers.api import Capability, MachineState, Unsupported, WrongPowerState
from cairn_agent.drivers.api_operations import Aborted, LiveResult, MigrationFailed
from cairn_agent.drivers.driver import Driver
from cairn_crds.guest import GuestSpec
from cairn_crds.guest_operation import LiveDestination, OperationProgress
from cairn_crds.instance import PowerState
from contract.backends import NODE, PATIENCE, Backend
from contract.fake_backend import FakeBackend
from contract.machines import Steps, bring_to, operation, power, spawn
from contract.pairs import THERE, Pair, arrival, destination


@pytest.fixture
def with_live(pair: Pair) -> None:
    if Capability.LIVE_MIGRATION not in pair.source.driver.capabilities:
        pytest.skip("this hypervisor moves no running machines, and says so")


class Progress:
    """Notes what is reported."""

    def __init__(self) -> None:
        self.seen: list[OperationProgress] = []
        self.begun = asyncio.Event()

    async def __call__(self, progress: OperationProgress) -> None:
        self.seen.append(progress)
        self.begun.set()


async def _prepared(pair: Pair, instance_id: str, spec: GuestSpec) -> LiveDestination:
    move = arrival(instance_id, spec)
    return destination(await pair.destination.driver.prepare_incoming(move, Steps()))


async def test_a_missing_capability_is_unsupported(
    backend: Backend, driver: Driver, instance_id: str
) -> None:
    if Capability.LIVE_MIGRATION in driver.capabilities:
        return
    spec = await bring_to(backend, instance_id, PowerState.RUNNING)
    with pytest.raises(Unsupported):
        await driver.prepare_incoming(arrival(str(uuid.uuid4()), spec), Steps())
    with pytest.raises(Unsupported):
        await driver.live_migrate(operation(instance_id, spec), destination("nowhere"), Progress())
    await driver.abort_live_migration(NODE, instance_id)
    await driver.force_live_migration(NODE, instance_id)


@pytest.mark.usefixtures("with_live")
async def test_what_is_prepared_is_no_machine_and_can_be_removed(pair: Pair, instance_id: str) -> None:
    spec = await bring_to(pair.source, instance_id, PowerState.RUNNING)
    driver, move = pair.destination.driver, arrival(instance_id, spec)
    address = await driver.prepare_incoming(move, Steps())
    expected = MachineState(instance_id, PowerState.NO_STATE, fencing_epoch=4, complete=False)
    assert await driver.get(THERE, instance_id) == expected
    assert await driver.prepare_incoming(move, Steps()) == address
    await driver.destroy(THERE, instance_id)
    assert pair.destination.leftovers(instance_id, spec) == []
    assert await power(pair.source.driver, instance_id) is PowerState.RUNNING


@pytest.mark.usefixtures("with_live")
@pytest.mark.parametrize("state", [PowerState.RUNNING, PowerState.PAUSED])
async def test_it_arrives_as_it_was_and_its_files_stay_behind(
    pair: Pair, instance_id: str, state: PowerState
) -> None:
    spec = await spawn(pair.source, instance_id)
    pair.source.scribble(instance_id, "mine")
    here, there = pair.source.driver, pair.destination.driver
    await here.power_on(NODE, instance_id)
    if state is PowerState.PAUSED:
        await here.pause(NODE, instance_id)
    progress = Progress()
    result = await here.live_migrate(
        operation(instance_id, spec), await _prepared(pair, instance_id, spec), progress
    )
    assert result.downtime_ms is not None
    assert progress.seen
    assert await there.get(THERE, instance_id) == MachineState(instance_id, state, fencing_epoch=4)
    assert await here.get(NODE, instance_id) == MachineState(
        instance_id, PowerState.NO_STATE, fencing_epoch=3, complete=False
    )
    await here.destroy(NODE, instance_id)
    assert pair.source.leftovers(instance_id, spec) == []
    assert await pair.power_there(instance_id) is state
    await there.power_off(THERE, instance_id, 0)
    assert pair.destination.disk_text(instance_id) == "listening mine"
    await there.power_on(THERE, instance_id)
    await there.destroy(THERE, instance_id)
    assert pair.destination.leftovers(instance_id, spec) == []


@pytest.mark.usefixtures("with_live")
async def test_once_it_has_arrived_the_call_returns_at_once(pair: Pair, instance_id: str) -> None:
    spec = await bring_to(pair.source, instance_id, PowerState.RUNNING)
    to = await _prepared(pair, instance_id, spec)
    move = operation(instance_id, spec)
    await pair.source.driver.live_migrate(move, to, Progress())
    here = await pair.source.restart()
    assert isinstance(await here.live_migrate(move, to, Progress()), LiveResult)
    assert await pair.power_there(instance_id) is PowerState.RUNNING


@pytest.mark.usefixtures("with_live")
@pytest.mark.parametrize("state", [PowerState.SHUTDOWN, PowerState.SUSPENDED])
async def test_only_a_machine_that_runs_moves(pair: Pair, instance_id: str, state: PowerState) -> None:
    spec = await bring_to(pair.source, instance_id, state)
    to = await _prepared(pair, instance_id, spec)
    with pytest.raises(WrongPowerState):
        await pair.source.driver.live_migrate(operation(instance_id, spec), to, Progress())
    assert await power(pair.source.driver, instance_id) is state


@pytest.mark.usefixtures("with_live")
async def test_without_a_destination_it_runs_on_here(pair: Pair, instance_id: str) -> None:
    spec = await bring_to(pair.source, instance_id, PowerState.RUNNING)
    to = await _prepared(pair, instance_id, spec)
    await pair.destination.driver.destroy(THERE, instance_id)
    with pytest.raises(MigrationFailed):
        await pair.source.driver.live_migrate(operation(instance_id, spec), to, Progress())
    assert await power(pair.source.driver, instance_id) is PowerState.RUNNING
    assert await pair.power_there(instance_id) is None
    to = await _prepared(pair, instance_id, spec)
    await pair.source.driver.live_migrate(operation(instance_id, spec), to, Progress())
    assert await pair.power_there(instance_id) is PowerState.RUNNING


@pytest.mark.usefixtures("with_live")
async def test_it_can_come_back(pair: Pair, instance_id: str) -> None:
    spec = await bring_to(pair.source, instance_id, PowerState.RUNNING)
    to = await _prepared(pair, instance_id, spec)
    here, there = pair.source.driver, pair.destination.driver
    await here.live_migrate(operation(instance_id, spec), to, Progress())
    await here.destroy(NODE, instance_id)
    back = destination(await here.prepare_incoming(operation(instance_id, spec), Steps()))
    await there.live_migrate(arrival(instance_id, spec), back, Progress())
    assert await power(here, instance_id) is PowerState.RUNNING
    assert await pair.power_there(instance_id) is None


@pytest.mark.usefixtures("with_live")
async def test_nothing_is_aborted_or_forced_where_nothing_moves(pair: Pair, instance_id: str) -> None:
    await bring_to(pair.source, instance_id, PowerState.RUNNING)
    await pair.source.driver.abort_live_migration(NODE, instance_id)
    await pair.source.driver.force_live_migration(NODE, instance_id)
    assert await power(pair.source.driver, instance_id) is PowerState.RUNNING


class Slow:
    """A migration that does not end by itself."""

    def __init__(self, pair: Pair, instance_id: str) -> None:
        self.pair, self.instance_id = pair, instance_id
        self.progress = Progress()

    async def begin(self) -> asyncio.Task[LiveResult]:
        """Begin it; it is under way when this returns."""
        spec = await self.pair.slow_machine(self.instance_id)
        to = await _prepared(self.pair, self.instance_id, spec)
        self.move = operation(self.instance_id, spec)
        self.to = to
        return await self.under_way(self.pair.source.driver.live_migrate(self.move, to, self.progress))

    async def under_way(self, call: Coroutine[Any, Any, LiveResult]) -> asyncio.Task[LiveResult]:
        self.progress.begun.clear()
        task = asyncio.create_task(call)
        begun = asyncio.create_task(self.progress.begun.wait())
        await asyncio.wait({task, begun}, timeout=PATIENCE, return_when=asyncio.FIRST_COMPLETED)
        begun.cancel()
        assert not task.done() or task.exception() is None
        return task


@pytest.mark.usefixtures("with_live")
async def test_an_aborted_one_runs_on_here(pair: Pair, instance_id: str) -> None:
    slow = Slow(pair, instance_id)
    task = await slow.begin()
    await pair.source.driver.abort_live_migration(NODE, instance_id)
    with pytest.raises(Aborted):
        await asyncio.wait_for(task, PATIENCE)
    assert await power(pair.source.driver, instance_id) is PowerState.RUNNING
    await pair.destination.driver.destroy(THERE, instance_id)
    assert pair.destination.leftovers(instance_id, slow.move.spec) == []


@pytest.mark.usefixtures("with_live")
async def test_one_that_is_aborted_before_it_begins_runs_on_here(pair: Pair, instance_id: str) -> None:
    spec = await bring_to(pair.source, instance_id, PowerState.RUNNING)
    to = (await _prepared(pair, instance_id, spec)).model_copy(update={"abort": True})
    with pytest.raises(Aborted):
        await pair.source.driver.live_migrate(operation(instance_id, spec), to, Progress())
    assert await power(pair.source.driver, instance_id) is PowerState.RUNNING
    assert await pair.power_there(instance_id) is None


@pytest.mark.usefixtures("with_live")
async def test_a_forced_one_arrives_and_runs(pair: Pair, instance_id: str) -> None:
    task = await Slow(pair, instance_id).begin()
    assert await pair.power_there(instance_id) is None
    await pair.source.driver.force_live_migration(NODE, instance_id)
    await asyncio.wait_for(task, PATIENCE)
    assert await pair.power_there(instance_id) is PowerState.RUNNING
    assert await power(pair.source.driver, instance_id) is PowerState.NO_STATE


@pytest.mark.usefixtures("with_live")
async def test_the_next_agent_finds_the_one_that_is_under_way(pair: Pair, instance_id: str) -> None:
    if isinstance(pair.source, FakeBackend):
        pytest.skip("a migration of the fake driver ends with its process")
    slow = Slow(pair, instance_id)
    task = await slow.begin()
    task.cancel()
    await asyncio.wait({task}, timeout=PATIENCE)
    here = await pair.source.restart()
    again = await slow.under_way(here.live_migrate(slow.move, slow.to, slow.progress))
    assert not again.done()
    await here.force_live_migration(NODE, instance_id)
    await asyncio.wait_for(again, PATIENCE)
    assert await pair.power_there(instance_id) is PowerState.RUNNING


@pytest.mark.usefixtures("with_live")
async def test_the_next_agent_can_abort_it(pair: Pair, instance_id: str) -> None:
    if isinstance(pair.source, FakeBackend):
        pytest.skip("a migration of the fake driver ends with its process")
    slow = Slow(pair, instance_id)
    task = await slow.begin()
    task.cancel()
    await asyncio.wait({task}, timeout=PATIENCE)
    here = await pair.source.restart()
    again = await slow.under_way(here.live_migrate(slow.move, slow.to, slow.progress))
    await here.abort_live_migration(NODE, instance_id)
    with pytest.raises(Aborted):
        await asyncio.wait_for(again, PATIENCE)
    assert await power(here, instance_id) is PowerState.RUNNING


@pytest.mark.usefixtures("with_live")
@pytest.mark.parametrize("end", ["source", "destination"])
async def test_a_machine_that_is_removed_on_its_way_is_gone(pair: Pair, instance_id: str, end: str) -> None:
    slow = Slow(pair, instance_id)
    task = await slow.begin()
    if isinstance(pair.source, FakeBackend):
        pair.source.driver.wire.force(instance_id)
        await asyncio.wait({task})
    await (pair.source if end == "source" else pair.destination).driver.destroy(
        NODE if end == "source" else THERE, instance_id
    )
    await asyncio.wait({task}, timeout=PATIENCE)
    assert task.done()
    task.exception()
    removed = pair.source if end == "source" else pair.destination
    assert removed.leftovers(instance_id, slow.move.spec) == []
