"""An agent's reconciler over the fake driver, and an API server that is a dictionary."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, cast

import pytest
import pytest_asyncio

from cairn_agent.drivers.api import DriverError
from cairn_agent.drivers.fake import FakeDriver
from cairn_agent.reconciler import GuestReconciler
from cairn_agent.settings import AgentSettings
from cairn_crds import Guest
from cairn_crds.guest_operation import Upload
from cairn_crds.peer import Peer
from cairn_runtime.kubernetes import NotFound
from cairn_runtime.store import Store

NODE = "h1"
NAMESPACE = f"cairn-node-{NODE}"
ID = "0f5a3c1e-1111-4222-8333-444455556666"


class FakeApi:
    """One Guest, with generations and versions as the API server counts them."""

    def __init__(self, guests: Store[Guest], instance_id: str = ID) -> None:
        self._guests = guests
        self._id = instance_id
        self._version = 0
        self.body: dict[str, Any] | None = None
        self.writes: list[dict[str, Any]] = []
        self.deletes = 0

    def apply(self, **spec: Any) -> None:
        """Make the Guest, or change its spec; the agent's watch sees it."""
        self._version += 1
        if self.body is None:
            self.body = {
                "metadata": {
                    "name": self._id,
                    "namespace": NAMESPACE,
                    "uid": f"uid-{self._version}",
                    "generation": 0,
                },
                "spec": {
                    "instance": {"namespace": "acme", "name": "web", "project": "acme"},
                    "fencingEpoch": 1,
                    "vcpus": 1,
                    "memoryMiB": 64,
                    "image": {"name": "demo", "url": "http://images/demo", "sha256": "a" * 64},
                    "config": {"hostname": "web"},
                },
                "status": {},
            }
        self.body["spec"] |= spec
        self.body["metadata"]["generation"] += 1
        self._changed()

    def _changed(self) -> dict[str, Any]:
        assert self.body is not None
        self._version += 1
        self.body["metadata"]["resourceVersion"] = str(self._version)
        copy = {part: dict(self.body[part]) for part in ("metadata", "spec", "status")}
        self._guests.put(copy)
        return copy

    @property
    def status(self) -> dict[str, Any]:
        assert self.body is not None
        found: dict[str, Any] = self.body["status"]
        return found

    async def patch(self, kind: type[Guest], name: str, _ns: str, patch: Any, part: str) -> dict[str, Any]:
        assert (kind, name, part) == (Guest, self._id, "status")
        if self.body is None:
            raise NotFound(404, "NotFound", name)
        self.writes.append(patch["status"])
        for field, value in patch["status"].items():
            if value is None:
                self.body["status"].pop(field, None)
            else:
                self.body["status"][field] = value
        return self._changed()

    async def get(self, _kind: type[Guest], name: str, _ns: str) -> dict[str, Any]:
        if self.body is None:
            raise NotFound(404, "NotFound", name)
        return {part: dict(self.body[part]) for part in ("metadata", "spec", "status")}

    async def delete(self, _kind: type[Guest], name: str, _ns: str, uid: str) -> None:
        self.deletes += 1
        if self.body is None or self.body["metadata"]["uid"] != uid:
            raise NotFound(404, "NotFound", name)

    def finish_delete(self) -> None:
        """The watch hears of the deletion."""
        assert self.body is not None
        self._version += 1
        gone = {**self.body, "metadata": {**self.body["metadata"], "resourceVersion": str(self._version)}}
        self.body = None
        self._guests.remove(gone)


class Transfers:
    """Other machines: what was uploaded, and the disks that other hosts have."""

    def __init__(self) -> None:
        self.uploads: dict[str, bytes] = {}
        self.theirs: dict[str, bytes] = {}
        self.error: DriverError | None = None
        self.gate: asyncio.Event | None = None

    async def _meet(self) -> None:
        if self.gate is not None:
            await self.gate.wait()
        if self.error is not None:
            raise self.error

    async def upload(self, upload: Upload, path: Path, disk_format: str) -> dict[str, str]:
        await self._meet()
        self.uploads[upload.url] = path.read_bytes()  # noqa: ASYNC240
        return {"sha256": "b" * 64, "sizeBytes": str(len(self.uploads[upload.url]))}

    async def disks(self, peer: Peer, instance_id: str, operation_id: str) -> list[str]:
        await self._meet()
        return list(self.theirs)

    async def fetch(self, peer: Peer, instance_id: str, operation_id: str, name: str, path: Path) -> None:
        await self._meet()
        path.write_bytes(self.theirs[name])  # noqa: ASYNC240


class Bench:
    """`look` is one look of the agent at the Guest."""

    def __init__(self, settings: AgentSettings) -> None:
        self.driver = FakeDriver()
        self.guests = Store(Guest)
        self.api = FakeApi(self.guests)
        self.transfers = Transfers()
        self.reconciler = GuestReconciler(
            settings, cast(Any, self.api), self.driver, self.guests, self.transfers
        )

    async def look(self) -> None:
        await self.reconciler.reconcile((NAMESPACE, ID))


@pytest.fixture
def settings() -> AgentSettings:
    return AgentSettings(driver="fake", nodes=[NODE], patience_seconds=0.0, graceful_seconds=0.0)


@pytest_asyncio.fixture
async def bench(settings: AgentSettings) -> Bench:
    made = Bench(settings)
    await made.driver.open(lambda _event: None)
    return made
