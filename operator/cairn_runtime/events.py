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
from typing import Any

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


class EventRecorder:
    """Writes Events in the background, in order, without ever holding up its caller."""

    def __init__(self, kubernetes: Kubernetes, component: str, capacity: int = 2000) -> None:
        self._kubernetes = kubernetes
        self._component = component
        self._queue: asyncio.Queue[tuple[dict[str, Any], str, str, str]] = asyncio.Queue(capacity)
        self._told: OrderedDict[tuple[str, str, str], _Told] = OrderedDict()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start writing."""
        self._task = asyncio.create_task(self._write_all(), name="events")

    async def stop(self) -> None:
        """Write what waits, for two seconds at most."""
        if self._task is None:
            return
        try:
            async with asyncio.timeout(2):
                await self._queue.join()
        except TimeoutError:
            pass
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

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
        try:
            self._queue.put_nowait((reference, kind, reason, message[:LONGEST_MESSAGE]))
        except asyncio.QueueFull:
            log.warning("event.dropped", reason=reason, name=subject.metadata.name)

    async def _write_all(self) -> None:
        while True:
            item = await self._queue.get()
            try:
                await self._write(*item)
            except KubernetesError as error:
                log.info("event.not_written", reason=item[2], error=str(error))
            finally:
                self._queue.task_done()

    async def _write(self, reference: dict[str, Any], kind: str, reason: str, message: str) -> None:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
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
