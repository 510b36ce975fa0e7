"""Listening, and telling the cluster where."""

from __future__ import annotations

import asyncio

import structlog
from aiohttp import web

from cairn_agent.drivers import this_host
from cairn_agent.endpoint.certificate import make_certificate
from cairn_agent.endpoint.routes import Machines, Routes, make_app
from cairn_agent.settings import AgentSettings
from cairn_crds.peer import Peer
from cairn_runtime.agent_errors import AgentUnreachable
from cairn_runtime.kubernetes import Kubernetes, KubernetesError
from cairn_runtime.peer_tokens import new_token
from cairn_runtime.peers import read_peer, secret_of, secret_path

log = structlog.get_logger()
LOOK_SECONDS = 300.0
"""How often it is looked whether the Secret still says so."""
AGAIN_SECONDS = 2.0
"""Until the next attempt to write it."""
WILDCARDS = frozenset({"", "0.0.0.0", "::"})  # noqa: S104 - these are recognised here, not bound
APPLY = "application/apply-patch+yaml"
APPLY_OPTIONS = {"fieldManager": "cairn-agent", "force": "true"}


class Endpoint:
    """One agent's endpoint, for all of its nodes."""

    def __init__(self, settings: AgentSettings, kubernetes: Kubernetes, machines: Machines) -> None:
        self._settings = settings
        self._kubernetes = kubernetes
        self._tokens = {node: new_token() for node in settings.nodes}
        self._routes = Routes(machines)
        self._certificate = make_certificate(f"cairn-agent {settings.nodes[0]}")
        self._runner: web.AppRunner | None = None
        self._told: asyncio.Task[None] | None = None
        self.peers: dict[str, Peer] = {}
        """By node; complete once it listens."""

    async def start(self) -> None:
        """Listen, and keep telling where. Raises OSError where the port is taken."""
        own = self._settings
        runner = web.AppRunner(
            make_app(self._routes, self._tokens), access_log=None, handle_signals=False, shutdown_timeout=2.0
        )
        await runner.setup()
        self._runner = runner
        context = await asyncio.to_thread(self._certificate.server_context)
        await web.TCPSite(runner, own.endpoint_host, own.endpoint_port, ssl_context=context).start()
        url = f"https://{_bracketed(url_host(own))}:{runner.addresses[0][1]}"
        self.peers = {
            node: Peer(url=url, certificate=self._certificate.certificate, token=token)
            for node, token in self._tokens.items()
        }
        log.info("endpoint.started", url=url)
        self._told = asyncio.create_task(self._keep_telling(await self._look()))

    async def stop(self) -> None:
        """Stop listening; what is being answered is broken off. What was told stays, as nobody answers."""
        if self._told is not None:
            self._told.cancel()
            await asyncio.gather(self._told, return_exceptions=True)
        if self._runner is not None:
            await self._runner.cleanup()

    async def _keep_telling(self, pause: float) -> None:
        while True:
            await asyncio.sleep(pause)
            pause = await self._look()

    async def _look(self) -> float:
        """See that every node's Secret says where it is; how many seconds until the next look.

        Somebody may take a Secret away, and the conductor may not have granted the right to it yet.
        """
        try:
            for node, peer in self.peers.items():
                if not await self._is_told(node, peer):
                    await self._tell(node, peer)
        except KubernetesError as error:
            log.warning("endpoint.not_told", error=str(error))
            return AGAIN_SECONDS
        return LOOK_SECONDS

    async def _is_told(self, node: str, peer: Peer) -> bool:
        try:
            return await read_peer(self._kubernetes, node) == peer
        except AgentUnreachable:
            return False

    async def _tell(self, node: str, peer: Peer) -> None:
        """By server-side apply, the one way to make an object whose name the role can be bound to."""
        secret = secret_of(node, peer)
        await self._kubernetes.request("PATCH", secret_path(node), secret, params=APPLY_OPTIONS, form=APPLY)


def url_host(settings: AgentSettings) -> str:
    """By which name or address others reach this host."""
    if settings.endpoint_url_host is not None:
        return settings.endpoint_url_host
    if settings.endpoint_host not in WILDCARDS:
        return settings.endpoint_host
    return this_host.address() or "127.0.0.1"


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
