"""A listening endpoint over a fake driver, in the test's own process."""

from __future__ import annotations

import asyncio
import base64
import uuid
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from cairn_agent.drivers.api import MachineNotFound, Step
from cairn_agent.drivers.api_operations import MachineDisk
from cairn_agent.drivers.fake import FakeDriver
from cairn_agent.endpoint.service import Endpoint
from cairn_agent.settings import AgentSettings
from cairn_crds.guest import GuestConfig, GuestSpec, InstanceReference
from cairn_crds.image_source import GuestImage
from cairn_crds.peer import Peer
from cairn_runtime.agent_client import AgentClient
from cairn_runtime.kubernetes import Kubernetes, NotFound
from cairn_runtime.peers import SECRETS

NODE = "node-1"
OPERATION = "resize-7"


class Secrets:
    """The API server, as far as Secrets go."""

    def __init__(self) -> None:
        self.bodies: dict[str, dict[str, Any]] = {}
        self.reads = 0
        self.error: Exception | None = None
        self.written = asyncio.Event()

    async def request(self, method: str, path: str, body: Any = None, **_options: Any) -> dict[str, Any]:
        """GET and PATCH."""
        name = path.removeprefix(f"{SECRETS}/")
        if self.error is not None:
            raise self.error
        if method == "PATCH":
            self.bodies[name] = body
            self.written.set()
        else:
            self.reads += 1
        if name not in self.bodies:
            raise NotFound(404, "NotFound", name)
        return self.bodies[name]

    async def wait_for(self, *nodes: str) -> None:
        """Until those nodes' Secrets are there."""
        async with asyncio.timeout(10):
            while not self.bodies.keys() >= set(nodes):
                self.written.clear()
                await self.written.wait()

    def read(self, node: str, field_: str) -> str:
        """What a Secret says."""
        return base64.b64decode(self.bodies[node]["data"][field_]).decode()


class ExportingDriver(FakeDriver):
    """A fake driver whose machines have the disks that a test gives them."""

    def __init__(self) -> None:
        super().__init__()
        self.disks: dict[tuple[str, str], list[MachineDisk]] = {}

    async def export_disks(self, node: str, instance_id: str, operation_id: str) -> Sequence[MachineDisk]:
        """By instance and operation."""
        await self.faults.meet("export_disks")
        found = self.disks.get((instance_id, operation_id))
        if found is None or node != NODE:
            raise MachineNotFound(f"no machine {instance_id}")
        return found


async def _quiet(_step: Step) -> None:
    """Nobody watches the spawn."""


@dataclass
class House:
    """One host's endpoint, and a client."""

    endpoint: Endpoint
    driver: ExportingDriver
    secrets: Secrets
    client: AgentClient
    directory: Path
    machines: list[str] = field(default_factory=list)

    @property
    def peer(self) -> Peer:
        """With the node's own token."""
        return self.endpoint.peers[NODE]

    async def machine(self, node: str = NODE, *, runs: bool = True) -> str:
        """A machine; its id."""
        instance_id = str(uuid.uuid4())
        spec = GuestSpec(
            instance=InstanceReference(namespace="a", name="vm", project="a"),
            vcpus=2,
            memory_mib=64,
            image=GuestImage(name="demo", url="http://127.0.0.1:9/x", sha256="0" * 64),
            config=GuestConfig(hostname="vm", config_drive=False),
        )
        await self.driver.spawn(node, instance_id, spec, _quiet)
        if runs:
            await self.driver.power_on(node, instance_id)
        return instance_id

    def disk(self, instance_id: str, content: bytes, name: str = "disk") -> MachineDisk:
        """A disk that is handed out."""
        path = self.directory / f"{instance_id}.{name}"
        path.write_bytes(content)
        disk = MachineDisk(name, path, len(content))
        self.driver.disks.setdefault((instance_id, OPERATION), []).append(disk)
        return disk


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    driver, secrets, client = ExportingDriver(), Secrets(), AgentClient()
    settings = AgentSettings(driver="fake", nodes=[NODE, "node-2"], endpoint_host="127.0.0.1")
    endpoint = Endpoint(settings, cast(Kubernetes, secrets), driver)
    await endpoint.start()
    yield House(endpoint, driver, secrets, client, tmp_path)
    await client.close()
    await endpoint.stop()
