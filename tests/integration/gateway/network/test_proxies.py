"""The Compute API's networks, floating IPs and security groups of old, over the same rows and resources."""

from __future__ import annotations

import uuid
from typing import Any

import httpx
import pytest
import pytest_asyncio

from cairn_database import addresses, instances
from cairn_database.addresses import InterfaceWant
from cairn_database.networking import networks
from integration.database.support import make_host, new, place_on
from integration.gateway.network.conftest import City, Person

Json = dict[str, Any]


@pytest_asyncio.fixture
async def old(city: City) -> httpx.AsyncClient:
    """A member at the Compute API, with the last microversion that has the proxies."""
    return await city.client(version="2.35")


async def _server(city: City, network: Json, **spec: Any) -> str:
    """A server with one interface, as the conductor would have it; its id."""
    db = city.services.db
    [record] = await networks.find(db, network_id=network["id"])
    await make_host(db, "host-0")
    made = await instances.register(
        db,
        new(
            f"web-{uuid.uuid4().hex[:6]}",
            project=city.project,
            namespace=city.project,
            request={"spec": spec, "networks": []},
        ),
    )
    placed = await place_on(db, made, "host-0")
    await addresses.allocate_interfaces(db, placed.id, placed.version, [InterfaceWant(record.name or "")])
    return made.id


async def test_networks(city: City, me: Person, admin: Person, old: httpx.AsyncClient) -> None:
    network = await me.network("mine")
    await admin.network("public", "192.0.2.0/28", **{"router:external": True})
    [seen] = (await old.get("/os-networks")).json()["networks"]
    assert (seen["id"], seen["label"], seen["cidr"]) == (network["id"], "mine", None)
    assert "vlan" not in seen
    assert (await old.get(f"/os-networks/{network['id']}")).json()["network"] == seen
    assert (await old.get(f"/os-networks/{uuid.uuid4()}")).status_code == 404
    [tenant] = (await old.get("/os-tenant-networks")).json()["networks"]
    assert tenant == {"id": network["id"], "label": "mine", "cidr": "10.5.0.0/24"}
    assert (await old.get(f"/os-tenant-networks/{network['id']}")).json()["network"] == tenant
    assert (await old.get("/os-floating-ip-pools")).json() == {"floating_ip_pools": [{"name": "public"}]}
    newer = await city.client(version="2.36")
    for path in ("/os-networks", "/os-tenant-networks", "/os-floating-ips", "/os-security-groups"):
        assert (await newer.get(path)).status_code == 404, path
    assert (await old.post("/os-networks", json={"network": {"label": "x"}})).status_code == 410
    assert (await old.get("/os-floating-ips-bulk")).status_code in (403, 410)


async def test_floating_ips(city: City, me: Person, admin: Person, old: httpx.AsyncClient) -> None:
    assert (await old.post("/os-floating-ips")).status_code == 404
    await admin.network("public", "192.0.2.0/29", **{"router:external": True})
    network = await me.network()
    server = await _server(city, network)
    taken = (await old.post("/os-floating-ips", json={"pool": "public"})).json()["floating_ip"]
    assert (taken["ip"], taken["pool"], taken["instance_id"]) == ("192.0.2.2", "public", None)
    act = f"/servers/{server}/action"
    answer = await old.post(act, json={"addFloatingIp": {"address": "192.0.2.9"}})
    assert answer.status_code == 404
    answer = await old.post(
        act, json={"addFloatingIp": {"address": taken["ip"], "fixed_address": "10.5.0.9"}}
    )
    assert answer.status_code == 400
    answer = await old.post(act, json={"addFloatingIp": {"address": taken["ip"]}})
    assert answer.status_code == 202
    [shown] = (await old.get("/os-floating-ips")).json()["floating_ips"]
    assert (shown["instance_id"], shown["fixed_ip"]) == (server, "10.5.0.2")
    [led] = (await me.get("/floatingips"))["floatingips"]
    assert led["fixed_ip_address"] == "10.5.0.2"
    answer = await old.post(act, json={"removeFloatingIp": {"address": taken["ip"]}})
    assert answer.status_code == 202
    answer = await old.post(act, json={"removeFloatingIp": {"address": taken["ip"]}})
    assert answer.status_code == 409
    assert (await old.delete(f"/os-floating-ips/{taken['id']}")).status_code == 202
    assert (await old.get(f"/os-floating-ips/{taken['id']}")).status_code == 404
    assert (await old.get("/os-floating-ips/999")).status_code == 404
    for _ in range(5):
        assert (await old.post("/os-floating-ips", json={"pool": "public"})).status_code == 200
    answer = await old.post("/os-floating-ips", json={"pool": "public"})
    assert (answer.status_code, "No more floating IPs" in answer.text) == (404, True)


