"""Who is looked at first after a start, or after the share of a replica has changed."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from cairn_crds import Instance
from cairn_operator.conductor.reconciler import Reconciler, is_settled
from cairn_operator.conductor.scope import Environment
from cairn_operator.conductor.settings import ConductorSettings
from cairn_operator.conductor.shards import Membership
from cairn_runtime.store import Key, Store

SETTLED = {"observedGeneration": 2, "phase": "Active"}


def body(name: str, status: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    """An Instance in its second generation."""
    own = {"name": name, "namespace": "red", "generation": 2, "resourceVersion": "7", **metadata}
    return {"metadata": own, "spec": {}, "status": status}


@pytest.mark.parametrize(
    ("status", "metadata", "settled"),
    [
        (SETTLED, {}, True),
        ({}, {}, False),
        ({"observedGeneration": 1}, {}, False),
        ({**SETTLED, "taskState": "spawning"}, {}, False),
        (SETTLED, {"deletionTimestamp": "2026-01-01T00:00:00Z"}, False),
    ],
    ids=["settled", "new", "edited", "in a task", "being deleted"],
)
def test_an_instance_is_settled_that_nobody_waits_for(
    status: dict[str, Any], metadata: dict[str, Any], settled: bool
) -> None:
    assert is_settled(body("web", status, **metadata)) is settled


class Recording(Reconciler):
    """Notes who is looked at."""

    seen: list[str]

    async def reconcile(self, key: Key) -> float | None:
        self.seen.append(key[1])
        return None


async def test_after_a_start_what_is_new_or_in_a_task_goes_ahead_of_everything_else() -> None:
    instances = Store(Instance)
    for number in range(50):
        instances.put(body(f"old-{number}", SETTLED))
    instances.put(body("new", {}))
    instances.put(body("rebooting", {**SETTLED, "taskState": "rebooting"}))
    env = SimpleNamespace(settings=ConductorSettings(concurrency=1), instances=instances, answering=None)
    everybody = cast(Membership, SimpleNamespace(owns=lambda _key: True))
    reconciler = Recording(cast(Environment, env), everybody)
    reconciler.seen = []

    reconciler.wake_all()
    reconciler.wake(("red", "latest"))  # the watch tells of it
    await reconciler.queue.start()
    async with asyncio.timeout(5):
        while not reconciler.queue.idle:  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0)
    await reconciler.queue.stop()
    assert reconciler.seen[:3] == ["new", "rebooting", "latest"]
    assert len(reconciler.seen) == 53
