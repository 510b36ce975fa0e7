"""A running guest that goes from one real host to another, and what may break on the way."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import cast

import pytest

from cairn_agent.drivers.api import DriverError
from cairn_agent.drivers.api_operations import LiveResult, MachineOperation, MigrationFailed
from cairn_crds.guest import GuestSpec
from cairn_crds.guest_operation import LiveDestination, OperationProgress
from cairn_crds.instance import PowerState
from contract.backends import NODE, PATIENCE
from contract.libvirt_backends import LibvirtQemuBackend
from contract.machines import Steps, operation, power, spawn
from contract.pairs import THERE, Pair, arrival, destination
from integration.libvirt.crashes import arrives_though_killed
from integration.two_hosts.counting import Counts, Watch, until_it_counts_on, written_count
from support.two_hosts import Hosts

LONG = 180
"""Seconds for libvirt to give up on a host that does not answer."""


async def _no_report(progress: OperationProgress) -> None:
    """Nobody listens."""


def _ends(pair: Pair) -> tuple[LibvirtQemuBackend, LibvirtQemuBackend]:
    return cast(LibvirtQemuBackend, pair.source), cast(LibvirtQemuBackend, pair.destination)


async def _counting(pair: Pair, instance_id: str) -> GuestSpec:
    source = pair.source
    spec = await spawn(source, instance_id, source.spec(image=source.counting))
    source.scribble(instance_id, "mine")
    await source.driver.power_on(NODE, instance_id)
    await source.started(instance_id)
    return spec


async def _prepared(
    pair: Pair, instance_id: str, spec: GuestSpec, *, copy_disks: bool = True
) -> LiveDestination:
    move = arrival(instance_id, spec)
    address = await pair.destination.driver.prepare_incoming(move, Steps())
    return destination(address, copy_disks=copy_disks)


async def _slow(pair: Pair, instance_id: str) -> tuple[MachineOperation, asyncio.Task[LiveResult]]:
    """A migration that is under way and does not end by itself."""
    spec = await pair.slow_machine(instance_id)
    to, move = await _prepared(pair, instance_id, spec), operation(instance_id, spec)
    begun = asyncio.Event()

    async def report(progress: OperationProgress) -> None:
        if progress.memory_processed_bytes:
            begun.set()

    task = asyncio.create_task(pair.source.driver.live_migrate(move, to, report))
    await asyncio.wait_for(begun.wait(), PATIENCE)
    return move, task


async def test_a_counting_guest_loses_no_count(pair: Pair, instance_id: str) -> None:
    source, target = _ends(pair)
    spec = await _counting(pair, instance_id)
    to = await _prepared(pair, instance_id, spec)
    here, there = Counts(source, instance_id), Counts(target, instance_id)
    async with Watch(here, there):
        await until_it_counts_on(here)
        result = await source.driver.live_migrate(operation(instance_id, spec), to, _no_report)
        await until_it_counts_on(there)
    assert sorted(here.seen | there.seen) == list(range(1, there.highest + 1))
    assert not set(here.seen) & set(there.seen)
    stood_still = there.seen[here.highest + 1] - here.seen[here.highest]
    assert result.downtime_ms is not None
    print(f"stood still {stood_still * 1000:.0f} ms, reported {result.downtime_ms} ms")

    await target.driver.power_off(THERE, instance_id, 0)
    assert "counting mine" in target.disk_text(instance_id)
    assert there.highest - 8 <= written_count(target, instance_id) <= there.highest + 8


async def test_on_shared_files_nothing_is_copied(sharing: Pair, instance_id: str) -> None:
    source, target = _ends(sharing)
    spec = await _counting(sharing, instance_id)
    root = source.files(instance_id).root
    before = root.stat().st_ino
    to = await _prepared(sharing, instance_id, spec, copy_disks=False)
    assert root.stat().st_ino == before
    progress: list[OperationProgress] = []

    async def report(now: OperationProgress) -> None:
        progress.append(now)

    counts = Counts(source, instance_id)
    await source.driver.live_migrate(operation(instance_id, spec), to, report)
    assert max((now.disk_total_bytes for now in progress), default=0) == 0
    await until_it_counts_on(counts)
    assert sorted(counts.seen) == list(range(1, counts.highest + 1))

    await source.driver.destroy(NODE, instance_id)
    assert root.stat().st_ino == before
    await until_it_counts_on(counts)
    await target.driver.power_off(THERE, instance_id, 0)
    assert "counting mine" in target.disk_text(instance_id)
    await target.driver.destroy(THERE, instance_id)
    assert target.leftovers(instance_id, spec) == []


async def test_on_shared_files_a_lost_hosts_machine_is_made_with_its_disks(
    sharing: Pair, instance_id: str
) -> None:
    """As by an evacuation."""
    source, target = _ends(sharing)
    spec = await spawn(source, instance_id)
    source.scribble(instance_id, "mine")
    with pytest.raises(DriverError, match="is on node-1"):
        await target.driver.spawn(THERE, instance_id, spec, Steps())
    later = arrival(instance_id, spec).spec
    await target.driver.spawn(THERE, instance_id, later, Steps())
    await target.driver.power_on(THERE, instance_id)
    await source.driver.destroy(NODE, instance_id)
    await target.driver.power_off(THERE, instance_id, 0)
    assert target.disk_text(instance_id) == "listening mine"


async def test_a_forced_one_runs_there_before_its_memory_is(pair: Pair, instance_id: str) -> None:
    source, target = _ends(pair)
    source.driver._settings = source.settings.model_copy(update={"migration_post_copy": True})
    source.settings = source.driver._settings
    try:
        _, task = await _slow(pair, instance_id)
        here, there = Counts(source, instance_id), Counts(target, instance_id)
        await _until_memory_moves(source, instance_id)
        await source.driver.force_live_migration(NODE, instance_id)
        await asyncio.wait_for(task, LONG)
    except MigrationFailed as error:
        if "ostcopy" in str(error) or "ost-copy" in str(error):
            pytest.skip(f"no post-copy here: {error}")
        raise
    await until_it_counts_on(there)
    here.look()
    assert sorted(here.seen | there.seen) == list(range(1, there.highest + 1))


async def _until_memory_moves(backend: LibvirtQemuBackend, instance_id: str) -> None:
    """Until the disks are copied."""
    domain = backend.connection.lookupByUUIDString(instance_id)
    async with asyncio.timeout(PATIENCE):
        moved = 0
        while not moved:
            await asyncio.sleep(0.1)
            moved = domain.jobStats().get("memory_processed", 0)


async def test_shared_files_are_never_copied_onto_themselves(sharing: Pair, instance_id: str) -> None:
    source, _ = _ends(sharing)
    spec = await _counting(sharing, instance_id)
    to = await _prepared(sharing, instance_id, spec, copy_disks=True)
    await source.driver.live_migrate(operation(instance_id, spec), to, _no_report)
    assert await sharing.power_there(instance_id) is PowerState.RUNNING


async def test_without_shared_files_the_disks_must_come_along(pair: Pair, instance_id: str) -> None:
    spec = await _counting(pair, instance_id)
    to = await _prepared(pair, instance_id, spec, copy_disks=False)
    with pytest.raises(MigrationFailed, match="does not see the disks"):
        await pair.source.driver.live_migrate(operation(instance_id, spec), to, _no_report)
    assert await power(pair.source.driver, instance_id) is PowerState.RUNNING


async def test_a_machine_with_every_kind_of_disk(pair: Pair, instance_id: str) -> None:
    source, target = _ends(pair)
    size = {"root_disk_gib": 1, "ephemeral_disk_gib": 1, "swap_mib": 1}
    spec = await spawn(source, instance_id, source.spec(**size))
    marked = b"on the swap disk"
    swap = source.files(instance_id).swap
    swap.write_bytes(marked.ljust(1024**2, b"\0"))
    await source.driver.power_on(NODE, instance_id)
    to = await _prepared(pair, instance_id, spec)
    await source.driver.live_migrate(operation(instance_id, spec), to, _no_report)
    await target.driver.power_off(THERE, instance_id, 0)
    files = target.files(instance_id)
    assert files.swap.read_bytes().startswith(marked)
    assert files.ephemeral.stat().st_size == 1024**3
    await target.driver.power_on(THERE, instance_id)


async def test_a_move_killed_anywhere_is_finished(pair: Pair) -> None:
    await arrives_though_killed(pair)


async def test_the_guest_is_on_its_network_there(pair: Pair, instance_id: str) -> None:
    source, target = _ends(pair)
    spec = await _counting(pair, instance_id)
    to = await _prepared(pair, instance_id, spec)
    await source.driver.live_migrate(operation(instance_id, spec), to, _no_report)
    await source.driver.destroy(NODE, instance_id)
    mac = spec.networks[0].mac
    assert mac in target.connection.networkLookupByName("cairn-contract").XMLDesc()
    assert mac not in source.connection.networkLookupByName("cairn-contract").XMLDesc()
    definition = target.definition(instance_id, live=True)
    filtered = definition.find("devices/interface/filterref/parameter[@name='IP']")
    assert filtered is not None
    assert filtered.get("value") == spec.networks[0].address
    paths = [source.get("file", "") for source in definition.iterfind("devices/disk/source")]
    assert {Path(path).parent for path in paths} == {target.files(instance_id).directory}


async def test_a_destination_whose_guest_process_dies(pair: Pair, instance_id: str) -> None:
    source, target = _ends(pair)
    _, task = await _slow(pair, instance_id)
    target.room.kill_qemu(instance_id)
    with pytest.raises(MigrationFailed):
        await asyncio.wait_for(task, LONG)
    counts = Counts(source, instance_id)
    await until_it_counts_on(counts)
    assert await power(source.driver, instance_id) is PowerState.RUNNING
    assert await pair.power_there(instance_id) is None


async def test_a_destination_whose_libvirtd_dies(pair: Pair, instance_id: str) -> None:
    source, target = _ends(pair)
    move, task = await _slow(pair, instance_id)
    target.room.kill_libvirtd()
    with pytest.raises(MigrationFailed):
        await asyncio.wait_for(task, LONG)
    await until_it_counts_on(Counts(source, instance_id))
    await _once_it_answers(target, instance_id)
    assert await pair.power_there(instance_id) is None
    await target.driver.destroy(THERE, instance_id)
    assert target.leftovers(instance_id, move.spec) == []


@pytest.mark.slow
async def test_a_destination_that_is_cut_off(pair: Pair, hosts: Hosts, instance_id: str) -> None:
    source, target = _ends(pair)
    _, task = await _slow(pair, instance_id)
    hosts.cut(target.room)
    try:
        with pytest.raises(MigrationFailed):
            await asyncio.wait_for(task, LONG)
        await until_it_counts_on(Counts(source, instance_id))
        assert await power(source.driver, instance_id) is PowerState.RUNNING
    finally:
        hosts.join(target.room)
    assert await pair.power_there(instance_id) is None


async def test_a_source_whose_libvirtd_dies(pair: Pair, instance_id: str) -> None:
    """It runs in one place alone, and another try gets it there."""
    source, target = _ends(pair)
    move, task = await _slow(pair, instance_id)
    source.room.kill_libvirtd()
    with pytest.raises(DriverError):
        await asyncio.wait_for(task, LONG)
    await _once_it_answers(source, instance_id)
    await until_it_counts_on(Counts(source, instance_id))
    assert await power(source.driver, instance_id) is PowerState.RUNNING
    assert await pair.power_there(instance_id) is None
    await target.driver.destroy(THERE, instance_id)
    to = await _prepared(pair, instance_id, move.spec)
    source.driver._settings = source.settings.model_copy(update={"migration_bandwidth_mib": 0})
    await source.driver.live_migrate(operation(instance_id, move.spec), to, _no_report)
    assert await pair.power_there(instance_id) is PowerState.RUNNING


async def _once_it_answers(backend: LibvirtQemuBackend, instance_id: str) -> None:
    """Until libvirtd is back and the driver knows it."""
    async with asyncio.timeout(PATIENCE):
        answered = False
        while not answered:
            await asyncio.sleep(0.1)
            with contextlib.suppress(DriverError):
                await backend.driver.get(backend.node, instance_id)
                answered = True
    backend.reconnect()
