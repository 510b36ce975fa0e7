"""Every action of the Compute API, from the request to its end, on the fake driver."""

from __future__ import annotations

import json
import uuid

import pytest

from cairn_crds import Image, Instance, Snapshot
from integration.actions.conftest import RECLAIM_SECONDS
from integration.actions.world import Actor
from support.openstack_cloud import OpenStackCloud

HOST = "OS-EXT-SRV-ATTR:host"
VM = "OS-EXT-STS:vm_state"


@pytest.fixture(scope="module", autouse=True)
def larger(openstack: OpenStackCloud) -> None:
    """A flavor to resize to."""
    openstack.cloud.apply(
        {
            "apiVersion": "compute.cairn.dev/v1alpha1",
            "kind": "Flavor",
            "metadata": {"name": "larger"},
            "spec": {"vcpus": 2, "memoryMiB": 128},
        }
    )


def events(ann: Actor, server_id: str) -> tuple[str, list[str]]:
    shown = ann.action(server_id)
    assert {event["result"] for event in shown["events"]} <= {"Success"}, shown
    return shown["action"], [event["event"] for event in reversed(shown["events"])]


def test_resize_confirm_and_revert(ann: Actor) -> None:
    server_id = ann.boot("resized")
    ann.act(server_id, resize={"flavorRef": "larger"})
    shown = ann.until(server_id, "VERIFY_RESIZE")
    assert (shown["flavor"]["ram"], shown["flavor"]["original_name"]) == (128, "larger")
    assert events(ann, server_id)[0] == "resize"
    ann.act(server_id, revertResize=None)
    shown = ann.until(server_id, "ACTIVE")
    assert shown["flavor"]["ram"] == 64
    assert events(ann, server_id) == ("revertResize", ["compute_revert_resize"])
    ann.act(server_id, resize={"flavorRef": "larger"})
    ann.until(server_id, "VERIFY_RESIZE")
    ann.act(server_id, status=204, confirmResize=None)
    shown = ann.until(server_id, "ACTIVE")
    assert shown["flavor"]["ram"] == 128
    assert events(ann, server_id) == ("confirmResize", ["compute_confirm_resize"])


def test_cold_migration_to_a_host(ann: Actor) -> None:
    server_id = ann.boot("moved")
    before = ann.show(server_id)
    host = next(name for name in ("node-0", "node-1", "node-2") if name != before[HOST])
    ann.act(server_id, admin=True, migrate={"host": host})
    shown = ann.until(server_id, "VERIFY_RESIZE")
    assert (shown[HOST], shown["addresses"]) == (host, before["addresses"])
    ann.act(server_id, status=204, confirmResize=None)
    ann.until(server_id, "ACTIVE")
    listed = ann.call("GET", f"/os-migrations?instance_uuid={server_id}", admin=True).body["migrations"]
    assert [(one["migration_type"], one["status"], one["dest_compute"]) for one in listed] == [
        ("migration", "confirmed", host)
    ]


def test_live_migration(ann: Actor) -> None:
    server_id = ann.boot("running")
    before = ann.show(server_id)
    ann.act(server_id, admin=True, **{"os-migrateLive": {"host": None, "block_migration": "auto"}})
    shown = ann.until(server_id, "ACTIVE")
    assert shown[HOST] != before[HOST]
    assert events(ann, server_id)[0] == "live-migration"
    listed = ann.call("GET", f"/servers/{server_id}/migrations", admin=True).body
    assert listed == {"migrations": []}


def test_rebuild(ann: Actor) -> None:
    server_id = ann.boot("rebuilt")
    image = ann.image("demo")
    answer = ann.act(server_id, rebuild={"imageRef": image, "name": "anew", "metadata": {"a": "b"}})
    assert answer["server"]["adminPass"]
    shown = ann.until(server_id, "ACTIVE")
    assert (shown["name"], shown["metadata"]) == ("anew", {"a": "b"})
    assert events(ann, server_id) == ("rebuild", ["compute_rebuild_instance"])


