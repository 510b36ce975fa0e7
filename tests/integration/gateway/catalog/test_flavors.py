"""Flavors through the Compute API, and as resources."""

from __future__ import annotations

import asyncio
import secrets
import uuid
from typing import Any

import httpx
import pytest

from cairn_crds import Flavor
from cairn_crds.base import Metadata
from cairn_crds.flavor import FlavorSpec
from cairn_database import catalog
from cairn_database.flavors import Seen
from cairn_runtime.kubernetes import NotFound
from integration.gateway.catalog.conftest import Town


def named(**fields: Any) -> dict[str, Any]:
    return {"flavor": {"name": f"m1.{secrets.token_hex(4)}", "ram": 512, "vcpus": 1, "disk": 10, **fields}}


async def make(client: httpx.AsyncClient, **fields: Any) -> dict[str, Any]:
    answer = await client.post("/flavors", json=named(**fields))
    assert answer.status_code == 200, answer.text
    shown: dict[str, Any] = answer.json()["flavor"]
    return shown


def refused(answer: httpx.Response, status: int, key: str, message: str) -> None:
    assert (answer.status_code, answer.json()) == (status, {key: {"code": status, "message": message}})


async def test_a_flavor_is_made_and_shown_as_nova_does(town: Town) -> None:
    admin, member = await town.client("admin", version="2.1"), await town.client(version="2.1")
    made = await make(admin, id="42", swap=1024, rxtx_factor=2)
    assert made == {
        "id": "42",
        "name": made["name"],
        "ram": 512,
        "vcpus": 1,
        "disk": 10,
        "swap": 1024,
        "OS-FLV-EXT-DATA:ephemeral": 0,
        "OS-FLV-DISABLED:disabled": False,
        "os-flavor-access:is_public": True,
        "rxtx_factor": 2.0,
        "links": [
            {"rel": "self", "href": "http://cloud.test/compute/v2.1/flavors/42"},
            {"rel": "bookmark", "href": "http://cloud.test/compute/flavors/42"},
        ],
    }
    assert (await member.get("/flavors/42")).json() == {"flavor": made}
    brief = {key: made[key] for key in ("id", "name", "links")}
    assert brief in (await member.get("/flavors")).json()["flavors"]
    assert made in (await member.get("/flavors/detail")).json()["flavors"]
    resource = await town.services.cluster.get(Flavor, made["name"])
    assert (resource.spec.id, resource.spec.display_name, resource.spec.memory_mib) == (
        "42",
        made["name"],
        512,
    )


@pytest.mark.parametrize(
    ("version", "there", "gone", "swap"),
    [
        ("2.54", {"rxtx_factor"}, {"description", "extra_specs"}, ""),
        ("2.55", {"description", "rxtx_factor"}, {"extra_specs"}, ""),
        ("2.61", {"description", "extra_specs"}, set(), ""),
        ("2.75", {"extra_specs", "OS-FLV-DISABLED:disabled"}, set(), 0),
        ("2.102", {"extra_specs"}, {"rxtx_factor", "OS-FLV-DISABLED:disabled"}, 0),
    ],
)
async def test_each_version_has_its_shape(
    town: Town, version: str, there: set[str], gone: set[str], swap: Any
) -> None:
    admin = await town.client("admin", version=version)
    made = await make(admin)
    assert there <= made.keys()
    assert not gone & made.keys()
    assert made["swap"] == swap
    assert str(uuid.UUID(made["id"])) == made["id"]


async def test_ids_and_names_are_unique(town: Town) -> None:
    admin = await town.client("admin")
    first = await make(admin, id="small")
    refused(
        await admin.post("/flavors", json=named(id="small")),
        409,
        "conflictingRequest",
        "Flavor with ID small already exists.",
    )
    refused(
        await admin.post("/flavors", json=named(name=first["name"])),
        409,
        "conflictingRequest",
        f"Flavor with name {first['name']} already exists.",
    )


async def test_many_who_want_the_same_name_get_one(town: Town) -> None:
    admin = await town.client("admin")
    body = named(name=f"same {secrets.token_hex(3)}")
    answers = await asyncio.gather(*(admin.post("/flavors", json=body) for _ in range(8)))
    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 7
    [flavor] = [
        item
        for item in await catalog.flavors.records(town.services.db)
        if item.name == body["flavor"]["name"]
    ]
    assert flavor.resource.startswith("same-")


@pytest.mark.parametrize(
    "wrong",
    [
        {"ram": 0},
        {"ram": -1},
        {"vcpus": "one"},
        {"disk": -1},
        {"swap": 2**31},
        {"name": ""},
        {"name": " edge"},
        {"name": "x" * 256},
        {"id": ""},
        {"id": " 1"},
        {"id": "a/b"},
        {"id": "x" * 256},
        {"rxtx_factor": 0},
        {"rxtx_factor": "-1"},
        {"os-flavor-access:is_public": "maybe"},
        {"unknown": 1},
    ],
)
async def test_what_nova_refuses_is_refused(town: Town, wrong: dict[str, Any]) -> None:
    admin = await town.client("admin")
    answer = await admin.post("/flavors", json=named(**wrong))
    assert (answer.status_code, list(answer.json())) == (400, ["badRequest"])


