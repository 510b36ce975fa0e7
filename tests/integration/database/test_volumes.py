"""Volumes: made, attached, detached, grown, deleted, and what of it cannot be."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import replace
from typing import Any

import pytest

from cairn_crds.volume import VolumeSpec
from cairn_database import Database, VmState, history, instances, moving, removal, shelving
from cairn_database.asking import Asked
from cairn_database.errors import NameTaken
from cairn_database.legality import ActionRefused
from cairn_database.records import InstanceRecord
from cairn_database.steps import Holding
from cairn_database.volumes import attaching, store, swapping
from cairn_database.volumes.errors import (
    RootVolume,
    VolumeBacked,
    VolumeElsewhere,
    VolumeGoing,
    VolumeInUse,
    VolumeNotAttached,
    VolumeNotBootable,
    VolumeNotFound,
    VolumeNotSwappable,
    VolumesStay,
    VolumeStaysBehind,
    VolumeSwapping,
    VolumeTooSmall,
)
from cairn_database.volumes.store import VolumeRecord
from cairn_database.volumes.wants import NewVolume, VolumeWant
from integration.database.support import (
    active,
    assert_consistent,
    assert_nothing_left,
    make_cloud,
    new,
    resized,
    step,
)

ASKED = Asked(request_id="req-volume")


def wanted(name: str = "data", project: str = "blue", **spec: Any) -> NewVolume:
    return NewVolume(
        id=str(uuid.uuid4()),
        project=project,
        namespace=project,
        name=name,
        spec=VolumeSpec.model_validate({"sizeGiB": 2, **spec}),
        resource_uid=str(uuid.uuid4()),
    )


async def volume(db: Database, name: str = "data", **spec: Any) -> VolumeRecord:
    return await store.upsert(db, wanted(name, **spec))


async def attach(db: Database, record: InstanceRecord, volume_id: str, **want: Any) -> InstanceRecord:
    return await attaching.attach(db, record.id, ASKED, VolumeWant(volume_id=volume_id, **want))


async def test_a_resource_whose_volume_is_deleted_gets_no_other(db: Database) -> None:
    """Not even from a conductor that has not heard of the end of it."""
    await make_cloud(db)
    resource = wanted()
    record = await store.upsert(db, resource)
    await store.begin_delete(db, record.id)
    await store.finish_delete(db, record.id)
    with pytest.raises(VolumeNotFound):
        await store.upsert(db, resource)
    again = wanted()
    assert (await store.upsert(db, again)).id == again.id, "the next of that name is another"


async def test_a_resource_that_goes_without_a_volume_gets_none(db: Database) -> None:
    await make_cloud(db)
    resource = wanted()
    assert resource.resource_uid
    assert await store.release_resource(db, resource.resource_uid, "blue")
    assert await store.release_resource(db, resource.resource_uid, "blue"), "said twice"
    with pytest.raises(VolumeNotFound):
        await store.upsert(db, resource)
    other = wanted()
    assert other.resource_uid
    await store.upsert(db, other)
    assert not await store.release_resource(db, other.resource_uid, "blue"), "it has one"


async def settle(db: Database, record: InstanceRecord, failed: str | None = None) -> InstanceRecord:
    changing = [one.volume_id for one in record.volumes if one.change]
    return await attaching.settle(
        db,
        record.id,
        record.version,
        done=[] if failed else changing,
        failed=dict.fromkeys(changing, failed) if failed else {},
    )


async def test_a_volume_is_attached_made_and_detached(db: Database) -> None:
    await make_cloud(db)
    record, data = await active(db), await volume(db)
    assert (data.host, data.made_gib, data.instance_ids) == (None, 0, ())
    record = await attach(db, record, data.id, tag="db")
    [mine] = record.volumes
    assert (mine.change, mine.made, mine.host, mine.tag) == ("attaching", False, "host-0", "db")
    assert (mine.device, record.task_state) == ("/dev/vdc", None)  # after root disk and config drive
    known = await store.get(db, data.id)
    assert known is not None
    assert (known.host, known.instance_ids) == ("host-0", (record.id,))
    await store.note_made(db, data.id, 2)
    record = await instances.get(db, record.id)
    assert record.volumes[0].made
    record = await settle(db, record)
    assert record.volumes[0].change is None
    await assert_consistent(db)
    record = await attaching.detach(db, record.id, ASKED, data.id)
    with pytest.raises(VolumeInUse):  # the machine still has it
        await store.begin_delete(db, data.id)
    record = await settle(db, record)
    assert record.volumes == ()
    with pytest.raises(VolumeNotAttached):
        await attaching.detach(db, record.id, ASKED, data.id)
    done = [(one.action, one.result) for one in await history.list_actions(db, record.id)][:2]
    assert done == [("detach_volume", "Success"), ("attach_volume", "Success")]
    await store.begin_delete(db, data.id)
    with pytest.raises(VolumeGoing):
        await attach(db, record, data.id)
    await store.finish_delete(db, data.id)
    with pytest.raises(VolumeNotFound):
        await attach(db, record, data.id)
    await assert_consistent(db)


async def test_one_of_many_instances_gets_it(db: Database) -> None:
    await make_cloud(db)
    records = [await active(db, name=f"vm-{index}") for index in range(4)]
    data = await volume(db)
    answers = await asyncio.gather(
        *(attach(db, record, data.id) for record in records), return_exceptions=True
    )
    assert sum(isinstance(answer, InstanceRecord) for answer in answers) == 1
    assert sum(isinstance(answer, VolumeInUse) for answer in answers) == 3
    await assert_consistent(db)


async def test_many_may_read_what_nobody_writes(db: Database) -> None:
    await make_cloud(db)
    first, second = await active(db), await active(db, name="other")
    data = await volume(db, multiAttach=True)
    first, second = await attach(db, first, data.id), await attach(db, second, data.id)
    assert first.volumes[0].read_only
    assert second.volumes[0].read_only
    with pytest.raises(VolumeInUse):
        await attach(db, first, data.id)
    await assert_consistent(db)


async def test_what_a_host_cannot_do_goes_back(db: Database) -> None:
    await make_cloud(db)
    record, data = await active(db), await volume(db)
    record = await settle(db, await attach(db, record, data.id), "no slot is free")
    assert record.volumes[0].change == "detaching"
    record = await settle(db, record)
    assert record.volumes == ()
    record = await settle(db, await attach(db, record, data.id))
    record = await settle(db, await attaching.detach(db, record.id, ASKED, data.id), "it does not let go")
    assert [one.change for one in record.volumes] == [None]
    await assert_consistent(db)


async def test_one_takes_anothers_place(db: Database) -> None:
    await make_cloud(db)
    record, old, new_one = await active(db), await volume(db), await volume(db, "next", sizeGiB=3)
    record = await settle(db, await attach(db, record, old.id, tag="db", delete_on_termination=True))
    before = record.volumes[0]
    for _ in range(2):
        record = await swapping.swap(db, record.id, ASKED, old.id, new_one.id)
    [mine] = record.volumes
    assert (mine.volume_id, mine.change, mine.successor and mine.successor.volume_id) == (
        old.id,
        "swapping",
        new_one.id,
    )
    await store.note_made(db, new_one.id, 3)
    record = await instances.get(db, record.id)
    assert record.volumes[0].successor is not None
    assert record.volumes[0].successor.made
    await assert_consistent(db)
    for held in (old.id, new_one.id):
        with pytest.raises(VolumeInUse):
            await store.begin_delete(db, held)
    with pytest.raises(VolumeSwapping):
        await attaching.detach(db, record.id, ASKED, old.id)
    with pytest.raises(VolumeSwapping):
        await swapping.swap(db, record.id, ASKED, old.id, (await volume(db, "third")).id)
    with pytest.raises(ActionRefused, match="volume state swapping"):
        await moving.migrate(db, record.id, ASKED)
    record = await settle(db, record)
    assert record.volumes == (replace(before, volume_id=new_one.id, size_gib=3, made=True),)
    after = await store.get_many(db, [old.id, new_one.id])
    assert (after[old.id].instance_ids, after[new_one.id].instance_ids) == ((), (record.id,))
    [action] = [one for one in await history.list_actions(db, record.id) if one.action == "swap_volume"]
    assert action.result == "Success"
    await assert_consistent(db)


@pytest.mark.parametrize("boot_index", [0, None])
async def test_what_takes_a_root_volumes_place_is_bootable(db: Database, boot_index: int | None) -> None:
    await make_cloud(db)
    old, other = wanted("old", bootable=True), wanted("next")
    record = await active(db, volumes=(VolumeWant(volume_id=old.id, boot_index=boot_index, new=old),))
    await store.upsert(db, other)
    record = await swapping.swap(db, record.id, ASKED, old.id, other.id)
    await settle(db, record)
    for _ in range(2):
        after = await store.get(db, other.id)
        assert after is not None
        assert after.is_bootable is (boot_index == 0)
        await store.upsert(db, other)  # its resource says nothing of it
    await assert_consistent(db)


@pytest.mark.parametrize("late", [False, True])
async def test_a_swap_that_fails_leaves_the_old_one(db: Database, late: bool) -> None:
    await make_cloud(db)
    record, old, new_one = await active(db), await volume(db), await volume(db, "next")
    record = await settle(db, await attach(db, record, old.id))
    before = record.volumes
    record = await swapping.swap(db, record.id, ASKED, old.id, new_one.id)
    if late:
        record = await swapping.cancel(db, record.id, record.version, old.id, "too late")
        assert record.is_swapping, "the host has the last word"
    record = await settle(db, record, "no room")
    assert record.volumes == before
    [action] = [one for one in await history.list_actions(db, record.id) if one.action == "swap_volume"]
    assert (action.result, action.message) == ("Error", "too late" if late else "no room")
    await store.begin_delete(db, new_one.id)
    await assert_consistent(db)


async def test_what_cannot_take_anothers_place(db: Database) -> None:
    await make_cloud(db)
    record, old = await active(db), await volume(db)
    record = await settle(db, await attach(db, record, old.id))
    other = await active(db, "host-1", name="other")
    taken = await volume(db, "taken")
    await attach(db, other, taken.id)
    for wanted_one, error in (
        (await volume(db, "small", sizeGiB=1), VolumeTooSmall),
        (await volume(db, "many", multiAttach=True), VolumeNotSwappable),
        (await volume(db, "far", host="host-1"), VolumeElsewhere),
        (taken, VolumeInUse),
    ):
        with pytest.raises(error):
            await swapping.swap(db, record.id, ASKED, old.id, wanted_one.id)
    with pytest.raises(VolumeNotAttached):
        await swapping.swap(db, record.id, ASKED, taken.id, old.id)
    assert (await instances.get(db, record.id)).volumes == record.volumes
    await assert_consistent(db)


async def test_an_instance_that_goes_lets_go_of_both(db: Database) -> None:
    await make_cloud(db)
    record, old, new_one = await active(db), await volume(db), await volume(db, "next")
    record = await settle(db, await attach(db, record, old.id))
    await swapping.swap(db, record.id, ASKED, old.id, new_one.id)
    await removal.begin_delete(db, record.id)
    await removal.finish_delete(db, record.id)
    after = await store.get_many(db, [old.id, new_one.id])
    assert [after[one.id].instance_ids for one in (old, new_one)] == [(), ()]
    await assert_nothing_left(db)


async def test_local_ones_hold_their_instance_and_shared_ones_do_not(db: Database) -> None:
    await make_cloud(db)
    record, other = await active(db), await active(db, "host-1", name="other")
    local, shared = await volume(db), await volume(db, "shared", backend="Shared")
    record = await settle(db, await attach(db, record, shared.id))
    assert record.pinned_host is None
    record = await settle(db, await attach(db, record, local.id))
    assert record.pinned_host == "host-0"
    for move in (moving.migrate, moving.live_migrate):
        with pytest.raises(VolumesStay) as refused:
            await move(db, record.id, ASKED)
        assert local.id in str(refused.value)
        assert shared.id not in str(refused.value)
    record = await settle(db, await attaching.detach(db, record.id, ASKED, local.id))
    with pytest.raises(VolumeElsewhere):
        await attach(db, other, local.id)
    await moving.migrate(db, record.id, ASKED)
    await assert_consistent(db)


async def test_a_local_one_waits_until_it_is_known_where_the_instance_stays(db: Database) -> None:
    await make_cloud(db)
    local, shared = await volume(db), await volume(db, "shared", backend="Shared")
    record = await resized(db)
    with pytest.raises(VolumeStaysBehind) as refused:
        await attach(db, record, local.id)
    assert "Confirm or revert first" in str(refused.value)
    record = await settle(db, await attach(db, record, shared.id))
    record = await moving.confirm_resize(db, record.id, ASKED)
    record = await step(
        db,
        record,
        task_state=None,
        vm_state=VmState.ACTIVE,
        move=None,
        holding=Holding.DROP_OTHER,
        migration="confirmed",
    )
    await settle(db, await attach(db, record, local.id))
    await assert_consistent(db)


async def test_a_volume_grows_and_never_shrinks(db: Database) -> None:
    await make_cloud(db)
    record, data = await active(db), wanted()
    await store.upsert(db, data)
    record = await settle(db, await attach(db, record, data.id))
    await store.grow(db, data.id, 5)
    await store.grow(db, data.id, 3)
    assert (await instances.get(db, record.id)).volumes[0].size_gib == 5
    again = await store.upsert(db, data)
    assert (again.size_gib, again.id) == (5, data.id)
    with pytest.raises(NameTaken):
        await store.upsert(db, wanted())


async def test_what_goes_with_its_instance(db: Database) -> None:
    await make_cloud(db)
    record = await active(db)
    kept, gone = await volume(db), await volume(db, "scratch")
    record = await attach(db, record, kept.id)
    record = await attach(db, record, gone.id)
    record = await attaching.set_delete_on_termination(db, record.id, gone.id, True)
    await removal.begin_delete(db, record.id)
    assert {one.result for one in (await history.list_actions(db, record.id))[1:3]} == {"Error"}
    await removal.finish_delete(db, record.id)
    after = await store.get_many(db, [kept.id, gone.id])
    assert [(after[one.id].deleting, after[one.id].instance_ids) for one in (kept, gone)] == [
        (False, ()),
        (True, ()),
    ]
    await assert_nothing_left(db)


async def test_an_instance_is_born_with_its_volumes(db: Database) -> None:
    await make_cloud(db)
    root = wanted("root", bootable=True)
    want = VolumeWant(volume_id=root.id, boot_index=0, delete_on_termination=True, new=root)
    record = await instances.register(db, new(volumes=(want,)))
    assert (record.boots_from_volume, record.volumes[0].device, record.volumes[0].host) == (
        True,
        "/dev/vda",
        None,
    )
    again = await instances.get(db, record.id)
    assert again == record
    with pytest.raises(VolumeBacked):
        raise VolumeBacked("rebuild", record.id)
    empty = await volume(db, "empty")
    other = VolumeWant(volume_id=empty.id, boot_index=0)
    with pytest.raises(VolumeNotBootable):
        await instances.register(db, new("other", volumes=(other,)))
    assert await instances.get_by_name(db, "blue", "other") is None
    await assert_consistent(db)


async def test_the_root_volume_stays(db: Database) -> None:
    await make_cloud(db)
    root = wanted("root", bootable=True)
    want = VolumeWant(volume_id=root.id, boot_index=0, new=root)
    record = await active(db, volumes=(want,))
    record = await attaching.place(db, record.id, record.version)
    assert record.pinned_host == "host-0"
    with pytest.raises(RootVolume):
        await attaching.detach(db, record.id, ASKED, root.id)
    with pytest.raises(VolumeBacked):
        await shelving.shelve(db, record.id, ASKED, image_id=str(uuid.uuid4()), url="http://x")
    await assert_consistent(db)
