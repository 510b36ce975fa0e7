"""Hypervisors, version by version; zones and hosts, which are other views of the same rows."""

from __future__ import annotations

import json
import re
import uuid
from typing import Any

from integration.gateway.compute_admin.conftest import Cloud
from integration.gateway.compute_admin.instances import place

ALL = "/compute/v2.1/os-hypervisors"
BRIEF = {"id", "hypervisor_hostname", "state", "status"}
DETAIL = BRIEF | {"hypervisor_type", "hypervisor_version", "host_ip", "service"}
USAGE = {
    *("vcpus", "memory_mb", "local_gb", "vcpus_used", "memory_mb_used", "local_gb_used"),
    *("free_ram_mb", "free_disk_gb", "current_workload", "running_vms", "disk_available_least"),
}


async def listed(cloud: Cloud, version: str, path: str = "", **query: Any) -> Any:
    answer = await (await cloud.at(version)).get(f"{ALL}{path}", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_each_version_has_its_shape(cloud: Cloud) -> None:
    await cloud.host("one")
    shapes = {}
    for version in ("2.1", "2.28", "2.52", "2.53", "2.87", "2.88"):
        [brief] = (await listed(cloud, version))["hypervisors"]
        assert brief.keys() == BRIEF
        [detail] = (await listed(cloud, version, "/detail"))["hypervisors"]
        shapes[version] = detail
        one = (await listed(cloud, version, f"/{brief['id']}"))["hypervisor"]
        assert one.keys() == detail.keys()
    for version in ("2.1", "2.28", "2.52", "2.53", "2.87"):
        assert shapes[version].keys() == DETAIL | USAGE | {"cpu_info"}
    assert shapes["2.88"].keys() == DETAIL | {"uptime"}
    assert shapes["2.52"]["id"] == shapes["2.52"]["service"]["id"] == shapes["2.1"]["id"]
    assert isinstance(shapes["2.1"]["id"], int)
    assert uuid.UUID(shapes["2.53"]["id"])
    assert shapes["2.53"]["service"] == {"id": shapes["2.53"]["id"], "host": "one", "disabled_reason": None}
    cpu = {"arch": "x86_64", "model": "EPYC", "vendor": "AMD", "features": ["avx", "aes"]}
    assert shapes["2.28"]["cpu_info"] == cpu == json.loads(shapes["2.1"]["cpu_info"])
    old = shapes["2.1"]
    assert (old["hypervisor_hostname"], old["hypervisor_type"], old["hypervisor_version"]) == (
        *("one.example", "QEMU", 7002000),
    )
    assert old["host_ip"] == "192.0.2.10"
    assert re.fullmatch(r" \d\d:\d\d:\d\d up 3 days,  2:\d\d", shapes["2.88"]["uptime"])


async def test_what_instances_and_the_host_itself_use_is_counted(cloud: Cloud) -> None:
    await cloud.host("one")
    await cloud.host("two")
    await cloud.host("off")
    older = await cloud.at("2.87")
    numbers = {
        item["service"]["host"]: item for item in (await listed(cloud, "2.87", "/detail"))["hypervisors"]
    }
    server = await place(cloud.db, "one", "web", vcpus=2, memory_mib=1024, disk_gib=5)
    after = (await listed(cloud, "2.87", f"/{numbers['one']['id']}"))["hypervisor"]
    assert (numbers["one"]["memory_mb_used"], after["memory_mb_used"]) == (512, 1536)
    assert (after["vcpus_used"], after["local_gb_used"], after["running_vms"]) == (2, 5, 1)
    assert (after["free_ram_mb"], after["free_disk_gb"], after["current_workload"]) == (14848, 95, 1)
    disable = {"host": "off", "binary": "nova-compute"}
    await (await cloud.at("2.52")).put("/compute/v2.1/os-services/disable", json=disable)
    total = (await older.get(f"{ALL}/statistics")).json()["hypervisor_statistics"]
    assert total.keys() == USAGE | {"count"}
    assert (total["count"], total["vcpus"], total["vcpus_used"], total["running_vms"]) == (2, 16, 2, 1)

    shown = (await listed(cloud, "2.88", with_servers="true"))["hypervisors"]
    servers = {item["hypervisor_hostname"]: item["servers"] for item in shown}
    assert servers == {"one.example": [{"name": "web", "uuid": server}], "two.example": [], "off.example": []}
    before_275 = (await listed(cloud, "2.74", "/detail", with_servers="true"))["hypervisors"]
    assert [("servers" in item) for item in before_275] == [True, False, False]
    found = (await listed(cloud, "2.52", "/one/servers"))["hypervisors"]
    assert [item["servers"] for item in found] == [[{"name": "web", "uuid": server}]]

    host = (await (await cloud.at("2.42")).get("/compute/v2.1/os-hosts/one")).json()["host"]
    rows = {item["resource"]["project"]: item["resource"] for item in host}
    assert host[0]["resource"] == {
        **{"host": "one", "project": "(total)", "cpu": 8, "memory_mb": 16384, "disk_gb": 100},
    }
    assert (rows["(used_now)"]["memory_mb"], rows["(used_max)"]["memory_mb"]) == (1536, 1024)
    assert len(rows) == 4
    delete = await cloud.admin.delete(f"/compute/v2.1/os-services/{shown[0]['id']}")
    assert delete.status_code == 409


async def test_pages(cloud: Cloud) -> None:
    for name in ("a", "b", "c"):
        await cloud.host(name)
    for version in ("2.33", "2.53", "latest"):
        first = await listed(cloud, version, limit=2)
        assert [item["hypervisor_hostname"] for item in first["hypervisors"]] == ["a.example", "b.example"]
        [link] = first["hypervisors_links"]
        assert link["rel"] == "next"
        rest = (await (await cloud.at(version)).get(link["href"])).json()
        assert [item["hypervisor_hostname"] for item in rest["hypervisors"]] == ["c.example"]
        assert "hypervisors_links" not in rest
        answer = await (await cloud.at(version)).get(ALL, params={"marker": str(uuid.uuid4())})
        assert answer.status_code == 400
    assert len((await listed(cloud, "2.32", limit=2))["hypervisors"]) == 3


async def test_hypervisors_are_found_by_a_part_of_their_name(cloud: Cloud) -> None:
    await cloud.host("one")
    await cloud.host("two")
    found = (await listed(cloud, "2.52", "/ONE/search"))["hypervisors"]
    assert [item["hypervisor_hostname"] for item in found] == ["one.example"]
    found = (await listed(cloud, "2.53", "/detail", hypervisor_hostname_pattern="w"))["hypervisors"]
    assert [item["hypervisor_hostname"] for item in found] == ["two.example"]
    older = await cloud.at("2.52")
    assert (await older.get(f"{ALL}/none/search")).status_code == 404
    assert (await older.get(f"{ALL}/none/servers")).status_code == 404
    for query in ("hypervisor_hostname_pattern=none", "hypervisor_hostname_pattern=w&limit=1"):
        answer = await cloud.admin.get(f"{ALL}?{query}")
        assert answer.status_code == (400 if "limit" in query else 404)
    for query in ("hypervisor_hostname_pattern=a%25b", "with_servers=perhaps", "limit=x", "sort_key=id"):
        assert (await cloud.admin.get(f"{ALL}?{query}")).status_code == 400
    assert (await cloud.admin.get(f"{ALL}/{uuid.uuid4()}/search")).status_code == 404


async def test_uptime_is_told_by_hosts_that_are_up(cloud: Cloud) -> None:
    await cloud.host("one")
    await cloud.host("down", up=False)
    await cloud.host("mute", bootTime=None)
    hypervisors = (await listed(cloud, "2.53"))["hypervisors"]
    ids = {item["hypervisor_hostname"]: item["id"] for item in hypervisors}
    older = await cloud.at("2.53")

    async def uptime(name: str) -> Any:
        answer = await older.get(f"{ALL}/{ids[name]}/uptime")
        return answer.json().get("hypervisor") or answer.status_code

    told = await uptime("one.example")
    assert told.keys() == BRIEF | {"uptime"}
    assert " up 3 days" in told["uptime"]
    assert (await uptime("down.example"), await uptime("mute.example")) == (400, 501)
    assert (await cloud.admin.get(f"{ALL}/{ids['one.example']}/uptime")).status_code == 404
    newest = {
        item["hypervisor_hostname"]: item for item in (await listed(cloud, "2.88", "/detail"))["hypervisors"]
    }
    assert newest["down.example"]["uptime"] is newest["mute.example"]["uptime"] is None
    assert (await older.get(f"{ALL}/{uuid.uuid4()}/uptime")).status_code == 404


async def test_ids_are_checked(cloud: Cloud) -> None:
    await cloud.host("one")
    older = await cloud.at("2.52")
    assert (await older.get(f"{ALL}/{uuid.uuid4()}")).status_code == 404
    assert (await older.get(f"{ALL}/999")).status_code == 404
    assert (await cloud.admin.get(f"{ALL}/1")).status_code == 400
    assert (await cloud.admin.get(f"{ALL}/{uuid.uuid4()}")).status_code == 404
    statistics = await cloud.admin.get(f"{ALL}/statistics")
    assert statistics.status_code == 404


async def test_only_administrators_may(cloud: Cloud) -> None:
    await cloud.host("one")
    [one] = (await listed(cloud, "2.52"))["hypervisors"]
    nobody = cloud.gateway.client(await cloud.gateway.caller("blue", "member"), "2.52")
    paths = [
        "",
        "/detail",
        "/statistics",
        f"/{one['id']}",
        f"/{one['id']}/uptime",
        "/one/search",
        "/one/servers",
    ]
    assert {(await nobody.get(f"{ALL}{path}")).status_code for path in paths} == {403}


async def test_a_zone_is_available_while_it_has_an_enabled_host(cloud: Cloud) -> None:
    await cloud.host("one")
    await cloud.host("two", up=False)
    zones = "/compute/v2.1/os-availability-zone"
    listed_zone = {"zoneName": "nova", "zoneState": {"available": True}, "hosts": None}
    assert (await cloud.anybody.get(zones)).json() == {"availabilityZoneInfo": [listed_zone]}
    assert (await cloud.anybody.get(f"{zones}/detail")).status_code == 403
    [detail] = (await cloud.admin.get(f"{zones}/detail")).json()["availabilityZoneInfo"]
    services = {host: found["nova-compute"] for host, found in detail["hosts"].items()}
    assert {host: (item["available"], item["active"]) for host, item in services.items()} == {
        **{"one": (True, True), "two": (False, True)},
    }
    older = await cloud.at("2.52")
    for host in ("one", "two"):
        body = {"host": host, "binary": "nova-compute"}
        await older.put("/compute/v2.1/os-services/disable", json=body)
    listed_zone["zoneState"] = {"available": False}
    assert (await cloud.anybody.get(zones)).json() == {"availabilityZoneInfo": [listed_zone]}


async def test_hosts_until_243(cloud: Cloud) -> None:
    await cloud.host("one")
    await cloud.host("two")
    hosts, older = "/compute/v2.1/os-hosts", await cloud.at("2.42")

    async def names(**query: str) -> list[str]:
        return [item["host_name"] for item in (await older.get(hosts, params=query)).json()["hosts"]]

    assert await names() == await names(zone="") == await names(zone="nova") == ["one", "two"]
    assert await names(zone="xxx") == []
    answer = await older.put(f"{hosts}/one", json={"status": "Disable"})
    assert answer.json() == {"host": "one", "status": "disabled"}
    assert await names() == ["two"]
    assert (await older.put(f"{hosts}/one", json={"status": "enable"})).json()["status"] == "enabled"
    both = {"status": "enable", "maintenance_mode": "enable"}
    assert (await older.put(f"{hosts}/one", json=both)).status_code == 501
    assert (await older.put(f"{hosts}/none", json=both)).status_code == 404
    for body in ({}, {"status": "invalid"}, {"status": "enable", "maintenance_mode": "x"}):
        assert (await older.put(f"{hosts}/one", json=body)).status_code == 400
    for action in ("startup", "shutdown", "reboot"):
        assert (await older.get(f"{hosts}/one/{action}")).status_code == 501
        assert (await older.get(f"{hosts}/none/{action}")).status_code == 404
    assert (await older.get(f"{hosts}/none")).status_code == 404
    assert (await (await cloud.at("2.43")).get(hosts)).status_code == 404
    nobody = cloud.gateway.client(await cloud.gateway.caller("blue", "member"), "2.42")
    assert (await nobody.get(hosts)).status_code == 403
