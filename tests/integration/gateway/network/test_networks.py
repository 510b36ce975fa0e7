"""Networks and subnets: two calls and one resource, whose they are, and what kubectl users see of them."""

from __future__ import annotations

import asyncio

import pytest

from cairn_crds import Network
from cairn_database import catalog
from cairn_database.networking import networks
from cairn_runtime.kubernetes import NotFound
from integration.gateway.network.conftest import City, Person


async def test_a_network_becomes_a_resource_with_its_subnet(city: City, me: Person) -> None:
    draft = (await me.post("/networks", {"network": {"name": "My Net", "description": "web"}}))["network"]
    assert (draft["name"], draft["subnets"], draft["status"]) == ("My Net", [], "ACTIVE")
    assert (await me.get("/networks", name="My Net"))["networks"] == [draft]
    subnet = (
        await me.post(
            "/subnets",
            {
                "subnet": {
                    "network_id": draft["id"],
                    "name": "s1",
                    "cidr": "10.5.0.0/24",
                    "ip_version": "4",
                    "gateway_ip": "10.5.0.254",
                    "dns_nameservers": ["9.9.9.9"],
                    "allocation_pools": [{"start": "10.5.0.10", "end": "10.5.0.20"}],
                }
            },
        )
    )["subnet"]
    assert (subnet["gateway_ip"], subnet["name"], subnet["network_id"]) == ("10.5.0.254", "s1", draft["id"])
    shown = (await me.get(f"/networks/{draft['id']}"))["network"]
    assert (shown["id"], shown["name"], shown["subnets"]) == (draft["id"], "My Net", [subnet["id"]])
    [record] = await networks.find(city.services.db, network_id=draft["id"])
    resource = await city.services.cluster.get(Network, record.name or "")
    assert record.name is not None
    assert record.name.startswith("my-net")
    assert resource.spec.projects == [city.project]
    assert (resource.spec.id, resource.spec.display_name) == (draft["id"], "My Net")
    assert (resource.spec.description, resource.spec.dns) == ("web", ["9.9.9.9"])
    port = await me.port(shown)
    assert port["fixed_ips"] == [{"subnet_id": subnet["id"], "ip_address": "10.5.0.10"}]
    await me.delete(f"/subnets/{subnet['id']}", 409)
    await me.delete(f"/networks/{draft['id']}", 409)
    await me.delete(f"/ports/{port['id']}")
    await me.delete(f"/subnets/{subnet['id']}")
    assert (await me.get(f"/networks/{draft['id']}"))["network"]["subnets"] == []
    with pytest.raises(NotFound):
        await city.services.cluster.get(Network, record.name)
    body = {"subnet": {"network_id": draft["id"], "cidr": "10.6.0.0/24", "ip_version": 4}}
    again = (await me.post("/subnets", body))["subnet"]
    assert again["id"] != subnet["id"]
    await me.delete(f"/networks/{draft['id']}")
    await me.get(f"/networks/{draft['id']}", 404)
    assert (await me.get("/subnets"))["subnets"] == []


async def test_names_are_free_text_and_need_not_be_unique(city: City, me: Person) -> None:
    first = await me.network("same", "10.5.0.0/24")
    second = await me.network("same", "10.6.0.0/24")
    assert first["id"] != second["id"]
    assert len((await me.get("/networks", name="same"))["networks"]) == 2


async def test_what_is_anothers_is_not_there(me: Person, stranger: Person, admin: Person) -> None:
    mine = await me.network()
    [subnet] = (await me.get("/subnets"))["subnets"]
    for path in (f"/networks/{mine['id']}", f"/subnets/{subnet['id']}"):
        await stranger.get(path, 404)
        await stranger.delete(path, 404)
        assert await admin.get(path)
    assert (await stranger.get("/networks"))["networks"] == []
    await stranger.post("/ports", {"port": {"network_id": mine["id"]}}, 404)
    await stranger.put(f"/networks/{mine['id']}", {"network": {"name": "ours"}}, 404)


async def test_a_shared_network_is_seen_and_used_by_all_and_changed_by_its_owner(
    city: City, admin: Person, me: Person, stranger: Person
) -> None:
    await me.post("/networks", {"network": {"name": "n", "shared": True}}, 403)
    shared = await admin.network("everybody", shared=True)
    for person in (me, stranger):
        [seen] = (await person.get("/networks", shared="True"))["networks"]
        assert (seen["id"], seen["shared"]) == (shared["id"], True)
        await person.port(seen)
    await stranger.put(f"/networks/{shared['id']}", {"network": {"name": "mine"}}, 403)
    error = await admin.put(f"/networks/{shared['id']}", {"network": {"shared": False}}, 409)
    assert error["NeutronError"]["type"] == "InvalidSharedSetting"
    changed = await admin.put(f"/networks/{shared['id']}", {"network": {"name": "all", "mtu": 1400}})
    assert (changed["network"]["name"], changed["network"]["mtu"]) == ("all", 1400)


async def test_a_network_from_kubectl_is_in_the_api(city: City, me: Person, stranger: Person) -> None:
    made = await city.operators_network("lan", cidr="10.7.0.0/24", projects=[city.project], displayName="LAN")
    [seen] = (await me.get("/networks", name="LAN"))["networks"]
    assert seen["id"] == made.metadata.uid
    assert seen["project_id"] == await city.project_id(city.project)
    assert (await stranger.get("/networks", name="LAN"))["networks"] == []
    await me.put(f"/networks/{seen['id']}", {"network": {"name": "Local"}})
    resource = await city.services.cluster.get(Network, made.metadata.name)
    assert resource.spec.display_name == "Local"


