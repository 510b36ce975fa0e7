"""An image server that misbehaves on demand, and images to serve."""

from __future__ import annotations

import asyncio
import hashlib
import subprocess
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from aiohttp import web

from cairn_agent.images import ImageCache, Limits
from cairn_crds.image_source import GuestImage

MIB = 1024**2


class ImageServer:
    """Serves `content` at /image; other paths are the ways in which real servers fail."""

    def __init__(self) -> None:
        self.content = b""
        self.requests: list[str] = []
        self.open_gate = asyncio.Event()
        self.open_gate.set()
        self.first_request = asyncio.Event()
        self.url = ""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request.path)
        self.first_request.set()
        await self.open_gate.wait()
        match request.path.split("/")[1]:
            case "image":
                return web.Response(body=self.content)
            case "status":
                return web.Response(status=int(request.path.rsplit("/", 1)[1]))
            case "chunked":
                return await self._stream(request, self.content, chunked=True)
            case "truncated":
                response = await self._stream(request, self.content[: len(self.content) // 2], chunked=False)
                assert request.transport is not None
                request.transport.abort()
                return response
            case "silent":
                await self._stream(request, self.content[:1000], chunked=False)
                await asyncio.Event().wait()
            case "hops":
                left = int(request.path.rsplit("/", 1)[1])
                raise web.HTTPFound(f"/hops/{left - 1}" if left > 1 else "/image")
            case "elsewhere":
                raise web.HTTPFound("file:///etc/passwd")
        return web.Response(status=404)

    async def _stream(self, request: web.Request, body: bytes, *, chunked: bool) -> web.StreamResponse:
        response = web.StreamResponse()
        if not chunked:
            response.content_length = len(self.content)
        await response.prepare(request)
        await response.write(body)
        return response


@pytest.fixture
async def server() -> AsyncIterator[ImageServer]:
    images = ImageServer()
    application = web.Application()
    application.router.add_get("/{path:.*}", images.answer)
    runner = web.AppRunner(application, shutdown_timeout=1, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    images.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield images
    images.open_gate.set()
    await runner.cleanup()


@pytest.fixture(scope="session")
def qcow2(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A real qcow2 image with data and holes in it."""
    folder = tmp_path_factory.mktemp("qcow2")
    raw, image = folder / "disk.raw", folder / "disk.qcow2"
    raw.write_bytes(bytes(3 * MIB) + bytes(range(256)) * 4096 + bytes(4 * MIB))
    subprocess.run(["qemu-img", "convert", "-O", "qcow2", raw, image], check=True)
    return image.read_bytes()


@pytest.fixture
def cache(tmp_path: Path) -> ImageCache:
    return ImageCache(
        tmp_path / "cache",
        max_download_bytes=64 * MIB,
        file_roots=[tmp_path / "allowed"],
        limits=Limits(connect_seconds=5, idle_seconds=0.3, total_seconds=20),
    )


@pytest.fixture
def image_of(server: ImageServer) -> Callable[..., GuestImage]:
    """A GuestImage for what the server serves (or for `content`)."""

    def make(path: str = "/image", *, content: bytes | None = None, **fields: str) -> GuestImage:
        if content is not None:
            server.content = content
        fields = {"url": server.url + path, "sha256": hashlib.sha256(server.content).hexdigest(), **fields}
        return GuestImage.model_validate({"name": "test", **fields})

    return make
