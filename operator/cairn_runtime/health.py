"""/healthz, /readyz and /metrics.

Healthy: the event loop turns and nothing has failed for good. Ready: what the process needs answers
(the database, the API server, the hypervisor) and it has caught up with its watches.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from cairn_runtime.settings import HealthSettings

Check = Callable[[], Awaitable[str | None]]
"""None where all is well, else what is wrong, in words for a person."""

CHECK_SECONDS = 3.0
log = structlog.get_logger()


class Health:
    """The checks of one process."""

    def __init__(self) -> None:
        self._live: dict[str, Check] = {}
        self._ready: dict[str, Check] = {}

    def add_live(self, name: str, check: Check) -> None:
        """A check that only a restart can mend."""
        self._live[name] = check

    def add_ready(self, name: str, check: Check) -> None:
        """A check that says whether the process can do its work now."""
        self._ready[name] = check

    async def live(self) -> dict[str, str]:
        """What is wrong, by check; empty when healthy."""
        return await _failures(self._live)

    async def ready(self) -> dict[str, str]:
        """What is wrong, by check; empty when ready."""
        return await _failures({**self._live, **self._ready})


async def _failures(checks: dict[str, Check]) -> dict[str, str]:
    async def run(check: Check) -> str | None:
        try:
            async with asyncio.timeout(CHECK_SECONDS):
                return await check()
        except TimeoutError:
            return f"no answer within {CHECK_SECONDS:.0f} s"
        except Exception as error:  # noqa: BLE001 - whatever a check raises is the answer
            return f"{type(error).__name__}: {error}"

    answers = await asyncio.gather(*(run(check) for check in checks.values()))
    return {name: answer for name, answer in zip(checks, answers, strict=True) if answer is not None}


class HealthServer:
    """Serves the checks and the metrics on their own port."""

    def __init__(self, health: Health, settings: HealthSettings) -> None:
        self._health = health
        self._settings = settings
        self._runner: web.AppRunner | None = None
        self.port = settings.port

    async def start(self) -> None:
        """Listen; afterwards `port` is the real one."""
        app = web.Application()
        app.router.add_get("/healthz", lambda _request: self._answer(self._health.live()))
        app.router.add_get("/readyz", lambda _request: self._answer(self._health.ready()))
        app.router.add_get("/metrics", self._metrics)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._settings.host, self._settings.port)
        await site.start()
        self.port = self._runner.addresses[0][1]
        log.info("health.listening", host=self._settings.host, port=self.port)

    async def stop(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()

    @staticmethod
    async def _answer(failures: Awaitable[dict[str, str]]) -> web.Response:
        wrong = await failures
        status = 503 if wrong else 200
        return web.json_response({"status": "failed" if wrong else "ok", "failures": wrong}, status=status)

    @staticmethod
    async def _metrics(_request: web.Request) -> web.Response:
        return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})
