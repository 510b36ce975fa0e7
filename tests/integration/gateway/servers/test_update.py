"""PUT /servers/{id}: hostnames, and the availability zone that a server is pinned to."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from cairn_crds.host_aggregate import HostAggregateSpec
from cairn_database import VmState, aggregates, instances
from cairn_database.rows import compare_and_set, load, now
from integration.gateway.servers.conftest import Room

SERVERS = "/compute/v2.1/servers"


async def update(client: httpx.AsyncClient, server_id: str, **fields: Any) -> httpx.Response:
    return await client.put(f"{SERVERS}/{server_id}", json={"server": fields})


async def on_a_host(room: Room, *, zone: str | None = None) -> str:
    """A server that runs on `node-0`, pinned to `zone` as if it had been asked for."""
    server_id = str((await room.server())["id"])
    changes = {"vm_state": VmState.ACTIVE, "task_state": None, "host": "node-0", "availability_zone": zone}
    db = room.gateway.services.db
    await db.run(lambda conn: compare_and_set(conn, load(conn, server_id), moment=now(), **changes))
    return server_id


async def test_a_server_is_unpinned_and_pinned_again_where_it_is(room: Room) -> None:
    east = HostAggregateSpec(availability_zone="east", hosts=["node-0"])
    await aggregates.upsert(room.gateway.services.db, "east", east)
    server_id = await on_a_host(room, zone="east")
    for zone in ("east", None, None, "east"):
        answer = await update(room.member, server_id, pinned_availability_zone=zone)
        assert answer.status_code == 200, answer.text
        assert answer.json()["server"]["pinned_availability_zone"] == zone
        assert (await instances.get(room.gateway.services.db, server_id)).availability_zone == zone


@pytest.mark.parametrize(
    ("pinned", "wanted", "says"), [("nova", "west", "unpin it first"), (None, "west", "it is in")]
)
async def test_a_pin_never_moves_a_server(room: Room, pinned: str | None, wanted: str, says: str) -> None:
    server_id = await on_a_host(room, zone=pinned)
    answer = await update(room.member, server_id, pinned_availability_zone=wanted, name="other")
    assert answer.status_code == 409, answer.text
    assert says in answer.json()["conflictingRequest"]["message"]
    shown = await room.show(server_id)
    assert (shown["pinned_availability_zone"], shown["name"]) == (pinned, "web")


async def test_a_server_without_a_host_cannot_be_pinned(room: Room) -> None:
    server_id = (await room.server())["id"]
    answer = await update(room.member, server_id, pinned_availability_zone="nova")
    assert answer.status_code == 409, answer.text
    assert "on no host yet" in answer.json()["conflictingRequest"]["message"]


async def test_who_may_not_change_a_server_may_not_pin_it(room: Room) -> None:
    server_id = await on_a_host(room, zone="nova")
    assert (await update(room.reader, server_id, pinned_availability_zone=None)).status_code == 403
    assert (await update(room.stranger, server_id, pinned_availability_zone=None)).status_code == 404
    older = room.gateway.client(await room.gateway.caller(room.project), "2.103")
    assert (await update(older, server_id, pinned_availability_zone=None)).status_code == 400
    assert (await room.show(server_id))["pinned_availability_zone"] == "nova"


async def test_a_hostname_is_the_given_one_or_made_from_the_name(room: Room) -> None:
    hostname = "OS-EXT-SRV-ATTR:hostname"
    assert (await room.server("My Server"))[hostname] == "my-server"
    server = await room.server("My Server", hostname="web.example.org")
    assert server[hostname] == "web.example.org"
    answer = await update(room.member, server["id"], hostname="db.example.org")
    assert answer.json()["server"][hostname] == "db.example.org"
    assert (await update(room.member, server["id"], hostname="-db")).status_code == 400


async def test_several_servers_have_numbered_hostnames(room: Room) -> None:
    await room.server("My Web", max_count=2)
    listed = (await room.member.get(f"{SERVERS}/detail")).json()["servers"]
    names = {server["name"]: server["OS-EXT-SRV-ATTR:hostname"] for server in listed}
    assert names == {"My Web-1": "my-web-1", "My Web-2": "my-web-2"}


@pytest.mark.parametrize("hostname", ["web.example.org", "a_b", "x" * 64])
async def test_older_versions_take_plain_hostnames_only(room: Room, hostname: str) -> None:
    server_id = (await room.server())["id"]
    older = room.gateway.client(await room.gateway.caller(room.project), "2.93")
    refused = await update(older, server_id, hostname=hostname)
    assert refused.status_code == 400, refused.text
    assert "hostname" in refused.json()["badRequest"]["message"]
    assert (await update(older, server_id, hostname="x" * 63)).status_code == 200


async def test_a_version_is_found_by_its_id(room: Room) -> None:
    answer = await room.member.get("/compute/v2.1/versions/v2.1")
    assert answer.json()["version"]["id"] == "v2.1"
    assert (await room.member.get("/compute/v2.1/versions/v3")).status_code == 404
    assert (await room.member.get("/compute/v2.1/os-console-auth-tokens/x")).status_code == 403
    assert (await room.admin.get("/compute/v2.1/os-console-auth-tokens/x")).status_code == 501
