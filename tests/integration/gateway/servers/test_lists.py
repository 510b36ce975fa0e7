"""GET /servers: filters, order, pages, and who sees what; and what describes a server."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from integration.gateway.servers.conftest import IMAGE, Room

SERVERS = "/compute/v2.1/servers"


async def names(client: httpx.AsyncClient, path: str = SERVERS, **params: Any) -> list[str]:
    answer = await client.get(path, params=params)
    assert answer.status_code == 200, answer.text
    return [server["name"] for server in answer.json()["servers"]]


async def test_newest_first_and_only_the_own(room: Room) -> None:
    for name in ("a", "b", "c"):
        await room.server(name)
    assert await names(room.member) == ["c", "b", "a"]
    assert await names(room.stranger) == []
    assert await names(room.admin) == []
    assert await names(room.admin, all_tenants=1) == ["c", "b", "a"]
    assert (await room.member.get(SERVERS, params={"all_tenants": 1})).status_code == 403


async def test_pages_hold_each_once_in_any_order(room: Room) -> None:
    for number in range(7):
        await room.server(f"n{number % 3}-{number}", metadata={})
    for sort in ({}, {"sort_key": "display_name", "sort_dir": "asc"}, {"sort_key": "task_state"}):
        seen: list[str] = []
        url = str(httpx.URL(f"http://cloud.test{SERVERS}", params={"limit": 2, **sort}))
        while url:
            body = (await room.member.get(url)).json()
            seen += [server["name"] for server in body["servers"]]
            url = next((link["href"] for link in body.get("servers_links", [])), "")
        assert len(seen) == 7
        assert len(set(seen)) == 7
    assert await names(room.member, sort_key="display_name", sort_dir="asc") == [
        "n0-0", "n0-3", "n0-6", "n1-1", "n1-4", "n2-2", "n2-5",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("params", "found"),
    [
        ({"name": "^w"}, ["web2", "web1"]),
        ({"name": "web1"}, ["web1"]),
        ({"status": "BUILD"}, ["db", "web2", "web1"]),
        ({"status": "ACTIVE"}, []),
        ({"image": IMAGE}, ["db", "web2", "web1"]),
        ({"flavor": "small"}, ["db", "web2", "web1"]),
        ({"flavor": "none"}, []),
        ({"tags": "blue"}, ["web2", "web1"]),
        ({"tags": "blue,red"}, ["web2"]),
        ({"tags-any": "red,green"}, ["web2"]),
        ({"not-tags": "blue,red"}, ["db", "web1"]),
        ({"not-tags-any": "blue,red"}, ["db"]),
        ({"locked": "True"}, []),
        ({"locked": "false"}, ["db", "web2", "web1"]),
        ({"vm_state": "building"}, ["db", "web2", "web1"]),
        ({"vm_state": "flying"}, []),
        ({"name": "None", "status": "None", "changes-since": "None"}, ["db", "web2", "web1"]),
        ({"changes-since": "2020-01-01T00:00:00Z"}, ["db", "web2", "web1"]),
        ({"changes-before": "2020-01-01T00:00:00Z"}, []),
        ({"host": "secret-host"}, ["db", "web2", "web1"]),
    ],
)
async def test_filters(room: Room, params: dict[str, str], found: list[str]) -> None:
    await room.server("web1", tags=["blue"])
    await room.server("web2", tags=["blue", "red"])
    await room.server("db")
    assert await names(room.member, **params) == found
    assert await names(room.member, f"{SERVERS}/detail", **params) == found


@pytest.mark.parametrize(
    "params",
    [
        {"limit": "-1"},
        {"limit": "x"},
        {"marker": "99999999-2222-4333-8444-555555555555"},
        {"changes-since": "yesterday"},
        {"changes-since": "2026-01-02T00:00:00Z", "changes-before": "2026-01-01T00:00:00Z"},
        {"sort_key": "colour"},
        {"sort_dir": "up"},
        {"status": "FLYING"},
        {"colour": "red"},
        {"name": "("},
        {"name": "(a+)+$"},
        {"all_tenants": "perhaps"},
        {"security_groups": "x"},
    ],
)
async def test_questions_that_make_no_sense(room: Room, params: dict[str, str]) -> None:
    answer = await room.member.get(SERVERS, params=params)
    assert answer.status_code == 400, answer.text
    assert answer.json()["badRequest"]["message"]


async def test_the_old_versions_shape(room: Room) -> None:
    server = await room.server("web", tags=["x"])
    caller = await room.gateway.caller(room.project)
    old = room.gateway.client(caller, "2.1")
    shown = (await old.get(f"{SERVERS}/{server['id']}")).json()["server"]
    assert shown["flavor"]["id"] == "small"
    assert not {"tags", "locked", "description", "host_status"} & shown.keys()
    assert "OS-EXT-SRV-ATTR:host" not in shown
    admin = (await room.admin.get(f"{SERVERS}/{server['id']}")).json()["server"]
    assert admin["OS-EXT-SRV-ATTR:host"] is None
    assert admin["tenant_id"] == shown["tenant_id"]


async def test_metadata(room: Room) -> None:
    server_id = (await room.server(metadata={"a": "1"}))["id"]
    await _launch(room, server_id)
    base = f"{SERVERS}/{server_id}/metadata"
    member = room.member
    merged = await member.post(base, json={"metadata": {"b": "2"}})
    assert merged.json() == {"metadata": {"a": "1", "b": "2"}}
    assert (await member.get(f"{base}/b")).json() == {"meta": {"b": "2"}}
    assert (await member.put(f"{base}/b", json={"meta": {"b": "3"}})).json() == {"meta": {"b": "3"}}
    assert (await member.put(f"{base}/b", json={"meta": {"c": "3"}})).status_code == 400
    assert (await member.delete(f"{base}/a")).status_code == 204
    assert (await member.delete(f"{base}/a")).status_code == 404
    assert (await member.get(base)).json() == {"metadata": {"b": "3"}}
    assert (await member.put(base, json={"metadata": {"only": ""}})).json() == {"metadata": {"only": ""}}
    many = {f"k{number}": "v" for number in range(129)}
    full = await member.put(base, json={"metadata": many})
    assert (full.status_code, full.json()["forbidden"]["message"]) == (
        403, "Maximum number of metadata items exceeds 128",
    )  # fmt: skip


async def test_tags(room: Room) -> None:
    server_id = (await room.server())["id"]
    await _launch(room, server_id)
    base, member = f"{SERVERS}/{server_id}/tags", room.member
    assert (await member.put(f"{base}/one")).status_code == 201
    assert (await member.put(f"{base}/one")).status_code == 204
    assert (await member.get(f"{base}/one")).status_code == 204
    assert (await member.get(f"{base}/two")).status_code == 404
    replaced = await member.put(base, json={"tags": ["x", "y", "x"]})
    assert replaced.json() == {"tags": ["x", "y"]}
    assert (await member.delete(f"{base}/x")).status_code == 204
    assert (await member.get(base)).json() == {"tags": ["y"]}
    assert (await member.put(base, json={"tags": [f"t{n}" for n in range(51)]})).status_code == 400
    assert (await member.delete(base)).status_code == 204
    assert (await room.show(server_id))["tags"] == []


async def test_rename_and_describe(room: Room) -> None:
    server_id = (await room.server())["id"]
    body = {"server": {"name": "new name", "description": "what for", "accessIPv4": "192.0.2.1"}}
    answer = await room.member.put(f"{SERVERS}/{server_id}", json=body)
    assert answer.status_code == 200, answer.text
    shown = await room.show(server_id)
    assert (shown["name"], shown["description"], shown["accessIPv4"]) == ("new name", "what for", "192.0.2.1")
    assert answer.json()["server"] == shown
    for bad in ({"name": ""}, {"status": "ACTIVE"}):
        refused = await room.member.put(f"{SERVERS}/{server_id}", json={"server": bad})
        assert refused.status_code == 400, bad
    assert (await room.reader.put(f"{SERVERS}/{server_id}", json=body)).status_code == 403


async def _launch(room: Room, server_id: str) -> None:
    from cairn_database import VmState
    from integration.gateway.servers.test_actions import put

    await put(room, server_id, VmState.ACTIVE)
