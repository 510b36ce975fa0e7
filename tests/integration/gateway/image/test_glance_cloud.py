"""Images of servers where people are in a Keystone and images in a Glance, end to end."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from cairn_crds import Instance
from cairn_local.control_plane.running import RunningControlPlane
from support.cloud import Cloud, running_cloud
from support.openstack_cloud import FAST
from support.openstack_services import RunningGlance

DATA = b"a disk in glance" * 1000
LOOK_SECONDS = 0.3
"""Between two looks at Glance, which asks Keystone about the token every time."""


class Client:
    """A member of one project, at the Compute API and at Glance."""

    def __init__(self, cloud: Cloud, glance: RunningGlance, token: str) -> None:
        self.glance = glance
        self.token = token
        self.cloud = cloud
        url = f"{cloud.stack.gateway_url}/compute/v2.1"
        headers = {"X-Auth-Token": token, "OpenStack-API-Version": "compute 2.79"}
        self.nova = httpx.Client(base_url=url, headers=headers, timeout=60)

    def post(self, path: str, **body: Any) -> dict[str, Any]:
        """The answer, which is 202."""
        answer = self.nova.post(path, json=body)
        assert answer.status_code == 202, answer.text
        return dict(answer.json()) if answer.content else {}

    def boot(self, image_id: str) -> str:
        """An active server from that image; its id."""
        server = {"name": "web", "flavorRef": "tiny", "imageRef": image_id, "networks": "auto"}
        server_id: str = self.post("/servers", server=server)["server"]["id"]
        self.until(server_id, "ACTIVE")
        return server_id

    def until(self, server_id: str, status: str) -> None:
        """Wait for the server to have that status and no task."""

        def look() -> bool:
            shown = self.nova.get(f"/servers/{server_id}").json()["server"]
            assert shown["status"] in (status, "ERROR", "BUILD") or shown["OS-EXT-STS:task_state"], shown
            assert shown["status"] != "ERROR" or status == "ERROR", shown
            return bool(shown["status"] == status and shown["OS-EXT-STS:task_state"] is None)

        self.cloud.wait(f"{server_id} {status}", look, 90)

    def images(self, **properties: str) -> dict[str, dict[str, Any]]:
        """Those in Glance that have these properties, by name."""
        query = str(httpx.QueryParams(properties))
        found = self.glance.request("GET", f"/v2/images?{query}", token=self.token)["images"]
        return {image["name"]: image for image in found}

    def image(self, wanted: Callable[[], dict[str, dict[str, Any]]], *names: str) -> None:
        """Wait until those are active and no others are there."""

        def look() -> bool:
            time.sleep(LOOK_SECONDS)
            found = wanted()
            return sorted(found) == sorted(names) and all(i["status"] == "active" for i in found.values())

        self.cloud.wait(f"images {names} in Glance", look, 60)


def member(glance: RunningGlance) -> tuple[str, str]:
    """A project of its own in Keystone, and the token of a member of it."""
    keystone, name = glance.keystone, f"yellow-{time.time_ns()}"
    project = keystone.create("project", name=name, domain_id="default")
    user = keystone.create("user", name=name, password="pw", domain_id="default")
    keystone.grant(user["id"], project["id"], "member")
    return project["id"], keystone.token(name, "pw", name)


def gateway_settings(glance: RunningGlance) -> dict[str, object]:
    """People in that Glance's Keystone, images in it."""
    keystone = glance.keystone
    return {
        "identity__backend": "keystone",
        "identity__keystone_url": keystone.url,
        "identity__service_user": keystone.admin_user,
        "identity__service_password": keystone.admin_password,
        "identity__service_project": "admin",
        "identity__cache_seconds": 60,
        "images__backend": "glance",
        "images__glance__url": glance.url,
        "images__glance__keystone_url": keystone.url,
        "images__glance__username": keystone.admin_user,
        "images__glance__password": keystone.admin_password,
        "images__glance__project": "admin",
        "images__sweep_seconds": 1,
    }


