"""POST /servers: what is recorded, what is made, and what is refused."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from passlib.hash import sha512_crypt

from cairn_database import instances
from cairn_gateway.app import create_app
from cairn_local.control_plane.running import RunningControlPlane
from cairn_runtime.health import Health
from integration.gateway.servers.conftest import IMAGE, Room

SERVERS = "/compute/v2.1/servers"


def wish(**fields: Any) -> dict[str, Any]:
    return {"server": {"name": "web", "flavorRef": "small", "imageRef": IMAGE, "networks": "auto", **fields}}


async def test_a_server_is_an_instance(room: Room, control_plane: RunningControlPlane) -> None:
    answer = await room.member.post(SERVERS, json=wish(name="Web Server 1", metadata={"a": "b"}, tags=["x"]))
    assert answer.status_code == 202
    server = answer.json()["server"]
    assert answer.headers["location"].endswith(f"/servers/{server['id']}")
    assert server["OS-DCF:diskConfig"] == "MANUAL"
    listed = control_plane.kubectl(
        "get",
        "instances",
        "-n",
        room.project,
        "-l",
        f"compute.cairn.dev/instance={server['id']}",
        "-o",
        "json",
    )
    (resource,) = json.loads(listed)["items"]
    assert resource["metadata"]["name"].startswith("web-server-1-")
    spec = resource["spec"]
    assert (spec["displayName"], spec["flavor"], spec["image"]) == ("Web Server 1", "small", "demo")
    assert (spec["metadata"], spec["tags"], spec["networks"]) == ({"a": "b"}, ["x"], [{"network": "net"}])
    shown = await room.show(server["id"])
    assert (shown["name"], shown["status"], shown["OS-EXT-STS:task_state"]) == (
        "Web Server 1", "BUILD", "scheduling",
    )  # fmt: skip
    assert shown["image"]["id"] == IMAGE
    assert shown["flavor"]["original_name"] == "small"


def kept(folder: Path) -> bytes:
    """All that is on the database's disk."""
    return b"".join(file.read_bytes() for file in folder.glob("cairn.db*"))


@pytest.mark.parametrize("given", ["open sesame", None])
async def test_a_password_is_told_once_and_kept_as_a_hash(
    room: Room, control_plane: RunningControlPlane, tmp_path: Path, given: str | None
) -> None:
    fields = {} if given is None else {"adminPass": given}
    answer = await room.member.post(SERVERS, json=wish(max_count=2, **fields))
    server = answer.json()["server"]
    password = server["adminPass"]
    assert password == given or (given is None and len(password) == 12)
    rows = await instances.list_live(room.gateway.services.db)
    assert len(rows) == 2
    assert all(sha512_crypt.verify(password, row.spec["adminPasswordHash"]) for row in rows)
    assert password.encode() not in kept(tmp_path)
    listed = control_plane.kubectl("get", "instances", "-n", room.project, "-o", "json")
    assert rows[0].spec["adminPasswordHash"] in listed
    assert password not in listed
    assert "assword" not in str(await room.show(server["id"]))


async def test_where_no_passwords_are_made_one_may_still_be_given(room: Room) -> None:
    services = room.gateway.services
    own = services.settings.gateway.model_copy(update={"enable_instance_password": False})
    settings = services.settings.model_copy(update={"gateway": own})
    room.gateway.app = create_app(replace(services, settings=settings), Health())
    client = room.gateway.client(await room.gateway.caller(room.project, "member"))
    for fields in ({}, {"adminPass": "mine"}):
        answer = await client.post(SERVERS, json=wish(**fields))
        assert answer.status_code == 202
        assert "adminPass" not in answer.json()["server"]
    hashes = [row.spec.get("adminPasswordHash") for row in await instances.list_live(services.db)]
    assert sorted(value is not None for value in hashes) == [False, True]


async def test_a_name_need_not_be_unique(room: Room) -> None:
    first, second = await room.server("web"), await room.server("web")
    assert first["id"] != second["id"]
    answer = await room.member.get(SERVERS, params={"name": "^web$"})
    assert {server["id"] for server in answer.json()["servers"]} == {first["id"], second["id"]}


