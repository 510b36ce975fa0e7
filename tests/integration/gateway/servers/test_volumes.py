"""/servers/{id}/os-volume_attachments."""

from __future__ import annotations

import uuid
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from cairn_crds import Volume, VolumeAttachment
from cairn_crds.volume import VolumeSpec
from cairn_database import VmState, instances
from cairn_database.images import listing, rows
from cairn_database.rows import compare_and_set, now
from cairn_database.volumes import attaching, store
from cairn_database.volumes.wants import NewVolume
from integration.gateway.servers.conftest import IMAGE, Room
from integration.gateway.servers.test_actions import active, put
from integration.gateway.servers.worlds import at

SERVERS = "/compute/v2.1/servers"
EVERY_IMAGE = listing.ImageQuery(viewer=listing.Viewer("demo", True))


async def volume(room: Room, name: str = "data", project: str | None = None, **spec: Any) -> str:
    """As if the conductor had taken a Volume in."""
    owner = project or room.project
    new = NewVolume(
        id=str(uuid.uuid4()),
        project=owner,
        namespace=owner,
        name=name,
        spec=VolumeSpec.model_validate({"sizeGiB": 1, **spec}),
        resource_uid=str(uuid.uuid4()),
    )
    return (await store.upsert(room.gateway.services.db, new)).id


async def ask(
    room: Room, method: str, server_id: str, path: str = "", version: str = "2.1", **body: Any
) -> httpx.Response:
    return await room.member.request(
        method,
        f"{SERVERS}/{server_id}/os-volume_attachments{path}",
        json={"volumeAttachment": body} if body else None,
        headers={"OpenStack-API-Version": f"compute {version}"},
    )


async def settle(room: Room, server_id: str) -> None:
    """The conductor has heard from the host."""
    db = room.gateway.services.db
    record = await instances.get(db, server_id)
    done = [one.volume_id for one in record.volumes if one.change]
    if done:
        await attaching.settle(db, server_id, record.version, done=done, failed={})


async def on_a_host(room: Room) -> str:
    """A server that is as if it had been built."""
    server_id = await active(room)
    await put(room, server_id, VmState.ACTIVE)
    return server_id


async def test_a_volume_is_attached_shown_and_detached(room: Room) -> None:
    server_id, volume_id = await on_a_host(room), await volume(room)
    answer = await ask(room, "POST", server_id, volumeId=volume_id)
    assert answer.status_code == 200, answer.text
    made = {"id": volume_id, "volumeId": volume_id, "serverId": server_id, "device": "/dev/vdc"}
    assert answer.json() == {"volumeAttachment": made}
    assert (await ask(room, "GET", server_id)).json() == {"volumeAttachments": [made]}
    assert (await ask(room, "GET", server_id, f"/{volume_id}")).json() == {"volumeAttachment": made}
    newest = (await ask(room, "GET", server_id, f"/{volume_id}", "2.89")).json()["volumeAttachment"]
    assert sorted(newest) == [
        *("attachment_id", "bdm_uuid", "delete_on_termination", "device", "serverId", "tag", "volumeId"),
    ]
    server = await room.show(server_id)
    assert server["os-extended-volumes:volumes_attached"] == [
        {"id": volume_id, "delete_on_termination": False}
    ]
    record = await instances.get(room.gateway.services.db, server_id)
    found = await room.gateway.services.cluster.get(VolumeAttachment, f"{record.name}.data", record.namespace)
    assert (found.spec.instance, found.spec.volume) == (record.name, "data")
    await settle(room, server_id)
    answer = await ask(room, "DELETE", server_id, f"/{volume_id}")
    assert (answer.status_code, answer.content) == (202, b"")
    await settle(room, server_id)
    assert (await ask(room, "GET", server_id)).json() == {"volumeAttachments": []}
    assert (await ask(room, "DELETE", server_id, f"/{volume_id}")).status_code == 404


async def test_newer_versions_take_tags_and_answer_later(room: Room) -> None:
    server_id, volume_id = await on_a_host(room), await volume(room)
    wish = {"volumeId": volume_id, "tag": "db", "delete_on_termination": True}
    assert (await ask(room, "POST", server_id, version="2.48", **wish)).status_code == 400
    answer = await ask(room, "POST", server_id, version="2.101", **wish)
    assert (answer.status_code, answer.content) == (202, b"")
    shown = (await ask(room, "GET", server_id, f"/{volume_id}", "2.79")).json()["volumeAttachment"]
    assert (shown["tag"], shown["delete_on_termination"]) == ("db", True)
    change = {"volumeId": volume_id, "delete_on_termination": False}
    assert (await ask(room, "PUT", server_id, f"/{volume_id}", "2.85", **change)).status_code == 202
    shown = (await ask(room, "GET", server_id, f"/{volume_id}", "2.85")).json()["volumeAttachment"]
    assert not shown["delete_on_termination"]
    fixed = {"volumeId": volume_id, "tag": "other"}
    assert (await ask(room, "PUT", server_id, f"/{volume_id}", "2.85", **fixed)).status_code == 400


