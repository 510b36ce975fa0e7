"""The Compute API, from a client's side: requests a second, latencies, boots through POST /servers.

One gateway (or several, taken in turn) over the fake driver; the clients are a process of their own. The same
work as was measured on real Nova (`NOVA` in `__main__`).
"""

from __future__ import annotations

import asyncio
import itertools
import multiprocessing
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import orjson

from benchmarks.measure import cpu_seconds, percentile, rss_mib
from cairn_local.control_plane.binaries import Binaries
from cairn_local.control_plane.running import running_control_plane
from cairn_local.stack import LOOPBACK
from support.openstack_cloud import OpenStackCloud, running_openstack

CLIENTS = 16
SECONDS = 4.0
SIZES = (10, 100, 1000)
BOOTS = 30
BURST = 100
VERSION = {"OpenStack-API-Version": "compute 2.100"}


@dataclass
class ApiResult:
    """Requests a second with one and with 16 clients, times in seconds, memory in MiB."""

    token_issue_per_second: float
    versions_per_second: float
    show_per_second: float
    show_one_client_per_second: float
    detail_10_per_second: float
    detail_100_per_second: float
    detail_1000_p50: float
    list_1000_p50: float
    flavors_detail_per_second: float
    limits_per_second: float
    post_p50: float
    post_p95: float
    post_to_active_p50: float
    post_to_active_p95: float
    delete_to_gone_p50: float
    burst_all_active: float
    """100 POSTs by 16 clients, until all are ACTIVE."""
    burst_cpu_per_boot: float
    """Seconds of all Cairn's processes, for one of them."""
    gateway_rss_mib: float
    disagreements: dict[str, int] = field(default_factory=dict)
    """Of several gateways (`agreement`); each count should be 0."""


def compute_api(binaries: Binaries, folder: Path, *, database_url: str = "", gateways: int = 1) -> ApiResult:
    """All of it, on SQLite or on `database_url`."""
    with api_cloud(binaries, folder, database_url) as cloud:
        from benchmarks import agreement

        target = target_of(cloud, add_gateways(cloud, gateways))
        figures = in_another_process(_measure, target)
        gateway = next(process for process in cloud.cloud.processes if process.spec.name == "gateway")
        burst = figures.pop("burst_all_active")
        before = sum(cpu_seconds(process.pid) for process in cloud.cloud.processes)
        burst = min(burst, in_another_process(_burst_only, target)["burst_all_active"])
        spent = sum(cpu_seconds(process.pid) for process in cloud.cloud.processes) - before
        return ApiResult(
            **figures,
            burst_all_active=burst,
            burst_cpu_per_boot=spent / BURST,
            gateway_rss_mib=rss_mib(gateway.pid),
            disagreements=agreement.disagreements(cloud, target) if gateways > 1 else {},
        )


@contextmanager
def api_cloud(binaries: Binaries, folder: Path, database_url: str = "") -> Iterator[OpenStackCloud]:
    """Ten hosts, and everything that answers."""
    settings: dict[str, dict[str, object]] = {"agent": {"agent__concurrency": 64}}
    with (
        running_control_plane(folder / "plane", binaries) as plane,
        running_openstack(
            plane,
            folder / "cairn",
            nodes=10,
            nodes_per_agent=10,
            settings=settings,
            database_url=database_url,
        ) as cloud,
    ):
        yield cloud


def add_gateways(cloud: OpenStackCloud, count: int) -> list[str]:
    """So many gateway processes in all; their URLs."""
    stack, urls = cloud.cloud.stack, [cloud.url]
    for number in range(1, count):
        cloud.cloud.processes.add(stack.gateway(f"gateway-{number}"))
        urls.append(f"http://{LOOPBACK}:{stack.port(f'gateway-{number}-api')}")
    return urls


