"""Four schedulers on one queue: never too many on a host, never a host left empty, never two answers."""

from __future__ import annotations

import asyncio
import multiprocessing
from collections import Counter
from typing import Any

import pytest

from cairn_crds.server_group import GroupPolicy
from cairn_database import Database, InstanceRecord, audit, hosts
from integration.scheduler.racer import race
from integration.scheduler.support import ask, drain, make_group, make_hosts, outcome, scheduler_for

HOSTS = [f"host-{index}" for index in range(10)]


async def expect_500_of_1000(db: Database, records: list[InstanceRecord]) -> None:
    placed, failed = await outcome(db, records)
    assert (len(placed), len(failed)) == (500, 500)
    assert Counter(record.host for record in placed) == dict.fromkeys(HOSTS, 50)
    assert {record.attempts for record in placed} == {1}
    for record in failed:
        assert record.fault_code == 500
        assert record.placement_message == (
            "10 hosts: CoreFilter removed 10 (need 1 vCPUs, the roomiest has 0 left)."
        )
        assert record.fault_message == f"No valid host was found. {record.placement_message}"
    for host in await hosts.load_hosts(db):
        assert (host.vcpus_used, host.instances, host.memory_used_mib) == (50, 50, 50 * 512)
    assert await audit.findings(db) == []


async def test_1000_requests_for_500_places(databases: list[Database]) -> None:
    await make_hosts(databases[0], HOSTS, vcpus=50)
    records = await asyncio.gather(*(ask(databases[0]) for _ in range(1000)))
    schedulers = [scheduler_for(db, HOSTS, 50, seed=seed) for seed, db in enumerate(databases)]
    await asyncio.gather(*(drain(scheduler) for scheduler in schedulers))
    await expect_500_of_1000(databases[0], records)


async def test_1000_requests_for_500_places_by_four_processes(db: Database, url: str) -> None:
    await make_hosts(db, HOSTS, vcpus=50)
    records = await asyncio.gather(*(ask(db) for _ in range(1000)))
    spawn = multiprocessing.get_context("spawn")
    racers = [spawn.Process(target=race, args=(url, HOSTS, 50, seed)) for seed in range(4)]
    for racer in racers:
        racer.start()
    for racer in racers:
        await asyncio.to_thread(racer.join, 120)
    assert [racer.exitcode for racer in racers] == [0, 0, 0, 0]
    await expect_500_of_1000(db, records)


@pytest.mark.parametrize(("most", "places"), [(None, 10), (2, 20)])
async def test_anti_affinity_holds(databases: list[Database], most: int | None, places: int) -> None:
    db = databases[0]
    await make_hosts(db, HOSTS)
    group = await make_group(db, GroupPolicy.ANTI_AFFINITY, most)
    records = await asyncio.gather(*(ask(db, group_id=group) for _ in range(places + 5)))
    schedulers = [scheduler_for(each, HOSTS, seed=seed, batch_size=3) for seed, each in enumerate(databases)]
    await asyncio.gather(*(drain(scheduler) for scheduler in schedulers))
    placed, failed = await outcome(db, records)
    assert Counter(record.host for record in placed) == dict.fromkeys(HOSTS, most or 1)
    assert len(failed) == 5
    for record in failed:
        assert "ServerGroupAntiAffinityFilter removed 10" in (record.placement_message or "")


async def test_affinity_holds(databases: list[Database]) -> None:
    db = databases[0]
    await make_hosts(db, HOSTS, vcpus=16)
    group = await make_group(db, GroupPolicy.AFFINITY)
    records = await asyncio.gather(*(ask(db, group_id=group) for _ in range(20)))
    schedulers = [scheduler_for(each, HOSTS, seed=seed, batch_size=2) for seed, each in enumerate(databases)]
    await asyncio.gather(*(drain(scheduler) for scheduler in schedulers))
    placed, failed = await outcome(db, records)
    assert (len(placed), len(failed)) == (16, 4)
    assert len({record.host for record in placed}) == 1
    assert "ServerGroupAffinityFilter removed 9" in (failed[0].placement_message or "")


async def test_soft_anti_affinity_spreads_and_places_everyone(db: Database) -> None:
    await make_hosts(db, HOSTS[:4])
    group = await make_group(db, GroupPolicy.SOFT_ANTI_AFFINITY)
    records = await asyncio.gather(*(ask(db, group_id=group) for _ in range(8)))
    settings: dict[str, Any] = {
        "ram_weight_multiplier": -0.5,
        "cpu_weight_multiplier": -0.5,
        "io_ops_weight_multiplier": 0.0,
    }
    await drain(scheduler_for(db, HOSTS[:4], soft_anti_affinity_weight_multiplier=10.0, **settings))
    placed, _ = await outcome(db, records)
    assert Counter(record.host for record in placed) == dict.fromkeys(HOSTS[:4], 2)
