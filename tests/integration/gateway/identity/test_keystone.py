"""A real Keystone as the cloud's identity."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from cairn_database import Database, migrations, tenants
from cairn_gateway.app import create_app, make_services
from cairn_gateway.http.caller import Caller
from cairn_gateway.http.faults import ServiceUnavailable, Unauthorized
from cairn_gateway.identity.keystone import KeystoneIdentity
from cairn_gateway.services import Services
from cairn_gateway.settings import GatewayProcessSettings
from cairn_local.control_plane.running import RunningControlPlane
from cairn_runtime.health import Health
from cairn_runtime.kubernetes import Kubernetes
from cairn_runtime.settings import KubernetesSettings
from support.openstack_services import RunningKeystone
from support.ports import LOOPBACK, free_port

CACHE_SECONDS = 1.0


class Asked:
    """A call with a token, as far as identity looks at it."""

    def __init__(self, token: str) -> None:
        self.headers = {"x-auth-token": token} if token else {}
        self.caller_or_none: Caller | None = None


async def who(services: Services, token: str) -> Caller:
    """Whom the token makes the caller."""
    call: Any = Asked(token)
    await services.identity.authenticate(call)
    assert call.caller_or_none is not None
    caller: Caller = call.caller_or_none
    return caller


@pytest_asyncio.fixture
async def services(
    plane: RunningControlPlane, real_keystone: RunningKeystone, tmp_path: Path
) -> AsyncIterator[Services]:
    """A gateway's services, with that Keystone as the identity."""
    url = f"sqlite+aiosqlite:///{tmp_path}/cairn.db"
    await migrations.upgrade(url)
    identity = {
        "backend": "keystone",
        "keystone_url": real_keystone.url,
        "service_user": real_keystone.admin_user,
        "service_password": real_keystone.admin_password,
        "service_project": real_keystone.admin_project,
        "cache_seconds": CACHE_SECONDS,
        "keystone_timeout_seconds": 60,
    }
    settings = GatewayProcessSettings.model_validate({"database": {"url": url}, "identity": identity})
    kubernetes = Kubernetes(KubernetesSettings(kubeconfig=plane.kubeconfig))
    await kubernetes.open()
    async with Database(url) as db:
        made = make_services(settings, db, kubernetes)
        yield made
        await made.identity.close()
        await kubernetes.close()


class Somebody:
    """A user of the Keystone, with a role in a project of their own."""

    def __init__(self, keystone: RunningKeystone, role: str) -> None:
        self.keystone = keystone
        self.name = f"u-{secrets.token_hex(4)}"
        self.user = keystone.create("user", name=self.name, password="secret", domain_id="default")
        self.project = keystone.create("project", name=f"Project of {self.name}", domain_id="default")
        keystone.grant(self.user["id"], self.project["id"], role)

    def token(self) -> str:
        return self.keystone.token(self.name, "secret", self.project["name"])


async def somebody(keystone: RunningKeystone, role: str = "member") -> Somebody:
    return await asyncio.to_thread(Somebody, keystone, role)


async def test_a_token_of_keystone_counts_and_its_project_is_made(
    services: Services, real_keystone: RunningKeystone, plane: RunningControlPlane
) -> None:
    ann = await somebody(real_keystone)
    token = await asyncio.to_thread(ann.token)
    callers = await asyncio.gather(*(who(services, token) for _ in range(8)))
    [caller] = set(callers)
    assert (caller.user_id, caller.project_id) == (ann.user["id"], ann.project["id"])
    assert caller.project_name == ann.project["name"]
    assert caller.roles == {"member", "reader"}
    record = await tenants.get_project_by_id(services.db, ann.project["id"])
    assert record is not None
    assert (caller.project, caller.namespace) == (record.name, record.namespace)
    resource = json.loads(plane.kubectl("get", "project", record.name, "-o", "json"))
    assert resource["spec"]["id"] == ann.project["id"]
    assert resource["spec"]["displayName"] == ann.project["name"]


async def test_the_compute_api_takes_it(services: Services, real_keystone: RunningKeystone) -> None:
    ann = await somebody(real_keystone)
    token = await asyncio.to_thread(ann.token)
    transport = httpx.ASGITransport(app=create_app(services, Health()))
    async with httpx.AsyncClient(transport=transport, base_url="http://cloud.test") as client:
        answer = await client.get("/compute/v2.1/flavors", headers={"X-Auth-Token": token})
        assert answer.status_code == 200, answer.text
        refused = await client.get("/compute/v2.1/flavors", headers={"X-Auth-Token": "x" * 60})
        assert refused.status_code == 401
        assert refused.headers["www-authenticate"] == f'Keystone uri="{real_keystone.url}"'
        elsewhere = await client.get("/identity/v3")
        assert elsewhere.status_code == 404
        assert real_keystone.url in elsewhere.json()["error"]["message"]