def uploaded(glance: RunningGlance, token: str) -> str:
    """An image to begin with; its id."""
    body = {"name": "base", "disk_format": "raw", "container_format": "bare"}
    image_id: str = glance.request("POST", "/v2/images", body, token)["id"]
    headers = {"X-Auth-Token": token, "Content-Type": "application/octet-stream"}
    url = f"{glance.url}/v2/images/{image_id}/file"
    assert httpx.put(url, content=DATA, headers=headers, timeout=60).status_code == 204
    return image_id


def test_images_of_servers_are_in_glance(
    cluster: RunningControlPlane, real_glance: RunningGlance, tmp_path: Path
) -> None:
    project_id, token = member(real_glance)
    with running_cloud(cluster, tmp_path, nodes=1, settings=FAST) as cloud:
        try:
            quotas = {"instances": -1, "cores": -1, "memoryMiB": -1}
            manifest = {"apiVersion": "compute.cairn.dev/v1alpha1", "kind": "Project"}
            cloud.apply(
                {**manifest, "metadata": {"name": "yellow"}, "spec": {"id": project_id, "quotas": quotas}}
            )
            cloud.kubectl("wait", "--for=condition=Ready", "project/yellow", "--timeout=60s")
            cloud.processes.add(cloud.stack.gateway(**gateway_settings(real_glance)))
            play(Client(cloud, real_glance, token), uploaded(real_glance, token), project_id)
        finally:
            cloud.kubectl("delete", "images.compute.cairn.dev", "--all")


def play(ann: Client, base: str, project_id: str) -> None:
    """createImage and a boot of it, createBackup, shelve and unshelve, a Snapshot made with kubectl."""
    server_id = ann.boot(base)

    def of_server(kind: str) -> dict[str, dict[str, Any]]:
        return ann.images(instance_uuid=server_id, image_type=kind)

    action = f"/servers/{server_id}/action"
    made = ann.post(action, createImage={"name": "snap", "metadata": {"note": "mine"}})["image_id"]
    ann.image(lambda: of_server("snapshot"), "snap")
    shown = of_server("snapshot")["snap"]
    assert (shown["id"], shown["owner"], shown["base_image_ref"]) == (made, project_id, base)
    assert (shown["note"], shown["visibility"]) == ("mine", "private")
    data = httpx.get(f"{ann.glance.url}/v2/images/{made}/file", headers={"X-Auth-Token": ann.token}).content
    assert len(data) == shown["size"] > 0
    assert hashlib.sha512(data).hexdigest() == shown["os_hash_value"]
    assert ann.boot(made)

    for number in (1, 2):
        ann.until(server_id, "ACTIVE")
        ann.post(action, createBackup={"name": f"b{number}", "backup_type": "daily", "rotation": 1})
        ann.image(lambda: of_server("backup"), f"b{number}")

    ann.until(server_id, "ACTIVE")
    ann.post(action, shelve=None)
    ann.until(server_id, "SHELVED_OFFLOADED")
    ann.image(lambda: of_server("snapshot"), "snap", "web-shelved")
    ann.post(action, unshelve=None)
    ann.until(server_id, "ACTIVE")
    ann.image(lambda: of_server("snapshot"), "snap")

    instance = next(
        body["metadata"]
        for body in ann.cloud.api.list(Instance)
        if body["status"].get("instanceId") == server_id
    )
    ann.cloud.apply(
        {
            "apiVersion": "compute.cairn.dev/v1alpha1",
            "kind": "Snapshot",
            "metadata": {"name": "by-kubectl", "namespace": instance["namespace"]},
            "spec": {"instance": instance["name"]},
        }
    )
    ann.image(lambda: of_server("snapshot"), "snap", "by-kubectl")
    assert of_server("snapshot")["by-kubectl"]["owner"] == project_id

    assert ann.nova.delete(f"/servers/{server_id}").status_code == 204
    ann.cloud.wait("deletion", lambda: ann.nova.get(f"/servers/{server_id}").status_code == 404, 60)
