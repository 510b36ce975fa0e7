"""The gateway's ASGI application in the test's own process, over a real database and a real API server.

`async with gateway_app(url, plane) as gateway:` gives `gateway.services`, and clients of people who need no
password: `gateway.client(gateway.member("green"))`. Whoever tests identity itself uses the real back end.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import sqlalchemy as sa

from cairn_crds.project import ProjectSpec, Quotas
from cairn_database import Database, migrations, tenants
from cairn_gateway.app import create_app, make_services
from cairn_gateway.http.call import Call
from cairn_gateway.http.caller import Caller
from cairn_gateway.http.faults import Unauthorized
from cairn_gateway.services import Services
from cairn_gateway.settings import GatewayProcessSettings
from cairn_local.control_plane.running import RunningControlPlane
from cairn_runtime.health import Health
from cairn_runtime.kubernetes import Kubernetes
from cairn_runtime.settings import KubernetesSettings

IMPLIED = {
    "admin": {"admin", "manager", "member", "reader"},
    "manager": {"manager", "member", "reader"},
    "member": {"member", "reader"},
    "reader": {"reader"},
    "service": {"service"},
}


class Badges:
    """An identity back end for tests: a token is a badge that was handed out before."""

    def __init__(self) -> None:
        self._callers: dict[str, Caller] = {}

    def issue(self, caller: Caller) -> str:
        """A token for `caller`."""
        token = secrets.token_hex(16)
        self._callers[token] = caller
        return token

    async def authenticate(self, call: Call) -> None:
        """As `services.Identity` says."""
        caller = self._callers.get(call.headers.get("x-auth-token", ""))
        if caller is None:
            raise Unauthorized
        call.caller_or_none = caller

    async def close(self) -> None:
        """Nothing is open."""


@dataclass
class GatewayUnderTest:
    """One gateway."""

    app: Any
    services: Services
    badges: Badges
    clients: list[httpx.AsyncClient] = field(default_factory=list)

    async def project(self, name: str, **quotas: int) -> str:
        """A project in SQL (no resource); its id."""
        limits = Quotas(**{"instances": -1, "cores": -1, "memory_mib": -1, **quotas})
        await tenants.upsert_project(self.services.db, name, ProjectSpec(quotas=limits))
        record = await tenants.get_project(self.services.db, name)
        assert record is not None
        return str(getattr(record, "id", record.name))

    async def caller(self, project: str, role: str = "member", user: str = "") -> Caller:
        """Somebody with `role` in that project."""
        record = await tenants.get_project(self.services.db, project)
        assert record is not None
        user = user or f"{project}-{role}"
        return Caller(
            user_id=user,
            user_name=user,
            user_domain_id="default",
            project_id=str(getattr(record, "id", record.name)),
            project_name=project,
            project_domain_id="default",
            roles=frozenset(IMPLIED[role]),
            project=record.name,
            namespace=record.namespace,
        )

    def client(self, caller: Caller | None, version: str = "latest", **headers: str) -> httpx.AsyncClient:
        """An HTTP client of `caller` with that microversion; nobody's for None."""
        fields = {"OpenStack-API-Version": f"compute {version}", **headers}
        if caller is not None:
            fields["X-Auth-Token"] = self.badges.issue(caller)
        client = httpx.AsyncClient(
            transport=httpx.ASGITransport(app=self.app),
            base_url="http://cloud.test",
            headers=fields,
            timeout=30,
        )
        self.clients.append(client)
        return client


_template: list[bytes] = []


async def _make_tables(url: str) -> None:
    """`cairn db upgrade`; for SQLite once per process, and then by copy, because it takes a while."""
    parsed = sa.make_url(url)
    if parsed.get_backend_name() != "sqlite" or parsed.database is None:
        await migrations.upgrade(url)
        return
    if not _template:
        await migrations.upgrade(url)
        _template.append(await asyncio.to_thread(Path(parsed.database).read_bytes))
    await asyncio.to_thread(_copy_template, Path(parsed.database))


def _copy_template(path: Path) -> None:
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_template[0])


@asynccontextmanager
async def gateway_app(
    database_url: str, plane: RunningControlPlane | None = None, *, directory: Path | None = None
) -> AsyncIterator[GatewayUnderTest]:
    """A gateway over `database_url` (made ready here) and over the control plane, where there is one."""
    await _make_tables(database_url)
    values: dict[str, Any] = {"database": {"url": database_url}}
    if directory is not None:
        values["gateway"] = {"data_dir": str(directory)}
    settings = GatewayProcessSettings(**values)
    kubernetes = Kubernetes(KubernetesSettings(kubeconfig=plane.kubeconfig if plane else None))
    if plane is not None:
        await kubernetes.open()
    badges = Badges()
    async with Database(database_url) as db:
        services = replace(make_services(settings, db, kubernetes), identity=badges)
        app = create_app(services, Health())
        gateway = GatewayUnderTest(app, services, badges)
        try:
            yield gateway
        finally:
            for client in gateway.clients:
                await client.aclose()
            await services.images.close()
            await services.agents.close()
            await kubernetes.close()
