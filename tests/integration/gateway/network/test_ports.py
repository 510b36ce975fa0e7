"""Ports over HTTP: addresses, security groups, filters, and what only administrators see."""

from __future__ import annotations

import uuid

import pytest

from integration.gateway.network.conftest import City, Person


async def test_a_port_holds_an_address_and_is_in_the_default_group(me: Person) -> None:
    network = await me.network()
    port = await me.port(network, name="p1", description="first")
    assert port["fixed_ips"] == [{"subnet_id": network["subnets"][0], "ip_address": "10.5.0.2"}]
    assert (port["status"], port["device_id"], port["device_owner"]) == ("DOWN", "", "")
    [default] = (await me.get("/security-groups", name="default"))["security_groups"]
    assert port["security_groups"] == [default["id"]]
    assert "binding:host_id" not in port
    assert (await me.get(f"/ports/{port['id']}"))["port"] == port
    await me.delete(f"/ports/{port['id']}")
    await me.get(f"/ports/{port['id']}", 404)


async def test_a_certain_address_and_mac(me: Person) -> None:
    network = await me.network()
    wish = {"fixed_ips": [{"ip_address": "10.5.0.77"}], "mac_address": "FA:16:3E:00:00:77"}
    port = await me.port(network, **wish)
    assert (port["mac_address"], port["fixed_ips"][0]["ip_address"]) == ("fa:16:3e:00:00:77", "10.5.0.77")
    for body, kind in (
        ({"fixed_ips": [{"ip_address": "10.5.0.77"}]}, "IpAddressAlreadyAllocated"),
        ({"mac_address": "fa:16:3e:00:00:77"}, "MacAddressInUse"),
    ):
        error = await me.post("/ports", {"port": {"network_id": network["id"], **body}}, 409)
        assert error["NeutronError"]["type"] == kind
    for body in (
        {"fixed_ips": [{"ip_address": "10.6.0.1"}]},
        {"fixed_ips": [{"ip_address": "x"}]},
        {"mac_address": "ff:ff:ff:ff:ff:ff"},
        {"fixed_ips": [{"subnet_id": str(uuid.uuid4())}]},
        {"allowed_address_pairs": [{"ip_address": "10.5.0.3"}]},
        {"colour": "red"},
    ):
        await me.post("/ports", {"port": {"network_id": network["id"], **body}}, 400)


async def test_on_anothers_shared_network_addresses_are_not_chosen(
    admin: Person, me: Person, city: City
) -> None:
    shared = await admin.network("shared", "10.8.0.0/24", shared=True)
    subnet = shared["subnets"][0]
    await me.port(shared, fixed_ips=[{"subnet_id": subnet}])
    body = {"port": {"network_id": shared["id"], "fixed_ips": [{"ip_address": "10.8.0.9"}]}}
    error = await me.post("/ports", body, 403)
    assert "create_port:fixed_ips:ip_address" in error["NeutronError"]["message"]
    await admin.post("/ports", body)


async def test_filters_fields_and_pages(me: Person, admin: Person, city: City) -> None:
    network = await me.network()
    names = ["a", "b", "c"]
    made = await me.post("/ports", {"ports": [{"network_id": network["id"], "name": name} for name in names]})
    ids = {port["name"]: port["id"] for port in made["ports"]}
    for query, expected in (
        ({"name": "b"}, ["b"]),
        ({"id": [ids["a"], ids["c"]]}, ["a", "c"]),
        ({"network_id": network["id"]}, names),
        ({"network_id": str(uuid.uuid4())}, []),
        ({"fixed_ips": "ip_address=10.5.0.3"}, ["b"]),
        ({"mac_address": made["ports"][2]["mac_address"]}, ["c"]),
        ({"device_id": ""}, names),
        ({"device_id": "None"}, names),
        ({"status": "DOWN", "admin_state_up": "true"}, names),
        ({"status": "ACTIVE"}, []),
        ({"project_id": await city.project_id(city.project)}, names),
        ({"tenant_id": await city.project_id(city.other)}, []),
        ({"limit": "2"}, ["a", "b"]),
        ({"limit": "2", "marker": ids["b"]}, ["c"]),
        ({"unknown": "1"}, names),
    ):
        listed = (await me.get("/ports", **query))["ports"]
        assert [port["name"] for port in listed] == expected, query
    assert (await me.get("/ports", name="b", fields=["id", "name"]))["ports"] == [
        {"id": ids["b"], "name": "b"}
    ]
    await me.get("/ports", 400, limit="many")
    await me.get("/ports", 400, marker="nobody")
    everything = (await admin.get("/ports", network_id=network["id"]))["ports"]
    assert [port["binding:vif_type"] for port in everything] == ["unbound"] * 3