async def test_only_administrators_make_and_delete(town: Town) -> None:
    admin, member = await town.client("admin"), await town.client()
    made = await make(admin)
    assert (await member.post("/flavors", json=named())).status_code == 403
    assert (await member.delete(f"/flavors/{made['id']}")).status_code == 403
    assert (await admin.delete(f"/flavors/{made['id']}")).status_code == 202
    refused(
        await admin.get(f"/flavors/{made['id']}"),
        404,
        "itemNotFound",
        f"Flavor {made['id']} could not be found.",
    )
    assert (await admin.delete(f"/flavors/{made['id']}")).status_code == 404
    with pytest.raises(NotFound):
        await town.services.cluster.get(Flavor, made["name"])


async def test_the_description_can_be_changed(town: Town) -> None:
    admin = await town.client("admin")
    made = await make(admin, description="first")
    changed = await admin.put(f"/flavors/{made['id']}", json={"flavor": {"description": "second"}})
    assert changed.json()["flavor"] == {**made, "description": "second"}
    await admin.put(f"/flavors/{made['id']}", json={"flavor": {"description": None}})
    assert (await admin.get(f"/flavors/{made['id']}")).json()["flavor"]["description"] is None
    old = await town.client("admin", version="2.54")
    answer = await old.put(f"/flavors/{made['id']}", json={"flavor": {"description": "second"}})
    assert answer.status_code == 404


async def test_what_is_not_public_is_seen_by_whom_it_is_for(town: Town) -> None:
    admin, member = await town.client("admin", project=town.other), await town.client()
    made = await make(admin, **{"os-flavor-access:is_public": "False"})
    path, project_id = f"/flavors/{made['id']}", await town.project_id(town.project)

    async def seen_by(client: httpx.AsyncClient, query: str = "") -> bool:
        return made["id"] in [item["id"] for item in (await client.get(f"/flavors{query}")).json()["flavors"]]

    assert not await seen_by(admin)
    assert await seen_by(admin, "?is_public=None")
    assert await seen_by(admin, "?is_public=false")
    assert not await seen_by(member, "?is_public=None")
    assert (await member.get(path)).status_code == 404
    access = {"flavor_access": [{"flavor_id": made["id"], "tenant_id": project_id}]}
    added = await admin.post(f"{path}/action", json={"addTenantAccess": {"tenant": project_id}})
    assert (added.status_code, added.json()) == (200, access)
    assert (await admin.get(f"{path}/os-flavor-access")).json() == access
    assert await seen_by(member)
    assert (await member.get(path)).status_code == 200
    refused(
        await admin.post(f"{path}/action", json={"addTenantAccess": {"tenant": project_id}}),
        409,
        "conflictingRequest",
        f"Flavor access already exists for flavor {made['id']} and project {project_id} combination.",
    )
    removed = await admin.post(f"{path}/action", json={"removeTenantAccess": {"tenant": project_id}})
    assert removed.json() == {"flavor_access": []}
    assert not await seen_by(member)
    refused(
        await admin.post(f"{path}/action", json={"removeTenantAccess": {"tenant": project_id}}),
        404,
        "itemNotFound",
        f"Flavor access not found for {made['id']} / {project_id} combination.",
    )
    refused(
        await admin.post(f"{path}/action", json={"addTenantAccess": {"tenant": "nobody"}}),
        400,
        "badRequest",
        "Project ID nobody is not a valid project.",
    )
    assert (await member.post(f"{path}/action", json={"addTenantAccess": {"tenant": "x"}})).status_code == 403


async def test_public_flavors_have_no_list_of_projects(town: Town) -> None:
    admin = await town.client("admin")
    made = await make(admin)
    refused(
        await admin.get(f"/flavors/{made['id']}/os-flavor-access"),
        404,
        "itemNotFound",
        "Access list not available for public flavors.",
    )
    body = {"addTenantAccess": {"tenant": await town.project_id(town.project)}}
    answer = await admin.post(f"/flavors/{made['id']}/action", json=body)
    refused(answer, 409, "conflictingRequest", "Can not add access to a public flavor.")
    old = await town.client("admin", version="2.6")
    assert (await old.post(f"/flavors/{made['id']}/action", json=body)).status_code == 200


