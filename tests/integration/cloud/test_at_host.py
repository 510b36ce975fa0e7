"""What the Compute API asks of a server's host: real agents, and a gateway with its own account's rights."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

import httpx
import pytest
import pytest_asyncio

from cairn_agent.drivers.api import DriverError, MachineNotFound, Unsupported
from cairn_database import Database
from cairn_gateway.app import create_app, make_services
from cairn_gateway.settings import GatewayProcessSettings
from cairn_runtime.agent_client import AgentClient
from cairn_runtime.agent_errors import TokenRefused
from cairn_runtime.health import Health
from cairn_runtime.kubernetes import Kubernetes
from cairn_runtime.peer_tokens import disks_token
from cairn_runtime.peers import read_peer, secret_path
from cairn_runtime.settings import KubernetesSettings
from integration.cloud.cairn import Cairn, Tenant
from integration.cloud.laboratory import Laboratory
from support.gateway import Badges, GatewayUnderTest

SERVERS = "/compute/v2.1/servers"
BOOTED = "boot 1 of {}\n1 CPUs, 64 MiB of memory\n1 network cards\n"
HOST_SECONDS = 3.0


@dataclass
class Desk:
    """A gateway, and people who ask it."""

    gateway: GatewayUnderTest
    kubernetes: Kubernetes
    tenant: Tenant

    async def client(self, role: str, version: str = "latest") -> httpx.AsyncClient:
        """Somebody of the tenant."""
        return self.gateway.client(await self.gateway.caller(self.tenant.namespace, role), version)

    async def log(self, server_id: str, role: str = "member", **wanted: Any) -> httpx.Response:
        """os-getConsoleOutput."""
        client = await self.client(role)
        return await client.post(f"{SERVERS}/{server_id}/action", json={"os-getConsoleOutput": wanted})


@pytest_asyncio.fixture
async def desk(cairn: Cairn, tenant: Tenant) -> AsyncIterator[Desk]:
    """Over the cloud's own database, with the rights of service account cairn-gateway."""
    url = cairn.cloud.stack.database_url
    settings = GatewayProcessSettings(
        **{"database": {"url": url}, "gateway": {"host_timeout_seconds": HOST_SECONDS}}
    )
    kubeconfig = cairn.plane.service_account_kubeconfig("cairn-system", "cairn-gateway")
    kubernetes = Kubernetes(KubernetesSettings(kubeconfig=kubeconfig))
    await kubernetes.open()
    badges = Badges()
    async with Database(url) as db:
        services = replace(make_services(settings, db, kubernetes), identity=badges)
        gateway = GatewayUnderTest(create_app(services, Health()), services, badges)
        yield Desk(gateway, kubernetes, tenant)
        for client in gateway.clients:
            await client.aclose()
        await services.agents.close()
        await kubernetes.close()


async def boot(tenant: Tenant, zone: str = "frail", **spec: Any) -> str:
    """An active instance on that host."""
    return await asyncio.to_thread(tenant.boot, availabilityZone=zone, **spec)


async def test_the_console_log(desk: Desk, tenant: Tenant) -> None:
    server_id = await boot(tenant)
    answer = await desk.log(server_id)
    assert (answer.status_code, answer.json()) == (200, {"output": BOOTED.format(server_id)})
    assert (await desk.log(server_id, length=1)).json() == {"output": ""}
    assert (await desk.log(server_id, length="4")).json() == answer.json()
    assert (await desk.log(server_id, length=-1)).json() == answer.json()
    assert (await desk.log(server_id, length=-2)).status_code == 400
    assert (await desk.log(server_id, lines=3)).status_code == 400
    assert (await desk.log(server_id, role="reader")).status_code == 403


async def test_diagnostics_are_for_administrators(desk: Desk, tenant: Tenant) -> None:
    server_id = await boot(tenant)
    path = f"{SERVERS}/{server_id}/diagnostics"
    assert (await (await desk.client("member")).get(path)).status_code == 403
    shown = (await (await desk.client("admin")).get(path)).json()
    assert shown["state"] == "running"
    assert shown["driver"] == "libvirt"
    assert shown["config_drive"] is True
    assert 0 <= shown["uptime"] < 600
    assert (shown["num_cpus"], shown["num_nics"], shown["num_disks"]) == (1, 1, 1)
    assert shown["memory_details"] == {"maximum": 64, "used": 64}
    assert set(shown["nic_details"][0]) == {
        "mac_address",
        *(f"{way}_{of}" for way in ("rx", "tx") for of in ("octets", "packets", "errors", "drop", "rate")),
    }
    older = (await (await desk.client("admin", "2.47")).get(path)).json()
    assert older == {"cpu0_time": 0, "memory": 65536}


