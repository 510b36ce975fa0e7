"""Where the bytes of an image come from: an HTTP server, or a file that the host has.

`cache` opens a source, asks its size and takes its blocks. Whatever goes wrong on the source's side leaves
here as a DriverError whose text holds no secret of the URL.
"""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

import aiohttp

from cairn_agent.drivers.api import ImageUnavailable, Unsupported
from cairn_crds.image_source import GuestImage

BLOCK_BYTES = 1024**2


@dataclass(frozen=True)
class Limits:
    """How patient and how trusting a download is."""

    connect_seconds: float = 10.0
    """For the connection, TLS included."""
    idle_seconds: float = 30.0
    """For the next bytes to come."""
    total_seconds: float = 3600.0
    """For the whole download."""
    redirects: int = 3
    """How often the server may send us elsewhere."""


@dataclass(frozen=True)
class Source:
    """An image ready to be read, once."""

    size: int | None
    """In bytes, where the source says so; a claim until all is read."""
    blocks: AsyncIterator[bytes]
    descriptor: int | None = None
    """The open file, where it is one of this host."""


def public_url(url: str) -> str:
    """The part of a URL that may be shown: no user, password, query or fragment."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "a malformed URL"
    return f"{parts.scheme}://{host}{port}{parts.path}"


@asynccontextmanager
async def open_source(image: GuestImage, limits: Limits, file_roots: Sequence[Path]) -> AsyncIterator[Source]:
    """The bytes of `image`. Raises ImageUnavailable, or Unsupported for a place this host never reads."""
    try:
        parts = urlsplit(image.url)
    except ValueError:
        raise Unsupported(f"image {image.name}: its url is malformed") from None
    if parts.scheme in ("http", "https"):
        async with _http_source(image, limits) as source:
            yield source
    elif parts.scheme == "file":
        descriptor = _open_allowed(image, parts, file_roots)
        try:
            size = os.fstat(descriptor).st_size
            yield Source(size, file_blocks(descriptor, public_url(image.url)), descriptor)
        finally:
            os.close(descriptor)
    else:
        raise Unsupported(
            f"image {image.name}: {parts.scheme!r} addresses are not read: use http, https or file"
        )


@asynccontextmanager
async def _http_source(image: GuestImage, limits: Limits) -> AsyncIterator[Source]:
    shown = f"image {image.name}: {public_url(image.url)}"
    timeout = aiohttp.ClientTimeout(
        total=limits.total_seconds, connect=limits.connect_seconds, sock_read=limits.idle_seconds
    )
    # The checksum is of the file as it is, so nothing may be decompressed on the way; no proxy or netrc of
    # the agent's environment is used.
    async with aiohttp.ClientSession(
        timeout=timeout,
        auto_decompress=False,
        read_bufsize=BLOCK_BYTES // 2,
        headers={"Accept-Encoding": "identity", "User-Agent": "cairn-agent"},
        cookie_jar=aiohttp.DummyCookieJar(),
    ) as session:
        try:
            response = await session.get(image.url, max_redirects=limits.redirects + 1)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise _unavailable(shown, error) from None
        async with response:
            if response.status != 200:
                raise ImageUnavailable(f"{shown} answered {response.status}")
            yield Source(response.content_length, _http_blocks(response, shown))


async def _http_blocks(response: aiohttp.ClientResponse, shown: str) -> AsyncIterator[bytes]:
    """Blocks of BLOCK_BYTES, however small the pieces that arrive."""
    gathered = bytearray()
    while True:
        try:
            piece = await response.content.readany()
        except (aiohttp.ClientError, OSError) as error:
            raise _unavailable(shown, error) from None
        gathered += piece
        while len(gathered) >= BLOCK_BYTES:
            yield bytes(gathered[:BLOCK_BYTES])
            del gathered[:BLOCK_BYTES]
        if not piece:
            if gathered:
                yield bytes(gathered)
            return


def _unavailable(shown: str, error: Exception) -> ImageUnavailable:
    """In our own words: aiohttp's texts hold the whole URL."""
    if isinstance(error, TimeoutError):
        why = "did not answer in time"
    elif isinstance(error, aiohttp.TooManyRedirects):
        why = "redirects too often"
    elif isinstance(error, aiohttp.ClientPayloadError):
        why = "broke off before the end"
    elif isinstance(error, aiohttp.ClientConnectorCertificateError):
        why = "has a certificate that this host does not trust"
    elif isinstance(error, aiohttp.InvalidURL | aiohttp.NonHttpUrlRedirectClientError | ValueError):
        why = "is no valid address, or redirects to one that is none"
    elif isinstance(error, OSError):
        why = f"cannot be reached: {os.strerror(error.errno) if error.errno else type(error).__name__}"
    else:
        why = f"failed: {type(error).__name__}"
    return ImageUnavailable(f"{shown} {why}")


def _open_allowed(image: GuestImage, parts: SplitResult, file_roots: Sequence[Path]) -> int:
    """Open the file and then ask the kernel where it is, so that no link can lead out of the roots."""
    shown = f"image {image.name}: {public_url(image.url)}"
    path = unquote(parts.path)
    if parts.netloc not in ("", "localhost") or not path.startswith("/") or "\0" in path:
        raise Unsupported(f"{shown} is not a file of this host: write file:///path")
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except OSError as error:
        if not any(_inside(Path(os.path.normpath(path)), root) for root in file_roots):
            raise _not_allowed(shown) from None
        raise ImageUnavailable(f"{shown} cannot be opened: {error.strerror}") from None
    place = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
    if not any(_inside(place, root) for root in file_roots):
        os.close(descriptor)
        raise _not_allowed(shown)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise Unsupported(f"{shown} is not a regular file")
    return descriptor


def _not_allowed(shown: str) -> Unsupported:
    return Unsupported(f"{shown} is in none of the folders that this host's configuration allows for images")


def _inside(path: Path, root: Path) -> bool:
    return path.is_relative_to(root.resolve()) or path.is_relative_to(root)


async def file_blocks(descriptor: int, shown: str) -> AsyncIterator[bytes]:
    """All of an open file in blocks of BLOCK_BYTES; `shown` names it in errors."""
    offset = 0
    while True:
        try:
            block = await asyncio.to_thread(os.pread, descriptor, BLOCK_BYTES, offset)
        except OSError as error:
            raise ImageUnavailable(f"{shown} cannot be read: {error.strerror}") from None
        if not block:
            return
        offset += len(block)
        yield block