async def test_a_deletion_cut_short_is_not_undone_by_the_mirror(city: City, me: Person) -> None:
    mine = await me.network()
    [record] = await networks.find(city.services.db, network_id=mine["id"])
    resource = await city.services.cluster.get(Network, record.name or "")
    await networks.begin_removal(city.services.db, record, keep_draft=True)
    with pytest.raises(networks.ResourceGoing):
        await catalog.networks.take_in(
            city.services.db, resource.metadata.name, resource.spec, resource.metadata.uid
        )
    assert (await me.get(f"/networks/{mine['id']}"))["network"]["subnets"] == []
    await city.services.cluster.delete(Network, resource.metadata.name)


@pytest.mark.parametrize(
    ("subnet", "status"),
    [
        ({"cidr": "10.5.0.0/24", "ip_version": 6}, 501),
        ({"cidr": "nonsense", "ip_version": 4}, 400),
        ({"cidr": "10.5.0.0/31", "ip_version": 4}, 400),
        ({"ip_version": 4}, 400),
        ({"cidr": "10.5.0.0/24", "gateway_ip": None, "ip_version": 4}, 501),
        ({"cidr": "10.5.0.0/24", "gateway_ip": "10.6.0.1", "ip_version": 4}, 400),
        ({"cidr": "10.5.0.0/24", "allocation_pools": [{"start": "10.5.0.1", "end": "10.5.0.9"}]}, 409),
        ({"cidr": "10.5.0.0/24", "allocation_pools": [{"start": "10.5.0.9", "end": "10.5.0.3"}]}, 400),
        ({"cidr": "10.5.0.0/24", "colour": "red"}, 400),
        ({"cidr": "10.5.0.0/24", "subnetpool_id": "x"}, 400),
    ],
)
async def test_a_subnet_that_cannot_be_is_refused(me: Person, subnet: dict[str, object], status: int) -> None:
    network = await me.network(cidr=None)
    error = await me.post("/subnets", {"subnet": {"network_id": network["id"], **subnet}}, status)
    assert set(error["NeutronError"]) == {"type", "message", "detail"}


async def test_a_second_subnet_is_refused(me: Person) -> None:
    network = await me.network()
    await me.post("/subnets", {"subnet": {"network_id": network["id"], "cidr": "10.9.0.0/24"}}, 501)


async def test_the_quota_of_networks(city: City, admin: Person, me: Person) -> None:
    project_id = await city.project_id(city.project)
    await admin.put(f"/quotas/{project_id}", {"quota": {"network": 2}})
    await me.put(f"/quotas/{project_id}", {"quota": {"network": 9}}, 403)
    await me.network("one")
    await me.network("two", None)
    error = await me.post("/networks", {"network": {"name": "three"}}, 409)
    assert error["NeutronError"]["type"] == "OverQuota"
    assert (await me.get(f"/quotas/{project_id}"))["quota"]["network"] == 2
    assert (await me.get(f"/quotas/{project_id}/details"))["quota"]["network"]["used"] == 2
    await admin.delete(f"/quotas/{project_id}")
    assert (await me.get(f"/quotas/{project_id}"))["quota"]["network"] == 100
    await me.get(f"/quotas/{await city.project_id(city.other)}", 403)


async def test_the_quota_of_subnets_holds_against_all_at_once(city: City, admin: Person, me: Person) -> None:
    project_id = await city.project_id(city.project)
    await admin.put(f"/quotas/{project_id}", {"quota": {"subnet": 2}})
    networks = [await me.network(f"n{number}", None) for number in range(5)]
    bodies = [
        {"subnet": {"network_id": network["id"], "cidr": f"10.{number}.0.0/24", "ip_version": 4}}
        for number, network in enumerate(networks)
    ]
    answers = await asyncio.gather(*(me.client.post("/v2.0/subnets", json=body) for body in bodies))
    assert sorted(answer.status_code for answer in answers) == [201] * 2 + [409] * 3
    assert len((await me.get("/subnets", project_id=project_id))["subnets"]) == 2


async def test_several_at_once(me: Person) -> None:
    made = await me.post("/networks", {"networks": [{"name": "a"}, {"name": "b"}, {"name": "c"}]})
    assert [item["name"] for item in made["networks"]] == ["a", "b", "c"]
    listed = await me.get("/networks", sort_key="name", sort_dir="desc", limit=2, fields="name")
    assert listed["networks"] == [{"name": "c"}, {"name": "b"}]
    assert [link["rel"] for link in listed["networks_links"]] == ["next"]
    answer = await me.client.get(listed["networks_links"][0]["href"])
    assert answer.json()["networks"] == [{"name": "a"}]


async def test_what_clients_ask_on_the_way(me: Person, city: City) -> None:
    answer = await me.client.get("/")
    assert answer.json()["versions"][0]["links"][0]["href"] == "http://cloud.test/network/v2.0/"
    assert (await me.client.get("/v2.0/")).status_code == 200
    aliases = {item["alias"] for item in (await me.get("/extensions"))["extensions"]}
    assert {"security-group", "router", "external-net", "quotas"} <= aliases
    assert (await me.get("/extensions/router"))["extension"]["alias"] == "router"
    await me.get("/extensions/bgp", 404)
    assert (await me.get("/routers"))["routers"] == []
    await me.post("/routers", {"router": {"name": "r"}}, 501)
    await me.get("/routers/r", 404)
    assert (await me.get("/availability_zones"))["availability_zones"][0]["name"] == "nova"
    nobody = city.gateway.client(None)
    assert (await nobody.get("/network/")).status_code == 200
    answer = await nobody.get("/network/v2.0/networks")
    assert (answer.status_code, answer.json()["NeutronError"]["type"]) == (401, "HTTPUnauthorized")
