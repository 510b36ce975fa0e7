"""The gateway's listener: uvicorn with the limits of protocol.py, TLS, and an end in bounded time."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import resource
import ssl
from pathlib import Path
from typing import Any

import structlog
import uvicorn

from cairn_gateway.http.protocol import BoundedProtocol, Limits, Room
from cairn_gateway.settings import GatewaySettings

log = structlog.get_logger()
SWEEP_SECONDS = 0.5
CERTIFICATE_SECONDS = 60.0
"""How often the certificate's file is looked at: whoever renews it need not tell us."""
HANDSHAKE_SECONDS = 10.0
LAST_WORDS_SECONDS = 1.0
"""For requests that are told that the time to answer them has run out."""
OTHER_FILES = 256
"""Descriptors beside the clients' connections."""


class GatewayServer(uvicorn.Server):
    """Serves `app` until told to stop; after `startup`, `port` is the real one."""

    def __init__(self, app: Any, settings: GatewaySettings, limits: Limits | None = None) -> None:
        self._settings = settings
        self._limits = limits or limits_of(settings)
        self.room = Room(self._limits)
        self.port = settings.port
        self._certificate = Certificate(settings) if settings.tls_certificate else None
        super().__init__(
            uvicorn.Config(
                app,
                http=functools.partial(BoundedProtocol, room=self.room),  # type: ignore[arg-type]
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=settings.keep_alive_seconds,
                timeout_graceful_shutdown=settings.shutdown_seconds,
            )
        )
        # The process has its own signal handlers; uvicorn's would end it without closing anything else.
        self.capture_signals = contextlib.nullcontext  # type: ignore[method-assign,assignment]

    async def serve_until(self, stop: asyncio.Event) -> None:
        """Serve until `stop`; requests under way are answered, for as long as the settings allow.

        Raises OSError when the address cannot be listened on, ssl.SSLError or OSError for a certificate that
        cannot be read.
        """
        serving = asyncio.create_task(self.serve())
        sweeping = asyncio.create_task(self._sweep())
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait([serving, stopping], return_when=asyncio.FIRST_COMPLETED)
            self.should_exit = True
            await serving
            if self.server_state.tasks:
                await asyncio.wait(self.server_state.tasks, timeout=LAST_WORDS_SECONDS)
        finally:
            stopping.cancel()
            sweeping.cancel()
            for connection in list(self.server_state.connections):
                connection._abort()  # type: ignore[union-attr]

    async def startup(self, sockets: Any = None) -> None:
        """Listen, with or without TLS."""
        own = self._settings
        _allow_files(self._limits.connections + OTHER_FILES)
        await self.lifespan.startup()
        loop = asyncio.get_running_loop()
        server = await loop.create_server(
            lambda: self.config.http_protocol_class(  # type: ignore[call-arg]
                config=self.config,
                server_state=self.server_state,
                app_state=self.lifespan.state,
                _loop=loop,
            ),
            host=own.host,
            port=own.port,
            ssl=self._certificate.context if self._certificate else None,
            ssl_handshake_timeout=HANDSHAKE_SECONDS if self._certificate else None,
            backlog=self.config.backlog,
        )
        self.servers = [server]
        self.port = server.sockets[0].getsockname()[1]
        self.started = True
        log.info("gateway.listening", host=own.host, port=self.port, tls=self._certificate is not None)

    async def _sweep(self) -> None:
        """Close the connections of clients that keep us waiting; take a renewed certificate."""
        loop = asyncio.get_running_loop()
        looked_at = loop.time()
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            now = loop.time()
            for connection in list(self.server_state.connections):
                connection.sweep(now)  # type: ignore[union-attr]
            if self._certificate is not None and now > looked_at + CERTIFICATE_SECONDS:
                looked_at = now
                self._certificate.renew()


class Certificate:
    """What the server shows its clients, read again when its file has changed."""

    def __init__(self, settings: GatewaySettings) -> None:
        """Raises OSError and ssl.SSLError, which say what is wrong with the files."""
        if settings.tls_certificate is None or settings.tls_key is None:
            raise ValueError("TLS needs both a certificate and a key")
        self._files: tuple[Path, Path] = (settings.tls_certificate, settings.tls_key)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        self.context.set_alpn_protocols(["http/1.1"])
        self._seen = self._changed()
        self.context.load_cert_chain(*self._files)

    def _changed(self) -> tuple[int, ...]:
        return tuple(file.stat().st_mtime_ns for file in self._files)

    def renew(self) -> None:
        """New connections get the files' certificate of now; what cannot be read changes nothing."""
        try:
            changed = self._changed()
            if changed == self._seen:
                return
            # A trial first: half of a new pair must not spoil the pair in use.
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(*self._files)
            self.context.load_cert_chain(*self._files)
        except (OSError, ssl.SSLError) as error:
            log.error("gateway.certificate_unreadable", error=str(error))  # noqa: TRY400 - a person's to mend
            return
        self._seen = changed
        log.info("gateway.certificate_renewed")


def limits_of(settings: GatewaySettings) -> Limits:
    """The limits that the settings say."""
    return Limits(connections=settings.max_connections, head_seconds=settings.header_timeout_seconds)


def _allow_files(wanted: int) -> None:
    """Raise this process' own limit of open files, as far as the system lets it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        enough = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (enough, hard))
        if enough < wanted:
            log.warning("gateway.few_files", allowed=enough, wanted=wanted)
