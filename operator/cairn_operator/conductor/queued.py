"""What the controllers beside the instances' own have in common: a queue that a store's changes fill."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable
from typing import Any, Generic, TypeVar

from cairn_database import DatabaseError
from cairn_runtime.kubernetes import KubernetesError
from cairn_runtime.store import Key, Store
from cairn_runtime.workqueue import WorkQueue

K = TypeVar("K", bound=Hashable)


class Queued(ABC, Generic[K]):
    """Looks at what changes of the objects of `watched` bring into the queue `name`."""

    def __init__(self, watched: Store[Any], name: str, *, concurrency: int) -> None:
        self._watched = watched
        self.queue: WorkQueue[K] = WorkQueue(
            name, self.reconcile, concurrency=concurrency, expected=(KubernetesError, DatabaseError)
        )
        watched.on_change(self._take_in)

    async def start(self) -> None:
        """Start working."""
        await self.queue.start()
        self.wake_all()

    async def stop(self) -> None:
        """End it; what has been begun goes on."""
        await self.queue.stop()

    def wake_all(self) -> None:
        """Look at everything that is this replica's: after its share has changed."""
        for key in self._watched:
            self._take_in(key)

    @abstractmethod
    def _take_in(self, key: Key) -> None:
        """An object is new, has changed, or is gone: queue what has to be looked at."""

    @abstractmethod
    async def reconcile(self, key: K, /) -> float | None:
        """One look; the seconds until the next one."""
