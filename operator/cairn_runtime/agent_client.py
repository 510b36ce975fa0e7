"""Asking another host's agent: console logs, diagnostics, disks.

The gateway asks on behalf of users, an agent fetches the disks of a machine that moves to its host. An
endpoint is believed if it shows the very certificate that its Peer names; no authority is asked and no name
compared. Errors: `agent_errors.py`.
"""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import aiohttp
import orjson
from pydantic import TypeAdapter, ValidationError

from cairn_crds.peer import Peer
from cairn_runtime import disk_fetch
from cairn_runtime.agent_errors import (
    AgentError,
    AgentFailed,
    AgentUnreachable,
    CannotDo,
    MachineNotFound,
    TokenRefused,
    WrongPowerState,
)
from cairn_runtime.diagnostics import MachineDiagnostics

T = TypeVar("T")
CONNECT_SECONDS = 5.0
"""For a connection, its TLS handshake included."""
ANSWER_SECONDS = 45.0
"""For a whole answer that is small."""
SILENCE_SECONDS = 60.0
"""Between two pieces of a disk."""
CONNECTIONS_PER_HOST = 8
MAX_ANSWER_BYTES = 4 * 1024 * 1024


_BY_STATUS: dict[int, type[AgentError]] = {
    401: TokenRefused,
    404: MachineNotFound,
    409: WrongPowerState,
    501: CannotDo,
}


@dataclass(frozen=True)
class RemoteDisk:
    """A disk that an agent hands out. `size` in bytes."""

    name: str
    size: int


_DISKS = TypeAdapter(list[RemoteDisk])
_DIAGNOSTICS = TypeAdapter(MachineDiagnostics)


