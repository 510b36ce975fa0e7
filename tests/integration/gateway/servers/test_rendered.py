"""What is kept of servers that have been shown is used only while all that it shows is still so.

Every change here is made through another database connection, as another gateway or the conductor makes it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest_asyncio
import sqlalchemy as sa

from cairn_database import Database, TaskState, addresses
from cairn_database.addresses import InterfaceWant
from cairn_database.networking.tables import ports
from cairn_database.rows import compare_and_set, load, now
from cairn_database.tables import instances, networks
from cairn_gateway.nova.servers import hosts
from integration.gateway.servers.conftest import Room

SERVERS = "/compute/v2.1/servers"


@pytest_asyncio.fixture
async def elsewhere(room: Room) -> AsyncIterator[Database]:
    """The same database at another process."""
    async with Database(room.gateway.services.settings.database.url.get_secret_value()) as db:
        yield db


async def shown(room: Room, server_id: str) -> dict[str, Any]:
    """By GET of the one and of all, which say the same but for what only the one has."""
    one = await room.show(server_id)
    [listed] = (await room.member.get(f"{SERVERS}/detail")).json()["servers"]
    assert {**listed, "server_groups": one.get("server_groups")} == one
    return one


async def plugged(elsewhere: Database, server_id: str) -> None:
    """It gets a host and an address, as the conductor does it."""
    moved = await elsewhere.run(
        lambda conn: compare_and_set(
            conn, load(conn, server_id), moment=now(), host="host-1", task_state=TaskState.NETWORKING
        )
    )
    await addresses.allocate_interfaces(elsewhere, moved.id, moved.version, [InterfaceWant("net")])


async def test_a_change_elsewhere_is_seen_at_once(room: Room, elsewhere: Database) -> None:
    server_id = (await room.server())["id"]
    assert (await shown(room, server_id))["OS-EXT-STS:task_state"] == "scheduling"
    await plugged(elsewhere, server_id)
    after = await shown(room, server_id)
    assert (after["OS-EXT-STS:task_state"], [*after["addresses"]]) == ("spawning", ["net"])


async def test_what_it_is_plugged_into_changes(room: Room, elsewhere: Database) -> None:
    server_id = (await room.server())["id"]
    await plugged(elsewhere, server_id)
    before = await shown(room, server_id)
    await elsewhere.run(lambda conn: conn.execute(sa.update(networks).values(display_name="lan")))
    assert [*(await shown(room, server_id))["addresses"]] == ["lan"]
    await elsewhere.run(lambda conn: conn.execute(sa.update(ports).values(mac="fa:16:3e:00:00:01")))
    [address] = (await shown(room, server_id))["addresses"]["lan"]
    assert address["OS-EXT-IPS-MAC:mac_addr"] == "fa:16:3e:00:00:01"
    await elsewhere.run(lambda conn: conn.execute(sa.update(networks).values(display_name="net")))
    assert (await shown(room, server_id))["addresses"] != before["addresses"]


async def test_what_is_known_of_its_host_changes(room: Room, elsewhere: Database, monkeypatch: Any) -> None:
    server_id = (await room.server())["id"]
    await plugged(elsewhere, server_id)
    facts = {"host-1": hosts.HostFacts("UP", "north", "hyper-1")}

    async def host_facts(_db: Database) -> dict[str, hosts.HostFacts]:
        return dict(facts)

    monkeypatch.setattr("cairn_gateway.nova.servers.load.host_facts", host_facts)
    assert (await shown(room, server_id))["OS-EXT-AZ:availability_zone"] == "north"
    facts["host-1"] = hosts.HostFacts("UP", "south", "hyper-1")
    assert (await shown(room, server_id))["OS-EXT-AZ:availability_zone"] == "south"


async def test_a_state_of_the_same_version_is_another_one(room: Room, elsewhere: Database) -> None:
    """A database that was restored counts on from an older version."""
    server_id = (await room.server())["id"]
    assert (await shown(room, server_id))["hostId"] == ""
    await elsewhere.run(
        lambda conn: conn.execute(sa.update(instances).values(host="host-2", updated_at=now()))
    )
    assert (await shown(room, server_id))["hostId"] != ""


async def test_each_caller_sees_what_is_for_the_caller(room: Room) -> None:
    server_id = (await room.server())["id"]
    path = f"{SERVERS}/{server_id}"
    old = room.gateway.client(await room.gateway.caller(room.project), "2.1")
    elsewhere = {"Host": "cloud.example:8774"}
    for _ in range(2):
        assert "tags" in await room.show(server_id)
        assert "tags" not in (await old.get(path)).json()["server"]
        assert "OS-EXT-SRV-ATTR:host" in (await room.admin.get(path)).json()["server"]
        assert "OS-EXT-SRV-ATTR:host" not in (await room.reader.get(path)).json()["server"]
        assert (await room.stranger.get(path)).status_code == 404
        [link, _] = (await room.member.get(path, headers=elsewhere)).json()["server"]["links"]
        assert link["href"].startswith("http://cloud.example:8774/")


async def test_a_deleted_one_is_gone(room: Room, elsewhere: Database) -> None:
    server_id = (await room.server())["id"]
    await shown(room, server_id)
    await elsewhere.run(
        lambda conn: compare_and_set(
            conn, load(conn, server_id), moment=now(), columns={"deleted": server_id}, deleted_at=now()
        )
    )
    assert (await room.member.get(f"{SERVERS}/{server_id}")).status_code == 404
    assert (await room.member.get(f"{SERVERS}/detail")).json() == {"servers": []}