async def test_a_stopped_server_has_a_log_and_no_diagnostics(desk: Desk, tenant: Tenant) -> None:
    server_id = await boot(tenant)
    tenant.patch(powerState="Stopped")
    await asyncio.to_thread(tenant.phase, "Stopped")
    assert (await desk.log(server_id)).status_code == 200
    answer = await (await desk.client("admin")).get(f"{SERVERS}/{server_id}/diagnostics")
    assert answer.status_code == 409
    assert "while it is in power state shutdown" in answer.json()["conflictingRequest"]["message"]


async def test_a_server_without_a_host_is_not_ready(desk: Desk, tenant: Tenant) -> None:
    tenant.create("lost", availabilityZone="nowhere")
    await asyncio.to_thread(tenant.told, "NoValidHost", "lost")
    server_id = tenant.get("lost")["status"]["instanceId"]
    answer = await desk.log(server_id)
    assert (answer.status_code, answer.json()["conflictingRequest"]["message"]) == (
        409,
        f"Instance {server_id} is not ready",
    )


async def test_an_agent_that_is_away_is_503_and_found_again(desk: Desk, cairn: Cairn, tenant: Tenant) -> None:
    server_id = await boot(tenant)
    assert (await desk.log(server_id)).status_code == 200
    before = await read_peer(desk.kubernetes, "frail")
    cairn.kill("agent-frail")
    answer = await desk.log(server_id)
    assert answer.status_code == 503
    assert answer.headers["retry-after"]
    assert "frail" not in answer.text
    await asyncio.to_thread(cairn.start, "agent-frail")
    answer = await desk.log(server_id)
    assert answer.status_code == 200
    assert answer.json()["output"].startswith("boot ")
    now = await read_peer(desk.kubernetes, "frail")
    assert now.token != before.token
    assert now.certificate != before.certificate


async def test_a_frozen_agent_does_not_hang_the_caller(desk: Desk, cairn: Cairn, tenant: Tenant) -> None:
    server_id = await boot(tenant)
    cairn.process("agent-frail").freeze()
    try:
        async with asyncio.timeout(HOST_SECONDS * 3):
            assert (await desk.log(server_id)).status_code == 503
    finally:
        cairn.process("agent-frail").thaw()
    assert (await desk.log(server_id)).status_code == 200


async def test_what_the_hypervisor_says_is_told_by_kind(desk: Desk, lab: Laboratory, tenant: Tenant) -> None:
    server_id = await boot(tenant, "lab")
    told = {}
    for error in (
        DriverError("it is on fire"),
        MachineNotFound("it is on fire"),
        Unsupported("it is on fire"),
    ):
        lab.fails("console_log", error, times=1)
        answer = await desk.log(server_id)
        told[error.reason] = answer.status_code
        assert "fire" not in answer.text
    assert told == {"HypervisorFailed": 503, "MachineNotFound": 404, "Unsupported": 501}


async def test_a_wrong_or_foreign_token_opens_nothing(desk: Desk, cairn: Cairn, tenant: Tenant) -> None:
    server_id = await boot(tenant)
    frail, quick = [await read_peer(desk.kubernetes, node) for node in ("frail", "quick")]
    client = AgentClient()
    try:
        for token in ("00", quick.token, disks_token(frail.token, server_id, "1")):
            with pytest.raises(TokenRefused):
                await client.console_log(frail.model_copy(update={"token": token}), server_id, 10)
        assert await client.console_log(frail, server_id, 10)
    finally:
        await client.close()


def test_a_node_that_goes_takes_its_endpoint_with_it(cairn: Cairn) -> None:
    path = secret_path("passing")
    roles = path.replace("/api/v1", "/apis/rbac.authorization.k8s.io/v1").rpartition("/secrets")[0]
    cairn.cloud.stack.enrol(["passing"])
    cairn.wait("the right to tell", lambda: "cairn-agent-passing" in names(cairn, f"{roles}/rolebindings"))
    cairn.api.request("POST", path.rpartition("/")[0], {"metadata": {"name": "passing"}})
    cairn.kubectl("delete", "computenode", "passing", "--wait=false")
    cairn.wait("the secret to go", lambda: "passing" not in names(cairn, path.rpartition("/")[0]))
    for kind in ("roles", "rolebindings"):
        assert "cairn-agent-passing" not in names(cairn, f"{roles}/{kind}")


def names(cairn: Cairn, collection: str) -> set[str]:
    """Of the objects."""
    return {item["metadata"]["name"] for item in cairn.api.request("GET", collection)["items"]}
