"""How many instances a scheduler places in a second, its claims in SQL included.

    python tests/benchmarks/scheduler_decisions.py [--hosts 1000,10000] [--instances 4000] [--json FILE]

One scheduler, all default filters and weighers, SQLite on disk. Hosts are of four kinds, in zones and
aggregates, partly full; instances are of three flavors, some with traits, a zone or a server group. Every
decision is logged, as in production, to nowhere. "decide" is the share of filters and weighers, the rest is
the queue, the claims and their history.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import random
import resource
import sys
import tempfile
import time
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TextIO

import sqlalchemy as sa
import structlog
import uvloop

from cairn_crds import ComputeNode
from cairn_crds.compute_node import ComputeNodeSpec, ComputeNodeStatus
from cairn_crds.instance import PowerState
from cairn_crds.project import ProjectSpec
from cairn_crds.server_group import GroupPolicy, ServerGroupSpec
from cairn_database import Database, TaskState, VmState, migrations, nodes, tenants
from cairn_database.hosts import stamp
from cairn_database.rows import COLUMNS, columns_of, now
from cairn_database.tables import LIVE, compute_nodes, instances
from cairn_operator.scheduler import metrics
from cairn_operator.scheduler.aggregates import Aggregate
from cairn_operator.scheduler.hosts import HostTable
from cairn_operator.scheduler.service import Scheduler
from cairn_operator.scheduler.settings import SchedulerSettings

FLAVORS: tuple[dict[str, Any], ...] = (
    {"name": "tiny", "vcpus": 1, "memoryMiB": 512, "diskGiB": 1},
    {"name": "small", "vcpus": 2, "memoryMiB": 2048, "diskGiB": 20},
    {
        "name": "avx",
        "vcpus": 2,
        "memoryMiB": 1024,
        "diskGiB": 10,
        "extraSpecs": {"trait:HW_CPU_X86_AVX2": "required", "capabilities:hypervisor_type": "s== QEMU"},
    },
)
IMAGE = {"name": "debian", "properties": {"hw_architecture": "x86_64", "img_hv_type": "qemu"}}
GROUPS = 20


@dataclass
class Row:
    """One line of the table."""

    hosts: int
    instances: int
    placed: int
    seconds: float
    per_second: float
    decide_us: float
    """Filters and weighers for one instance, microseconds."""
    claim_ms: float
    """One transaction of claims."""
    cpu_seconds: float
    rss_mib: float


def node(index: int) -> ComputeNode:
    """One host; every fourth is of the same kind."""
    kind = index % 4
    found: ComputeNode = ComputeNode.from_api(
        {
            "metadata": {"name": f"host-{index}"},
            "spec": {"disabled": index % 97 == 0},
            "status": {
                "hypervisorType": "QEMU",
                "hypervisorVersion": f"8.{kind}.0",
                "hostname": f"host-{index}",
                "architecture": "x86_64",
                "vcpus": 32,
                "memoryMiB": 131072,
                "diskGiB": 4000,
                "traits": ["COMPUTE_CONFIG_DRIVE", *(["HW_CPU_X86_AVX2"] if kind else [])],
                "capabilities": {"cpu_info:arch": "x86_64", "generation": str(kind)},
                "heartbeatTime": "2026-01-01T00:00:00Z",
            },
        }
    )
    return found


async def fill(db: Database, nodes: list[ComputeNode], count: int, rng: random.Random) -> None:
    """Hosts, groups and a queue. Written in bulk: how fast instances are accepted is measured elsewhere."""
    await tenants.upsert_project(db, "bench", ProjectSpec())
    groups = []
    for index in range(GROUPS):
        spec = ServerGroupSpec(policy=GroupPolicy.ANTI_AFFINITY if index % 2 else GroupPolicy.SOFT_AFFINITY)
        record = await tenants.upsert_server_group(
            db, "bench", f"group-{index}", spec, group_id=str(uuid.UUID(int=rng.getrandbits(128)))
        )
        groups.append(record.id)
    await db.run(lambda conn: _insert(conn, nodes, count, groups, rng))


def _insert(
    conn: sa.Connection, nodes: list[ComputeNode], count: int, groups: list[str], rng: random.Random
) -> None:
    conn.execute(
        sa.insert(compute_nodes),
        [host_row(node.metadata.name, node.spec, node.status, rng) for node in nodes],
    )
    conn.execute(sa.insert(instances), [instance_row(index, groups, rng) for index in range(count)])


def host_row(
    name: str, spec: ComputeNodeSpec, status: ComputeNodeStatus, rng: random.Random
) -> dict[str, Any]:
    """A row of compute_nodes, up to a third full."""
    return {
        "name": name,
        "spec": spec.to_api(),
        "inventory": {},
        "disabled": spec.disabled,
        "forced_down": False,
        "vcpus_limit": nodes.limit(status.vcpus, spec.reserved.vcpus, spec.ratios.cpu),
        "memory_mib_limit": nodes.limit(status.memory_mib, spec.reserved.memory_mib, spec.ratios.memory),
        "disk_gib_limit": nodes.limit(status.disk_gib, spec.reserved.disk_gib, spec.ratios.disk),
        "vcpus_used": rng.randrange(40),
        "memory_mib_used": rng.randrange(40000),
        "disk_gib_used": rng.randrange(1200),
        "instances": rng.randrange(20),
        "generation": 1,
        "build_failures": 0,
        "changed": stamp(),
        "updated_at": now(),
    }


def instance_row(index: int, groups: list[str], rng: random.Random) -> dict[str, Any]:
    """A row of instances that waits for a host."""
    flavor = FLAVORS[index % len(FLAVORS)]
    values: dict[str, Any] = {column.name: None for column in COLUMNS} | {
        "id": str(uuid.UUID(int=rng.getrandbits(128))),
        "project": "bench",
        "namespace": "bench",
        "name": f"instance-{index}",
        "vm_state": VmState.BUILDING,
        "task_state": TaskState.SCHEDULING,
        "power_state": PowerState.NO_STATE,
        "fencing_epoch": 0,
        "version": 1,
        "request": {"flavor": flavor["name"], "image": IMAGE["name"]},
        "flavor": flavor,
        "image": IMAGE,
        "hints": {},
        "interfaces": (),
        "excluded_hosts": (),
        "reboot_generation": 0,
        "attempts": 0,
        "availability_zone": f"zone-{index % 2}" if index % 5 == 0 else None,
        "group_id": groups[index % len(groups)] if index % 20 == 0 else None,
        "created_at": now(),
        "updated_at": now(),
    }
    return {
        **columns_of(values),
        "deleted": LIVE,
        "vcpus": flavor["vcpus"],
        "memory_mib": flavor["memoryMiB"],
    }


def table_of(nodes: list[ComputeNode], settings: SchedulerSettings) -> HostTable:
    """What the watches would have filled in."""
    hosts = HostTable(settings.service_down_time)
    beat = nodes[0].status.heartbeat_time
    assert beat is not None
    for found in nodes:
        hosts.set_node(found, time.monotonic(), beat.timestamp())
    names = [found.metadata.name for found in nodes]
    for zone in range(2):
        hosts.set_aggregate(
            Aggregate(f"zone-{zone}", frozenset(names[zone::2]), {"availability_zone": f"zone-{zone}"})
        )
    hosts.set_aggregate(Aggregate("ssd", frozenset(names[::7]), {"ssd": "true"}))
    return hosts


async def measure(host_count: int, instance_count: int, directory: Path) -> Row:
    """Place `instance_count` instances on `host_count` hosts."""
    rng = random.Random(1)
    url = f"sqlite+aiosqlite:///{directory}/{host_count}.db"
    await migrations.upgrade(url)
    settings = SchedulerSettings(seed=1, service_down_time=3600)
    nodes = [node(index) for index in range(host_count)]
    async with Database(url) as db:
        await fill(db, nodes, instance_count, rng)
        scheduler = Scheduler(db, settings, table_of(nodes, settings))
        del nodes
        decided, claimed = _sums(metrics.DECISION_SECONDS), _sums(metrics.CLAIM_SECONDS)
        granted = _granted()
        cpu, started = time.process_time(), time.perf_counter()
        settled = 0
        while settled < instance_count:
            result = await scheduler.run_pass()
            if not result.seen:
                break
            settled += result.settled
        seconds = time.perf_counter() - started
        cpu = time.process_time() - cpu
    decide = [after - before for before, after in zip(decided, _sums(metrics.DECISION_SECONDS), strict=True)]
    claim = [after - before for before, after in zip(claimed, _sums(metrics.CLAIM_SECONDS), strict=True)]
    return Row(
        hosts=host_count,
        instances=instance_count,
        placed=int(_granted() - granted),
        seconds=round(seconds, 3),
        per_second=round(instance_count / seconds),
        decide_us=round(decide[0] / max(1, decide[1]) * 1e6),
        claim_ms=round(claim[0] / max(1, claim[1]) * 1e3, 1),
        cpu_seconds=round(cpu, 2),
        rss_mib=round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    )


def _sums(histogram: Any) -> tuple[float, float]:
    samples = {
        sample.name.rsplit("_", 1)[-1]: sample.value for sample in next(iter(histogram.collect())).samples
    }
    return samples["sum"], samples["count"]


def _granted() -> float:
    return float(metrics.CLAIMS.labels("Granted")._value.get())


def log_to(sink: TextIO) -> None:
    """Production's log lines, rendered as in production."""
    structlog.configure(
        processors=[
            structlog.stdlib.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(sink),
        cache_logger_on_first_use=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument(
        "--hosts", default="1000,10000", help="how many hosts, one figure per line of the table"
    )
    parser.add_argument("--instances", type=int, default=4000)
    parser.add_argument("--json", type=Path, help="write the figures there as well")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory, Path(os.devnull).open("w") as nowhere:
        log_to(nowhere)
        rows = [
            uvloop.run(measure(int(count), options.instances, Path(directory)))
            for count in options.hosts.split(",")
        ]
    columns = list(asdict(rows[0]))
    print("  ".join(f"{name:>11}" for name in columns))
    for row in rows:
        print("  ".join(f"{value:>11}" for value in asdict(row).values()))
    if options.json:
        options.json.write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n")
    if any(row.placed < row.instances for row in rows):
        sys.exit("not every instance was placed")


if __name__ == "__main__":
    main()