async def test_a_port_is_changed(me: Person) -> None:
    network = await me.network()
    port = await me.port(network)
    web = (await me.post("/security-groups", {"security_group": {"name": "web"}}))["security_group"]
    body = {"port": {"name": "new", "security_groups": [web["id"]], "device_id": "mine"}}
    changed = (await me.put(f"/ports/{port['id']}", body))["port"]
    assert (changed["name"], changed["security_groups"], changed["device_id"]) == (
        "new",
        [web["id"]],
        "mine",
    )
    body = {"port": {"fixed_ips": [{"ip_address": "10.5.0.2"}, {"ip_address": "10.5.0.9"}]}}
    changed = (await me.put(f"/ports/{port['id']}", body))["port"]
    assert [item["ip_address"] for item in changed["fixed_ips"]] == ["10.5.0.2", "10.5.0.9"]
    await me.delete(f"/security-groups/{web['id']}", 409)
    emptied = (await me.put(f"/ports/{port['id']}", {"port": {"security_groups": []}}))["port"]
    assert emptied["security_groups"] == []
    await me.put(f"/ports/{port['id']}", {"port": {"security_groups": [str(uuid.uuid4())]}}, 404)


async def test_anothers_port_and_group_are_not_there(me: Person, stranger: Person) -> None:
    network = await me.network()
    port = await me.port(network)
    for path in (f"/ports/{port['id']}", f"/security-groups/{port['security_groups'][0]}"):
        await stranger.get(path, 404)
        await stranger.delete(path, 404)
    theirs = await stranger.network("theirs", "10.9.0.0/24")
    body = {"port": {"network_id": theirs["id"], "security_groups": port["security_groups"]}}
    await stranger.post("/ports", body, 404)
    assert (await stranger.get("/ports"))["ports"] == []


async def test_an_administrator_makes_a_port_for_a_project(city: City, admin: Person, me: Person) -> None:
    network = await me.network()
    project_id = await city.project_id(city.project)
    port = await admin.port(network, project_id=project_id)
    assert port["project_id"] == project_id
    assert (await me.get("/ports"))["ports"][0]["id"] == port["id"]
    body = {"port": {"network_id": network["id"], "tenant_id": await city.project_id(city.other)}}
    await me.post("/ports", body, 403)


async def test_a_network_without_subnet_has_no_ports_yet(me: Person) -> None:
    network = await me.network(cidr=None)
    await me.post("/ports", {"port": {"network_id": network["id"]}}, 501)


async def test_addresses_run_out(me: Person) -> None:
    network = await me.network(cidr="10.5.0.0/30")
    await me.port(network)
    error = await me.post("/ports", {"port": {"network_id": network["id"]}}, 409)
    assert error["NeutronError"]["type"] == "IpAddressGenerationFailure"


@pytest.mark.parametrize("body", [{}, {"port": {}}, {"port": {"network_id": 5}}, {"ports": []}, [], {"x": 1}])
async def test_a_body_that_makes_no_sense(me: Person, body: object) -> None:
    answer = await me.client.post("/v2.0/ports", json=body)
    assert answer.status_code == 400
    assert "NeutronError" in answer.json()