async def test_a_revoked_token_is_refused_within_the_cache_time(
    services: Services, real_keystone: RunningKeystone
) -> None:
    ann = await somebody(real_keystone)
    token = await asyncio.to_thread(ann.token)
    await who(services, token)
    path = f"/users/{ann.user['id']}"
    await asyncio.to_thread(real_keystone.request, "PATCH", path, {"user": {"enabled": False}})
    await asyncio.sleep(CACHE_SECONDS)
    with pytest.raises(Unauthorized):
        await who(services, token)


async def test_roles_change_and_projects_are_renamed(
    services: Services, real_keystone: RunningKeystone
) -> None:
    ann = await somebody(real_keystone, "reader")
    token = await asyncio.to_thread(ann.token)
    assert (await who(services, token)).roles == {"reader"}
    path = f"/projects/{ann.project['id']}"
    renamed = {"project": {"name": f"New {ann.name}"}}
    await asyncio.to_thread(real_keystone.request, "PATCH", path, renamed)
    await asyncio.to_thread(real_keystone.grant, ann.user["id"], ann.project["id"], "manager")
    await asyncio.sleep(CACHE_SECONDS)
    caller = await who(services, token)
    assert caller.roles == {"manager", "member", "reader"}
    assert caller.project_name == f"New {ann.name}"
    record = await tenants.get_project_by_id(services.db, ann.project["id"])
    assert record is not None
    assert record.display_name == f"New {ann.name}"


async def test_a_name_that_is_taken_here_does_not_keep_a_project_out(
    services: Services, real_keystone: RunningKeystone
) -> None:
    old = await somebody(real_keystone)
    await who(services, await asyncio.to_thread(old.token))
    await asyncio.to_thread(real_keystone.request, "DELETE", f"/projects/{old.project['id']}")
    again = await asyncio.to_thread(
        lambda: real_keystone.create("project", name=old.project["name"], domain_id="default")
    )
    await asyncio.to_thread(real_keystone.grant, old.user["id"], again["id"], "member")
    caller = await who(services, await asyncio.to_thread(old.token))
    assert caller.project_id == again["id"]
    assert caller.project_name == old.project["name"]


async def test_system_and_unscoped_tokens_have_no_project(
    services: Services, real_keystone: RunningKeystone
) -> None:
    plain = await who(services, await asyncio.to_thread(real_keystone.token, "", "", ""))
    assert (plain.project_id, plain.roles) == (None, frozenset())


async def test_a_keystone_that_does_not_answer_is_503(services: Services) -> None:
    async def say_nothing(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(5)
        writer.close()

    silent = await asyncio.start_server(say_nothing, LOOPBACK, 0)
    port = silent.sockets[0].getsockname()[1]
    for where in (port, free_port()):
        changes = {
            "keystone_url": f"http://{LOOPBACK}:{where}/v3",
            "keystone_timeout_seconds": 0.5,
        }
        own = services.settings.identity.model_copy(update=changes)
        identity = KeystoneIdentity(own, services.db, services.cluster)
        call: Any = Asked("x" * 60)
        with pytest.raises(ServiceUnavailable, match="does not answer") as refusal:
            await identity.authenticate(call)
        assert "Retry-After" in refusal.value.headers
        await identity.close()
    silent.close()


async def test_a_service_user_that_keystone_does_not_know_is_503(
    services: Services, real_keystone: RunningKeystone
) -> None:
    ann = await somebody(real_keystone)
    own = services.settings.identity.model_copy(update={"service_user": "stranger"})
    identity = KeystoneIdentity(own, services.db, services.cluster)
    call: Any = Asked(await asyncio.to_thread(ann.token))
    with pytest.raises(ServiceUnavailable, match="sign in"):
        await identity.authenticate(call)
    await identity.close()


async def test_a_token_of_cairns_own_that_is_revoked_is_replaced(
    services: Services, real_keystone: RunningKeystone
) -> None:
    ann, bob = await somebody(real_keystone), await somebody(real_keystone)
    await who(services, await asyncio.to_thread(ann.token))
    identity: Any = services.identity
    identity._client._own_token = "x" * 60
    assert (await who(services, await asyncio.to_thread(bob.token))).user_id == bob.user["id"]
