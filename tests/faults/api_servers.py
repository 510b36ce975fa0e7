"""Two API servers behind one face: the harness' own, and a real one."""

from __future__ import annotations

import asyncio
import uuid
from pathlib import Path
from typing import Any, Self

import orjson

from cairn_crds import Flavor, Guest
from cairn_runtime.kubernetes import Body, Kubernetes
from cairn_runtime.settings import KubernetesSettings
from faults.world.api import ApiServer, Event

ANSWER_SECONDS = 20.0


class _Direct(Kubernetes):
    """Cairn's client on the server in memory."""

    def __init__(self, server: ApiServer) -> None:
        super().__init__(KubernetesSettings())
        self._server = server

    async def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        params: dict[str, str] | None = None,
        form: str = "application/json",
    ) -> Body:
        return self._server.request(method, path, body)


class AnyApiServer:
    """What the contract's tests ask of an API server."""

    def __init__(self, kubernetes: Kubernetes) -> None:
        self.kubernetes = kubernetes
        self.namespace = f"contract-{uuid.uuid4().hex[:8]}"

    async def make_namespace(self) -> None:
        """The test's own."""
        body = {"metadata": {"name": self.namespace}}
        await self.kubernetes.request("POST", "/api/v1/namespaces", body)

    async def guest(self, name: str, **metadata: Any) -> Body:
        """A new Guest."""
        spec = {
            "instance": {"namespace": "acme", "name": "web", "project": "acme"},
            "vcpus": 1,
            "memoryMiB": 64,
            "image": {"name": "demo", "url": "http://images.test/demo", "sha256": "a" * 64},
            "config": {"hostname": "web"},
        }
        meta = {"name": name, "namespace": self.namespace, **metadata}
        return await self.kubernetes.create(Guest, {**_type("Guest"), "metadata": meta, "spec": spec})

    async def flavor(self, name: str, **spec: Any) -> Body:
        """A new Flavor."""
        body = {**_type("Flavor"), "metadata": {"name": name}, "spec": spec}
        return await self.kubernetes.create(Flavor, body)

    async def events(self, since: str, count: int) -> list[tuple[str, Body]]:
        """The first `count` events on the namespace's Guests after version `since`."""
        raise NotImplementedError

    async def close(self) -> None:
        """Let go of it."""


def _type(kind: str) -> Body:
    return {"apiVersion": "compute.cairn.dev/v1alpha1", "kind": kind}


class InMemory(AnyApiServer):
    """The harness'."""

    def __init__(self, server: ApiServer) -> None:
        super().__init__(_Direct(server))
        self._server = server

    async def events(self, since: str, count: int) -> list[tuple[str, Body]]:
        heard: list[Event] = []
        end = self._server.watch("guests", int(since), heard.append)
        end()
        mine = [event for event in heard if event.key[0] == self.namespace]
        return [(event.type, event.body()) for event in mine[:count]]


class Real(AnyApiServer):
    """The real one."""

    @classmethod
    async def connected(cls, kubeconfig: Path) -> Self:
        """With its connection open."""
        kubernetes = Kubernetes(KubernetesSettings(kubeconfig=kubeconfig))
        await kubernetes.open()
        return cls(kubernetes)

    async def events(self, since: str, count: int) -> list[tuple[str, Body]]:
        path = Guest.kind_info.path(self.namespace)
        heard: list[tuple[str, Body]] = []
        async with asyncio.timeout(ANSWER_SECONDS):
            async with self.kubernetes.stream(path, {"watch": "1", "resourceVersion": since}) as lines:
                while len(heard) < count:
                    event = orjson.loads(await lines.readline())
                    heard.append((event["type"], event["object"]))
        return heard

    async def close(self) -> None:
        await self.kubernetes.close()
