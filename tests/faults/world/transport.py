"""Between hosts: running machines over a wire, disks and images over their agents, all without sockets."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cairn_agent.drivers.api import DriverError
from cairn_agent.drivers.fake_store import StoredMachine
from cairn_agent.drivers.fake_wire import Arrival, CopyGate, WireBroken
from cairn_agent.transfers import DisksUnavailable, UploadFailed
from cairn_crds.guest_operation import Upload
from cairn_crds.peer import Peer
from faults.world.mishaps import Gates

SEND_SECONDS = 0.2
FETCH_SECONDS = 0.1


class Wires:
    """All that hosts can reach each other by."""

    def __init__(self, gates: Gates, driver_of: Callable[[str], Any], answers: Callable[[str], bool]) -> None:
        """`driver_of`: a host's driver; `answers`: whether its agent does."""
        self.gates = gates
        self._driver_of = driver_of
        self._answers = answers
        self._listening: dict[str, Arrival] = {}
        self._lives = 0

    def listen(self, node: str, instance_id: str, arrive: Arrival) -> str:
        """The address at which that machine may arrive."""
        address = f"wire/{node}/{instance_id}"
        self._listening[address] = arrive
        return address

    def hang_up(self, node: str, instance_id: str = "") -> None:
        """Nothing arrives there any more: its agent has gone."""
        for address in [key for key in self._listening if key.startswith(f"wire/{node}/{instance_id}")]:
            del self._listening[address]

    def arrive(self, address: str, machine: StoredMachine) -> None:
        """Hand it over, at once and as a whole. Raises WireBroken."""
        if address not in self._listening:
            raise WireBroken("the destination does not answer")
        self._listening[address](machine)

    def source(self, peer: Peer) -> tuple[str, Any]:
        """The host that an endpoint is of, and its driver. Raises DisksUnavailable."""
        node = peer.url.removeprefix("https://").partition(":")[0]
        if not self._answers(node):
            raise DisksUnavailable(f"{node} does not answer")
        return node, self._driver_of(node)


def peer_of(node: str) -> Peer:
    """What the agent of a host tells of its endpoint."""
    return Peer(url=f"https://{node}:1", certificate="none", token="none")


class MemoryWire(CopyGate):
    """`cairn_agent.drivers.fake_wire.Wire`, of one host."""

    def __init__(self, wires: Wires) -> None:
        super().__init__()
        self._wires = wires

    async def listen(self, node: str, instance_id: str, arrive: Arrival) -> str:
        return self._wires.listen(node, instance_id, arrive)

    async def send(self, address: str, machine: StoredMachine) -> None:
        """It has arrived when this returns, and not before: no moment lies between."""
        await self._wires.gates.cross("wire.send", _nothing, _broken, SEND_SECONDS, address, after=False)
        self._wires.arrive(address, machine)

    async def close(self, node: str, instance_id: str) -> None:
        self._wires.hang_up(node, instance_id)

    async def close_all(self) -> None:
        """An agent that ends lets go of its own; see `Wires.hang_up`."""


class MemoryTransfers:
    """`cairn_agent.operations.Transfers`."""

    def __init__(self, wires: Wires) -> None:
        self._wires = wires

    async def close(self) -> None:
        """Nothing is held."""

    async def upload(self, upload: Upload, path: Path, disk_format: str) -> dict[str, str]:
        content = _read(path)

        async def act() -> dict[str, str]:
            return {"sha256": hashlib.sha256(content).hexdigest(), "sizeBytes": str(len(content))}

        return await self._wires.gates.cross("image.upload", act, _not_taken, FETCH_SECONDS, upload.url)

    async def disks(self, peer: Peer, instance_id: str, operation_id: str) -> list[str]:
        async def act() -> list[str]:
            node, driver = self._wires.source(peer)
            return [disk.name for disk in await _export(driver, node, instance_id, operation_id)]

        return await self._wires.gates.cross("peer.disks", act, _unavailable, FETCH_SECONDS, peer.url)

    async def fetch(self, peer: Peer, instance_id: str, operation_id: str, name: str, path: Path) -> None:
        async def act() -> None:
            node, driver = self._wires.source(peer)
            for disk in await _export(driver, node, instance_id, operation_id):
                if disk.name == name:
                    _copy(disk.path, path)

        await self._wires.gates.cross("peer.fetch", act, _unavailable, FETCH_SECONDS, peer.url)


async def _export(driver: Any, node: str, instance_id: str, operation_id: str) -> Any:
    try:
        return await driver.export_disks(node, instance_id, operation_id)
    except DriverError as error:
        raise DisksUnavailable(str(error)) from error


def _read(path: Path) -> bytes:
    return path.read_bytes()


def _copy(source: Path, path: Path) -> None:
    path.write_bytes(source.read_bytes())


async def _nothing() -> None:
    return None


def _broken() -> Exception:
    return WireBroken("the network was cut")


def _unavailable() -> Exception:
    return DisksUnavailable("the network was cut")


def _not_taken() -> Exception:
    return UploadFailed("the image store does not answer")
