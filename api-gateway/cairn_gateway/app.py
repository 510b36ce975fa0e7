"""`cairn gateway`: the process, and the ASGI application it serves."""

from __future__ import annotations

import asyncio
import contextlib

import structlog
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from cairn_database import Database, DatabaseUnavailable
from cairn_gateway.settings import GatewayProcessSettings
from cairn_runtime.health import Health
from cairn_runtime.process import run_process, wait_for

log = structlog.get_logger()


def main(arguments: list[str]) -> int:
    """Run until told to stop."""
    return run_process("gateway", GatewayProcessSettings, arguments, run)


def create_app(health: Health) -> Starlette:
    """The ASGI application."""

    async def healthz(_request: Request) -> JSONResponse:
        return _answer(await health.live())

    async def readyz(_request: Request) -> JSONResponse:
        return _answer(await health.ready())

    async def not_found(request: Request, _error: Exception) -> JSONResponse:
        message = (
            f"{request.url.path} is not served. The Compute API is not part of this version of Cairn yet."
        )
        return JSONResponse({"itemNotFound": {"code": 404, "message": message}}, status_code=404)

    routes = [Route("/healthz", healthz), Route("/readyz", readyz)]
    return Starlette(routes=routes, exception_handlers={404: not_found})


def _answer(failures: dict[str, str]) -> JSONResponse:
    body = {"status": "failed" if failures else "ok", "failures": failures}
    return JSONResponse(body, status_code=503 if failures else 200)


async def run(settings: GatewayProcessSettings, health: Health, stop: asyncio.Event) -> None:
    """Serve until `stop`; requests under way are answered first."""
    db = Database(settings.database.url.get_secret_value())

    async def check_database() -> str | None:
        await db.ping()
        return None

    health.add_ready("database", check_database)

    async def open_database() -> None:
        await db.open()
        await db.require_schema()

    await wait_for("database", open_database, (DatabaseUnavailable,), stop)
    own = settings.gateway
    config = uvicorn.Config(
        create_app(health),
        host=own.host,
        port=own.port,
        log_config=None,
        access_log=False,
        server_header=False,
    )
    server = uvicorn.Server(config)
    # The process has its own signal handlers; uvicorn's would end it without closing anything else.
    server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign,assignment]
    serving = asyncio.create_task(server.serve())
    log.info("gateway.listening", host=own.host, port=own.port)
    await asyncio.wait([serving, asyncio.create_task(stop.wait())], return_when=asyncio.FIRST_COMPLETED)
    server.should_exit = True
    await serving
    await db.close()
