"""A disk's bytes, all of them or from an offset on (RFC 9110, Range)."""

from __future__ import annotations

import asyncio

from aiohttp import web

from cairn_agent.drivers.api_operations import MachineDisk
from cairn_agent.endpoint.answers import BadRequest, refuse

PIECE_BYTES = 1024 * 1024


async def stream(request: web.Request, disk: MachineDisk) -> web.StreamResponse:
    """Answer with the part that the request asks for. Ends the connection where the file is too short."""
    try:
        first, last = _range(request, disk.size)
    except ValueError as error:
        raise BadRequest(f"Range: {error}") from error
    if first >= disk.size and "Range" in request.headers:
        answer = refuse(416, "RangeNotSatisfiable", f"the disk has {disk.size} bytes")
        answer.headers["Content-Range"] = f"bytes */{disk.size}"
        return answer
    response = web.StreamResponse(status=206 if "Range" in request.headers else 200)
    response.content_type = "application/octet-stream"
    response.content_length = last - first
    response.headers["Accept-Ranges"] = "bytes"
    if response.status == 206:
        response.headers["Content-Range"] = f"bytes {first}-{last - 1}/{disk.size}"
    # Opened first: what cannot be read is refused, and not broken off.
    file = await asyncio.to_thread(disk.path.open, "rb", buffering=0)
    try:
        await response.prepare(request)
        await asyncio.to_thread(file.seek, first)
        left = last - first
        while left:
            piece = await asyncio.to_thread(file.read, min(PIECE_BYTES, left))
            if not piece:
                raise EOFError(f"{disk.path} is {left} bytes shorter than {disk.size}")
            await response.write(piece)
            left -= len(piece)
        await response.write_eof()
    finally:
        file.close()
    return response


def _range(request: web.Request, size: int) -> tuple[int, int]:
    """From which byte, and up to (without) which. Raises ValueError."""
    asked = request.http_range
    start, stop, _step = asked.indices(size) if size else (0, 0, 1)
    if asked.start is not None and asked.start >= size:
        start = asked.start
    return start, stop
