"""The Compute API in a large cloud: the same questions at 1,000 instances and at many more, 1,000 projects.

What is measured belongs to a project of 100 servers in both. The rows of the others are written straight into
the tables (`filling`); nothing but the gateway runs, as no host has their machines.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp

from benchmarks.api import Client, add_gateways, api_cloud, in_another_process, p50, target_of
from benchmarks.filling import fill
from cairn_local.control_plane.binaries import Binaries
from support.openstack_cloud import ADMIN_PASSWORD

FEW = 1000
PROJECTS = 1000
OWN = 100
"""Servers of the project that asks; one of the sizes that `api` makes projects for."""
TIMES = 90
CREATES = 45
ROUNDS = 3
MOMENT = "%Y-%m-%dT%H:%M:%S"
SERVERS = "/compute/v2.1/servers"


@dataclass
class ScaleResult:
    """Median times in milliseconds."""

    instances: int
    few: dict[str, float] = field(default_factory=dict)
    """At 1,000 instances."""
    many: dict[str, float] = field(default_factory=dict)
    """At `instances`."""
    ratio: dict[str, float] = field(default_factory=dict)
    """How many times as long; 1 is flat."""


def large_cloud(
    binaries: Binaries, folder: Path, *, instances: int, database_url: str = "", gateways: int = 1
) -> ScaleResult:
    """On SQLite or on `database_url`."""
    with api_cloud(binaries, folder, database_url) as cloud:
        target = target_of(cloud, add_gateways(cloud, gateways))
        made = in_another_process(_boot_own, target)
        for process in cloud.cloud.processes:
            if not process.spec.name.startswith("gateway"):
                process.stop()
        url = cloud.cloud.stack.database_url
        target |= {"admin_password": ADMIN_PASSWORD, "began": (datetime.now(UTC) - timedelta(minutes=5))}
        result = ScaleResult(instances)
        have = 0
        for wanted, figures in ((FEW, result.few), (instances, result.many)):
            fill(url, made["pattern"], have, wanted - OWN, PROJECTS)
            have = wanted - OWN
            figures.update(in_another_process(_measure, target))
        result.ratio.update({name: result.many[name] / value for name, value in result.few.items()})
        return result


async def _boot_own(target: dict[str, Any]) -> dict[str, Any]:
    async with aiohttp.ClientSession() as session:
        client = Client(session, target)
        await client.sign_in(target["people"][OWN])
        await client.create(OWN, networks="auto")
        await client.until_active(OWN)
        listed = await client.get(f"{SERVERS}?limit=1")
        return {"pattern": listed["servers"][0]["id"]}


async def _measure(target: dict[str, Any]) -> dict[str, float]:
    async with aiohttp.ClientSession() as session:
        own, admin, maker = (Client(session, target) for _ in range(3))
        await own.sign_in(target["people"][OWN])
        await maker.sign_in(target["people"][0])
        await admin.sign_in("admin", target["admin_password"])
        seconds = {
            **await _ask(own, admin, target["began"].strftime(MOMENT)),
            "create": await _best(lambda: maker.create(name="late"), CREATES),
        }
    return {name: value * 1000 for name, value in seconds.items()}


async def _best(question: Callable[[], Awaitable[Any]], times: int) -> float:
    """The lowest of some medians: the machine may be busy with something else meanwhile."""
    return min([await p50(question, times // ROUNDS) for _ in range(ROUNDS)])


async def _ask(own: Client, admin: Client, recent: str) -> dict[str, float]:
    """Reads: by a member in the project, and by the administrator in all. `recent`: before `own`'s servers
    were made, and after most others."""
    mine = [server["id"] for server in (await own.get(SERVERS))["servers"]]
    everywhere = f"{SERVERS}/detail?all_tenants=1&limit=100"
    page: list[str] = []
    marker = ""
    for _ in range(9):  # some way into the list, as far as 1,000 instances go
        listed = (await admin.get(f"{everywhere}{marker}"))["servers"]
        page = [server["id"] for server in listed]
        marker = f"&marker={page[-1]}"
    random.shuffle(page)
    month = (datetime.now(UTC) - timedelta(days=30)).strftime(MOMENT)
    ids, others = itertools.cycle(mine), itertools.cycle(page)

    def get(client: Client, path: str) -> Callable[[], Awaitable[bytes]]:
        return lambda: client.load(path)

    questions: dict[str, Callable[[], Awaitable[bytes]]] = {
        "show": lambda: own.load(f"{SERVERS}/{next(ids)}"),
        "show another's": lambda: admin.load(f"{SERVERS}/{next(others)}"),
        "list 100": get(own, SERVERS),
        "detail 100": get(own, f"{SERVERS}/detail"),
        "list by state": get(own, f"{SERVERS}?status=ACTIVE"),
        "list by name": get(own, f"{SERVERS}?name=bench-5"),
        "list by address": get(own, f"{SERVERS}?ip=10.20.0.9"),
        "changes since": get(own, f"{SERVERS}/detail?changes-since={recent}"),
        "limits": get(own, "/compute/v2.1/limits"),
        "usage of 30 days": get(own, f"/compute/v2.1/os-simple-tenant-usage/{own.project_id}?start={month}"),
        "ports": get(own, "/network/v2.0/ports"),
        "all: first page": get(admin, everywhere),
        "all: a page further on": get(admin, f"{everywhere}{marker}"),
        "all: of a host": get(admin, f"{everywhere}&host=node-7"),
        "all: changed since": get(admin, f"{everywhere}&changes-since={recent}"),
        "all: in error": get(admin, f"{everywhere}&status=ERROR"),
        "all: by name": get(admin, f"{everywhere}&name=bench-5"),
    }
    return {name: await _best(question, TIMES) for name, question in questions.items()}
