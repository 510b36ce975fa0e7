"""An upload's bytes on their way into a blob store: hashed, counted, never all in memory."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable

from cairn_database.images.uploads import StoredData
from cairn_gateway.image.blobs import BLOCK_BYTES, BlobWriter

QCOW2_MAGIC = b"QFI\xfb"
TOUCH_SECONDS = 15.0


class Digests:
    """The checksums of what went by: Glance's MD5 and SHA-512, and SHA-256, which the hosts check."""

    def __init__(self) -> None:
        self.size = 0
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._sha256 = hashlib.sha256()
        self._sha512 = hashlib.sha512()
        self._head = b""

    def update(self, block: bytes) -> None:
        """One more piece."""
        if not self.size:
            self._head = block[:64]
        self.size += len(block)
        for digest in (self._md5, self._sha256, self._sha512):
            digest.update(block)

    def data(self, disk_format: str | None) -> StoredData:
        """What is known now that all went by."""
        return StoredData(
            size=self.size,
            checksum=self._md5.hexdigest(),
            os_hash_value=self._sha512.hexdigest(),
            sha256=self._sha256.hexdigest(),
            virtual_size=_virtual_size(disk_format, self._head, self.size),
        )


def _virtual_size(disk_format: str | None, head: bytes, size: int) -> int | None:
    """Bytes of the disk, as far as the first bytes of its file tell."""
    if disk_format == "qcow2" and head.startswith(QCOW2_MAGIC) and len(head) >= 32:
        return min(int.from_bytes(head[24:32]), 2**62)
    return size if disk_format in ("raw", "iso") else None


async def ingest(
    chunks: AsyncIterator[bytes],
    writer: BlobWriter,
    disk_format: str | None,
    still_wanted: Callable[[], Awaitable[bool]],
) -> StoredData | None:
    """Write everything and commit; None when `still_wanted`, asked now and then, says no.

    Aborts the writer unless it succeeds. Raises what `chunks` and `writer` raise.
    """
    digests = Digests()

    def take(block: bytes) -> None:
        digests.update(block)
        writer.write(block)

    try:
        asked = time.monotonic()
        async for block in blocks_of(chunks):
            await asyncio.to_thread(take, block)
            if time.monotonic() - asked > TOUCH_SECONDS:
                asked = time.monotonic()
                if not await still_wanted():
                    await asyncio.to_thread(writer.abort)
                    return None
        await asyncio.to_thread(writer.commit)
    except BaseException:
        await asyncio.shield(asyncio.to_thread(writer.abort))
        raise
    return digests.data(disk_format)


async def blocks_of(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same bytes in blocks that are worth a thread's while."""
    gathered: list[bytes] = []
    size = 0
    async for chunk in chunks:
        gathered.append(chunk)
        size += len(chunk)
        if size >= BLOCK_BYTES:
            yield b"".join(gathered)
            gathered, size = [], 0
    if gathered:
        yield b"".join(gathered)
