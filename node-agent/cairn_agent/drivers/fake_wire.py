"""How a running machine gets from one fake hypervisor to another: over a unix socket, in one message."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Protocol

from cairn_agent.drivers.api_operations import Aborted
from cairn_agent.drivers.fake_store import StoredMachine

Arrival = Callable[[StoredMachine], None]
"""Takes a machine in, at once and as a whole. Raises WireBroken where it cannot."""
ANSWER_SECONDS = 5.0


class WireBroken(Exception):
    """The machine has not arrived."""


class Wire(Protocol):
    """What the fake driver needs of one."""

    async def listen(self, node: str, instance_id: str, arrive: Arrival) -> str:
        """Let that machine arrive; the address to `send` to. Again: the same address."""

    async def send(self, address: str, machine: StoredMachine) -> None:
        """Hand it over. Raises WireBroken where it has not been taken in."""

    async def copying(self, instance_id: str) -> None:
        """Until the copy is through: at once, unless a test `holds` it. Raises Aborted."""

    def abort(self, instance_id: str) -> None:
        """Let `copying` give up."""

    def force(self, instance_id: str) -> None:
        """Let `copying` come to an end."""

    async def close(self, node: str, instance_id: str) -> None:
        """Nobody arrives any more."""

    async def close_all(self) -> None:
        """For no machine."""


class CopyGate:
    """The part of a wire that tests can hold."""

    def __init__(self) -> None:
        self._held: dict[str, asyncio.Event] = {}
        self._aborted: set[str] = set()

    def hold(self, instance_id: str) -> None:
        """Let the copy of that machine last until it is forced or aborted."""
        self._held[instance_id] = asyncio.Event()

    async def copying(self, instance_id: str) -> None:
        if gate := self._held.get(instance_id):
            await gate.wait()
            self._held.pop(instance_id, None)
        if instance_id in self._aborted:
            self._aborted.discard(instance_id)
            raise Aborted(f"the migration of machine {instance_id} was aborted; it runs on here")

    def abort(self, instance_id: str) -> None:
        if gate := self._held.get(instance_id):
            self._aborted.add(instance_id)
            gate.set()

    def force(self, instance_id: str) -> None:
        if gate := self._held.get(instance_id):
            gate.set()


class SocketWire(CopyGate):
    """Between processes of one machine."""

    def __init__(self) -> None:
        super().__init__()
        self._directory: Path | None = None
        self._servers: dict[tuple[str, str], tuple[str, asyncio.Server]] = {}
        self._listened = 0

    async def listen(self, node: str, instance_id: str, arrive: Arrival) -> str:
        key = (node, instance_id)
        if key in self._servers:
            return self._servers[key][0]
        if self._directory is None:
            self._directory = Path(tempfile.mkdtemp(prefix="cairn-wire-"))

        async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.closing(writer), contextlib.suppress(ConnectionError, ValueError):
                machine = StoredMachine(**json.loads(await reader.readline()))
                try:
                    arrive(machine)
                except WireBroken as error:
                    writer.write(f"{error}\n".encode())
                else:
                    writer.write(b"ok\n")
                await writer.drain()

        self._listened += 1
        address = str(self._directory / f"{self._listened}-{instance_id[:8]}")
        self._servers[key] = address, await asyncio.start_unix_server(take, address, limit=2**20)
        return address

    async def send(self, address: str, machine: StoredMachine) -> None:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                reader, writer = await asyncio.open_unix_connection(address, limit=2**20)
                with contextlib.closing(writer):
                    writer.write(json.dumps(asdict(machine)).encode() + b"\n")
                    await writer.drain()
                    answer = (await reader.readline()).decode().strip()
        except (OSError, TimeoutError) as error:
            raise WireBroken(f"the destination does not answer ({type(error).__name__})") from error
        if answer != "ok":
            raise WireBroken(answer or "the destination hung up")

    async def close(self, node: str, instance_id: str) -> None:
        if found := self._servers.pop((node, instance_id), None):
            found[1].close()

    async def close_all(self) -> None:
        for key in list(self._servers):
            await self.close(*key)
        if self._directory is not None:
            shutil.rmtree(self._directory, ignore_errors=True)
            self._directory = None
