"""Projects are Project resources: made by either side, seen by both."""

from __future__ import annotations

import asyncio
import json

from cairn_crds import Project
from cairn_database import tenants
from cairn_local.control_plane.running import RunningControlPlane
from integration.gateway.identity.people import IdentityCloud


async def test_a_project_of_the_api_is_a_resource_with_a_namespace(
    cloud: IdentityCloud, plane: RunningControlPlane
) -> None:
    admin = await cloud.admin()
    made = await admin.make("project", name="Blue Sky №1", description="up there")
    assert made["name"] == "Blue Sky №1"
    assert made["parent_id"] == made["domain_id"] == "default"
    record = await tenants.get_project_by_id(cloud.services.db, made["id"])
    assert record is not None
    assert record.name.startswith("blue-sky")
    resource = json.loads(plane.kubectl("get", "project", record.name, "-o", "json"))
    assert resource["spec"]["displayName"] == "Blue Sky №1"
    assert resource["spec"]["id"] == made["id"]
    namespace = json.loads(plane.kubectl("get", "namespace", record.namespace, "-o", "json"))
    assert namespace["metadata"]["labels"]["compute.cairn.dev/project"] == record.name
    changed = await admin.ask(
        "PATCH", f"/projects/{made['id']}", {"project": {"name": "Grey", "description": ""}}
    )
    assert changed.json()["project"]["name"] == "Grey"
    resource = json.loads(plane.kubectl("get", "project", record.name, "-o", "json"))
    assert resource["spec"]["displayName"] == "Grey"
    assert "description" not in resource["spec"]
    assert (await admin.ask("DELETE", f"/projects/{made['id']}")).status_code == 204
    assert (await admin.ask("GET", f"/projects/{made['id']}")).status_code == 404
    assert plane.kubectl("get", "project", record.name, "--ignore-not-found") == ""


async def test_a_name_is_had_once_but_its_resource_name_is_found(cloud: IdentityCloud) -> None:
    admin = await cloud.admin()
    one = await admin.make("project", name="Same!")
    again = await admin.ask("POST", "/projects", {"project": {"name": "Same!"}})
    assert again.status_code == 409
    two = await admin.make("project", name="same")
    names = {
        record.name
        for record in await tenants.list_projects(cloud.services.db)
        if record.id in (one["id"], two["id"])
    }
    assert len(names) == 2
    renamed = await admin.ask("PATCH", f"/projects/{two['id']}", {"project": {"name": "Same!"}})
    assert renamed.status_code == 409
    for project in (one, two):
        assert (await admin.ask("DELETE", f"/projects/{project['id']}")).status_code == 204


async def test_one_of_many_at_once_gets_the_name(cloud: IdentityCloud) -> None:
    admin = await cloud.admin()
    body = {"project": {"name": "race"}}
    answers = await asyncio.gather(*(admin.ask("POST", "/projects", body) for _ in range(5)))
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409, 409]
    kubernetes = cloud.services.cluster.kubernetes
    items, _version = await kubernetes.list_all(Project)
    shown = [item["metadata"] for item in items if item["spec"].get("displayName") == "race"]
    assert len([item for item in shown if not item.get("deletionTimestamp")]) == 1


async def test_a_namespace_that_is_there_is_nobodys_project(cloud: IdentityCloud) -> None:
    admin = await cloud.admin()
    for name in ("kube-system", "default", "cairn-node-a"):
        made = await admin.make("project", name=name)
        record = await tenants.get_project_by_id(cloud.services.db, made["id"])
        assert record is not None
        assert record.namespace != name
        assert (await admin.ask("DELETE", f"/projects/{made['id']}")).status_code == 204


async def test_a_project_of_kubectl_is_in_the_api(cloud: IdentityCloud) -> None:
    admin = await cloud.admin()
    uid = "11111111-2222-3333-4444-555555555555"
    project = Project.from_api({"metadata": {"name": "by-hand"}, "spec": {}})
    await tenants.upsert_project(cloud.services.db, "by-hand", project.spec, uid=uid)
    [shown] = (await admin.get("/projects?name=by-hand"))["projects"]
    assert shown["id"] == uid.replace("-", "")


async def test_what_has_no_meaning_here_is_refused(cloud: IdentityCloud) -> None:
    admin = await cloud.admin()
    for fields in ({"is_domain": True}, {"parent_id": "0" * 32}, {"tags": ["x"]}, {"domain_id": "none"}):
        answer = await admin.ask("POST", "/projects", {"project": {"name": "x", **fields}})
        assert answer.status_code in (400, 404), answer.text