def test_rescue_and_unrescue(ann: Actor) -> None:
    server_id = ann.boot("ill")
    assert ann.act(server_id, status=200, rescue=None)["adminPass"]
    assert ann.until(server_id, "RESCUE")[VM] == "rescued"
    assert events(ann, server_id) == ("rescue", ["compute_rescue_instance"])
    ann.act(server_id, unrescue=None)
    ann.until(server_id, "ACTIVE")
    assert events(ann, server_id) == ("unrescue", ["compute_unrescue_instance"])


def test_an_image_is_made_and_boots(ann: Actor) -> None:
    server_id = ann.boot("model")
    image_id = ann.act(server_id, createImage={"name": "of-model", "metadata": {"k": "v"}})["image_id"]
    ann.until(server_id, "ACTIVE")
    image = ann.until_image(image_id)
    assert (image["instance_uuid"], image["image_type"], image["k"]) == (server_id, "snapshot", "v")
    assert events(ann, server_id) == ("createImage", ["compute_snapshot_instance"])
    copy = ann.boot("copy", imageRef=image_id)
    assert ann.show(copy)["image"]["id"] == image_id
    assert ann.call("DELETE", f"//image/v2/images/{image_id}").status == 204


def test_backups_rotate(ann: Actor, openstack: OpenStackCloud) -> None:
    server_id = ann.boot("dear")
    made = []
    for number in range(3):
        wanted = {"name": f"backup-{number}", "backup_type": "daily", "rotation": 2}
        made.append(ann.act(server_id, createBackup=wanted)["image_id"])
        ann.until(server_id, "ACTIVE")
        ann.until_image(made[-1])
    ann.wait("the first to go", lambda: ann.call("GET", f"//image/v2/images/{made[0]}").status == 404)
    for image_id in made[1:]:
        assert ann.until_image(image_id)["backup_type"] == "daily"
    ids = {body["spec"].get("id") for body in openstack.cloud.api.list(Image)}
    assert made[0] not in ids, "its resource goes, too"
    assert set(made[1:]) <= ids
    for image_id in made[1:]:
        ann.call("DELETE", f"//image/v2/images/{image_id}")


def test_shelve_offload_and_unshelve(ann: Actor, openstack: OpenStackCloud) -> None:
    server_id = ann.boot("asleep")
    addresses = ann.show(server_id)["addresses"]
    ann.act(server_id, shelve=None)
    shown = ann.until(server_id, "SHELVED_OFFLOADED")
    assert (shown[HOST], shown["hostId"], shown["addresses"]) == (None, "", addresses)
    images = ann.call("GET", "//image/v2/images?name=asleep-shelved").body["images"]
    assert [image["status"] for image in images] == ["active"]
    ann.act(server_id, unshelve=None)
    shown = ann.until(server_id, "ACTIVE")
    assert shown[HOST] is not None
    assert shown["addresses"] == addresses
    gone = f"//image/v2/images/{images[0]['id']}"
    ann.wait("the image to go", lambda: ann.call("GET", gone).status == 404)
    assert images[0]["id"] not in {body["spec"].get("id") for body in openstack.cloud.api.list(Image)}


def test_a_shelved_server_takes_its_image_with_it(ann: Actor) -> None:
    server_id = ann.boot("forgotten")
    ann.act(server_id, shelve=None)
    ann.until(server_id, "SHELVED_OFFLOADED")
    ann.act(server_id, forceDelete=None)
    ann.until_gone(server_id)
    assert ann.call("GET", "//image/v2/images?name=forgotten-shelved").body["images"] == []


def test_a_password_and_a_crash_dump(ann: Actor) -> None:
    server_id = ann.boot("guest")
    ann.act(server_id, changePassword={"adminPass": "a-new-password"})
    ann.until(server_id, "ACTIVE")
    assert events(ann, server_id) == ("changePassword", ["compute_set_admin_password"])
    ann.act(server_id, trigger_crash_dump=None)
    assert ann.action(server_id)["action"] == "trigger_crash_dump"