async def test_security_groups(old: httpx.AsyncClient, me: Person) -> None:
    body = {"security_group": {"name": "web", "description": "of the web"}}
    made = (await old.post("/os-security-groups", json=body)).json()["security_group"]
    assert (made["name"], made["description"], made["rules"]) == ("web", "of the web", [])
    path = f"/os-security-groups/{made['id']}"
    listed = (await old.get("/os-security-groups")).json()["security_groups"]
    assert [group["name"] for group in listed] == ["default", "web"]
    wish = {"parent_group_id": made["id"], "ip_protocol": "tcp", "from_port": 22, "to_port": "22"}
    rules = "/os-security-group-rules"
    rule = (await old.post(rules, json={"security_group_rule": wish})).json()["security_group_rule"]
    assert rule | {"id": ""} == {
        "id": "",
        "parent_group_id": made["id"],
        "ip_protocol": "tcp",
        "from_port": 22,
        "to_port": 22,
        "group": {},
        "ip_range": {"cidr": "0.0.0.0/0"},
    }
    assert (await old.post(rules, json={"security_group_rule": wish})).status_code == 400
    for change, status in (
        ({"parent_group_id": "7"}, 400),
        ({"parent_group_id": str(uuid.uuid4())}, 404),
        ({"ip_protocol": "bad"}, 400),
        ({"from_port": "x"}, 400),
        ({"to_port": 70000}, 400),
        ({"from_port": 30, "to_port": 20}, 400),
        ({"cidr": "10.0.0.0/99"}, 400),
        ({"group_id": str(uuid.uuid4())}, 404),
    ):
        answer = await old.post(rules, json={"security_group_rule": wish | change})
        assert answer.status_code == status, f"{change}: {answer.text}"
    source = {"parent_group_id": made["id"], "ip_protocol": "icmp", "group_id": made["id"]}
    answer = await old.post(rules, json={"security_group_rule": source})
    shown = answer.json()["security_group_rule"]
    assert (shown["from_port"], shown["to_port"], shown["group"]["name"]) == (-1, -1, "web")
    assert (await old.delete(f"{rules}/{rule['id']}")).status_code == 202
    assert (await old.delete(f"{rules}/{rule['id']}")).status_code == 404
    body = {"security_group": {"name": "w2", "description": "d2"}}
    assert (await old.put(path, json=body)).json()["security_group"]["name"] == "w2"
    for status in (202, 404):
        assert (await old.delete(path)).status_code == status
    assert (await old.get("/os-security-groups/7")).status_code == 400
    assert (await old.post("/os-security-groups", json={"security_group": {"name": "x"}})).status_code == 400


@pytest.mark.parametrize("version", ["2.1", "latest"])
async def test_groups_of_a_server(city: City, me: Person, version: str) -> None:
    compute = await city.client(version=version)
    server = await _server(city, await me.network())
    web = (await me.post("/security-groups", {"security_group": {"name": "web"}}))["security_group"]

    async def names() -> list[str]:
        answer = await compute.get(f"/servers/{server}/os-security-groups")
        return [group["name"] for group in answer.json()["security_groups"]]

    act = f"/servers/{server}/action"
    assert await names() == ["default"]
    assert (await compute.post(act, json={"addSecurityGroup": {"name": "web"}})).status_code == 202
    assert await names() == ["default", "web"]
    assert (await compute.post(act, json={"addSecurityGroup": {"name": "nil"}})).status_code == 404
    assert (await compute.post(act, json={"removeSecurityGroup": {"name": web["id"]}})).status_code == 202
    assert (await compute.post(act, json={"removeSecurityGroup": {"name": "web"}})).status_code == 404
    assert await names() == ["default"]


async def test_interfaces_of_a_server(city: City, me: Person) -> None:
    compute = await city.client(version="2.1")
    network = await me.network()
    server = await _server(city, network)
    [port] = (await me.get("/ports", device_id=server))["ports"]
    assert port["device_owner"] == "compute:nova"
    [shown] = (await compute.get(f"/servers/{server}/os-interface")).json()["interfaceAttachments"]
    assert shown == {
        "net_id": network["id"],
        "port_id": port["id"],
        "mac_addr": port["mac_address"],
        "port_state": "DOWN",
        "fixed_ips": port["fixed_ips"],
    }
    one = await compute.get(f"/servers/{server}/os-interface/{port['id']}")
    assert one.json()["interfaceAttachment"] == shown
    assert (await compute.get(f"/servers/{server}/os-interface/{uuid.uuid4()}")).status_code == 404
    newest = await city.client()
    answer = await newest.get(f"/servers/{server}/os-interface")
    assert answer.json()["interfaceAttachments"][0]["tag"] is None
    await me.delete(f"/ports/{port['id']}", 409)
    await me.put(f"/ports/{port['id']}", {"port": {"device_id": "another"}}, 409)
    stranger = await city.client(project=city.other)
    assert (await stranger.get(f"/servers/{server}/os-interface")).status_code == 404
