"""Rebuild, rescue, passwords, crash dumps: what is asked for, told, and refused."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from cairn_crds.instance import PowerState
from cairn_crds.key_pair import KeyPairSpec
from cairn_database import VmState, catalog
from integration.gateway.servers.conftest import IMAGE, Room
from integration.gateway.servers.worlds import ACTION, at, placed, put, row

OTHER = "99999999-2222-4333-8444-555555555555"


async def act(room: Room, version: str, server_id: str, **body: Any) -> Any:
    return await at(room, "member", version).post(ACTION.format(server_id), json=body)


@pytest.mark.parametrize("state", [VmState.ACTIVE, VmState.STOPPED, VmState.ERROR])
async def test_a_rebuild_begins_and_answers_with_the_server(room: Room, state: VmState) -> None:
    server_id = await placed(room)
    await put(room, server_id, state, host="h1")
    answer = await act(room, "latest", server_id, rebuild={"imageRef": IMAGE})
    assert answer.status_code == 202, answer.text
    assert answer.headers["location"].endswith(f"/servers/{server_id}")
    server = answer.json()["server"]
    assert (server["id"], server["status"], len(server["adminPass"])) == (server_id, "REBUILD", 12)
    record = await row(room, server_id)
    assert (record.task_state, record.spec["rebuild"]) == ("rebuilding", {"generation": 1})
    assert record.spec["adminPasswordHash"].startswith("$6$")
    assert server["adminPass"] not in str(record)


async def test_a_rebuild_changes_what_it_names_and_nothing_else(room: Room) -> None:
    server_id = await placed(room, metadata={"a": "1"}, description="old", user_data="b2xk")
    wanted = {
        "imageRef": IMAGE,
        "name": "new name",
        "metadata": {"b": "2"},
        "description": "new",
        "accessIPv4": "192.0.2.1",
        "OS-DCF:diskConfig": "AUTO",
        "user_data": base64.b64encode(b"new").decode(),
        "hostname": "new-host",
        "trusted_image_certificates": ["one"],
        "adminPass": "secret-word",
    }
    answer = await act(room, "2.90", server_id, rebuild=wanted)
    assert answer.status_code == 202, answer.text
    server = answer.json()["server"]
    assert (server["name"], server["metadata"], server["description"]) == ("new name", {"b": "2"}, "new")
    assert (server["accessIPv4"], server["OS-DCF:diskConfig"]) == ("192.0.2.1", "AUTO")
    assert (server["user_data"], server["adminPass"]) == (wanted["user_data"], "secret-word")
    assert server["trusted_image_certificates"] == ["one"]
    assert server["OS-EXT-SRV-ATTR:hostname"] == "new-host"
    await put(room, server_id, VmState.ACTIVE, host="h1")
    answer = await act(room, "2.90", server_id, rebuild={"imageRef": IMAGE, "user_data": None})
    server = answer.json()["server"]
    assert (server["name"], server["metadata"], server["user_data"]) == ("new name", {"b": "2"}, None)


async def test_a_rebuild_gives_and_takes_a_key_pair(room: Room) -> None:
    server_id = await placed(room)
    namespace = (await row(room, server_id)).namespace
    key = "AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"
    spec = KeyPairSpec(public_key=f"ssh-ed25519 {key}")
    await catalog.key_pairs.upsert(room.gateway.services.db, namespace, "mine", spec)
    answer = await act(room, "2.54", server_id, rebuild={"imageRef": IMAGE, "key_name": "mine"})
    assert answer.status_code == 202, answer.text
    assert answer.json()["server"]["key_name"] == "mine"
    await put(room, server_id, VmState.ACTIVE, host="h1")
    answer = await act(room, "2.54", server_id, rebuild={"imageRef": IMAGE})
    assert answer.json()["server"]["key_name"] == "mine"
    await put(room, server_id, VmState.ACTIVE, host="h1")
    answer = await act(room, "2.54", server_id, rebuild={"imageRef": IMAGE, "key_name": None})
    assert answer.json()["server"]["key_name"] is None
    await put(room, server_id, VmState.ACTIVE, host="h1")
    missing = await act(room, "2.54", server_id, rebuild={"imageRef": IMAGE, "key_name": "none"})
    assert (missing.status_code, "Invalid key_name provided." in missing.text) == (400, True)


@pytest.mark.parametrize(
    ("version", "body", "status"),
    [
        ("latest", {}, 400),
        ("latest", {"imageRef": ""}, 400),
        ("latest", {"imageRef": OTHER}, 400),
        ("latest", {"imageRef": IMAGE, "preserve_ephemeral": True}, 501),
        ("2.18", {"imageRef": IMAGE, "description": "x"}, 400),
        ("2.53", {"imageRef": IMAGE, "key_name": "x"}, 400),
        ("2.56", {"imageRef": IMAGE, "user_data": "eA=="}, 400),
        ("2.57", {"imageRef": IMAGE, "user_data": "no base64!"}, 400),
        ("2.56", {"imageRef": IMAGE, "personality": [{"path": "/x", "contents": "eA=="}]}, 501),
        ("2.57", {"imageRef": IMAGE, "personality": []}, 400),
        ("2.62", {"imageRef": IMAGE, "trusted_image_certificates": ["x"]}, 400),
        ("2.89", {"imageRef": IMAGE, "hostname": "x"}, 400),
        ("2.93", {"imageRef": IMAGE, "hostname": "x.example"}, 400),
        ("latest", {"imageRef": IMAGE, "name": ""}, 400),
        ("latest", {"imageRef": IMAGE, "metadata": {"": "x"}}, 400),
        ("latest", {"imageRef": IMAGE, "colour": "red"}, 400),
        ("latest", {"imageRef": IMAGE, "metadata": {str(n): "" for n in range(200)}}, 403),
    ],
)
async def test_rebuilds_that_are_refused_change_nothing(
    room: Room, version: str, body: dict[str, Any], status: int
) -> None:
    server_id = await placed(room)
    before = await row(room, server_id)
    answer = await act(room, version, server_id, rebuild=body)
    assert answer.status_code == status, answer.text
    assert await row(room, server_id) == before


async def test_before_2_75_a_rebuild_shows_what_put_shows(room: Room) -> None:
    server_id = await placed(room)
    answer = await act(room, "2.1", server_id, rebuild={"imageRef": IMAGE})
    server = answer.json()["server"]
    assert "OS-EXT-STS:vm_state" not in server
    assert {"adminPass", "status", "flavor", "image", "metadata"} <= server.keys()
    assert not {"key_name", "user_data", "tags", "description", "locked"} & server.keys()


@pytest.mark.parametrize("body", [None, {}, {"adminPass": "a-secret"}, {"rescue_image_ref": IMAGE}])
async def test_a_rescue_begins_and_tells_the_password(room: Room, body: Any) -> None:
    server_id = await placed(room)
    answer = await act(room, "latest", server_id, rescue=body)
    assert answer.status_code == 200, answer.text
    told = answer.json()["adminPass"]
    assert told == (body or {}).get("adminPass", told)
    record = await row(room, server_id)
    assert record.operation is not None
    assert (record.task_state, record.operation.kind) == ("rescuing", "Rescue")
    assert record.operation.given["password"]["hash"].startswith("$6$")
    assert record.operation.given["image"]["id"] == IMAGE
    assert told not in str(record)


@pytest.mark.parametrize("body", [{"rescue_image_ref": OTHER}, {"rescue_image_ref": "x"}, {"colour": 1}, "x"])
async def test_rescues_that_are_none(room: Room, body: Any) -> None:
    server_id = await placed(room)
    assert (await act(room, "latest", server_id, rescue=body)).status_code == 400
    assert (await row(room, server_id)).task_state is None


async def test_only_what_is_rescued_is_unrescued(room: Room) -> None:
    server_id = await placed(room)
    assert (await act(room, "latest", server_id, unrescue=None)).status_code == 409
    await put(room, server_id, VmState.RESCUED, host="h1")
    shown = await room.show(server_id)
    assert (shown["status"], shown["OS-EXT-STS:vm_state"]) == ("RESCUE", "rescued")
    assert (await act(room, "latest", server_id, rescue=None)).status_code == 409
    answer = await act(room, "latest", server_id, unrescue=None)
    assert (answer.status_code, answer.content) == (202, b"")
    assert (await row(room, server_id)).task_state == "unrescuing"


async def test_a_password_is_changed_by_the_guests_agent(room: Room) -> None:
    server_id = await placed(room)
    answer = await act(room, "latest", server_id, changePassword={"adminPass": "new-secret"})
    assert (answer.status_code, answer.content) == (202, b"")
    record = await row(room, server_id)
    assert record.operation is not None
    assert record.operation.given["password"]["user"] == "root"
    assert "new-secret" not in str(record)
    assert (await room.show(server_id))["status"] == "PASSWORD"
    again = await act(room, "latest", server_id, changePassword={"adminPass": "other"})
    assert again.status_code == 409
    assert "Cannot 'changePassword' instance" in again.text


@pytest.mark.parametrize("body", [None, {}, {"adminPass": 1}, {"adminPass": "x", "user": "y"}])
async def test_passwords_that_are_none(room: Room, body: Any) -> None:
    server_id = await placed(room)
    assert (await act(room, "latest", server_id, changePassword=body)).status_code == 400


async def test_a_crash_dump_is_a_count(room: Room) -> None:
    server_id = await placed(room)
    assert (await act(room, "2.16", server_id, trigger_crash_dump=None)).status_code == 404
    for count in (1, 2):
        assert (await act(room, "2.17", server_id, trigger_crash_dump=None)).status_code == 202
        assert (await row(room, server_id)).spec["crashDump"] == {"generation": count}
    await put(room, server_id, VmState.STOPPED, host="h1", power_state=PowerState.SHUTDOWN)
    assert (await act(room, "2.17", server_id, trigger_crash_dump=None)).status_code == 409


async def test_injecting_the_network_is_for_administrators_and_heeds_no_state(room: Room) -> None:
    server_id = await placed(room)
    path, body = ACTION.format(server_id), {"injectNetworkInfo": None}
    assert (await room.member.post(path, json=body)).status_code == 403
    assert (await room.admin.post(path, json=body)).status_code == 202
    assert (await room.admin.post(path, json={"resetNetwork": None})).status_code == 410
