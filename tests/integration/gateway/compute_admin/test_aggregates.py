"""Host aggregates by the Compute API, and what kubectl sees of them."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from cairn_crds import HostAggregate
from cairn_crds.base import Metadata
from cairn_crds.host_aggregate import HostAggregateSpec
from cairn_database import aggregates
from integration.gateway.compute_admin.conftest import Cloud

ALL = "/compute/v2.1/os-aggregates"


async def make(client: httpx.AsyncClient, name: str, zone: str | None = None) -> Any:
    body = {"aggregate": {"name": name, **({"availability_zone": zone} if zone else {})}}
    answer = await client.post(ALL, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()["aggregate"]


async def act(client: httpx.AsyncClient, made: Any, **action: Any) -> httpx.Response:
    return await client.post(f"{ALL}/{made['id']}/action", json=action)


async def test_an_aggregate_lives_from_create_to_delete(cloud: Cloud) -> None:
    made = await make(cloud.admin, "Fast Disks №1", "east")
    assert made.keys() == {
        *("availability_zone", "created_at", "deleted", "deleted_at", "id", "name", "updated_at", "uuid")
    }
    assert (made["name"], made["availability_zone"], made["updated_at"]) == ("Fast Disks №1", "east", None)
    resource = await cloud.aggregate("fast-disks-no1")
    assert (resource.spec.display_name, resource.metadata.uid) == ("Fast Disks №1", made["uuid"])
    shown = (await cloud.admin.get(f"{ALL}/{made['id']}")).json()["aggregate"]
    assert shown == {**made, "hosts": [], "metadata": {"availability_zone": "east"}}
    assert (await cloud.admin.get(ALL)).json() == {"aggregates": [shown]}
    older = await cloud.at("2.40")
    assert "uuid" not in (await older.get(f"{ALL}/{made['id']}")).json()["aggregate"]

    body = {"aggregate": {"name": " slow ", "availability_zone": "west"}}
    changed = (await cloud.admin.put(f"{ALL}/{made['id']}", json=body)).json()["aggregate"]
    assert (changed["id"], changed["name"], changed["availability_zone"]) == (made["id"], "slow", "west")
    assert changed["updated_at"] is not None
    assert (await cloud.aggregate("fast-disks-no1")).spec.availability_zone == "west"

    gone = await cloud.admin.delete(f"{ALL}/{made['id']}")
    assert (gone.status_code, gone.content) == (200, b"")
    assert (await cloud.admin.get(f"{ALL}/{made['id']}")).status_code == 404
    assert (await cloud.admin.delete(f"{ALL}/{made['id']}")).status_code == 404
    again = await make(cloud.admin, "Fast Disks №1")
    assert again["id"] > made["id"]


async def test_names_are_unique_and_resources_are_too(cloud: Cloud) -> None:
    first = await make(cloud.admin, "Web Tier")
    assert (await cloud.admin.post(ALL, json={"aggregate": {"name": "Web Tier"}})).status_code == 409
    second = await make(cloud.admin, "web  tier")
    listed = await aggregates.list_all(cloud.db)
    assert listed[0].name == "web-tier"
    assert listed[1].name.startswith("web-tier-")
    path = f"{ALL}/{second['id']}"
    assert (await cloud.admin.put(path, json={"aggregate": {"name": "Web Tier"}})).status_code == 409
    own = await cloud.admin.put(f"{ALL}/{first['id']}", json={"aggregate": {"name": "Web Tier"}})
    assert own.status_code == 200


async def test_one_of_many_who_ask_for_a_name_gets_it(cloud: Cloud) -> None:
    body = {"aggregate": {"name": "prize"}}
    answers = await asyncio.gather(*(cloud.admin.post(ALL, json=body) for _ in range(5)))
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409, 409]


async def test_hosts_come_and_go(cloud: Cloud) -> None:
    await cloud.host("one")
    await cloud.host("two")
    made = await make(cloud.admin, "rack")
    added = await act(cloud.admin, made, add_host={"host": "one"})
    assert added.json()["aggregate"]["hosts"] == ["one"]
    assert (await act(cloud.admin, made, add_host={"host": "one"})).status_code == 409
    assert (await act(cloud.admin, made, add_host={"host": "nobody_here"})).status_code == 404
    assert (await act(cloud.admin, made, remove_host={"host": "two"})).status_code == 404
    assert (await cloud.admin.delete(f"{ALL}/{made['id']}")).status_code == 400
    removed = await act(cloud.admin, made, remove_host={"host": "one"})
    assert removed.json()["aggregate"]["hosts"] == []
    assert (await act(cloud.admin, {"id": -1}, add_host={"host": "one"})).status_code == 404


async def test_changes_at_once_are_all_there(cloud: Cloud) -> None:
    names = [f"h{n}" for n in range(4)]
    for name in names:
        await cloud.host(name)
    made = await make(cloud.admin, "rack")
    hosts = [act(cloud.admin, made, add_host={"host": name}) for name in names]
    pairs = [act(cloud.admin, made, set_metadata={"metadata": {name: "yes"}}) for name in names]
    answers = await asyncio.gather(*hosts, *pairs)
    assert [answer.status_code for answer in answers] == [200] * 8
    resource = await cloud.aggregate("rack")
    assert sorted(resource.spec.hosts) == names
    assert resource.spec.metadata == dict.fromkeys(names, "yes")


async def test_a_host_is_in_one_zone_only(cloud: Cloud) -> None:
    await cloud.host("one")
    east, west = await make(cloud.admin, "e", "east"), await make(cloud.admin, "w", "west")
    plain = await make(cloud.admin, "plain")
    for aggregate in (east, plain):
        assert (await act(cloud.admin, aggregate, add_host={"host": "one"})).status_code == 200
    assert (await act(cloud.admin, west, add_host={"host": "one"})).status_code == 409
    for action in ({"availability_zone": "west"}, {"availability_zone": None}):
        answer = await cloud.admin.put(f"{ALL}/{plain['id']}", json={"aggregate": action})
        assert answer.status_code == 400
    answer = await act(cloud.admin, plain, set_metadata={"metadata": {"availability_zone": "west"}})
    assert answer.status_code == 400
    zones = (await cloud.anybody.get("/compute/v2.1/os-availability-zone")).json()
    assert [zone["zoneName"] for zone in zones["availabilityZoneInfo"]] == ["east"]


async def test_metadata_is_merged_and_null_removes(cloud: Cloud) -> None:
    made = await make(cloud.admin, "rack")

    async def put(**pairs: str | None) -> Any:
        answer = await act(cloud.admin, made, set_metadata={"metadata": pairs})
        assert answer.status_code == 200, answer.text
        return answer.json()["aggregate"]["metadata"]

    assert await put(ssd="true", gpu="none") == {"ssd": "true", "gpu": "none"}
    assert await put(gpu=None, availability_zone="east") == {"ssd": "true", "availability_zone": "east"}
    resource = await cloud.aggregate("rack")
    assert (resource.spec.metadata, resource.spec.availability_zone) == ({"ssd": "true"}, "east")
    refused = await act(cloud.admin, made, set_metadata={"metadata": {"ssd": ""}})
    assert refused.status_code == 400


async def test_what_kubectl_made_is_there_and_can_be_changed(cloud: Cloud) -> None:
    spec = HostAggregateSpec(id=77, metadata={"availability_zone": "east", "ssd": "true"})
    by_hand = HostAggregate(metadata=Metadata(name="by-hand"), spec=spec)
    await cloud.cluster.create(HostAggregate, by_hand.manifest())
    resource = await cloud.aggregate("by-hand")
    await aggregates.upsert(cloud.db, "by-hand", resource.spec, resource.metadata.uid)
    [shown] = (await cloud.admin.get(ALL)).json()["aggregates"]
    assert (shown["id"], shown["name"], shown["availability_zone"]) == (77, "by-hand", "east")
    answer = await cloud.admin.put(f"{ALL}/77", json={"aggregate": {"availability_zone": "west"}})
    assert answer.json()["aggregate"]["metadata"] == {"availability_zone": "west", "ssd": "true"}


@pytest.mark.parametrize(
    "body",
    [
        {"aggregate": {"name": ""}},
        {"aggregate": {"name": "a" * 256}},
        {"aggregate": {"name": " edge "}},
        {"aggregate": {"name": "x", "availability_zone": "a:b"}},
        {"aggregate": {"name": "x", "hosts": []}},
        {"aggregate": {}},
        {},
    ],
)
async def test_what_is_no_aggregate_is_refused(cloud: Cloud, body: Any) -> None:
    answer = await cloud.admin.post(ALL, json=body)
    assert answer.status_code == 400
    assert answer.json().keys() == {"badRequest"}


async def test_what_is_no_id_is_refused(cloud: Cloud) -> None:
    assert (await cloud.admin.get(f"{ALL}/first")).status_code == 400
    assert (await cloud.admin.get(f"{ALL}/-1")).status_code == 404
    made = await make(cloud.admin, "rack")
    for wrong in ({}, {"name": None}, {"name": "  "}, {"name": "bell\a"}, {"name": 5}):
        assert (await cloud.admin.put(f"{ALL}/{made['id']}", json={"aggregate": wrong})).status_code == 400
    assert (await cloud.admin.get(f"{ALL}?sort=up")).status_code == 400
    older = await cloud.at("2.101")
    assert (await older.get(f"{ALL}?sort=up")).status_code == 200


async def test_only_administrators_may(cloud: Cloud) -> None:
    made = await make(cloud.admin, "rack")
    one = f"{ALL}/{made['id']}"
    answers = [
        await cloud.anybody.get(ALL),
        await cloud.anybody.get(one),
        await cloud.anybody.post(ALL, json={"aggregate": {"name": "mine"}}),
        await cloud.anybody.put(one, json={"aggregate": {"name": "mine"}}),
        await cloud.anybody.delete(one),
        await act(cloud.anybody, made, add_host={"host": "one"}),
        await act(cloud.anybody, made, remove_host={"host": "one"}),
        await act(cloud.anybody, made, set_metadata={"metadata": {}}),
    ]
    assert {answer.status_code for answer in answers} == {403}


async def test_images_cannot_be_cached_beforehand_yet(cloud: Cloud) -> None:
    made = await make(cloud.admin, "rack")
    body = {"cache": [{"id": "70a599e0-31e7-49b7-b260-868f441e862b"}]}
    answer = await cloud.admin.post(f"{ALL}/{made['id']}/images", json=body)
    assert (answer.status_code, list(answer.json())) == (501, ["notImplemented"])
    older = await cloud.at("2.80")
    assert (await older.post(f"{ALL}/{made['id']}/images", json=body)).status_code == 404