class AgentClient:
    """Requests to any number of agents; connections are kept for the next one."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close all connections."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def console_log(self, peer: Peer, instance_id: str, max_bytes: int) -> bytes:
        """The last `max_bytes` of what the machine wrote to its serial console. Raises AgentError."""
        path = machine_path(instance_id, "console")
        return await self._read(peer, path, {"bytes": str(max_bytes)})

    async def diagnostics(self, peer: Peer, instance_id: str) -> MachineDiagnostics:
        """What the machine has used. Raises AgentError; WrongPowerState unless it runs."""
        raw = await self._read(peer, machine_path(instance_id, "diagnostics"))
        return _parse(_DIAGNOSTICS, raw, peer)

    async def disks(self, peer: Peer, instance_id: str, operation_id: str) -> list[RemoteDisk]:
        """What the machine's host hands out for that operation. Raises AgentError."""
        raw = await self._read(peer, machine_path(instance_id, "disks", operation_id))
        return _parse(_DISKS, raw, peer)

    async def fetch_disk(
        self, peer: Peer, instance_id: str, operation_id: str, name: str, path: Path
    ) -> None:
        """Bring the disk `name` of a machine on another host to `path`, whole and on disk.

        It goes on after interruptions, those of this very process too (see `disk_fetch`), and does nothing
        where `path` is there with the right size. Raises AgentError (MachineNotFound where the host hands
        out no such disk, DiskIncomplete), and OSError of the file.
        """
        disks = await self.disks(peer, instance_id, operation_id)
        size = next((disk.size for disk in disks if disk.name == name), None)
        if size is None:
            raise MachineNotFound(f"{peer.url} hands out no disk {name} of {instance_id}")

        def read_from(offset: int) -> AsyncGenerator[bytes]:
            return self._disk_from(peer, machine_path(instance_id, "disks", operation_id, name), offset)

        await disk_fetch.fetch(read_from, size, path, disk_fetch.part_of(path, operation_id))

    async def _disk_from(self, peer: Peer, path: str, offset: int) -> AsyncGenerator[bytes]:
        """A disk's bytes from `offset` on, as they come. Raises AgentError, also in the middle."""
        timeout = aiohttp.ClientTimeout(
            total=None, connect=CONNECT_SECONDS, sock_connect=CONNECT_SECONDS, sock_read=SILENCE_SECONDS
        )
        headers = {"Range": f"bytes={offset}-"}
        async with self._answer(peer, path, timeout, headers=headers) as response:
            began = response.headers.get("Content-Range", "")
            if response.status != 206 or not began.startswith(f"bytes {offset}-"):
                raise AgentFailed(f"{peer.url} answered {response.status} {began!r} to bytes={offset}-")
            async for piece in response.content.iter_chunked(disk_fetch.PIECE_BYTES):
                yield piece

    async def _read(self, peer: Peer, path: str, params: dict[str, str] | None = None) -> bytes:
        timeout = aiohttp.ClientTimeout(
            total=ANSWER_SECONDS, connect=CONNECT_SECONDS, sock_connect=CONNECT_SECONDS
        )
        async with self._answer(peer, path, timeout, params=params) as response:
            return await _bounded(response)

    @asynccontextmanager
    async def _answer(
        self,
        peer: Peer,
        path: str,
        timeout: aiohttp.ClientTimeout,
        *,
        params: dict[str, str] | None = None,
        headers: dict[str, str] | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """The response, if it is a good one; what fails while it is read is an AgentError, too."""
        fields = {"Authorization": f"Bearer {peer.token}", "Accept-Encoding": "identity", **(headers or {})}
        pin = fingerprint(peer.certificate)
        try:
            async with self._opened().get(
                peer.url + path,
                params=params,
                headers=fields,
                ssl=pin,
                timeout=timeout,
                allow_redirects=False,
            ) as response:
                if response.status not in {200, 206}:
                    raise _refusal(response.status, await _bounded(response))
                yield response
        except aiohttp.ServerFingerprintMismatch as error:
            raise AgentUnreachable(
                f"{peer.url} has another certificate: a new start, or a stranger"
            ) from error
        except (aiohttp.ClientError, TimeoutError, asyncio.IncompleteReadError, OSError) as error:
            raise AgentUnreachable(f"{peer.url}: {error or type(error).__name__}") from error

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(limit=0, limit_per_host=CONNECTIONS_PER_HOST)
            self._session = aiohttp.ClientSession(connector=connector, headers={"User-Agent": "cairn"})
        return self._session


def machine_path(instance_id: str, *parts: str) -> str:
    """The URL path of something of a machine."""
    return "/v1/machines/" + "/".join(quote(part, safe="") for part in (instance_id, *parts))


def fingerprint(certificate: str) -> aiohttp.Fingerprint:
    """The pin of a certificate (PEM). Raises AgentUnreachable for what is none."""
    try:
        return aiohttp.Fingerprint(hashlib.sha256(ssl.PEM_cert_to_DER_cert(certificate)).digest())
    except ValueError as error:
        raise AgentUnreachable(f"the endpoint's certificate is none: {error}") from error


async def _bounded(response: aiohttp.ClientResponse) -> bytes:
    """The body. Raises AgentFailed beyond what any small answer has."""
    body = bytearray()
    async for piece in response.content.iter_any():
        body += piece
        if len(body) > MAX_ANSWER_BYTES:
            raise AgentFailed(f"{response.url.host} answers with more than {MAX_ANSWER_BYTES} bytes")
    return bytes(body)


def _refusal(status: int, raw: bytes) -> AgentError:
    try:
        answer: dict[str, Any] = orjson.loads(raw)
        message = str(answer["message"])
    except (orjson.JSONDecodeError, KeyError, TypeError):
        message = f"HTTP status {status}"
    return _BY_STATUS.get(status, AgentFailed)(message)


def _parse(adapter: TypeAdapter[T], raw: bytes, peer: Peer) -> T:
    try:
        return adapter.validate_json(raw)
    except ValidationError as error:
        raise AgentFailed(f"{peer.url} answers with what makes no sense: {error}") from error
