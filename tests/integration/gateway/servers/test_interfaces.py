"""POST and DELETE /servers/{id}/os-interface, and fixed addresses until 2.43."""

from __future__ import annotations

import uuid
from typing import Any

import httpx
import pytest

from cairn_database import VmState, instances
from cairn_database.networking import plugging, ports
from cairn_database.networking.ports import NewPort
from integration.gateway.servers.conftest import Room
from integration.gateway.servers.test_actions import put

SERVERS = "/compute/v2.1/servers"


async def active(room: Room) -> str:
    server_id: str = (await room.server(networks="none"))["id"]
    await put(room, server_id, VmState.ACTIVE)
    return server_id


async def attach(room: Room, server_id: str, version: str = "2.1", **wish: Any) -> httpx.Response:
    return await room.member.post(
        f"{SERVERS}/{server_id}/os-interface",
        json={"interfaceAttachment": wish},
        headers={"OpenStack-API-Version": f"compute {version}"},
    )


async def settle(room: Room, server_id: str) -> None:
    """The conductor has heard from the host."""
    db = room.gateway.services.db
    record = await instances.get(db, server_id)
    done = [one.port_id for one in record.interfaces if one.change]
    await plugging.settle(db, server_id, record.version, done=done, failed={})


async def port(room: Room, project: str | None) -> str:
    port_id = str(uuid.uuid4())
    new = NewPort(id=port_id, network="net", project=project)
    await ports.create(room.gateway.services.db, [new])
    return port_id


async def test_an_interface_is_attached_shown_and_detached(room: Room) -> None:
    server_id = await active(room)
    answer = await attach(room, server_id)
    assert answer.status_code == 200, answer.text
    shown = answer.json()["interfaceAttachment"]
    assert sorted(shown) == ["fixed_ips", "mac_addr", "net_id", "port_id", "port_state"]
    assert shown["port_state"] == "DOWN"
    await settle(room, server_id)
    at = f"{SERVERS}/{server_id}/os-interface"
    one = (await room.member.get(f"{at}/{shown['port_id']}")).json()["interfaceAttachment"]
    assert one == {**shown, "port_state": "ACTIVE", "tag": None}
    [address] = (await room.show(server_id))["addresses"]["net"]
    assert address["addr"] == shown["fixed_ips"][0]["ip_address"]
    answer = await room.member.delete(f"{at}/{shown['port_id']}")
    assert (answer.status_code, answer.content) == (202, b"")
    await settle(room, server_id)
    assert (await room.member.get(at)).json() == {"interfaceAttachments": []}
    assert (await room.member.delete(f"{at}/{shown['port_id']}")).status_code == 404


async def test_networks_addresses_ports_and_tags_can_be_chosen(room: Room) -> None:
    server_id = await active(room)
    first = (await attach(room, server_id, "2.70", tag="nic")).json()["interfaceAttachment"]
    assert first["tag"] == "nic"
    wish = {"net_id": first["net_id"], "fixed_ips": [{"ip_address": "10.9.0.77"}]}
    chosen = await attach(room, server_id, **wish)
    assert chosen.json()["interfaceAttachment"]["fixed_ips"][0]["ip_address"] == "10.9.0.77"
    assert (await attach(room, server_id, **wish)).status_code == 409
    mine = await port(room, room.project)
    assert (await attach(room, server_id, port_id=mine)).json()["interfaceAttachment"]["port_id"] == mine
    assert (await attach(room, server_id, port_id=mine)).status_code == 409


@pytest.mark.parametrize(
    ("wish", "version", "status"),
    [
        ({"port_id": str(uuid.uuid4())}, "2.1", 404),
        ({"net_id": str(uuid.uuid4())}, "2.1", 404),
        ({"net_id": str(uuid.uuid4()), "port_id": str(uuid.uuid4())}, "2.1", 400),
        ({"fixed_ips": [{"ip_address": "10.9.0.7"}]}, "2.1", 400),
        ({"fixed_ips": [{"ip_address": "tomorrow"}]}, "2.1", 400),
        ({"net_id": 7}, "2.1", 400),
        ({"tag": "nic"}, "2.48", 400),
        ({"tag": "a,b"}, "2.49", 400),
    ],
)
async def test_wishes_that_make_no_sense(room: Room, wish: dict[str, Any], version: str, status: int) -> None:
    server_id = await active(room)
    assert (await attach(room, server_id, version, **wish)).status_code == status
    assert (await instances.get(room.gateway.services.db, server_id)).interfaces == ()


async def test_foreign_ports_states_and_locks_refuse(room: Room) -> None:
    server_id = await active(room)
    assert (await attach(room, server_id, port_id=await port(room, None))).status_code == 404
    stranger = await room.stranger.post(f"{SERVERS}/{server_id}/os-interface", json={})
    assert stranger.status_code == 404
    assert (await room.reader.post(f"{SERVERS}/{server_id}/os-interface", json={})).status_code == 403
    await put(room, server_id, VmState.SUSPENDED)
    answer = await attach(room, server_id)
    assert answer.status_code == 409
    assert "Cannot 'attach_interface' instance" in answer.text
    await put(room, server_id, VmState.ACTIVE)
    await room.act(server_id, lock=None)
    assert (await attach(room, server_id)).status_code == 409


async def test_fixed_addresses_until_they_were_removed(room: Room) -> None:
    server_id = await active(room)
    shown = (await attach(room, server_id)).json()["interfaceAttachment"]

    async def act(body: dict[str, Any], version: str = "2.43") -> int:
        headers = {"OpenStack-API-Version": f"compute {version}"}
        path = f"{SERVERS}/{server_id}/action"
        return (await room.member.post(path, json=body, headers=headers)).status_code

    add = {"addFixedIp": {"networkId": shown["net_id"]}}
    assert await act(add) == 202
    addresses = [one["addr"] for one in (await room.show(server_id))["addresses"]["net"]]
    [added] = set(addresses) - {shown["fixed_ips"][0]["ip_address"]}
    remove = {"removeFixedIp": {"address": added}}
    assert [await act(remove), await act(remove)] == [202, 400]
    assert await act({"addFixedIp": {"networkId": str(uuid.uuid4())}}) == 404
    assert await act(add, "2.44") == 404
