"""Shelve, offload, unshelve, images and backups."""

from __future__ import annotations

from typing import Any

import pytest

from cairn_crds.host_aggregate import HostAggregateSpec
from cairn_crds.instance import PowerState
from cairn_database import VmState, aggregates
from cairn_database.images import listing, rows
from integration.gateway.servers.conftest import Room
from integration.gateway.servers.worlds import ACTION, add_host, at, placed, put, row


async def act(room: Room, version: str, server_id: str, who: str = "member", **body: Any) -> Any:
    return await at(room, who, version).post(ACTION.format(server_id), json=body)


async def image_of(room: Room, server_id: str) -> Any:
    """The image that its operation is to fill."""
    operation = (await row(room, server_id)).operation
    assert operation is not None
    return await rows.get(room.gateway.services.db, operation.given["imageId"])


@pytest.mark.parametrize("state", [VmState.ACTIVE, VmState.STOPPED, VmState.PAUSED, VmState.SUSPENDED])
async def test_shelving_makes_an_image_and_stops(room: Room, state: VmState) -> None:
    server_id = await placed(room, name="web")
    await put(room, server_id, state, host="h1")
    answer = await act(room, "latest", server_id, shelve=None)
    assert (answer.status_code, answer.content) == (202, b"")
    record = await row(room, server_id)
    assert (record.task_state, record.spec["powerState"]) == ("shelving", "Shelved")
    image = await image_of(room, server_id)
    assert (image.name, image.status, image.owner) == ("web-shelved", "queued", room.project)
    assert (await act(room, "latest", server_id, shelve=None)).status_code == 409


async def test_a_refused_image_leaves_none_behind(room: Room) -> None:
    server_id = await placed(room)
    await put(room, server_id, VmState.RESCUED, host="h1")
    for body in ({"shelve": None}, {"createImage": {"name": "x"}},
                 {"createBackup": {"name": "x", "backup_type": "d", "rotation": 1}}):  # fmt: skip
        answer = await act(room, "latest", server_id, **body)
        assert answer.status_code == 409
        assert (
            f"Cannot '{next(iter(body))}' instance {server_id} while it is in vm_state rescued" in answer.text
        )
    query = listing.ImageQuery(viewer=listing.Viewer(room.project, True))
    assert await listing.page(room.gateway.services.db, query) == []


async def test_offloading_is_for_administrators_and_what_is_shelved(room: Room) -> None:
    server_id = await placed(room)
    assert (await act(room, "latest", server_id, "admin", shelveOffload=None)).status_code == 409
    await put(room, server_id, VmState.SHELVED, host="h1", power_state=PowerState.SHUTDOWN)
    assert (await room.show(server_id))["status"] == "SHELVED"
    assert (await act(room, "latest", server_id, shelveOffload=None)).status_code == 403
    assert (await act(room, "latest", server_id, "admin", shelveOffload=None)).status_code == 202
    assert (await row(room, server_id)).task_state == "shelving_offloading"


async def offloaded(room: Room) -> str:
    await add_host(room, "h1")
    await add_host(room, "h2")
    aggregate = HostAggregateSpec(hosts=["h2"], availability_zone="east")
    await aggregates.upsert(room.gateway.services.db, "east", aggregate)
    server_id = await placed(room)
    await put(room, server_id, VmState.SHELVED_OFFLOADED, host=None, power_state=PowerState.NO_STATE)
    return server_id


@pytest.mark.parametrize(
    ("asked", "status", "pinned"),
    [
        (("2.1", "member", {"anything": 1}), 202, (None, None)),
        (("2.77", "member", None), 202, (None, None)),
        (("2.77", "member", {"availability_zone": "east"}), 202, ("east", None)),
        (("2.77", "member", {"availability_zone": "west"}), 400, (None, None)),
        (("2.77", "member", {"availability_zone": None}), 400, (None, None)),
        (("2.77", "member", {}), 400, (None, None)),
        (("2.90", "admin", {"host": "h1"}), 400, (None, None)),
        (("2.91", "admin", {"host": "h1"}), 202, (None, "h1")),
        (("2.91", "member", {"host": "h1"}), 403, (None, None)),
        (("2.91", "admin", {"host": "h9"}), 400, (None, None)),
        (("2.91", "admin", {"host": "h1", "availability_zone": "east"}), 409, (None, None)),
        (("2.91", "admin", {"host": "h2", "availability_zone": "east"}), 202, ("east", "h2")),
        (("2.91", "member", {"availability_zone": None}), 202, (None, None)),
        (("2.91", "member", {"colour": "red"}), 400, (None, None)),
    ],
)
async def test_unshelving(
    room: Room, asked: tuple[str, str, Any], status: int, pinned: tuple[str | None, str | None]
) -> None:
    version, who, body = asked
    server_id = await offloaded(room)
    answer = await act(room, version, server_id, who, unshelve=body)
    assert answer.status_code == status, answer.text
    record = await row(room, server_id)
    if status == 202:
        assert record.move is not None
        assert (record.task_state, record.awaiting_host) == ("unshelving", True)
        assert (record.availability_zone, record.move.wanted_host) == pinned
    else:
        assert record.task_state is None


