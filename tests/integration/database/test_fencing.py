"""An evacuation needs a host that is off for certain: forced down, or silent until it has fenced itself."""

from __future__ import annotations

import time

import pytest

from cairn_crds.compute_node import ComputeNodeSpec, ComputeNodeStatus
from cairn_database import Database, engine, moving, nodes
from cairn_database.asking import Asked
from cairn_database.moving import FENCING_MARGIN_SECONDS, HostStillInUse
from integration.database.support import active, make_cloud

ASKED = Asked(request_id="req-evacuate")


async def report(db: Database, *, up: bool, self_fence_seconds: int | None = None, **spec: bool) -> None:
    status = {
        "vcpus": 16,
        "memoryMiB": 2**20,
        "diskGiB": 2**20,
        "selfFenceSeconds": self_fence_seconds,
        "conditions": [{"type": "Up", "status": "True" if up else "False"}],
    }
    node = ComputeNodeSpec.model_validate({"ratios": {"cpu": 1.0}, **spec})
    await nodes.upsert_compute_node(db, "host-0", node, ComputeNodeStatus.model_validate(status))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The database's clock."""
    now = [1_800_000_000]
    for module in (nodes, moving):
        monkeypatch.setattr(module, "clock", lambda _conn: now[0])
    return now


async def test_a_silent_host_that_fences_itself_is_evacuated_after_its_time(
    db: Database, clock: list[int]
) -> None:
    await make_cloud(db)
    record = await active(db)
    await report(db, up=True, self_fence_seconds=60)
    with pytest.raises(HostStillInUse, match="It reports"):
        await moving.evacuate(db, record.id, ASKED)
    await report(db, up=False, self_fence_seconds=60)
    clock[0] += 60
    await report(db, up=False, self_fence_seconds=60)  # nothing new: it is silent since then
    with pytest.raises(HostStillInUse, match=f"guests off in {FENCING_MARGIN_SECONDS} s"):
        await moving.evacuate(db, record.id, ASKED)
    clock[0] += FENCING_MARGIN_SECONDS
    assert (await moving.evacuate(db, record.id, ASKED)).awaiting_host


async def test_a_host_that_was_back_in_between_is_counted_anew(db: Database, clock: list[int]) -> None:
    await make_cloud(db)
    record = await active(db)
    await report(db, up=False, self_fence_seconds=60)
    clock[0] += 1000
    await report(db, up=True, self_fence_seconds=60)
    await report(db, up=False, self_fence_seconds=60)
    with pytest.raises(HostStillInUse, match="try again then"):
        await moving.evacuate(db, record.id, ASKED)


async def test_a_silent_host_that_does_not_fence_itself_is_never_evacuated(
    db: Database, clock: list[int]
) -> None:
    await make_cloud(db)
    record = await active(db)
    await report(db, up=False)
    clock[0] += 10**6
    with pytest.raises(HostStillInUse, match="make sure that it is off"):
        await moving.evacuate(db, record.id, ASKED)
    await report(db, up=False, forcedDown=True)
    assert (await moving.evacuate(db, record.id, ASKED)).awaiting_host


async def test_the_time_is_the_database_servers(db: Database) -> None:
    assert abs(await db.read(engine.clock) - time.time()) < 5