def test_soft_delete_restore_and_reclaim(ann: Actor) -> None:
    server_id = ann.boot("undecided")
    assert ann.call("DELETE", f"/servers/{server_id}").status == 204
    ann.until(server_id, "SOFT_DELETED")
    ann.act(server_id, restore=None)
    ann.until(server_id, "ACTIVE")
    assert events(ann, server_id) == ("restore", ["compute_restore_instance"])
    assert ann.call("DELETE", f"/servers/{server_id}").status == 204
    ann.until(server_id, "SOFT_DELETED")
    assert RECLAIM_SECONDS < 10
    ann.until_gone(server_id)


def test_evacuation(ann: Actor, openstack: OpenStackCloud) -> None:
    server_id = ann.boot("refugee")
    host = ann.show(server_id)[HOST]
    ann.act(server_id, admin=True, status=400, evacuate={})
    openstack.cloud.kubectl(
        "patch", "computenode", host, "--type=merge", "-p", '{"spec":{"forcedDown":true}}'
    )
    try:
        ann.wait(
            "the host to be down",
            lambda: (
                ann.call("POST", f"/servers/{server_id}/action", {"evacuate": {}}, admin=True).status == 200
            ),
        )
        shown = ann.until(server_id, "SHUTOFF")
        assert shown[HOST] != host
        assert events(ann, server_id)[0] == "evacuate"
    finally:
        force_down(openstack, host, False)


def force_down(openstack: OpenStackCloud, host: str, is_down: bool) -> None:
    patch = json.dumps({"spec": {"forcedDown": is_down}})
    openstack.cloud.kubectl("patch", "computenode", host, "--type=merge", "-p", patch)


# --- kubectl's Snapshot ----------------------------------------------------------------------------------


def snapshot(openstack: OpenStackCloud, namespace: str, name: str, **spec: object) -> None:
    body = {
        "apiVersion": "compute.cairn.dev/v1alpha1",
        "kind": "Snapshot",
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    }
    openstack.cloud.kubectl("create", "-f", "-", stdin=json.dumps(body))


def resource_of(openstack: OpenStackCloud, server_id: str) -> tuple[str, str]:
    for body in openstack.cloud.api.list(Instance):
        if body["status"].get("instanceId") == server_id:
            return body["metadata"]["namespace"], body["metadata"]["name"]
    raise AssertionError(server_id)


def test_a_snapshot_resource_makes_an_image(ann: Actor, openstack: OpenStackCloud) -> None:
    server_id = ann.boot("taken")
    namespace, instance = resource_of(openstack, server_id)
    name = f"snap-{uuid.uuid4().hex[:6]}"
    snapshot(openstack, namespace, name, instance=instance, imageName="from-kubectl", metadata={"who": "me"})

    def phase(wanted: str, which: str = name) -> dict[str, object] | None:
        body = openstack.cloud.api.get(Snapshot, which, namespace) or {}
        return body if body.get("status", {}).get("phase") == wanted else None

    body = ann.wait("Completed", lambda: phase("Completed"))
    status = body["status"]
    assert status["imageId"] == body["metadata"]["uid"]
    image = ann.until_image(status["imageId"])
    assert (image["name"], image["who"], image["size"]) == ("from-kubectl", "me", status["sizeBytes"])
    assert openstack.cloud.api.get(Image, status["image"]) is not None
    ann.until(server_id, "ACTIVE")
    assert ann.action(server_id)["request_id"] == f"req-{body['metadata']['uid']}"

    snapshot(openstack, namespace, f"{name}-no", instance="nobody")
    failed = ann.wait("Failed", lambda: phase("Failed", f"{name}-no"))
    assert "There is no Instance nobody" in failed["status"]["message"]
    ann.act(server_id, status=200, rescue=None)
    ann.until(server_id, "RESCUE")
    snapshot(openstack, namespace, f"{name}-ill", instance=instance)
    refused = ann.wait("refused", lambda: phase("Failed", f"{name}-ill"))
    assert "while it is in vm_state rescued" in refused["status"]["message"]
    ann.wait("the oldest to go", lambda: openstack.cloud.api.get(Snapshot, name, namespace) is None)
    assert ann.until_image(status["imageId"])
    ann.call("DELETE", f"//image/v2/images/{status['imageId']}")
