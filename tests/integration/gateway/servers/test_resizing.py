"""Resize, confirm, revert: what is asked for, and what is refused before anything starts."""

from __future__ import annotations

import pytest

from cairn_crds.flavor import FlavorSpec
from cairn_crds.instance import PowerState
from cairn_database import VmState, catalog, moves
from cairn_database.records import MoveKind
from integration.gateway.servers.conftest import Room
from integration.gateway.servers.worlds import add_host, at, placed, put, row

FLAVORS = {
    "large": FlavorSpec(vcpus=2, memory_mib=256, disk_gib=2),
    "flat": FlavorSpec(vcpus=1, memory_mib=256, disk_gib=0),
    "poor": FlavorSpec(vcpus=1, memory_mib=32, disk_gib=1),
    "gone": FlavorSpec(vcpus=1, memory_mib=256, disk_gib=1, disabled=True),
    "secret": FlavorSpec(vcpus=1, memory_mib=256, disk_gib=1, public=False),
}


async def flavors(room: Room) -> None:
    for name, spec in FLAVORS.items():
        await catalog.flavors.upsert(room.gateway.services.db, name, spec)


@pytest.mark.parametrize("state", [VmState.ACTIVE, VmState.STOPPED])
async def test_a_resize_begins(room: Room, state: VmState) -> None:
    await flavors(room)
    server_id = await placed(room)
    await put(room, server_id, state, host="h1")
    answer = await room.act(server_id, resize={"flavorRef": "large", "OS-DCF:diskConfig": "AUTO"})
    assert (answer.status_code, answer.content) == (202, b"")
    record = await row(room, server_id)
    assert (record.task_state, record.spec["flavor"], record.awaiting_host) == ("resize_prep", "large", True)
    shown = await room.show(server_id)
    assert (shown["status"], shown["flavor"]["vcpus"], shown["OS-DCF:diskConfig"]) == ("RESIZE", 1, "AUTO")
    (migration,) = await moves.list_migrations(room.gateway.services.db, instance_id=server_id)
    assert (migration.kind, migration.status) == (MoveKind.RESIZE, "pre-migrating")


@pytest.mark.parametrize(
    ("flavor", "says"),
    [
        ("small", "When resizing, instances must change flavor!"),
        ("none", "Flavor none could not be found."),
        ("gone", "Flavor gone could not be found."),
        ("secret", "Flavor secret could not be found."),
        ("flat", "disks do not shrink"),
        ("poor", "memory"),
        ("", "flavorRef"),
    ],
)
async def test_what_does_not_fit_is_400(room: Room, flavor: str, says: str) -> None:
    await flavors(room)
    server_id = await placed(room)
    before = await row(room, server_id)
    answer = await room.act(server_id, resize={"flavorRef": flavor})
    assert answer.status_code == 400
    assert says in answer.json()["badRequest"]["message"]
    assert await row(room, server_id) == before


async def test_more_than_the_quota_is_403(room: Room) -> None:
    await flavors(room)
    server_id = await placed(room)
    await room.gateway.project(room.project, cores=1)
    answer = await room.act(server_id, resize={"flavorRef": "large"})
    assert answer.status_code == 403
    assert "cores" in answer.json()["forbidden"]["message"]
    assert (await row(room, server_id)).task_state is None


async def test_confirm_and_revert_belong_to_a_resized_one(room: Room) -> None:
    server_id = await placed(room)
    for action in ("confirmResize", "revertResize"):
        answer = await room.act(server_id, **{action: None})
        assert answer.status_code == 409
        said = answer.json()["conflictingRequest"]["message"]
        assert said == f"Cannot '{action}' instance {server_id} while it is in vm_state active"


@pytest.mark.parametrize(
    ("action", "status", "task", "word"),
    [("confirmResize", 204, "resize_confirming", "VERIFY_RESIZE"),
     ("revertResize", 202, "resize_reverting", "REVERT_RESIZE")],
)  # fmt: skip
async def test_a_resize_is_decided_on_once(
    room: Room, action: str, status: int, task: str, word: str
) -> None:
    await flavors(room)
    server_id = await placed(room)
    assert (await room.act(server_id, resize={"flavorRef": "large"})).status_code == 202
    await put(room, server_id, VmState.RESIZED, power_state=PowerState.RUNNING)
    assert (await room.show(server_id))["status"] == "VERIFY_RESIZE"
    answer = await room.act(server_id, **{action: None})
    assert (answer.status_code, answer.content) == (status, b"")
    assert (await row(room, server_id)).task_state == task
    assert (await room.show(server_id))["status"] == word
    assert (await room.act(server_id, **{action: None})).status_code == 409


async def test_a_host_that_cannot_resize_says_so_at_once(room: Room) -> None:
    await flavors(room)
    await add_host(room, "h1", traits=("COMPUTE_CAIRN_PAUSE",))
    server_id = await placed(room)
    refused = {
        "resize": ({"resize": {"flavorRef": "large"}}, "member"),
        "migrate": ({"migrate": None}, "admin"),
        "os-migrateLive": ({"os-migrateLive": {"host": None, "block_migration": "auto"}}, "admin"),
        "rescue": ({"rescue": None}, "member"),
        "shelve": ({"shelve": None}, "member"),
        "createImage": ({"createImage": {"name": "x"}}, "member"),
        "changePassword": ({"changePassword": {"adminPass": "x"}}, "member"),
        "trigger_crash_dump": ({"trigger_crash_dump": None}, "member"),
        "suspend": ({"suspend": None}, "member"),
    }
    for word, (body, who) in refused.items():
        answer = await at(room, who, "latest").post(f"/compute/v2.1/servers/{server_id}/action", json=body)
        assert answer.status_code == 501, (word, answer.text)
        assert word in answer.json()["notImplemented"]["message"]
        assert (await row(room, server_id)).task_state is None
    assert (await room.act(server_id, pause=None)).status_code == 202
