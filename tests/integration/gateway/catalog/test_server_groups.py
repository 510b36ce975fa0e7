"""Server groups through the Compute API, and as resources."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from cairn_crds import ServerGroup
from cairn_crds.base import Metadata
from cairn_crds.server_group import ServerGroupSpec
from cairn_database import instances, tenants
from cairn_runtime.kubernetes import NotFound
from integration.database.support import new
from integration.gateway.catalog.conftest import Town


def refused(answer: httpx.Response, status: int, key: str, message: str) -> None:
    assert (answer.status_code, answer.json()) == (status, {key: {"code": status, "message": message}})


async def make(client: httpx.AsyncClient, name: str = "my group", **fields: Any) -> dict[str, Any]:
    answer = await client.post("/os-server-groups", json={"server_group": {"name": name, **fields}})
    assert answer.status_code == 200, answer.text
    shown: dict[str, Any] = answer.json()["server_group"]
    return shown


async def test_a_group_is_made_shown_and_deleted(town: Town) -> None:
    client = await town.client()
    made = await make(client, policy="anti-affinity", rules={"max_server_per_host": 3})
    assert made == {
        "id": made["id"],
        "name": "my group",
        "policy": "anti-affinity",
        "rules": {"max_server_per_host": 3},
        "members": [],
        "project_id": await town.project_id(town.project),
        "user_id": f"{town.project}-member",
    }
    assert (await client.get(f"/os-server-groups/{made['id']}")).json() == {"server_group": made}
    assert (await client.get("/os-server-groups")).json() == {"server_groups": [made]}
    resource = await town.services.cluster.get(ServerGroup, "my-group", town.project)
    assert (resource.spec.id, resource.spec.display_name, resource.spec.max_server_per_host) == (
        made["id"],
        "my group",
        3,
    )
    second = await make(client, policy="affinity")
    assert second["rules"] == {}
    deleted = await client.delete(f"/os-server-groups/{made['id']}")
    assert (deleted.status_code, deleted.content) == (204, b"")
    with pytest.raises(NotFound):
        await town.services.cluster.get(ServerGroup, "my-group", town.project)
    refused(
        await client.delete(f"/os-server-groups/{made['id']}"),
        404,
        "itemNotFound",
        f"Instance group {made['id']} could not be found.",
    )
    assert (await client.get("/os-server-groups")).json() == {"server_groups": [second]}


async def test_versions_say_policies_in_their_way(town: Town) -> None:
    oldest, with_owner = await town.client(version="2.1"), await town.client(version="2.13")
    made = await make(oldest, policies=["affinity"])
    assert made.keys() == {"id", "name", "policies", "metadata", "members"}
    assert (made["policies"], made["metadata"]) == (["affinity"], {})
    shown = (await with_owner.get(f"/os-server-groups/{made['id']}")).json()["server_group"]
    assert shown.keys() - made.keys() == {"project_id", "user_id"}
    soft = {"server_group": {"name": "x", "policies": ["soft-affinity"]}}
    assert (await with_owner.post("/os-server-groups", json=soft)).status_code == 400
    newer = await town.client(version="2.15")
    assert (await make(newer, policies=["soft-affinity"]))["policies"] == ["soft-affinity"]


@pytest.mark.parametrize(
    ("version", "fields"),
    [
        ("2.63", {}),
        ("2.63", {"policies": []}),
        ("2.63", {"policies": ["affinity", "anti-affinity"]}),
        ("2.63", {"policies": ["legacy"]}),
        ("2.63", {"policy": "affinity"}),
        ("2.64", {}),
        ("2.64", {"policies": ["affinity"]}),
        ("2.64", {"policy": "legacy"}),
        ("2.64", {"policy": "anti-affinity", "rules": {"max_server_per_host": 0}}),
        ("2.64", {"policy": "anti-affinity", "rules": {"other": 1}}),
        ("2.64", {"policy": "affinity", "rules": {"max_server_per_host": 2}}),
        ("2.64", {"policy": "affinity", "name": ""}),
        ("2.64", {"policy": "affinity", "unknown": 1}),
    ],
)
async def test_what_nova_refuses_is_refused(town: Town, version: str, fields: dict[str, Any]) -> None:
    client = await town.client(version=version)
    body = {"server_group": {"name": "group", **fields}}
    assert (await client.post("/os-server-groups", json=body)).status_code == 400


async def test_others_groups_are_seen_by_administrators(town: Town) -> None:
    mine, theirs = await town.client(), await town.client(project=town.other)
    admin = await town.client("admin", project=town.other)
    made = await make(mine, policy="affinity")
    assert (await theirs.get("/os-server-groups?all_projects=1")).json() == {"server_groups": []}
    assert (await theirs.get(f"/os-server-groups/{made['id']}")).status_code == 403
    assert (await theirs.delete(f"/os-server-groups/{made['id']}")).status_code == 403
    assert (await admin.get("/os-server-groups")).json() == {"server_groups": []}
    assert (await admin.get("/os-server-groups?all_projects")).json() == {"server_groups": [made]}
    reader = await town.client("reader")
    body = {"server_group": {"name": "x", "policy": "affinity"}}
    assert (await reader.post("/os-server-groups", json=body)).status_code == 403
    assert (await reader.get(f"/os-server-groups/{made['id']}")).status_code == 200


async def test_members_are_the_live_instances(town: Town) -> None:
    client = await town.client()
    made = await make(client, policy="affinity")
    record = await instances.register(
        town.services.db, new(project=town.project, namespace=town.project, group_id=made["id"])
    )
    shown = (await client.get(f"/os-server-groups/{made['id']}")).json()["server_group"]
    assert shown["members"] == [record.id]


async def test_lists_have_offset_and_limit(town: Town) -> None:
    client = await town.client()
    ids = [(await make(client, policy="affinity"))["id"] for _ in range(3)]

    async def listed(query: str) -> list[str]:
        return [
            item["id"] for item in (await client.get(f"/os-server-groups?{query}")).json()["server_groups"]
        ]

    assert await listed("limit=2") == ids[:2]
    assert await listed("offset=1&limit=1") == ids[1:2]
    assert await listed("offset=9") == []
    assert (await client.get("/os-server-groups?limit=x")).status_code == 400
    assert (await client.get("/os-server-groups?offset=-1")).status_code == 400
    assert (await client.get("/os-server-groups?unknown=1")).status_code == 400


async def test_many_at_once_never_pass_the_limit(town: Town) -> None:
    project = f"{town.project}-small"
    await town.make_project(project, server_groups=3)
    client = await town.client(project=project)
    body = {"server_group": {"name": "group", "policy": "affinity"}}
    answers = await asyncio.gather(*(client.post("/os-server-groups", json=body) for _ in range(10)))
    assert sorted(answer.status_code for answer in answers) == [200] * 3 + [403] * 7
    [refusal, *_] = [answer for answer in answers if answer.status_code == 403]
    refused(refusal, 403, "forbidden", "Quota exceeded, too many server groups.")
    kept = await town.services.cluster.kubernetes.request("GET", ServerGroup.kind_info.path(project))
    assert len(kept["items"]) == 3


async def test_a_group_made_with_kubectl_is_in_the_api(town: Town) -> None:
    wanted = ServerGroup(
        metadata=Metadata(name="apart", namespace=town.project),
        spec=ServerGroupSpec.model_validate({"policy": "anti-affinity"}),
    )
    made = ServerGroup.from_api(await town.services.cluster.create(wanted))
    uid = made.metadata.uid
    await tenants.upsert_server_group(
        town.services.db, town.project, "apart", made.spec, group_id=uid, uid=uid
    )
    client = await town.client()
    shown = (await client.get(f"/os-server-groups/{uid}")).json()["server_group"]
    assert (shown["id"], shown["name"], shown["policy"], shown["user_id"]) == (
        uid,
        "apart",
        "anti-affinity",
        "",
    )