async def test_what_is_refused(room: Room) -> None:
    server_id, volume_id = await on_a_host(room), await volume(room)
    other = await on_a_host(room)
    foreign = await volume(room, project="elsewhere")
    missing = str(uuid.uuid4())
    for wish, status in (
        ({"volumeId": missing}, 404),
        ({"volumeId": foreign}, 404),
        ({"volumeId": "seven"}, 400),
        ({"volumeId": volume_id, "device": "vdb"}, 400),
        ({"device": "/dev/vdb"}, 400),
    ):
        assert (await ask(room, "POST", server_id, **wish)).status_code == status, wish
    assert (await ask(room, "POST", server_id, volumeId=volume_id)).status_code == 200
    taken = await ask(room, "POST", other, volumeId=volume_id)
    assert taken.status_code == 400
    assert f"is attached to {server_id}" in taken.text
    assert (await ask(room, "GET", other, f"/{volume_id}")).status_code == 404
    swap = await ask(room, "PUT", server_id, f"/{volume_id}", volumeId=missing)
    assert swap.status_code == 403
    await put(room, other, VmState.SHELVED)
    assert (await ask(room, "POST", other, version="2.19", volumeId=volume_id)).status_code == 409
    await put(room, other, VmState.SUSPENDED)
    assert (await ask(room, "POST", other, volumeId=volume_id)).status_code == 409
    path = f"{SERVERS}/{server_id}/os-volume_attachments"
    assert (await room.stranger.get(path)).status_code == 404
    assert (await room.reader.delete(f"{path}/{volume_id}")).status_code == 403


async def test_another_volume_takes_its_place(room: Room) -> None:
    server_id, old = await on_a_host(room), await volume(room, "old")
    new, small = await volume(room, "new", sizeGiB=2), await volume(room, "small")
    missing, other = str(uuid.uuid4()), await on_a_host(room)
    await ask(room, "POST", server_id, volumeId=old)
    await settle(room, server_id)

    async def swap(server: str, path: str, volume_id: str, version: str = "2.1") -> httpx.Response:
        return await room.admin.put(
            f"{SERVERS}/{server}/os-volume_attachments/{path}",
            json={"volumeAttachment": {"volumeId": volume_id}},
            headers={"OpenStack-API-Version": f"compute {version}"},
        )

    for server, path, volume_id, status in (
        (server_id, missing, new, 404),
        (server_id, old, missing, 400),
        (other, old, new, 404),
        (server_id, new, old, 404),
        (server_id, old, await volume(room, "far", project="elsewhere"), 400),
    ):
        answer = await swap(server, path, volume_id)
        assert answer.status_code == status, (path, volume_id, answer.text)
    await put(room, server_id, VmState.STOPPED)
    assert (await swap(server_id, old, new)).status_code == 409
    await put(room, server_id, VmState.ACTIVE)
    answer = await swap(server_id, old, new, "2.85")
    assert (answer.status_code, answer.content) == (202, b"")
    shown = (await ask(room, "GET", server_id)).json()["volumeAttachments"]
    assert [one["volumeId"] for one in shown] == [old], "until the host has done it"
    busy = await ask(room, "DELETE", server_id, f"/{old}")
    assert (busy.status_code, "is swapping" in busy.text) == (400, True)
    await settle(room, server_id)
    shown = (await ask(room, "GET", server_id)).json()["volumeAttachments"]
    assert [one["volumeId"] for one in shown] == [new]
    too_small = await swap(server_id, new, small)
    assert (too_small.status_code, "same size or larger" in too_small.text) == (400, True)


async def boot(room: Room, *devices: dict[str, Any], **fields: Any) -> httpx.Response:
    body = {"name": "db", "flavorRef": "small", "networks": "none", "block_device_mapping_v2": devices}
    headers = {"OpenStack-API-Version": "compute 2.67"}
    return await room.member.post(SERVERS, json={"server": body | fields}, headers=headers)


def disk(source: str, **fields: Any) -> dict[str, Any]:
    return {"source_type": source, "destination_type": "volume", **fields}


async def test_a_server_is_made_with_volumes(room: Room) -> None:
    data = await volume(room)
    answer = await boot(
        room,
        disk("image", uuid=IMAGE, boot_index=0, volume_size=3, delete_on_termination=True),
        disk("blank", volume_size=2, volume_type="shared", tag="scratch"),
        disk("volume", uuid=data),
    )
    assert answer.status_code == 202, answer.text
    server_id = answer.json()["server"]["id"]
    server = await room.show(server_id)
    assert server["image"] == ""
    assert [one["delete_on_termination"] for one in server["os-extended-volumes:volumes_attached"]] == [
        True, False, False,
    ]  # fmt: skip
    record = await instances.get(room.gateway.services.db, server_id)
    root, scratch, given = record.volumes
    assert (record.boots_from_volume, root.device, root.size_gib) == (True, "/dev/vda", 3)
    assert (scratch.backend, scratch.tag, given.volume_id) == ("Shared", "scratch", data)
    cluster = room.gateway.services.cluster
    made = await cluster.get(Volume, f"{record.name}-0", record.namespace)
    assert (made.spec.image, made.spec.size_gib) == ("demo", 3)
    assert (
        await cluster.get(VolumeAttachment, f"{record.name}.data", record.namespace)
    ).spec.volume == "data"
    refused = await room.act(server_id, rebuild={"imageRef": IMAGE})
    assert refused.status_code in (400, 409)


