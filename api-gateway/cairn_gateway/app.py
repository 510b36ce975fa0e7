"""`cairn gateway`: the process, and the ASGI application it serves."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import structlog

from cairn_database import Database, DatabaseUnavailable
from cairn_gateway.agents import Agents
from cairn_gateway.cluster import Cluster
from cairn_gateway.described import describe
from cairn_gateway.http.api import Api
from cairn_gateway.http.call import Answer, Call
from cairn_gateway.http.documentation import document_route, page_routes
from cairn_gateway.http.faults import nova_style
from cairn_gateway.http.gateway import Gateway
from cairn_gateway.http.openapi import Described
from cairn_gateway.http.routes import Route, RouteTable
from cairn_gateway.http.server import GatewayServer
from cairn_gateway.identity.api import identity_api
from cairn_gateway.identity.backend import make_identity
from cairn_gateway.image.api import image_api
from cairn_gateway.image.backend import make_images
from cairn_gateway.network.api import network_api
from cairn_gateway.nova import versions
from cairn_gateway.nova.api import compute_apis
from cairn_gateway.nova.routes import ROUTES
from cairn_gateway.policy.enforcer import Enforcer
from cairn_gateway.services import Services
from cairn_gateway.settings import GatewayProcessSettings
from cairn_runtime.health import Health
from cairn_runtime.kubernetes import Kubernetes
from cairn_runtime.process import run_process, wait_for

log = structlog.get_logger()


def main(arguments: list[str]) -> int:
    """Run until told to stop."""
    return run_process("gateway", GatewayProcessSettings, arguments, run)


def create_app(services: Services, health: Health) -> Gateway:
    """The ASGI application: each API below its prefix."""
    apis = [
        *compute_apis(services, ROUTES),
        identity_api(services),
        image_api(services),
        network_api(services),
    ]
    described = describe(apis)
    for one in described:
        one.api.routes.add(document_route(one))
    return Gateway(services, apis, fallback=_front(health, described))


def _front(health: Health, described: Sequence[Described]) -> Api:
    """What is outside of every API."""

    async def healthz(_call: Call) -> Answer:
        return _answer(await health.live())

    async def readyz(_call: Call) -> Answer:
        return _answer(await health.ready())

    async def nobody(_call: Call) -> None:
        """Nothing here needs a token."""

    routes = [
        *versions.ROOT,
        *page_routes(described),
        Route("GET", "/healthz", healthz, rule=None),
        Route("GET", "/readyz", readyz, rule=None),
    ]
    return Api("front", "", RouteTable(routes), style=nova_style, authenticate=nobody)


def make_services(settings: GatewayProcessSettings, db: Database, kubernetes: Kubernetes) -> Services:
    """The handlers' world, from the settings. `db` and `kubernetes` may still be closed."""
    cluster = Cluster(kubernetes)
    identity = make_identity(settings.identity, db, cluster)
    return Services(
        settings,
        db,
        cluster,
        policy=Enforcer(settings.gateway.policy_file),
        identity=identity,
        images=make_images(settings, db, cluster),
        agents=Agents(kubernetes, settings.gateway.host_timeout_seconds),
    )


def _answer(failures: dict[str, str]) -> Answer:
    body = {"status": "failed" if failures else "ok", "failures": failures}
    return Answer(body, 503 if failures else 200)


async def run(settings: GatewayProcessSettings, health: Health, stop: asyncio.Event) -> None:
    """Serve until `stop`; requests under way are answered first."""
    db = Database(settings.database.url.get_secret_value())

    async def check_database() -> str | None:
        await db.ping()
        return None

    health.add_ready("database", check_database)
    kubernetes = Kubernetes(settings.kubernetes)
    await kubernetes.open()

    async def check_cluster() -> str | None:
        await kubernetes.version()
        return None

    health.add_ready("kubernetes", check_cluster)
    services = make_services(settings, db, kubernetes)

    async def open_database() -> None:
        await db.open()
        await db.require_schema()

    await wait_for("database", open_database, (DatabaseUnavailable,), stop)
    await services.images.open()
    await GatewayServer(create_app(services, health), settings.gateway).serve_until(stop)
    await services.identity.close()
    await services.images.close()
    await services.agents.close()
    await kubernetes.close()
    await db.close()
