"""Uploads on their way into a store: hashed as they pass, never gathered."""

from __future__ import annotations

import asyncio
import hashlib
import struct
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cairn_gateway.image.blob_directory import DirectoryStore
from cairn_gateway.image.blobs import BLOCK_BYTES, BlobMissing
from cairn_gateway.image.ingest import ingest


def files(directory: Path) -> list[Path]:
    """Whole or half, all that there is."""
    return [path for path in directory.rglob("*") if path.is_file()]


async def wanted() -> bool:
    return True


async def pieces(*data: bytes) -> AsyncIterator[bytes]:
    for piece in data:
        yield piece


async def stored(store: DirectoryStore, blob: str, start: int = 0, length: int | None = None) -> bytes:
    return b"".join([block async for block in store.read(blob, start, length)])


async def test_what_goes_in_comes_out(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    data = [b"a" * 10, b"b" * BLOCK_BYTES, b"c" * (2 * BLOCK_BYTES + 7), b""]
    found = await ingest(pieces(*data), store.writer("x"), "raw", wanted)
    whole = b"".join(data)
    assert found is not None
    assert (found.size, found.virtual_size) == (len(whole), len(whole))
    assert found.sha256 == hashlib.sha256(whole).hexdigest()
    assert found.os_hash_value == hashlib.sha512(whole).hexdigest()
    assert found.checksum == hashlib.md5(whole, usedforsecurity=False).hexdigest()
    assert await stored(store, "x") == whole
    assert await stored(store, "x", 5, BLOCK_BYTES) == whole[5 : 5 + BLOCK_BYTES]


async def test_the_disk_of_a_qcow2_file_has_its_own_size(tmp_path: Path) -> None:
    header = struct.pack(">4sIQIIQ", b"QFI\xfb", 3, 0, 0, 16, 5 * 1024**3) + bytes(100)
    found = await ingest(pieces(header), DirectoryStore(tmp_path).writer("x"), "qcow2", wanted)
    assert found is not None
    assert (found.size, found.virtual_size) == (len(header), 5 * 1024**3)


async def test_an_empty_file_is_a_file(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    found = await ingest(pieces(), store.writer("x"), None, wanted)
    assert found is not None
    assert found.size == 0
    assert await stored(store, "x") == b""


async def test_what_breaks_off_leaves_nothing(tmp_path: Path) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"x" * BLOCK_BYTES
        raise ConnectionError

    store = DirectoryStore(tmp_path)
    with pytest.raises(ConnectionError):
        await ingest(broken(), store.writer("x"), None, wanted)
    assert files(tmp_path) == []
    with pytest.raises(BlobMissing):
        await stored(store, "x")


async def test_a_cancelled_upload_leaves_nothing(tmp_path: Path) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * BLOCK_BYTES
            await asyncio.sleep(0.01)

    task = asyncio.create_task(ingest(endless(), DirectoryStore(tmp_path).writer("x"), None, wanted))
    await asyncio.sleep(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert files(tmp_path) == []


async def test_deleting_twice_is_deleting(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    await ingest(pieces(b"x"), store.writer("x"), None, wanted)
    for _ in range(2):
        await store.delete("x")
    assert files(tmp_path) == []
