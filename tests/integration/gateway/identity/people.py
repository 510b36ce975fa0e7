"""The built-in identity over HTTP: `identity_cloud` is a gateway, `Person` somebody with a token."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from cairn_database import Database, migrations
from cairn_gateway.app import create_app, make_services
from cairn_gateway.identity.bootstrap import Administrator, Bootstrapped, bootstrap
from cairn_gateway.services import Services
from cairn_gateway.settings import GatewayProcessSettings
from cairn_local.control_plane.running import RunningControlPlane
from cairn_runtime.health import Health
from cairn_runtime.kubernetes import Kubernetes
from cairn_runtime.settings import KubernetesSettings
from support.passwords import CHEAP_PASSWORDS

Json = dict[str, Any]
V3 = "/identity/v3"
CHEAP = CHEAP_PASSWORDS.model_dump(exclude_unset=True)


@dataclass
class Person:
    """Somebody with a token, and the identity API as they see it."""

    client: httpx.AsyncClient
    token: str
    body: Json
    """What the token stands for."""

    async def ask(self, method: str, path: str, body: Json | None = None, **headers: str) -> httpx.Response:
        """One request below /identity/v3."""
        sent = {
            "X-Auth-Token": self.token,
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        return await self.client.request(method, V3 + path, json=body, headers=sent)

    async def get(self, path: str) -> Json:
        """The JSON that is there."""
        answer = await self.ask("GET", path)
        assert answer.status_code == 200, answer.text
        found: Json = answer.json()
        return found

    async def make(self, kind: str, **values: Any) -> Json:
        """`make("user", name=…)`: the new thing."""
        answer = await self.ask("POST", f"/{kind}s", {kind: values})
        assert answer.status_code == 201, answer.text
        made: Json = answer.json()[kind]
        return made

    async def still_counts(self) -> bool:
        """Whether the token does, for the compute API too."""
        return (await self.ask("GET", "/auth/catalog")).status_code == 200


@dataclass
class IdentityCloud:
    """A gateway with people."""

    services: Services
    client: httpx.AsyncClient
    password: str
    made: Bootstrapped
    marks: dict[str, str] = field(default_factory=dict)

    async def sign_in(self, auth: Json) -> httpx.Response:
        """POST /v3/auth/tokens."""
        return await self.client.post(f"{V3}/auth/tokens", json={"auth": auth})

    async def person(self, auth: Json) -> Person:
        """Who signs in so. Fails unless that succeeds."""
        answer = await self.sign_in(auth)
        assert answer.status_code == 201, answer.text
        return Person(self.client, answer.headers["x-subject-token"], answer.json()["token"])

    async def admin(self, scope: Any = None) -> Person:
        """The first administrator, in project admin unless told otherwise."""
        home = {"project": {"name": "admin", "domain": {"id": "default"}}}
        return await self.person(by_password("admin", self.password, scope or home))

    async def member(self, role: str = "member") -> tuple[Person, str]:
        """A new user with the role in a new project, and the password."""
        admin = await self.admin()
        name, password = f"u-{secrets.token_hex(4)}", secrets.token_hex(8)
        project = await admin.make("project", name=f"p-{name}", domain_id="default")
        user = await admin.make("user", name=name, password=password, domain_id="default")
        await grant(admin, project["id"], user["id"], role)
        scope = {"project": {"id": project["id"]}}
        return await self.person(by_password(name, password, scope)), password


async def grant(admin: Person, project_id: str, user_id: str, role: str) -> None:
    """Give the role of that name."""
    [found] = (await admin.get(f"/roles?name={role}"))["roles"]
    answer = await admin.ask("PUT", f"/projects/{project_id}/users/{user_id}/roles/{found['id']}")
    assert answer.status_code == 204, answer.text


def by_password(name: str, password: str, scope: Any = None) -> Json:
    """`auth` of a user of domain Default."""
    user = {"name": name, "domain": {"id": "default"}, "password": password}
    auth: Json = {"identity": {"methods": ["password"], "password": {"user": user}}}
    return auth if scope is None else auth | {"scope": scope}


def by_token(token: str, scope: Any = None) -> Json:
    """`auth` of who has a token."""
    auth: Json = {"identity": {"methods": ["token"], "token": {"id": token}}}
    return auth if scope is None else auth | {"scope": scope}


@asynccontextmanager
async def identity_cloud(
    url: str, plane: RunningControlPlane, **settings: Any
) -> AsyncIterator[IdentityCloud]:
    """A gateway over the database at `url` (made ready, and given its first administrator); the control plane
    has the resource definitions."""
    await migrations.upgrade(url)
    values = GatewayProcessSettings(database={"url": url}, identity=CHEAP | settings)  # type: ignore[arg-type]
    kubernetes = Kubernetes(KubernetesSettings(kubeconfig=plane.kubeconfig))
    await kubernetes.open()
    async with Database(url) as db:
        services = make_services(values, db, kubernetes)
        password = secrets.token_hex(8)
        made = await bootstrap(db, kubernetes, Administrator(password=password), values.identity)
        transport = httpx.ASGITransport(app=create_app(services, Health()))
        async with httpx.AsyncClient(transport=transport, base_url="http://cloud.test") as client:
            yield IdentityCloud(services, client, password, made)
        await services.identity.close()
        await kubernetes.close()
