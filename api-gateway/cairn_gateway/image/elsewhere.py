"""Data that is not in the built-in store, but where an administrator's Image resource says."""

from __future__ import annotations

from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import aiohttp

from cairn_database.images.records import ImageRecord
from cairn_gateway.http.faults import NotFound, ServiceUnavailable
from cairn_gateway.image.blobs import BLOCK_BYTES

TIMEOUT = aiohttp.ClientTimeout(total=None, connect=10, sock_read=30)


async def fetch(record: ImageRecord) -> AsyncIterator[bytes]:
    """The bytes at the image's address. Raises NotFound for files (they are the hosts', not the gateway's),
    ServiceUnavailable where the server does not give it."""
    url = record.url or ""
    if urlsplit(url).scheme not in ("http", "https"):
        raise NotFound(
            f"The data of image {record.id} is on the compute hosts only: its Image resource names a file. "
            "It boots, but cannot be downloaded."
        )
    session = aiohttp.ClientSession(
        timeout=TIMEOUT,
        auto_decompress=False,
        headers={"Accept-Encoding": "identity", "User-Agent": "cairn-gateway"},
        cookie_jar=aiohttp.DummyCookieJar(),
    )
    try:
        response = await session.get(url, max_redirects=4)
    except (aiohttp.ClientError, OSError, ValueError) as error:
        await session.close()
        raise ServiceUnavailable(
            f"The server that has image {record.id} cannot be reached ({type(error).__name__})."
        ) from error
    except BaseException:
        await session.close()
        raise

    if response.status != 200:
        await session.close()
        raise ServiceUnavailable(f"The server that has image {record.id} answered {response.status}.")

    async def blocks() -> AsyncIterator[bytes]:
        async with session, response:
            async for block in response.content.iter_chunked(BLOCK_BYTES // 4):
                yield block

    return blocks()