async def test_one_that_boots_from_a_volume_is_rescued_with_an_image_that_is_for_that(room: Room) -> None:
    answer = await boot(room, disk("image", uuid=IMAGE, boot_index=0, volume_size=3))
    server_id = answer.json()["server"]["id"]
    await put(room, server_id, VmState.ACTIVE)

    async def rescued(version: str) -> httpx.Response:
        action = {"rescue": None}
        found: httpx.Response = await at(room, "member", version).post(
            f"{SERVERS}/{server_id}/action", json=action
        )
        return found

    refused = await rescued("2.87")
    assert (refused.status_code, "hw_rescue_bus" in refused.text) == (400, True)
    db = room.gateway.services.db
    record = await instances.get(db, server_id)
    stable = {**record.image, "properties": {"hw_rescue_bus": "virtio", "hw_rescue_device": "disk"}}

    def change(conn: sa.Connection) -> None:
        compare_and_set(conn, record, moment=now(), image=stable, host="h1")

    await db.run(change)
    assert (await rescued("2.86")).status_code == 400
    assert (await rescued("2.87")).status_code == 200
    assert (await instances.get(db, server_id)).task_state == "rescuing"


async def test_one_that_boots_from_a_volume_is_shelved_without_an_image(room: Room) -> None:
    answer = await boot(room, disk("image", uuid=IMAGE, boot_index=0, volume_size=3))
    server_id = answer.json()["server"]["id"]
    await put(room, server_id, VmState.ACTIVE)
    before = await listing.page(room.gateway.services.db, EVERY_IMAGE)
    assert (await room.act(server_id, shelve=None)).status_code == 202
    record = await instances.get(room.gateway.services.db, server_id)
    assert (record.task_state, record.operation, record.spec["powerState"]) == ("shelving", None, "Shelved")
    assert await listing.page(room.gateway.services.db, EVERY_IMAGE) == before
    assert (await room.act(server_id, shelve=None)).status_code == 409


async def on_host(room: Room, server_id: str) -> None:
    """It has been placed."""
    db = room.gateway.services.db
    record = await instances.get(db, server_id)

    def change(conn: sa.Connection) -> None:
        compare_and_set(conn, record, moment=now(), host="h1")

    await db.run(change)


async def test_one_that_boots_from_a_volume_is_rebuilt_and_imaged(room: Room) -> None:
    answer = await boot(room, disk("image", uuid=IMAGE, boot_index=0, volume_size=3))
    server_id, db = answer.json()["server"]["id"], room.gateway.services.db
    await put(room, server_id, VmState.ACTIVE)
    await on_host(room, server_id)

    async def rebuild(version: str) -> httpx.Response:
        headers = {"OpenStack-API-Version": f"compute {version}"}
        body = {"rebuild": {"imageRef": IMAGE}}
        return await room.member.post(f"{SERVERS}/{server_id}/action", json=body, headers=headers)

    refused = await rebuild("2.92")
    assert (refused.status_code, "volume-backed" in refused.text) == (400, True)
    assert (await room.act(server_id, createImage={"name": "copy"})).status_code == 202
    record = await instances.get(db, server_id)
    assert record.operation is not None
    image = await rows.get(db, record.operation.given["imageId"])
    assert image is not None
    assert (record.task_state, image.min_disk) == ("image_snapshot", 3)
    await put(room, server_id, VmState.ACTIVE)
    accepted = await rebuild("2.93")
    assert accepted.status_code == 202, accepted.text
    assert accepted.json()["server"]["image"] == ""
    record = await instances.get(db, server_id)
    assert (record.task_state, record.boots_from_volume) == ("rebuilding", True)


@pytest.mark.parametrize(
    "devices",
    [
        [disk("image", uuid=IMAGE, boot_index=0)],
        [disk("blank", boot_index=0, volume_size=1)],
        [disk("blank")],
        [disk("snapshot", uuid=str(uuid.uuid4()), boot_index=0)],
        [disk("volume", uuid=str(uuid.uuid4()), boot_index=0)],
        [disk("image", uuid=IMAGE, boot_index=0, volume_size=1, volume_type="gold")],
        [disk("image", uuid=IMAGE, boot_index=0, volume_size=1)] * 2,
        [disk("image", uuid=str(uuid.uuid4()), boot_index=0, volume_size=1)],
        [{"source_type": "volume", "destination_type": "local", "uuid": str(uuid.uuid4())}],
    ],
)
async def test_disks_that_cannot_be(room: Room, devices: list[dict[str, Any]]) -> None:
    answer = await boot(room, *devices)
    assert answer.status_code == 400, answer.text
    assert (await room.member.get(SERVERS)).json()["servers"] == []
