"""Services: which there are, and the administrator's say over hosts."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from cairn_crds import ComputeNode
from cairn_database import nodes
from integration.gateway.compute_admin.conftest import LEASES, Cloud

ALL = "/compute/v2.1/os-services"


async def lease(cloud: Cloud, name: str, component: str, age: timedelta = timedelta()) -> None:
    renewed = (datetime.now(UTC) - age).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    body = {
        "metadata": {
            "name": f"{component}-{name}",
            "labels": {"compute.cairn.dev/component": component},
        },
        "spec": {"holderIdentity": name, "leaseDurationSeconds": 5, "renewTime": renewed},
    }
    await cloud.cluster.request("POST", LEASES, body)


async def compute(cloud: Cloud, host: str, version: str = "latest") -> Any:
    client = await cloud.at(version)
    [found] = (await client.get(ALL, params={"host": host, "binary": "nova-compute"})).json()["services"]
    return found


async def test_hosts_and_the_control_plane_are_listed(cloud: Cloud) -> None:
    await cloud.host("one")
    await cloud.host("two", up=False)
    await lease(cloud, "c1", "cairn-conductor")
    await lease(cloud, "c2", "cairn-conductor", timedelta(minutes=5))
    await lease(cloud, "x", "somebody-else")
    found = (await cloud.admin.get(ALL)).json()["services"]
    assert [(item["binary"], item["host"], item["state"], item["zone"]) for item in found] == [
        ("nova-conductor", "c1", "up", "internal"),
        ("nova-conductor", "c2", "down", "internal"),
        ("nova-compute", "one", "up", "nova"),
        ("nova-compute", "two", "down", "nova"),
    ]
    for item in found:
        assert uuid.UUID(item["id"])
        assert datetime.fromisoformat(item["updated_at"]).tzinfo is None
        assert (item["status"], item["disabled_reason"], item["forced_down"]) == ("enabled", None, False)
    again = (await cloud.admin.get(ALL)).json()["services"]
    assert [item["id"] for item in again] == [item["id"] for item in found]
    hosts = (await (await cloud.at("2.42")).get("/compute/v2.1/os-hosts")).json()["hosts"]
    assert {"host_name": "c1", "service": "conductor", "zone": "internal"} in hosts
    detail = (await cloud.admin.get("/compute/v2.1/os-availability-zone/detail")).json()
    zones = {zone["zoneName"]: zone["hosts"] for zone in detail["availabilityZoneInfo"]}
    assert zones["internal"]["c2"]["nova-conductor"]["available"] is False
    await cloud.clear()
    refused = await cloud.admin.delete(f"{ALL}/{found[0]['id']}")
    assert refused.status_code == 404


async def test_the_control_plane_is_not_changed_here(cloud: Cloud) -> None:
    await lease(cloud, "c1", "cairn-conductor")
    [conductor] = (await cloud.admin.get(ALL)).json()["services"]
    one = f"{ALL}/{conductor['id']}"
    assert (await cloud.admin.put(one, json={"status": "disabled"})).status_code == 400
    assert (await cloud.admin.delete(one)).status_code == 400
    older = await cloud.at("2.52")
    body = {"host": "c1", "binary": "nova-conductor"}
    assert (await older.put(f"{ALL}/disable", json=body)).status_code == 400


async def test_filters_and_words_that_mean_none(cloud: Cloud) -> None:
    await cloud.host("one")
    await cloud.host("two")

    async def hosts(version: str = "latest", **query: str) -> list[str]:
        answer = await (await cloud.at(version)).get(ALL, params=query)
        return [item["host"] for item in answer.json()["services"]]

    assert await hosts(host="two") == ["two"]
    assert await hosts(host="one", binary="xxx") == []
    assert await hosts(host="xxx", binary="nova-compute") == []
    assert await hosts(host="None", binary="None") == ["one", "two"]
    assert await hosts("2.74", xxx="nova-compute") == ["one", "two"]
    assert (await cloud.admin.get(ALL, params={"xxx": "1"})).status_code == 400


async def test_each_version_has_its_shape(cloud: Cloud) -> None:
    await cloud.host("one")
    oldest, newer = await compute(cloud, "one", "2.1"), await compute(cloud, "one", "2.11")
    assert isinstance(oldest["id"], int)
    assert "forced_down" not in oldest
    assert newer == oldest | {"forced_down": False}
    assert uuid.UUID((await compute(cloud, "one", "2.53"))["id"])


async def test_a_host_is_disabled_and_enabled_by_the_older_calls(cloud: Cloud) -> None:
    await cloud.host("one")
    older, body = await cloud.at("2.52"), {"host": "one", "binary": "nova-compute"}

    async def put(action: str, **more: Any) -> Any:
        answer = await older.put(f"{ALL}/{action}", json=body | more)
        return answer.json().get("service") or answer.status_code

    assert await put("disable") == {**body, "status": "disabled"}
    assert (await compute(cloud, "one"))["status"] == "disabled"
    reasoned = await put("disable-log-reason", disabled_reason="fan")
    assert reasoned == {**body, "status": "disabled", "disabled_reason": "fan"}
    assert (await cloud.node("one")).spec.disabled_reason == "fan"
    assert await put("enable") == {**body, "status": "enabled"}
    spec = (await cloud.node("one")).spec
    assert (spec.disabled, spec.disabled_reason) == (False, None)
    assert await put("force-down", forced_down="true") == {**body, "forced_down": True}
    assert (await compute(cloud, "one"))["state"] == "down"
    assert await put("force-down") == 400
    assert await put("disable-log-reason") == 400
    assert await put("explode") == 404
    assert await put("disable", host="nobody") == 404
    oldest = await cloud.at("2.10")
    assert (await oldest.put(f"{ALL}/force-down", json=body)).status_code == 404
    answer = await oldest.put(f"{ALL}/disable", json={**body, "forced_down": True})
    assert answer.status_code == 400


async def test_a_host_is_disabled_and_forced_down_by_its_id(cloud: Cloud) -> None:
    await cloud.host("one")
    one = f"{ALL}/{(await compute(cloud, 'one'))['id']}"

    async def put(**body: Any) -> Any:
        answer = await cloud.admin.put(one, json=body)
        return answer.json().get("service") or answer.status_code

    disabled = await put(status="disabled", disabled_reason="fan", forced_down=True)
    assert (disabled["status"], disabled["disabled_reason"]) == ("disabled", "fan")
    assert (disabled["forced_down"], disabled["state"]) == (True, "down")
    assert disabled == await compute(cloud, "one")
    assert (await put(forced_down=False))["status"] == "disabled"
    assert (await put(status="enabled"))["disabled_reason"] is None
    assert await put() == 400
    assert await put(status="enabled", disabled_reason="x") == 400
    assert await put(status="broken") == 400
    assert (await cloud.admin.put(f"{ALL}/1", json={"status": "enabled"})).status_code == 400
    unknown = await cloud.admin.put(f"{ALL}/{uuid.uuid4()}", json={"status": "enabled"})
    assert unknown.status_code == 404


async def test_a_host_without_instances_can_be_deleted(cloud: Cloud) -> None:
    await cloud.host("one")
    made = (await cloud.admin.post("/compute/v2.1/os-aggregates", json={"aggregate": {"name": "a"}})).json()
    aggregate = f"/compute/v2.1/os-aggregates/{made['aggregate']['id']}"
    await cloud.admin.post(f"{aggregate}/action", json={"add_host": {"host": "one"}})
    one = f"{ALL}/{(await compute(cloud, 'one'))['id']}"
    gone = await cloud.admin.delete(one)
    assert (gone.status_code, gone.content) == (204, b"")
    assert (await cloud.admin.delete(one)).status_code == 404
    assert (await cloud.admin.get(aggregate)).json()["aggregate"]["hosts"] == []
    assert await cloud.names(ComputeNode) == []
    assert await nodes.get_compute_node(cloud.db, "one") is None


async def test_ids_of_the_older_versions_are_numbers(cloud: Cloud) -> None:
    await cloud.host("one")
    older = await cloud.at("2.52")
    number = (await compute(cloud, "one", "2.52"))["id"]
    assert (await older.delete(f"{ALL}/one")).status_code == 400
    assert (await older.delete(f"{ALL}/{number + 1}")).status_code == 404
    assert (await older.delete(f"{ALL}/{number}")).status_code == 204


async def test_only_administrators_may(cloud: Cloud) -> None:
    await cloud.host("one")
    one = f"{ALL}/{(await compute(cloud, 'one'))['id']}"
    answers = [
        await cloud.anybody.get(ALL),
        await cloud.anybody.put(one, json={"status": "disabled"}),
        await cloud.anybody.delete(one),
    ]
    assert {answer.status_code for answer in answers} == {403}
    assert not (await cloud.node("one")).spec.disabled
