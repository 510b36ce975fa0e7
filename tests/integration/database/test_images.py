"""Images in SQL: uploads that others may finish or give up, lists, members, and the mirror of resources."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import replace
from typing import Any

import pytest

from cairn_crds import Image
from cairn_database import Database
from cairn_database.images import changing, listing, members, mirror, rows, signing, uploads
from cairn_database.images.changing import NewImage
from cairn_database.images.listing import Filter, ImageQuery, Viewer
from cairn_database.images.records import ImageRecord, ImageStatus, Visibility, spec_of
from cairn_database.images.uploads import StoredData

DATA = StoredData(size=7, checksum="c" * 32, os_hash_value="f" * 128, sha256="a" * 64, virtual_size=7)


async def make(db: Database, name: str | None = "demo", **fields: Any) -> ImageRecord:
    values = {"owner_id": "blue", "disk_format": "raw", "container_format": "bare", **fields}
    return await changing.create(db, NewImage(id=str(uuid.uuid4()), name=name, **values))


def resource(record: ImageRecord, uid: str, *, generation: int = 1, **spec: Any) -> Image:
    body = spec_of(record, "http://gateway/x", []).to_api()
    metadata = {"name": record.resource or "demo", "uid": uid, "generation": generation}
    return Image.from_api({"metadata": metadata, "spec": {**body, **spec}})


async def activate(db: Database, record: ImageRecord) -> ImageRecord:
    """As the gateway does after an upload."""
    blob = str(uuid.uuid4())
    assert await uploads.begin(db, record.id, blob)
    assert await uploads.store(db, record.id, blob, DATA)
    assert await uploads.name_resource(db, record.id, f"r-{record.id}")
    stored = await rows.get(db, record.id)
    assert stored is not None
    assert await mirror.take_in(db, resource(stored, str(uuid.uuid4()))) is mirror.Taken.IN
    active = await rows.get(db, record.id)
    assert active is not None
    return active


async def names(db: Database, query: ImageQuery) -> list[str | None]:
    return [record.name for record in await listing.page(db, query)]


async def test_an_id_is_given_once(db: Database) -> None:
    record = await make(db)
    with pytest.raises(changing.ImageIdTaken):
        await changing.create(db, NewImage(id=record.id, owner_id="blue"))
    await rows.remove(db, record.id)
    with pytest.raises(changing.ImageIdTaken):
        await changing.create(db, NewImage(id=record.id, owner_id="blue"))


async def test_one_of_many_uploads_wins(databases: list[Database]) -> None:
    record = await make(databases[0])
    began = await asyncio.gather(*(uploads.begin(db, record.id, str(uuid.uuid4())) for db in databases))
    assert sorted(began) == [False, False, False, True]


async def test_an_upload_becomes_an_active_image(db: Database) -> None:
    record = await activate(db, await make(db, tags=["x"], properties={"a": "b", "empty": ""}))
    assert (record.status, record.size, record.sha256) == (ImageStatus.ACTIVE, 7, "a" * 64)
    assert (record.tags, record.properties) == (["x"], {"a": "b", "empty": ""})
    assert await mirror.recorded(db) == {f"r-{record.id}"}


async def test_what_nobody_works_on_is_given_up_or_finished(db: Database) -> None:
    half, whole = await make(db), await make(db)
    await uploads.begin(db, half.id, "half")
    await uploads.begin(db, whole.id, "whole")
    await uploads.store(db, whole.id, "whole", DATA)
    assert await uploads.give_up_stale(db, 60) == 0
    assert await uploads.unfinished(db, 60) == []
    assert await uploads.give_up_stale(db, -1) == 1
    assert [record.id for record in await uploads.unfinished(db, -1)] == [whole.id]
    given_up = await rows.get(db, half.id)
    assert given_up is not None
    assert (given_up.status, given_up.blob) == (ImageStatus.QUEUED, None)
    assert await uploads.doomed(db) == ["half"]
    assert not await uploads.touch(db, "half")
    assert not await uploads.store(db, half.id, "half", DATA)
    await uploads.forget(db, "half")
    assert await uploads.doomed(db) == []


async def test_the_file_of_a_removed_image_is_doomed(db: Database) -> None:
    record = await activate(db, await make(db))
    await mirror.let_go(db, record.resource or "")
    assert await rows.get(db, record.id) is None
    assert await uploads.doomed(db) == [record.blob]
    again = resource(record, record.resource_uid or "")
    assert await mirror.take_in(db, again) is mirror.Taken.GONE
    assert await mirror.take_in(db, resource(record, str(uuid.uuid4()))) is mirror.Taken.GONE


async def test_a_resource_without_a_row_makes_one(db: Database) -> None:
    uid = str(uuid.uuid4())
    body = {
        "metadata": {"name": "cirros", "uid": uid, "generation": 1},
        "spec": {"url": "http://x/y", "sha256": "b" * 64, "projects": ["green"], "visibility": "Shared"},
    }
    assert await mirror.take_in(db, Image.from_api(body)) is mirror.Taken.IN
    assert await mirror.take_in(db, Image.from_api(body)) is mirror.Taken.IN
    record = await rows.get(db, uid)
    assert record is not None
    assert (record.name, record.url, record.status) == ("cirros", "http://x/y", ImageStatus.ACTIVE)
    assert [member.project for member in await members.members(db, uid)] == ["green"]
    await mirror.let_go(db, "cirros")
    assert await rows.get(db, uid) is None


async def test_an_older_generation_is_not_taken_in(db: Database) -> None:
    record = await activate(db, await make(db))
    uid = record.resource_uid or ""
    await mirror.take_in(db, resource(record, uid, generation=3, displayName="third"))
    await mirror.take_in(db, resource(record, uid, generation=2, displayName="second"))
    found = await rows.get(db, record.id)
    assert found is not None
    assert found.name == "third"


async def test_letting_go_of_a_resource_that_is_not_made_yet_changes_nothing(db: Database) -> None:
    record = await make(db)
    await uploads.begin(db, record.id, "blob")
    await uploads.store(db, record.id, "blob", DATA)
    await uploads.name_resource(db, record.id, "soon")
    await mirror.let_go(db, "soon")
    assert await rows.get(db, record.id) is not None
    assert not await uploads.name_resource(db, (await make(db)).id, "soon")


async def test_names_of_resources_are_free_again(db: Database) -> None:
    for _ in range(2):
        record = await make(db)
        assert await uploads.name_resource(db, record.id, "demo")
        await rows.remove(db, record.id)


async def test_changes_of_several_people_add_up(databases: list[Database]) -> None:
    record = await make(databases[0])

    def tag(word: str) -> Any:
        return lambda now: replace(now, tags=[*now.tags, word])

    await asyncio.gather(
        *(changing.change(db, record.id, tag(str(number))) for number, db in enumerate(databases))
    )
    found = await rows.get(databases[0], record.id)
    assert found is not None
    assert sorted(found.tags) == ["0", "1", "2", "3"]


async def test_who_sees_what(db: Database) -> None:
    for visibility in Visibility:
        await make(db, str(visibility), visibility=visibility)
    shared = (await listing.page(db, ImageQuery(Viewer("blue"), visibility="shared")))[0]
    await members.add(db, shared.id, "green")
    blue, green, admin = Viewer("blue"), Viewer("green"), Viewer("red", everything=True)
    assert set(await names(db, ImageQuery(blue))) == {"public", "community", "shared", "private"}
    assert set(await names(db, ImageQuery(green))) == {"public"}
    assert set(await names(db, ImageQuery(green, visibility="all"))) == {"public", "community"}
    assert set(await names(db, ImageQuery(green, member_status="all"))) == {"public", "shared"}
    await members.answer(db, shared.id, "green", "accepted")
    assert set(await names(db, ImageQuery(green))) == {"public", "shared"}
    assert set(await names(db, ImageQuery(admin))) == {"public", "shared", "private"}
    assert set(await names(db, ImageQuery(Viewer(None)))) == {"public"}
    for viewer, seen in ((green, True), (Viewer("red"), False), (admin, True)):
        assert (await listing.visible(db, shared.id, viewer) is not None) == seen


@pytest.mark.parametrize("sort", [("name", "asc"), ("size", "desc"), ("status", "asc"), ("id", "desc")])
async def test_pages_have_each_image_once(db: Database, sort: tuple[str, str]) -> None:
    for name in ("b", None, "a", "B", "ä"):
        await make(db, name)
    await activate(db, await make(db, "c"))
    query = ImageQuery(Viewer("blue"), sort=(sort,))
    whole = [record.id for record in await listing.page(db, query)]
    assert len(whole) == 6
    seen: list[str] = []
    while True:
        page = await listing.page(db, replace(query, limit=2, marker=seen[-1] if seen else None))
        seen += [record.id for record in page]
        if len(page) < 2:
            break
    assert seen == whole


async def test_filters_of_columns_and_of_what_is_inside_them(db: Database) -> None:
    await make(db, "a", tags=["red", "old"], properties={"os": "linux"})
    await make(db, "b", tags=["red"], min_ram=64)
    blue = Viewer("blue")
    assert await names(db, ImageQuery(blue, filters=(Filter("name", "in", ["a", "c"]),))) == ["a"]
    assert await names(db, ImageQuery(blue, filters=(Filter("name", "in", []),))) == []
    assert await names(db, ImageQuery(blue, filters=(Filter("min_ram", "gte", 64),))) == ["b"]
    assert await names(db, ImageQuery(blue, tags=("red",))) == ["b", "a"]
    assert await names(db, ImageQuery(blue, tags=("red", "old"))) == ["a"]
    assert await names(db, ImageQuery(blue, properties={"os": "linux"})) == ["a"]
    assert await names(db, ImageQuery(blue, owner="blue", limit=1)) == ["b"]
    with pytest.raises(listing.MarkerNotFound):
        await listing.page(db, ImageQuery(blue, marker="nothing"))


async def test_members_are_counted_and_there_once(db: Database) -> None:
    record = await make(db)
    for number in range(members.MOST):
        await members.add(db, record.id, f"p{number}")
    with pytest.raises(members.MemberExists):
        await members.add(db, record.id, "p1")
    with pytest.raises(members.TooManyMembers):
        await members.add(db, record.id, "one-more")
    await members.drop(db, record.id, "p1")
    assert await members.answer(db, record.id, "p1", "accepted") is None
    await rows.remove(db, record.id)
    assert await members.members(db, record.id) == []


async def test_all_processes_have_the_same_key(databases: list[Database]) -> None:
    keys = await asyncio.gather(*(signing.load_keys(db) for db in databases))
    assert len({key.secrets for key in keys}) == 1
    image_id = str(uuid.uuid4())
    signed = keys[0].signed(f"http://gateway{signing.PATH}{image_id}")
    signature = signed.partition("?signature=")[2]
    assert keys[1].valid(image_id, signature)
    assert not keys[1].valid(str(uuid.uuid4()), signature)
    assert not keys[1].valid(image_id, "ü")
    assert keys[0].signed("http://elsewhere/disk.qcow2") == "http://elsewhere/disk.qcow2"