async def test_extra_specs_are_added_changed_and_deleted(town: Town) -> None:
    admin, member = await town.client("admin"), await town.client()
    made = await make(admin)
    path = f"/flavors/{made['id']}/os-extra_specs"
    specs = {"hw:numa_nodes": "1", "hw:cpu_policy": "shared"}
    added = await admin.post(path, json={"extra_specs": specs})
    assert (added.status_code, added.json()) == (200, {"extra_specs": specs})
    assert (await member.get(path)).json() == {"extra_specs": specs}
    assert (await member.get(f"{path}/hw:numa_nodes")).json() == {"hw:numa_nodes": "1"}
    changed = await admin.put(f"{path}/hw:numa_nodes", json={"hw:numa_nodes": "2"})
    assert (changed.status_code, changed.json()) == (200, {"hw:numa_nodes": "2"})
    assert (await member.get(f"/flavors/{made['id']}")).json()["flavor"]["extra_specs"] == {
        **specs,
        "hw:numa_nodes": "2",
    }
    assert (await admin.delete(f"{path}/hw:numa_nodes")).status_code == 200
    assert (await member.get(path)).json() == {"extra_specs": {"hw:cpu_policy": "shared"}}
    refused(
        await member.get(f"{path}/hw:numa_nodes"),
        404,
        "itemNotFound",
        f"Flavor {made['id']} has no extra specs with key hw:numa_nodes.",
    )
    assert (await admin.delete(f"{path}/hw:numa_nodes")).status_code == 404
    for answer in (
        await member.post(path, json={"extra_specs": specs}),
        await member.put(f"{path}/hw:cpu_policy", json={"hw:cpu_policy": "mixed"}),
        await member.delete(f"{path}/hw:cpu_policy"),
    ):
        assert answer.status_code == 403


async def test_extra_specs_that_cannot_be_are_refused(town: Town) -> None:
    admin, old = await town.client("admin"), await town.client("admin", version="2.85")
    path = f"/flavors/{(await make(admin))['id']}/os-extra_specs"
    for key, body in (
        ("hw:numa_nodes", {"hw:cpu_policy": "shared"}),
        ("hw:numa_nodes", {"hw:numa_nodes": "1", "hw:cpu_policy": "shared"}),
        ("hw:numa_nodes", {}),
        ("hw:numa_nodes", {"hw:numa_nodes": "many"}),
        ("hw:unheard_of", {"hw:unheard_of": "1"}),
        ("a/b", {"a/b": "1"}),
    ):
        answer = await admin.put(f"{path}/{key}", json=body)
        assert answer.status_code in (400, 404), body
        assert (await admin.get(path)).json() == {"extra_specs": {}}
    refused(
        await admin.post(path, json={"extra_specs": {"hw:unheard_of": "1"}}),
        400,
        "badRequest",
        "Validation failed; extra spec 'hw:unheard_of' does not appear to be a valid extra spec.",
    )
    assert (await old.post(path, json={"extra_specs": {"hw:unheard_of": 1, "mine": "x"}})).status_code == 200
    assert (await admin.get(path)).json() == {"extra_specs": {"hw:unheard_of": "1", "mine": "x"}}


async def test_lists_are_sorted_filtered_and_paged(town: Town) -> None:
    admin, member = await town.client("admin"), await town.client()
    for number in range(5):
        await make(admin, id=f"page-{number}", ram=512 * (number + 1), disk=number, vcpus=9 - number)

    async def ids(query: str) -> list[str]:
        answer = await member.get(f"/flavors?{query}")
        assert answer.status_code == 200, answer.text
        return [item["id"] for item in answer.json()["flavors"]]

    everything = [f"page-{number}" for number in range(5)]
    assert await ids("") == everything
    assert await ids("minRam=2048") == everything[3:]
    assert await ids("minDisk=2&minRam=1") == everything[2:]
    assert await ids("sort_key=vcpus") == everything[::-1]
    assert await ids("sort_key=memory_mb&sort_dir=desc") == everything[::-1]
    first = (await member.get("/flavors/detail?limit=2&minRam=1")).json()
    assert [item["id"] for item in first["flavors"]] == everything[:2]
    [link] = first["flavors_links"]
    assert link["rel"] == "next"
    second = (await member.get(link["href"])).json()
    assert [item["id"] for item in second["flavors"]] == everything[2:4]
    third = (await member.get(second["flavors_links"][0]["href"])).json()
    assert ([item["id"] for item in third["flavors"]], "flavors_links" in third) == (everything[4:], False)
    assert await ids("name=.") == everything
    assert await ids("name=nothing") == []
    for query, message in (
        ("marker=none", "marker [none] not found"),
        ("minRam=x", "Invalid minRam filter [x]"),
        ("minDisk=x", "Invalid minDisk filter [x]"),
    ):
        refused(await member.get(f"/flavors?{query}"), 400, "badRequest", message)
    refused(await admin.get("/flavors?is_public=x"), 400, "badRequest", "Invalid is_public filter [x]")
    for query in ("limit=-1", "limit=x", "sort_key=color", "sort_dir=up", "unknown=1", "name=(a%2B)%2B"):
        assert (await member.get(f"/flavors?{query}")).status_code == 400, query
    old = await town.client(version="2.74")
    assert (await old.get("/flavors?unknown=1")).status_code == 200


async def test_a_flavor_made_with_kubectl_is_in_the_api(town: Town) -> None:
    name = f"tiny-{secrets.token_hex(3)}"
    flavor = Flavor(metadata=Metadata(name=name), spec=FlavorSpec(vcpus=1, memory_mib=64))
    made = Flavor.from_api(await town.services.cluster.create(flavor))
    seen = Seen(made.metadata.uid, made.metadata.generation)
    await catalog.flavors.upsert(town.services.db, name, made.spec, seen)
    member = await town.client()
    shown = (await member.get(f"/flavors/{name}")).json()["flavor"]
    assert (shown["id"], shown["name"], shown["ram"]) == (name, name, 64)