@pytest.mark.parametrize(
    ("fields", "status", "says"),
    [
        ({"name": ""}, 400, "server/name"),
        ({"name": None}, 400, "server/name"),
        ({"name": "x" * 256}, 400, "server/name"),
        ({"flavorRef": "none"}, 400, "Flavor none could not be found"),
        ({"flavorRef": "tiny"}, 400, "needs 64"),
        ({"imageRef": "99999999-2222-4333-8444-555555555555"}, 400, "Can not find requested image"),
        ({"imageRef": ""}, 400, "an image to boot from"),
        ({"networks": "some"}, 400, "'auto' or 'none'"),
        ({"networks": [{"uuid": "99999999-2222-4333-8444-555555555555"}]}, 400, "Network 9999"),
        ({"key_name": "no"}, 400, "Invalid key_name provided"),
        ({"security_groups": [{"name": "no"}]}, 400, "no"),
        ({"user_data": "%%%"}, 400, "server/user_data"),
        ({"metadata": {"a": 1}}, 400, "server/metadata"),
        ({"metadata": {"k" * 256: "x"}}, 400, "server/metadata"),
        ({"min_count": 3, "max_count": 2}, 400, "min_count must be <= max_count"),
        ({"max_count": 0}, 400, "server/max_count"),
        ({"max_count": "x"}, 400, "server/max_count"),
        ({"colour": "red"}, 400, "'colour' was unexpected"),
        ({"tags": ["a,b"]}, 400, "server/tags"),
        ({"accessIPv4": "1.2.3"}, 400, "server/accessIPv4"),
        ({"availability_zone": "a:b:c:d"}, 400, "zone:host:node"),
        ({"availability_zone": "nova:node-0"}, 403, "forced_host"),
        ({"adminPass": 5}, 400, "adminPass"),
        (
            {"block_device_mapping_v2": [{"source_type": "volume", "uuid": "v"}]},
            400,
            "failed to get volume v",
        ),
    ],
)
async def test_bad_wishes_are_refused_and_leave_nothing(
    room: Room, fields: dict[str, Any], status: int, says: str
) -> None:
    answer = await room.member.post(SERVERS, json=wish(**fields))
    assert answer.status_code == status, answer.text
    (fault,) = answer.json().values()
    assert fault["code"] == status
    assert says in fault["message"]
    assert await instances.list_live(room.gateway.services.db) == []


async def test_the_disk_that_clients_spell_out_is_the_image(room: Room) -> None:
    device = {
        "uuid": IMAGE, "boot_index": 0, "source_type": "image", "destination_type": "local",
        "delete_on_termination": True,
    }  # fmt: skip
    answer = await room.member.post(SERVERS, json=wish(block_device_mapping_v2=[device]))
    assert answer.status_code == 202, answer.text


async def test_several_at_once_are_numbered_and_share_a_reservation(room: Room) -> None:
    answer = await room.member.post(SERVERS, json=wish(max_count=3, return_reservation_id=True))
    reservation = answer.json()["reservation_id"]
    listed = await room.member.get(f"{SERVERS}/detail", params={"reservation_id": reservation})
    assert sorted(server["name"] for server in listed.json()["servers"]) == ["web-1", "web-2", "web-3"]


async def test_quota_takes_what_fits_between_min_and_max(room: Room) -> None:
    gateway = room.gateway
    await gateway.project("small", instances=2)
    member = gateway.client(await gateway.caller("small"))
    refused = await member.post(SERVERS, json=wish(min_count=3, max_count=5))
    assert refused.status_code == 403
    message = refused.json()["forbidden"]["message"]
    assert message.startswith("Quota exceeded for instances: Requested")
    taken = await member.post(SERVERS, json=wish(min_count=1, max_count=5))
    assert taken.status_code == 202
    assert len((await member.get(SERVERS)).json()["servers"]) == 2
    full = await member.post(SERVERS, json=wish())
    assert full.status_code == 403


async def test_parallel_creates_never_pass_the_quota(room: Room) -> None:
    gateway = room.gateway
    await gateway.project("narrow", instances=5)
    member = gateway.client(await gateway.caller("narrow"))
    answers = await asyncio.gather(*(member.post(SERVERS, json=wish()) for _ in range(12)))
    assert sorted(answer.status_code for answer in answers) == [202] * 5 + [403] * 7


async def test_who_may_create(room: Room) -> None:
    assert (await room.reader.post(SERVERS, json=wish())).status_code == 403
    nobody = room.gateway.client(None)
    assert (await nobody.post(SERVERS, json=wish())).status_code == 401
    forced = await room.admin.post(SERVERS, json=wish(availability_zone="nova:ghost"))
    assert (forced.status_code, "ghost" in forced.text) == (400, True)


async def test_older_versions_have_their_own_fields(room: Room) -> None:
    caller = await room.gateway.caller(room.project)
    old = room.gateway.client(caller, "2.1")
    assert (await old.post(SERVERS, json=wish(description="d"))).status_code == 400
    body = wish()
    del body["server"]["networks"]
    assert (await old.post(SERVERS, json=body)).status_code == 202
    assert (await room.member.post(SERVERS, json=body)).status_code == 400
