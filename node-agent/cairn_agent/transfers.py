"""Files to and from other machines: images to the store, disks from the host that an instance comes from."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import aiohttp

from cairn_agent.drivers.api import DriverError
from cairn_agent.drivers.api_operations import OperationFailed
from cairn_agent.images.sources import public_url
from cairn_crds.guest_operation import Upload
from cairn_crds.peer import Peer
from cairn_runtime.agent_client import AgentClient
from cairn_runtime.agent_errors import AgentError, CannotDo

BLOCK_BYTES = 1024**2
TIMEOUT = aiohttp.ClientTimeout(total=6 * 3600, connect=10, sock_connect=10, sock_read=120)


class UploadFailed(DriverError):
    """The image store does not take the image now."""

    reason = "UploadFailed"


class DisksUnavailable(DriverError):
    """The host that has the disks does not hand them over now."""

    reason = "DisksUnavailable"


class HttpTransfers:
    """`operations.Transfers` over HTTP."""

    def __init__(self) -> None:
        self._agents = AgentClient()

    async def close(self) -> None:
        """Close all connections."""
        await self._agents.close()

    async def upload(self, upload: Upload, path: Path, disk_format: str) -> dict[str, str]:
        """PUT the file. Raises UploadFailed, or OperationFailed where the store refuses it for good."""
        digest = hashlib.sha256()
        size = (await asyncio.to_thread(path.stat)).st_size
        headers = {
            "Content-Length": str(size),
            "Content-Type": "application/octet-stream",
            "X-Cairn-Disk-Format": disk_format,
        }
        where = public_url(upload.url)
        try:
            async with (
                aiohttp.ClientSession(timeout=TIMEOUT) as session,
                session.put(
                    upload.url, data=_blocks(path, digest.update), headers=headers, allow_redirects=False
                ) as answer,
            ):
                text = (await answer.text())[:500]
                if answer.status in {400, 403, 404, 409, 410, 413}:
                    raise OperationFailed(f"{where} refuses the image with {answer.status}: {text}")
                if answer.status >= 300:
                    raise UploadFailed(f"{where} answered {answer.status}: {text}")
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise UploadFailed(f"{where}: {error or type(error).__name__}") from error
        return {"sha256": digest.hexdigest(), "sizeBytes": str(size)}

    async def disks(self, peer: Peer, instance_id: str, operation_id: str) -> list[str]:
        """Raises DisksUnavailable, or OperationFailed where the host cannot hand any over."""
        try:
            return [disk.name for disk in await self._agents.disks(peer, instance_id, operation_id)]
        except CannotDo as error:
            raise OperationFailed(str(error)) from error
        except AgentError as error:
            raise DisksUnavailable(str(error)) from error

    async def fetch(self, peer: Peer, instance_id: str, operation_id: str, name: str, path: Path) -> None:
        """Raises DisksUnavailable."""
        try:
            await self._agents.fetch_disk(peer, instance_id, operation_id, name, path)
        except (AgentError, OSError) as error:
            raise DisksUnavailable(f"disk {name}: {error}") from error


async def _blocks(path: Path, seen: Callable[[bytes], object]) -> AsyncIterator[bytes]:
    file = await asyncio.to_thread(path.open, "rb")
    try:
        while block := await asyncio.to_thread(file.read, BLOCK_BYTES):
            await asyncio.to_thread(seen, block)
            yield block
    finally:
        await asyncio.to_thread(file.close)
