"""How the benchmarks measure: a watch that sees every phase, CPU and memory of processes, percentiles."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterable
from pathlib import Path

import orjson

from cairn_crds import Instance
from cairn_runtime.kubernetes import Kubernetes

TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


def cpu_seconds(pid: int) -> float:
    """User and system time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def rss_mib(pid: int) -> float:
    """Resident memory of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE / 1024**2


def percentile(values: Iterable[float], part: float) -> float:
    """The value below which `part` (0 to 1) of them lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]


class InstanceWatch:
    """Notes when each Instance of a namespace reached a phase, and when it was gone."""

    def __init__(self, kubernetes: Kubernetes, namespace: str) -> None:
        self._kubernetes = kubernetes
        self._namespace = namespace
        self._waiting: dict[tuple[str, str], asyncio.Future[float]] = {}
        self._seen: set[str] = set()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> InstanceWatch:
        self._task = asyncio.create_task(self._watch_forever())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def expect(self, name: str, phase: str) -> asyncio.Future[float]:
        """A future with the time (perf_counter) at which `name` shows `phase`; `Gone`: is deleted."""
        future: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._waiting[(name, phase)] = future
        return future

    async def _watch_forever(self) -> None:
        """The server ends a watch whenever it likes: list what is so, and watch from there."""
        try:
            while True:
                items, version = await self._kubernetes.list_all(Instance, self._namespace)
                here = {body["metadata"]["name"] for body in items}
                for body in items:
                    self._note(body["metadata"]["name"], body.get("status", {}).get("phase", ""))
                if self._seen:
                    for name in self._seen - here:
                        self._note(name, "Gone")
                self._seen = here
                await self._watch(version)
        except Exception as error:
            for future in self._waiting.values():
                future.set_exception(error)
            raise

    async def _watch(self, version: str) -> None:
        path = Instance.kind_info.path(self._namespace)
        async with self._kubernetes.stream(path, {"watch": "1", "resourceVersion": version}) as lines:
            async for line in lines:
                event = orjson.loads(line)
                if event["type"] == "ERROR":
                    return
                body = event["object"]
                name = body["metadata"]["name"]
                if event["type"] == "DELETED":
                    self._seen.discard(name)
                    self._note(name, "Gone")
                else:
                    self._seen.add(name)
                    self._note(name, body.get("status", {}).get("phase", ""))

    def _note(self, name: str, phase: str) -> None:
        future = self._waiting.pop((name, phase), None)
        if future is not None and not future.done():
            future.set_result(time.perf_counter())