async def test_a_place_is_for_what_is_on_no_host(room: Room) -> None:
    server_id = await offloaded(room)
    await put(room, server_id, VmState.SHELVED, host="h1", power_state=PowerState.SHUTDOWN)
    answer = await act(room, "2.77", server_id, unshelve={"availability_zone": "east"})
    assert (answer.status_code, "SHELVED_OFFLOADED" in answer.text) == (409, True)
    assert (await act(room, "2.77", server_id, unshelve=None)).status_code == 202


@pytest.mark.parametrize("version", ["2.1", "2.44", "2.45", "latest"])
async def test_an_image_is_reserved_and_told(room: Room, version: str) -> None:
    server_id = await placed(room)
    wanted = {"name": "snap", "metadata": {"purpose": "test"}}
    answer = await act(room, version, server_id, createImage=wanted)
    assert answer.status_code == 202, answer.text
    image = await image_of(room, server_id)
    if version in ("2.1", "2.44"):
        assert answer.content == b""
        assert answer.headers["location"].endswith(f"/images/{image.id}")
    else:
        assert answer.json() == {"image_id": image.id}
        assert "location" not in answer.headers
    assert (image.name, image.status, image.visibility) == ("snap", "queued", "private")
    assert image.properties["image_type"] == "snapshot"
    assert image.properties["instance_uuid"] == server_id
    assert image.properties["purpose"] == "test"
    assert (await row(room, server_id)).task_state == "image_snapshot"


@pytest.mark.parametrize(("version", "rotation"), [("2.1", 2), ("2.1", 0), ("2.45", 0), ("latest", "3")])
async def test_a_backup_is_reserved_and_told(room: Room, version: str, rotation: Any) -> None:
    server_id = await placed(room)
    wanted = {"name": "b", "backup_type": "daily", "rotation": rotation}
    answer = await act(room, version, server_id, createBackup=wanted)
    assert answer.status_code == 202, answer.text
    image = await image_of(room, server_id)
    if version == "2.1":
        assert ("location" in answer.headers, answer.content) == (rotation > 0, b"")
    else:
        assert answer.json() == {"image_id": image.id}
    assert (image.properties["image_type"], image.properties["backup_type"]) == ("backup", "daily")
    operation = (await row(room, server_id)).operation
    assert operation is not None
    assert operation.given["backup"] == {"type": "daily", "rotation": int(rotation)}


@pytest.mark.parametrize(
    ("version", "body", "status"),
    [
        ("latest", {"createImage": {}}, 400),
        ("latest", {"createImage": {"name": ""}}, 400),
        ("latest", {"createImage": {"name": "x" * 256}}, 400),
        ("latest", {"createImage": {"name": "x", "metadata": {"a": 1}}}, 400),
        ("latest", {"createImage": {"name": "x", "metadata": {"": "1"}}}, 400),
        ("2.38", {"createImage": {"name": "x", "metadata": {str(n): "" for n in range(129)}}}, 403),
        ("latest", {"createBackup": {"name": "x"}}, 400),
        ("latest", {"createBackup": {"name": "x", "backup_type": "d", "rotation": -1}}, 400),
        ("latest", {"createBackup": {"name": "x", "backup_type": 1, "rotation": 1}}, 400),
    ],
)
async def test_images_that_are_none(room: Room, version: str, body: dict[str, Any], status: int) -> None:
    server_id = await placed(room)
    answer = await act(room, version, server_id, **body)
    assert answer.status_code == status, answer.text
    assert (await row(room, server_id)).task_state is None
