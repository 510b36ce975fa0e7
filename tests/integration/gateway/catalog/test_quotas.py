"""Limits, quota sets and quota classes through the Compute API."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from cairn_crds import Project
from cairn_database import QuotaExceeded, instances, quotas, tenants
from integration.database.support import SMALL, new
from integration.gateway.catalog.conftest import Town

NEWEST = {"instances", "cores", "ram", "key_pairs", "server_groups", "server_group_members", "metadata_items"}
INJECTED = {"injected_files", "injected_file_content_bytes", "injected_file_path_bytes"}
NETWORK = {"fixed_ips", "floating_ips", "security_groups", "security_group_rules"}
GROUPS = {"server_groups", "server_group_members"}


def refused(answer: httpx.Response, status: int, key: str, message: str) -> None:
    assert (answer.status_code, answer.json()) == (status, {key: {"code": status, "message": message}})


async def quota_set(client: httpx.AsyncClient, path: str) -> dict[str, Any]:
    answer = await client.get(f"/os-quota-sets/{path}")
    assert answer.status_code == 200, answer.text
    shown: dict[str, Any] = answer.json()["quota_set"]
    return shown


@pytest.mark.parametrize(
    ("version", "names"),
    [
        ("2.35", NEWEST | INJECTED | NETWORK),
        ("2.36", NEWEST | INJECTED),
        ("2.56", NEWEST | INJECTED),
        ("2.57", NEWEST),
        ("2.104", NEWEST),
    ],
)
async def test_quota_sets_have_the_shape_of_the_version(town: Town, version: str, names: set[str]) -> None:
    client = await town.client("admin", version=version)
    project_id = await town.project_id(town.project)
    for path in ("", "/defaults", "/detail"):
        shown = await quota_set(client, project_id + path)
        assert shown.pop("id") == project_id
        assert shown.keys() == names
    assert shown["cores"] == {"in_use": 0, "limit": 20, "reserved": 0}
    updated = await client.put(f"/os-quota-sets/{project_id}", json={"quota_set": {"cores": "40"}})
    assert (updated.status_code, updated.json()["quota_set"].keys()) == (200, names)
    for gone in (INJECTED | NETWORK) - names:
        answer = await client.put(f"/os-quota-sets/{project_id}", json={"quota_set": {gone: 1}})
        assert answer.status_code == 400


async def test_a_projects_quotas_are_its_resources(town: Town) -> None:
    admin, member = await town.client("admin", version="2.35"), await town.client(version="2.35")
    project_id = await town.project_id(town.project)
    wanted = {"ram": 10240, "cores": 2, "floating_ips": 20, "injected_files": 10}
    updated = await admin.put(f"/os-quota-sets/{project_id}", json={"quota_set": wanted})
    assert updated.json()["quota_set"].items() >= wanted.items()
    assert (await quota_set(member, project_id)).items() >= wanted.items()
    resource = await town.services.cluster.get(Project, town.project)
    own = resource.spec.quotas
    assert (own.memory_mib, own.cores, own.instances, own.others) == (10240, 2, None, {"floating_ips": 20})
    assert (await quotas.report(town.services.db, town.project)).cores.limit == 2
    deleted = await admin.delete(f"/os-quota-sets/{project_id}")
    assert (deleted.status_code, deleted.content) == (202, b"")
    shown = await quota_set(member, project_id)
    assert (shown["ram"], shown["cores"], shown["floating_ips"]) == (51200, 20, -1)
    assert (await quotas.report(town.services.db, town.project)).cores.limit == 20


async def test_members_see_their_own_and_change_nothing(town: Town) -> None:
    member = await town.client()
    own, other = await town.project_id(town.project), await town.project_id(town.other)
    assert (await member.get(f"/os-quota-sets/{own}")).status_code == 200
    assert (await member.get(f"/os-quota-sets/{other}")).status_code == 403
    assert (await member.put(f"/os-quota-sets/{own}", json={"quota_set": {"ram": 0}})).status_code == 403
    assert (await member.delete(f"/os-quota-sets/{own}")).status_code == 403
    admin = await town.client("admin")
    refused(
        await admin.get("/os-quota-sets/nothing"),
        400,
        "badRequest",
        "Project ID nothing is not a valid project.",
    )
    assert (await admin.get(f"/os-quota-sets/{own}?unknown=1")).status_code == 400


async def test_users_have_limits_of_their_own(town: Town) -> None:
    admin, db = await town.client("admin"), town.services.db
    project_id = await town.project_id(town.project)
    path = f"/os-quota-sets/{project_id}?user_id=alice"
    updated = await admin.put(path, json={"quota_set": {"cores": 2, "instances": 5}})
    assert updated.json()["quota_set"]["cores"] == 2
    assert (await quota_set(admin, f"{project_id}?user_id=alice"))["cores"] == 2
    assert (await quota_set(admin, f"{project_id}?user_id=bob"))["cores"] == 20
    refused(
        await admin.put(path, json={"quota_set": {"cores": 21}}),
        400,
        "badRequest",
        "Quota limit 21 for cores must be less than or equal to 20.",
    )
    refused(
        await admin.put(f"/os-quota-sets/{project_id}", json={"quota_set": {"cores": 1}}),
        400,
        "badRequest",
        "Quota limit 1 for cores must be greater than or equal to already used and reserved 2.",
    )

    def take(user: str, cores: int) -> Any:
        return lambda conn: quotas.take(conn, town.project, quotas.Demand(0, cores, 0), user)

    await db.run(take("bob", 3))
    with pytest.raises(QuotaExceeded, match="Quota exceeded for cores: Requested 3, but already used 0 of 2"):
        await db.run(take("alice", 3))
    assert (await quotas.report(db, town.project)).cores.in_use == 3
    await admin.delete(path)
    assert (await quota_set(admin, f"{project_id}?user_id=alice"))["cores"] == 20


async def test_less_than_is_used_needs_force(town: Town) -> None:
    admin = await town.client("admin")
    project_id = await town.project_id(town.project)
    flavor = {**SMALL, "vcpus": 4}
    four = new(project=town.project, namespace=town.project, flavor=flavor)
    await instances.register(town.services.db, four)
    refused(
        await admin.put(f"/os-quota-sets/{project_id}", json={"quota_set": {"cores": 3}}),
        400,
        "badRequest",
        "Quota limit 3 for cores must be greater than or equal to already used and reserved 4.",
    )
    body = {"quota_set": {"cores": 3, "force": True}}
    assert (await admin.put(f"/os-quota-sets/{project_id}", json=body)).status_code == 200
    assert (await quota_set(admin, f"{project_id}/detail"))["cores"] == {
        "in_use": 4,
        "limit": 3,
        "reserved": 0,
    }
    limits = (await (await town.client()).get("/limits")).json()["limits"]["absolute"]
    assert (limits["totalCoresUsed"], limits["maxTotalCores"], limits["totalInstancesUsed"]) == (4, 3, 1)
    other = await town.client(project=town.other)
    assert (await other.get("/limits")).json()["limits"]["absolute"]["totalCoresUsed"] == 0
    assert (await other.get(f"/limits?tenant_id={project_id}")).status_code == 403
    admins = await admin.get(f"/limits?tenant_id={project_id}&reserved=1")
    assert admins.json()["limits"]["absolute"] == limits


@pytest.mark.parametrize("wrong", [{"cores": -2}, {"cores": 2**31}, {"cores": "x"}, {"unknown": 1}])
async def test_what_nova_refuses_is_refused(town: Town, wrong: dict[str, Any]) -> None:
    admin = await town.client("admin")
    path = f"/os-quota-sets/{await town.project_id(town.project)}"
    assert (await admin.put(path, json={"quota_set": wrong})).status_code == 400
    assert (await admin.put("/os-quota-class-sets/x", json={"quota_class_set": wrong})).status_code == 400


@pytest.mark.parametrize(
    ("version", "names"),
    [
        ("2.49", (NEWEST | INJECTED | NETWORK) - GROUPS),
        ("2.50", NEWEST | INJECTED),
        ("2.57", NEWEST),
    ],
)
async def test_the_default_class_is_what_projects_follow(town: Town, version: str, names: set[str]) -> None:
    admin = await town.client("admin", version=version)
    shown = (await admin.get("/os-quota-class-sets/default")).json()["quota_class_set"]
    assert shown.pop("id") == "default"
    assert shown.keys() == names
    more = {name: limit + 100 for name, limit in shown.items()}
    updated = await admin.put("/os-quota-class-sets/default", json={"quota_class_set": more})
    assert (updated.status_code, updated.json()["quota_class_set"]) == (200, more)
    project_id = await town.project_id(town.project)
    assert (await quota_set(admin, project_id))["cores"] == 120
    assert (await quotas.report(town.services.db, town.project)).memory_mib.limit == 51300
    await admin.put(f"/os-quota-sets/{project_id}", json={"quota_set": {"cores": 7}})
    await admin.put("/os-quota-class-sets/default", json={"quota_class_set": {"cores": 30, "ram": 4096}})
    report = await quotas.report(town.services.db, town.project)
    assert (report.cores.limit, report.memory_mib.limit) == (7, 4096)
    other = await admin.put("/os-quota-class-sets/gold", json={"quota_class_set": {"cores": 99}})
    assert other.json()["quota_class_set"]["cores"] == 99
    assert (await quota_set(admin, project_id))["cores"] == 7
    member = await town.client()
    assert (await member.get("/os-quota-class-sets/default")).status_code == 403


@pytest.mark.parametrize(
    ("version", "there", "gone"),
    [
        ("2.35", {"maxSecurityGroups", "totalFloatingIpsUsed", "maxImageMeta", "maxPersonality"}, set()),
        ("2.36", {"maxImageMeta", "maxPersonality"}, {"maxSecurityGroups", "totalFloatingIpsUsed"}),
        ("2.39", {"maxServerMeta", "maxPersonality"}, {"maxImageMeta"}),
        ("2.57", {"maxTotalKeypairs", "maxServerGroupMembers"}, {"maxPersonality", "maxPersonalitySize"}),
    ],
)
async def test_limits_have_the_shape_of_the_version(
    town: Town, version: str, there: set[str], gone: set[str]
) -> None:
    client = await town.client("reader", version=version)
    limits = (await client.get("/limits")).json()["limits"]
    assert limits["rate"] == []
    assert there <= limits["absolute"].keys()
    assert not gone & limits["absolute"].keys()
    assert (limits["absolute"]["maxTotalRAMSize"], limits["absolute"]["totalServerGroupsUsed"]) == (51200, 0)


async def test_a_late_look_at_the_project_changes_nothing(town: Town) -> None:
    admin, db = await town.client("admin"), town.services.db
    older = await town.services.cluster.get(Project, town.project)
    project_id = await town.project_id(town.project)
    await admin.put(f"/os-quota-sets/{project_id}", json={"quota_set": {"cores": 2}})
    late = older.metadata
    assert not await tenants.upsert_project(
        db, town.project, older.spec, uid=late.uid, generation=late.generation
    )
    assert (await quota_set(admin, project_id))["cores"] == 2
