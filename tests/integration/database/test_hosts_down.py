"""What begins with something that a host does is refused while that host is down, and nothing has begun."""

from __future__ import annotations

import uuid

import pytest

from cairn_crds.volume import VolumeSpec
from cairn_database import Database, TaskState, VmState, claims, instances, moving, steps
from cairn_database.asking import Asked
from cairn_database.legality import HostNotUp
from cairn_database.records import InstanceRecord
from cairn_database.steps import Holding, Step
from cairn_database.volumes import attaching, store
from cairn_database.volumes.wants import NewVolume, VolumeWant
from integration.database.support import LARGE, active, claim_of, make_cloud, make_host

ASKED = Asked(request_id="req-move")


async def migrated(db: Database) -> InstanceRecord:
    """From host-0 to host-1, and not confirmed yet."""
    row = await active(db)
    row = await moving.migrate(db, row.id, ASKED, host="host-1")
    await claims.claim_many(db, [claim_of(row, "host-1")])
    row = await instances.get(db, row.id)
    arrived = Step(task_state=None, vm_state=VmState.RESIZED, host="host-1", holding=Holding.SWAP)
    return await steps.advance(db, row.id, row.version, row.task_state, arrived)


async def test_moves_from_it_are_refused(db: Database) -> None:
    await make_cloud(db)
    row = await active(db)
    await make_host(db, "host-0", up=False)
    for what in (
        moving.resize(db, row.id, ASKED, flavor=LARGE),
        moving.migrate(db, row.id, ASKED),
        moving.live_migrate(db, row.id, ASKED, host="host-1"),
    ):
        with pytest.raises(HostNotUp, match="the compute service of its host is unavailable") as refusal:
            await what
        assert "host-0" not in str(refusal.value), "who asks need not know the hosts"
    assert (await instances.get(db, row.id)).version == row.version
    await make_host(db, "host-0")
    after = await moving.resize(db, row.id, ASKED, flavor=LARGE)
    assert after.task_state is TaskState.RESIZE_PREP


async def test_a_volume_is_detached_once_it_is_up(db: Database) -> None:
    await make_cloud(db)
    spec = VolumeSpec(size_gib=1, host="host-0")
    volume_id = str(uuid.uuid4())
    made = NewVolume(id=volume_id, project="blue", namespace="blue", name="data", spec=spec)
    await store.upsert(db, made)
    row = await active(db)
    row = await attaching.attach(db, row.id, ASKED, VolumeWant(volume_id=volume_id))
    row = await attaching.settle(db, row.id, row.version, done=[volume_id], failed={})
    await make_host(db, "host-0", up=False)
    with pytest.raises(HostNotUp):
        await attaching.detach(db, row.id, ASKED, volume_id)
    assert (await instances.get(db, row.id)).volumes[0].change is None
    await make_host(db, "host-0")
    assert (await attaching.detach(db, row.id, ASKED, volume_id)).volumes[0].change == "detaching"


async def test_a_move_is_confirmed_once_the_host_that_was_left_is_up(db: Database) -> None:
    await make_cloud(db)
    row = await migrated(db)
    await make_host(db, "host-0", up=False)
    with pytest.raises(HostNotUp):
        await moving.confirm_resize(db, row.id, ASKED)
    await make_host(db, "host-0")
    await make_host(db, "host-1", up=False)
    after = await moving.confirm_resize(db, row.id, ASKED)
    assert after.task_state is TaskState.RESIZE_CONFIRMING
