"""Kubernetes Events: the story of an object, for `kubectl describe`.

Only transitions are told. Events are written in the background and may be lost with the process: the
object's conditions say the same, for good. What repeats within ten minutes raises the count of the first.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

import structlog

from cairn_crds import API_VERSION, Resource
from cairn_runtime.kubernetes import MERGE_PATCH, Kubernetes, KubernetesError, NotFound

log = structlog.get_logger()
REPEAT_SECONDS = 600.0
REMEMBERED = 2000
LONGEST_MESSAGE = 1024


@dataclass
class _Told:
    name: str
    count: int
    at: float


class _Waiting(NamedTuple):
    reference: dict[str, Any]
    kind: str
    reason: str
    message: str
    at: str
    """When it happened, which may be a while before it is written."""


class EventRecorder:
    """Writes Events in the background, an object's in order, without ever holding up its caller."""

    def __init__(
        self, kubernetes: Kubernetes, component: str, capacity: int = 8000, writers: int = 4
    ) -> None:
        """`capacity`: Events that may wait, in all; `writers`: requests under way at a time."""
        self._kubernetes = kubernetes
        self._component = component
        self._queues: list[asyncio.Queue[_Waiting]] = [
            asyncio.Queue(max(1, capacity // writers)) for _ in range(writers)
        ]
        self._told: OrderedDict[tuple[str, str, str], _Told] = OrderedDict()
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Start writing."""
        self._tasks = [asyncio.create_task(self._write_all(queue), name="events") for queue in self._queues]

    async def stop(self) -> None:
        """Write what waits, for two seconds at most."""
        if self._tasks:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(2):
                    await self.written()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def written(self) -> None:
        """Until everything told so far has been written, or could not be."""
        await asyncio.gather(*(queue.join() for queue in self._queues))

    def normal(self, subject: Resource, reason: str, message: str) -> None:
        """Something went as it should."""
        self._put(subject, "Normal", reason, message)

    def warning(self, subject: Resource, reason: str, message: str) -> None:
        """Something did not, and a person may have to act."""
        self._put(subject, "Warning", reason, message)

    def _put(self, subject: Resource, kind: str, reason: str, message: str) -> None:
        reference = {
            "apiVersion": API_VERSION,
            "kind": subject.kind_info.kind,
            "name": subject.metadata.name,
            "uid": subject.metadata.uid,
        }
        if subject.metadata.namespace:
            reference["namespace"] = subject.metadata.namespace
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        # An object's Events all go through one queue, so that they stay in order.
        queue = self._queues[hash(subject.metadata.uid) % len(self._queues)]
        try:
            queue.put_nowait(_Waiting(reference, kind, reason, message[:LONGEST_MESSAGE], now))
        except asyncio.QueueFull:
            log.warning("event.dropped", reason=reason, name=subject.metadata.name)

    async def _write_all(self, queue: asyncio.Queue[_Waiting]) -> None:
        while True:
            item = await queue.get()
            try:
                await self._write(item)
            except KubernetesError as error:
                log.info("event.not_written", reason=item.reason, error=str(error))
            finally:
                queue.task_done()

    async def _write(self, item: _Waiting) -> None:
        reference, kind, reason, message, now = item
        namespace = reference.get("namespace", "default")
        key = (reference["uid"], reason, message)
        told = self._told.get(key)
        path = f"/api/v1/namespaces/{namespace}/events"
        if told and time.monotonic() - told.at < REPEAT_SECONDS:
            patch = {"count": told.count + 1, "lastTimestamp": now}
            # One that somebody has removed is told anew.
            with contextlib.suppress(NotFound):
                await self._kubernetes.request("PATCH", f"{path}/{told.name}", patch, form=MERGE_PATCH)
                told.count += 1
                return
        name = f"{reference['name'][:200]}.{uuid.uuid4().hex[:16]}"
        body = {
            "metadata": {"name": name, "namespace": namespace},
            "involvedObject": reference,
            "type": kind,
            "reason": reason,
            "message": message,
            "count": 1,
            "firstTimestamp": now,
            "lastTimestamp": now,
            "source": {"component": self._component},
            "reportingComponent": f"compute.cairn.dev/{self._component}",
            "reportingInstance": self._component,
        }
        await self._kubernetes.request("POST", path, body)
        self._told[key] = _Told(name, 1, time.monotonic())
        while len(self._told) > REMEMBERED:
            self._told.popitem(last=False)