def target_of(cloud: OpenStackCloud, urls: list[str]) -> dict[str, Any]:
    """What the clients' process needs to know: URLs, tokens by size, an image."""
    people = {}
    for size in (*SIZES, 0):
        name = f"size-{size}"
        project = cloud.identity.create("project", name=name, domain_id="default")
        user = cloud.identity.create("user", name=name, password=name, domain_id="default")
        cloud.identity.grant(user["id"], project["id"], "member")
        quotas = {"instances": -1, "cores": -1, "ram": -1}
        cloud.call("PUT", f"/compute/v2.1/os-quota-sets/{project['id']}", {"quota_set": quotas})
        people[size] = name
    images = cloud.call("GET", "/image/v2/images")["images"]
    flavors = cloud.call("GET", "/compute/v2.1/flavors")["flavors"]
    flavor = next(item["id"] for item in flavors if item["name"] == "tiny")
    return {"urls": urls, "people": people, "image": images[0]["id"], "flavor": flavor}


def in_another_process(
    work: Callable[[dict[str, Any]], Awaitable[dict[str, float]]], target: dict[str, Any]
) -> dict[str, float]:
    """What `work` answers to `target`; so that the clients do not take the gateway's turn."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(_run, (work, target))


def _run(
    work: Callable[[dict[str, Any]], Awaitable[dict[str, float]]], target: dict[str, Any]
) -> dict[str, float]:
    return asyncio.run(work(target))  # type: ignore[arg-type]


class Client:
    """One user's connection."""

    def __init__(self, session: aiohttp.ClientSession, target: dict[str, Any]) -> None:
        self._session = session
        self._target = target
        self._urls = itertools.cycle(target["urls"])
        self._headers: dict[str, str] = {}
        self.project_id = ""
        """Once signed in."""

    async def sign_in(self, name: str, password: str = "") -> None:
        """By password (the name, unless given), scoped to the project of the same name."""
        url = f"{next(self._urls)}/identity/v3/auth/tokens"
        async with self._session.post(url, json=sign_in(name, password or name)) as got:
            assert got.status == 201, await got.text()
            self.project_id = (await got.json())["token"]["project"]["id"]
            self._headers = {"X-Auth-Token": got.headers["X-Subject-Token"], **VERSION}

    async def get(self, path: str) -> Any:
        """The JSON answer."""
        return orjson.loads(await self.load(path))

    async def load(self, path: str) -> bytes:
        """The answer as it is; what the rates are measured with."""
        async with self._session.get(f"{next(self._urls)}{path}", headers=self._headers) as got:
            raw = await got.read()
            assert got.status in (200, 300), raw
            return raw

    async def create(self, count: int = 1, name: str = "bench", networks: str = "none") -> str:
        """POST /servers; its id."""
        server = {
            "name": name, "flavorRef": self._target["flavor"], "imageRef": self._target["image"],
            "networks": networks, "max_count": count, "min_count": count,
        }  # fmt: skip
        url = f"{next(self._urls)}/compute/v2.1/servers"
        async with self._session.post(url, headers=self._headers, json={"server": server}) as got:
            body = await got.json()
            assert got.status == 202, body
            return str(body["server"]["id"])

    async def delete(self, server_id: str) -> None:
        """DELETE /servers/{id}."""
        url = f"{next(self._urls)}/compute/v2.1/servers/{server_id}"
        async with self._session.delete(url, headers=self._headers) as got:
            assert got.status == 204, await got.text()

    async def until(self, server_id: str, status: str) -> None:
        """Poll until it has the status; `GONE`: until there is no such server."""
        async with asyncio.timeout(120):
            while True:
                url = f"{next(self._urls)}/compute/v2.1/servers/{server_id}"
                async with self._session.get(url, headers=self._headers) as got:
                    if got.status == 404 and status == "GONE":
                        return
                    if got.status == 200 and (await got.json())["server"]["status"] == status:
                        return
                await asyncio.sleep(0.005)

    async def until_active(self, count: int) -> None:
        """Until `count` servers are ACTIVE."""
        async with asyncio.timeout(300):
            while True:
                raw = await self.load("/compute/v2.1/servers/detail?status=ACTIVE&limit=1000")
                if raw.count(b'"status":"ACTIVE"') >= count:
                    return
                await asyncio.sleep(0.02)


def sign_in(name: str, password: str) -> dict[str, Any]:
    """A password for a project."""
    domain = {"id": "default"}
    user = {"name": name, "password": password, "domain": domain}
    return {
        "auth": {
            "identity": {"methods": ["password"], "password": {"user": user}},
            "scope": {"project": {"name": name, "domain": domain}},
        }
    }


