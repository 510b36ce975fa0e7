"""Whatever is asked, within the documents or not, is answered: no 500, no hang, faults in JSON.

The same guesses every time; CAIRN_GUESS_SEED and CAIRN_GUESS_ROUNDS choose others, and how many.
"""

from __future__ import annotations

import asyncio
import os
import random
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from cairn_gateway.http.server import GatewayServer
from cairn_gateway.identity.bootstrap import Administrator, bootstrap
from cairn_local.control_plane.running import RunningControlPlane
from cairn_local.install import install_manifests
from cairn_local.stack import CRDS, RBAC
from integration.database.servers import PostgresqlServer
from integration.gateway.hardening.guessing import Guesser
from integration.gateway.hardening.listening import until
from support.gateway import gateway_app
from support.passwords import CHEAP_PASSWORDS

SEED = int(os.environ.get("CAIRN_GUESS_SEED", "1"))
ROUNDS = int(os.environ.get("CAIRN_GUESS_ROUNDS", "2"))
DOCUMENTS = [
    "/compute/v2.1/openapi.json",
    "/identity/v3/openapi.json",
    "/image/v2/openapi.json",
    "/network/v2.0/openapi.json",
]


@contextmanager
def gateway_in_a_thread(
    url: str, plane: RunningControlPlane, directory: Path
) -> Iterator[tuple[str, str, str]]:
    """A whole gateway with a loop of its own; its address, an administrator's token and project."""
    ready, ended = threading.Event(), threading.Event()
    told: dict[str, Any] = {}

    async def serve() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        told["stop"] = lambda: loop.call_soon_threadsafe(stop.set)
        async with gateway_app(url, plane, directory=directory) as gateway:
            name = f"guess-{secrets.token_hex(4)}"
            plane.kubectl("create", "namespace", name)
            told["project"] = await gateway.project(name)
            people = Administrator("admin", secrets.token_hex(8), f"{name}-admin")
            kubernetes = gateway.services.cluster.kubernetes
            await bootstrap(gateway.services.db, kubernetes, people, CHEAP_PASSWORDS)
            token = gateway.badges.issue(await gateway.caller(name, "admin"))
            settings = gateway.services.settings.gateway.model_copy(update={"port": 0})
            server = GatewayServer(gateway.app, settings)
            serving = asyncio.create_task(server.serve_until(stop))
            await until(lambda: server.started or serving.done())
            told["address"], told["token"] = f"http://127.0.0.1:{server.port}", token
            ready.set()
            await serving

    def main() -> None:
        try:
            asyncio.run(serve())
        finally:
            ready.set()
            ended.set()

    threading.Thread(target=main, daemon=True).start()
    assert ready.wait(60)
    assert "address" in told, "the gateway has not started"
    try:
        yield told["address"], told["token"], told["project"]
    finally:
        told["stop"]()
        assert ended.wait(40), "the gateway has not ended"


@pytest.fixture
def postgresql() -> Iterator[PostgresqlServer]:
    server = PostgresqlServer()
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.mark.slow
def test_no_request_is_answered_with_500(
    control_plane: RunningControlPlane, postgresql: PostgresqlServer, tmp_path: Path
) -> None:
    install_manifests(control_plane.kubeconfig, CRDS, [RBAC])
    with gateway_in_a_thread(postgresql.new_database(), control_plane, tmp_path) as (address, token, own):
        headers = {"X-Auth-Token": token}
        guesser = Guesser(address, headers, random.Random(SEED), lambda: known_ids(address, headers, own))
        guesser.run(served_documents(address), ROUNDS)
        assert httpx.get(f"{address}/healthz").status_code == 200
    print(f"{guesser.asked} requests, by status: {dict(sorted(guesser.statuses.items()))}")
    assert not guesser.found, "\n".join(map(str, guesser.found.values()))


def served_documents(address: str) -> list[str]:
    return [document for document in DOCUMENTS if httpx.get(address + document).status_code == 200]


def known_ids(address: str, headers: dict[str, str], own: str) -> dict[str, list[str]]:
    """Things that exist, made if there are none: what a request is about is found more often than not.

    `own`: the project of the token, which is to stay.
    """
    compute, identity, image, network = "/compute/v2.1", "/identity/v3", "/image/v2", "/network/v2.0"
    headers = {**headers, "OpenStack-API-Version": "compute 2.90"}
    with httpx.Client(base_url=address, headers=headers) as client:
        flavor = {"name": secrets.token_hex(4), "ram": 64, "vcpus": 1, "disk": 0}
        client.post(f"{compute}/flavors", json={"flavor": flavor})
        client.post(f"{compute}/os-aggregates", json={"aggregate": {"name": secrets.token_hex(4)}})
        client.post(f"{compute}/os-server-groups", json={"server_group": {"name": "g", "policy": "affinity"}})
        client.post(f"{identity}/roles", json={"role": {"name": secrets.token_hex(4)}})
        client.post(f"{identity}/users", json={"user": {"name": secrets.token_hex(4)}})
        about = {"name": "i", "disk_format": "raw", "container_format": "bare"}
        new = client.post(f"{image}/images", json=about)
        if new.status_code == 201:
            kind = {"Content-Type": "application/octet-stream"}
            client.put(f"{image}/images/{new.json()['id']}/file", content=b"x", headers=kind)
        made = client.post(f"{network}/networks", json={"network": {"name": "n"}})
        if made.status_code == 201:
            subnet = {"network_id": made.json()["network"]["id"], "ip_version": 4, "cidr": "10.9.0.0/24"}
            client.post(f"{network}/subnets", json={"subnet": subnet})
            client.post(f"{network}/ports", json={"port": {"network_id": subnet["network_id"]}})
        client.post(f"{network}/security-groups", json={"security_group": {"name": "s"}})
        network_ids = _ids(client, f"{network}/networks", "networks")
        image_ids = _ids(client, f"{image}/images", "images")
        flavor_ids = _ids(client, f"{compute}/flavors", "flavors")
        if flavor_ids and new.status_code == 201:
            server = {"name": "s", "flavorRef": flavor_ids[0], "imageRef": new.json()["id"]}
            client.post(f"{compute}/servers", json={"server": {**server, "networks": "none"}})
        server_ids = _ids(client, f"{compute}/servers", "servers")
        return {
            "server_id": server_ids,
            "id": server_ids,
            "flavor_id": flavor_ids,
            "image_id": image_ids,
            "aggregate_id": _ids(client, f"{compute}/os-aggregates", "aggregates"),
            "server_group_id": _ids(client, f"{compute}/os-server-groups", "server_groups"),
            "user_id": _ids(client, f"{identity}/users", "users"),
            "role_id": _ids(client, f"{identity}/roles", "roles"),
            "project_id": [one for one in _ids(client, f"{identity}/projects", "projects") if one != own],
            "domain_id": ["default"],
            "network_id": network_ids,
            "subnet_id": _ids(client, f"{network}/subnets", "subnets"),
            "port_id": _ids(client, f"{network}/ports", "ports"),
            "security_group_id": _ids(client, f"{network}/security-groups", "security_groups"),
            "group_id": _ids(client, f"{network}/security-groups", "security_groups"),
        }


def _ids(client: httpx.Client, path: str, key: str) -> list[str]:
    answer = client.get(path)
    if answer.status_code != 200:
        return []
    return [str(item["id"]) for item in answer.json().get(key, [])][:20]
