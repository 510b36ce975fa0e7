"""Files of images in an S3-compatible store: a real server, and the same promises as the directory's."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from pathlib import Path

import pytest
from pydantic import SecretStr

from cairn_gateway.image.blob_s3 import S3Store
from cairn_gateway.image.blobs import BLOCK_BYTES, BlobMissing, BlobStoreUnavailable
from cairn_gateway.image.ingest import ingest
from cairn_gateway.image.settings import S3Settings
from support.ports import free_port
from support.s3_server import running_s3


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_s3(tmp_path_factory.mktemp("s3")) as url:
        yield url


def settings(url: str) -> S3Settings:
    key = SecretStr("a-key-of-nobody")
    return S3Settings(
        endpoint=url, bucket="images", prefix="cairn/", access_key=key, secret_key=key, part_mib=5
    )


@pytest.fixture
def store(s3: str) -> S3Store:
    made = S3Store(settings(s3))
    client = made.client()
    if not client.bucket_exists("images"):
        client.make_bucket("images")
    return made


async def wanted() -> bool:
    return True


async def pieces(total: int) -> AsyncIterator[bytes]:
    for start in range(0, total, 300_000):
        yield bytes([start // 300_000 % 251]) * min(300_000, total - start)


async def stored(store: S3Store, blob: str, start: int = 0, length: int | None = None) -> bytes:
    async with aclosing(store.read(blob, start, length)) as blocks:  # type: ignore[type-var]
        return b"".join([block async for block in blocks])


@pytest.mark.parametrize("size", [0, 5, 12 * BLOCK_BYTES + 3])
async def test_what_goes_in_comes_out(store: S3Store, size: int) -> None:
    whole = b"".join([piece async for piece in pieces(size)])
    blob = f"whole-{size}"
    writer = await asyncio.to_thread(store.writer, blob)
    found = await ingest(pieces(size), writer, "raw", wanted)
    assert found is not None
    assert (found.size, found.sha256) == (size, hashlib.sha256(whole).hexdigest())
    assert await stored(store, blob) == whole
    if size:
        assert await stored(store, blob, 2, 3) == whole[2:5]
    for _ in range(2):
        await store.delete(blob)
    with pytest.raises(BlobMissing):
        await stored(store, blob)


async def test_what_breaks_off_leaves_nothing(store: S3Store) -> None:
    async def broken() -> AsyncIterator[bytes]:
        async for piece in pieces(7 * BLOCK_BYTES):
            yield piece
        raise ConnectionError

    with pytest.raises(ConnectionError):
        await ingest(broken(), await asyncio.to_thread(store.writer, "broken"), None, wanted)
    with pytest.raises(BlobMissing):
        await stored(store, "broken")
    assert store.client()._list_multipart_uploads("images").uploads == []


async def test_a_bucket_that_is_not_there(s3: str) -> None:
    store = S3Store(settings(s3).model_copy(update={"bucket": "nowhere"}))
    with pytest.raises(BlobStoreUnavailable, match="NoSuchBucket"):
        await ingest(pieces(10), await asyncio.to_thread(store.writer, "x"), None, wanted)


async def test_a_store_that_is_away(tmp_path: Path) -> None:
    store = S3Store(settings(f"http://127.0.0.1:{free_port()}"))
    with pytest.raises(BlobStoreUnavailable, match="does not answer"):
        await stored(store, "x")
