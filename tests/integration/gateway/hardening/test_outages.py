"""The database or the API server goes away during requests: 503 until it is back, and nothing half made."""

from __future__ import annotations

import asyncio
import itertools
import json
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from cairn_local.control_plane.binaries import Binaries
from cairn_local.control_plane.running import RunningControlPlane, running_control_plane
from cairn_local.install import install_manifests
from cairn_local.stack import CRDS, RBAC
from integration.database.servers import PostgresqlServer
from support.gateway import GatewayUnderTest, gateway_app

COMPUTE = "/compute/v2.1"
BACK_SECONDS = 30.0


@pytest.fixture(scope="module")
def plane(
    control_plane_binaries: Binaries, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningControlPlane]:
    """A control plane that may be killed."""
    with running_control_plane(tmp_path_factory.mktemp("outages"), control_plane_binaries) as running:
        install_manifests(running.kubeconfig, CRDS, [RBAC])
        yield running


@pytest.fixture(scope="module")
def postgresql() -> Iterator[PostgresqlServer]:
    """A database server that may be killed."""
    server = PostgresqlServer()
    try:
        server.start()
        yield server
    finally:
        server.remove()


@dataclass
class House:
    """A gateway over both, and its administrator's client."""

    gateway: GatewayUnderTest
    client: httpx.AsyncClient
    image: str
    seen: Counter[tuple[str, int]] = field(default_factory=Counter)

    async def ask(self, method: str, path: str, body: Any = None) -> httpx.Response:
        """One request; whatever is answered is a proper answer."""
        answer = await self.client.request(method, path, json=body)
        self.seen[method, answer.status_code] += 1
        assert answer.status_code < 500 or answer.status_code == 503, answer.text
        if answer.status_code == 503:
            assert int(answer.headers["retry-after"]) > 0
            fault = answer.json()["serviceUnavailable"]
            assert fault["code"] == 503
            assert "does not answer" in fault["message"]
            for inside in ("Traceback", "asyncpg", "sqlalchemy", "SELECT", "127.0.0.1", "/tmp"):
                assert inside not in answer.text
        return answer

    async def make_flavor(self, name: str) -> int:
        body = {"flavor": {"name": name, "id": name, "ram": 64, "vcpus": 1, "disk": 0}}
        return (await self.ask("POST", f"{COMPUTE}/flavors", body)).status_code

    async def make_server(self, name: str) -> int:
        server = {"name": name, "flavorRef": "small", "imageRef": self.image, "networks": "none"}
        return (await self.ask("POST", f"{COMPUTE}/servers", {"server": server})).status_code

    async def names(self, what: str) -> list[str]:
        """The names in a list, when it can be read again."""
        async with asyncio.timeout(BACK_SECONDS):
            while (answer := await self.ask("GET", f"{COMPUTE}/{what}")).status_code == 503:  # noqa: ASYNC110
                await asyncio.sleep(0.2)
        return [item["name"] for item in answer.json()[what]]


@pytest_asyncio.fixture
async def house(
    plane: RunningControlPlane, postgresql: PostgresqlServer, tmp_path: Path
) -> AsyncIterator[House]:
    project = f"house-{secrets.token_hex(4)}"
    plane.kubectl("create", "namespace", project)
    async with gateway_app(postgresql.new_database(), plane, directory=tmp_path) as gateway:
        await gateway.project(project)
        client = gateway.client(await gateway.caller(project, "admin"), "2.90")
        made = await client.post(
            "/image/v2/images", json={"name": "i", "disk_format": "raw", "container_format": "bare"}
        )
        assert made.status_code == 201, made.text
        image = made.json()["id"]
        kind = {"Content-Type": "application/octet-stream"}
        put = await client.put(f"/image/v2/images/{image}/file", content=b"x" * 1024, headers=kind)
        assert put.status_code == 204, put.text
        house = House(gateway, client, image)
        assert await house.make_flavor("small") == 200
        assert await house.make_server("first") == 202
        yield house


async def ask_throughout(
    make: Callable[[str], Awaitable[int]], outage: Callable[[], Awaitable[None]], clients: int = 6
) -> dict[str, int]:
    """Make things, one after the other by several clients, before, during and after `outage`; what was
    answered, by name."""
    answers: dict[str, int] = {}
    over = asyncio.Event()

    async def client(number: int) -> None:
        for count in itertools.count():
            name = f"n{number}-{count}-{secrets.token_hex(2)}"
            answers[name] = await make(name)
            if answers[name] == 503:
                await asyncio.sleep(0.1)
            if over.is_set():
                return

    async with asyncio.TaskGroup() as group:
        for number in range(clients):
            group.create_task(client(number))
        await asyncio.sleep(0.5)
        await outage()
        await asyncio.sleep(1.0)
        over.set()
    return answers


def once_or_not_at_all(answers: dict[str, int], there: list[str], made: int) -> None:
    """What was accepted is there once; what was not, once or not at all."""
    counted = Counter(there)
    assert set(answers.values()) <= {made, 503}
    assert made in answers.values()
    for name, status in answers.items():
        assert counted[name] <= 1, name
        assert status == 503 or counted[name] == 1, (name, status)


async def test_the_database_dies_and_comes_back(house: House, postgresql: PostgresqlServer) -> None:
    async def outage() -> None:
        await asyncio.to_thread(postgresql.kill)
        assert (await house.ask("GET", f"{COMPUTE}/servers")).status_code == 503
        assert (await house.client.get("/image/v2/images")).status_code == 503
        assert await house.make_server("while-it-is-away") == 503
        assert await house.make_flavor("while-it-is-away") == 503
        await asyncio.to_thread(postgresql.start)

    answers = await ask_throughout(house.make_server, outage)
    assert 503 in answers.values()
    there = await house.names("servers")
    once_or_not_at_all(answers, there, 202)
    assert "while-it-is-away" not in there
    assert await house.make_server("afterwards") == 202


async def test_the_api_server_dies_and_comes_back(house: House, plane: RunningControlPlane) -> None:
    server = plane.group["kube-apiserver"]

    async def outage() -> None:
        await asyncio.to_thread(server.kill)
        assert (await house.ask("GET", f"{COMPUTE}/servers/detail")).status_code == 200
        assert await house.make_server("while-it-is-away") == 503
        assert await house.make_flavor("while-it-is-away") == 503
        await asyncio.to_thread(server.start)

    makes = itertools.cycle([house.make_server, house.make_flavor])
    kinds: dict[str, str] = {}

    async def make(name: str) -> int:
        chosen = next(makes)
        kinds[name] = "servers" if chosen == house.make_server else "flavors"
        status = await chosen(name)
        return 202 if status == 200 else status

    answers = await ask_throughout(make, outage)
    assert 503 in answers.values()
    for kind in ("servers", "flavors"):
        there = await house.names(kind)
        mine = {name: status for name, status in answers.items() if kinds[name] == kind}
        once_or_not_at_all(mine, there, 202)
        assert "while-it-is-away" not in there
    listed = json.loads(plane.kubectl("get", "flavors.compute.cairn.dev", "-o", "json"))["items"]
    resources = Counter(item["spec"].get("displayName") or item["metadata"]["name"] for item in listed)
    for name in set(answers) & set(await house.names("flavors")):
        assert resources[name] == 1, "a flavor that the API lists has its resource"
    assert await house.make_flavor("afterwards") == 200
