"""A relay that runs inside the guests' room: a unix socket on one side, a guest's TCP port on the other.

`python -m cairn_local.relay SOCKET ADDRESS PORT` prints a line once it listens, and ends when its standard
input closes, that is, with the `cairn port-forward` that started it.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Awaitable, Callable

Connect = Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]
CHUNK = 64 * 1024


async def relay_connections(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connect: Connect
) -> None:
    """Lead one accepted connection to what `connect` opens, both ways, until both sides have ended."""
    try:
        far_reader, far_writer = await connect()
    except OSError as error:
        sys.stderr.write(f"cannot connect: {error}\n")
        writer.close()
        return
    await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer))


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(CHUNK):
            writer.write(data)
            await writer.drain()
    with contextlib.suppress(OSError):
        writer.close()


async def main(socket: str, address: str, port: int) -> None:
    """Serve until standard input closes."""
    server = await asyncio.start_unix_server(
        lambda reader, writer: relay_connections(
            reader, writer, lambda: asyncio.open_connection(address, port)
        ),
        socket,
    )
    sys.stdout.write("listening\n")
    sys.stdout.flush()
    async with server:
        await asyncio.to_thread(sys.stdin.buffer.read)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