async def _measure(target: dict[str, Any]) -> dict[str, float]:
    connector = aiohttp.TCPConnector(limit=CLIENTS)
    async with aiohttp.ClientSession(connector=connector) as session:
        users = {size: Client(session, target) for size in target["people"]}
        for size, client in users.items():
            await client.sign_in(target["people"][size])
        for size in SIZES:
            for start in range(0, size, 100):
                await users[size].create(min(100, size - start))
            await users[size].until_active(size)
        one = users[0]
        server_id = await one.create()
        await one.until(server_id, "ACTIVE")
        servers = "/compute/v2.1/servers"
        return {
            "token_issue_per_second": await _rate(lambda: one.sign_in(target["people"][0]), 1),
            "versions_per_second": await _rate(lambda: one.load("/compute/"), CLIENTS),
            "show_per_second": await _rate(lambda: one.load(f"{servers}/{server_id}"), CLIENTS),
            "show_one_client_per_second": await _rate(lambda: one.load(f"{servers}/{server_id}"), 1),
            "detail_10_per_second": await _rate(lambda: users[10].load(f"{servers}/detail"), CLIENTS),
            "detail_100_per_second": await _rate(lambda: users[100].load(f"{servers}/detail"), CLIENTS),
            "detail_1000_p50": await p50(lambda: users[1000].load(f"{servers}/detail"), 20),
            "list_1000_p50": await p50(lambda: users[1000].load(servers), 20),
            "flavors_detail_per_second": await _rate(
                lambda: one.load("/compute/v2.1/flavors/detail"), CLIENTS
            ),
            "limits_per_second": await _rate(lambda: one.load("/compute/v2.1/limits"), CLIENTS),
            **await _boots(one),
            "burst_all_active": await _burst(one),
        }


async def _burst_only(target: dict[str, Any]) -> dict[str, float]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=CLIENTS)) as session:
        client = Client(session, target)
        await client.sign_in(target["people"][0])
        return {"burst_all_active": await _burst(client)}


async def _rate(work: Callable[[], Awaitable[Any]], clients: int) -> float:
    """Requests a second by that many clients at once."""
    await work()
    count = 0
    deadline = time.perf_counter() + SECONDS

    async def go_on() -> None:
        nonlocal count
        while time.perf_counter() < deadline:
            await work()
            count += 1

    began = time.perf_counter()
    await asyncio.gather(*(go_on() for _ in range(clients)))
    return count / (time.perf_counter() - began)


async def p50(work: Callable[[], Awaitable[Any]], times: int) -> float:
    """The median time of `work`, done one after the other."""
    seconds = []
    for _ in range(times):
        began = time.perf_counter()
        await work()
        seconds.append(time.perf_counter() - began)
    return percentile(seconds, 0.5)


async def _boots(client: Client) -> dict[str, float]:
    posts, boots, deletes = [], [], []
    for number in range(BOOTS):
        began = time.perf_counter()
        server_id = await client.create(name=f"boot-{number}")
        posts.append(time.perf_counter() - began)
        await client.until(server_id, "ACTIVE")
        boots.append(time.perf_counter() - began)
        began = time.perf_counter()
        await client.delete(server_id)
        await client.until(server_id, "GONE")
        deletes.append(time.perf_counter() - began)
    return {
        "post_p50": percentile(posts, 0.5),
        "post_p95": percentile(posts, 0.95),
        "post_to_active_p50": percentile(boots, 0.5),
        "post_to_active_p95": percentile(boots, 0.95),
        "delete_to_gone_p50": percentile(deletes, 0.5),
    }


async def _burst(client: Client) -> float:
    """100 servers by 16 clients; they stay."""
    there = (await client.load("/compute/v2.1/servers/detail?status=ACTIVE")).count(b'"status":"ACTIVE"')
    gate = asyncio.Semaphore(CLIENTS)

    async def create(number: int) -> None:
        async with gate:
            await client.create(name=f"burst-{number}")

    began = time.perf_counter()
    await asyncio.gather(*(create(number) for number in range(BURST)))
    await client.until_active(there + BURST)
    return time.perf_counter() - began
