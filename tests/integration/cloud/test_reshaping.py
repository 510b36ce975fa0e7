"""What is done to an instance on the host that it has: rebuild, rescue, resize there, by editing its spec."""

from __future__ import annotations

from typing import Any

import pytest

from cairn_crds import Flavor, Image
from integration.cloud.cairn import Cairn, Tenant, condition

OTHER_IMAGE = {
    "metadata": {"name": "other-image"},
    "spec": {"url": "http://127.0.0.1:9/other.qcow2", "sha256": "1" * 64},
}
LARGER = {"metadata": {"name": "larger"}, "spec": {"vcpus": 2, "memoryMiB": 128, "diskGiB": 2}}


@pytest.fixture(autouse=True, scope="module")
def catalog(cairn: Cairn) -> None:
    """Another image and a larger flavor."""
    for kind, body in ((Image, OTHER_IMAGE), (Flavor, LARGER)):
        if cairn.api.get(kind, body["metadata"]["name"]) is None:
            cairn.api.create(kind, body)


def machine(cairn: Cairn, instance_id: str) -> dict[str, Any]:
    found = cairn.machine(instance_id)
    assert found is not None
    return found


def test_a_rebuild_makes_the_disks_anew_and_keeps_id_and_addresses(cairn: Cairn, tenant: Tenant) -> None:
    instance_id = tenant.boot(host="quick")
    before = tenant.get()["status"]
    tenant.patch(image="other-image", rebuild={"generation": 1})
    tenant.told("TaskDone")
    body = tenant.until(lambda body: "taskState" not in body["status"], "to be rebuilt")
    assert machine(cairn, instance_id)["disk"] == "other-image"
    assert body["status"]["phase"] == "Active"
    assert body["status"]["addresses"] == before["addresses"]
    assert machine(cairn, instance_id)["boots"] == 2


def test_another_image_waits_for_the_rebuild(cairn: Cairn, tenant: Tenant) -> None:
    instance_id = tenant.boot(host="quick")
    tenant.patch(image="other-image")
    assert "spec.rebuild.generation" in tenant.refused("SpecApplied", "RebuildNeeded")
    assert machine(cairn, instance_id)["disk"] == "demo"
    tenant.patch(image="demo")
    tenant.until(lambda body: condition(body, "SpecApplied")["status"] == "", "the refusal to go")


def test_a_rescued_instance_runs_from_another_image_until_it_is_not(cairn: Cairn, tenant: Tenant) -> None:
    instance_id = tenant.boot(host="quick")
    tenant.patch(rescue={"image": "other-image"})
    tenant.phase("Rescued")
    assert machine(cairn, instance_id)["rescue_disk"] == "other-image"
    tenant.patch(powerState="Stopped")
    assert "rescued" in tenant.refused("SpecApplied", "NotNow")
    tenant.patch(rescue=None, powerState="Running")
    tenant.phase("Active")
    assert machine(cairn, instance_id)["rescue_disk"] is None


def test_a_wish_that_must_wait_is_followed_later(cairn: Cairn, tenant: Tenant) -> None:
    tenant.boot(host="quick")
    tenant.patch(rescue={})
    tenant.phase("Rescued")
    tenant.patch(powerState="Stopped")
    tenant.refused("SpecApplied", "NotNow")
    tenant.patch(rescue=None)
    tenant.phase("Stopped")


def test_a_crash_dump_is_one_nmi(cairn: Cairn, tenant: Tenant) -> None:
    instance_id = tenant.boot(host="quick")
    tenant.patch(crashDump={"generation": 1})
    cairn.wait("the NMI", lambda: machine(cairn, instance_id)["crash_dumps"] == 1)
    tenant.patch(powerState="Paused")
    tenant.phase("Paused")
    assert machine(cairn, instance_id)["crash_dumps"] == 1


def test_a_resize_waits_to_be_confirmed_and_the_old_flavor_reverts_it(cairn: Cairn, tenant: Tenant) -> None:
    instance_id = tenant.boot(host="quick")
    tenant.patch(flavor="larger")
    body = tenant.phase("Resized")
    assert body["status"]["powerState"] == "Running"
    row = cairn.row(instance_id)
    assert row.flavor["name"] == "larger"
    larger = cairn.machine_on(row.host or "", instance_id)
    assert larger is not None
    assert larger["shape"]["memory_mib"] == 128
    tenant.patch(flavor="tiny")
    tenant.phase("Active")
    row = cairn.row(instance_id)
    assert (row.host, row.flavor["name"], row.move) == ("quick", "tiny", None)
    assert machine(cairn, instance_id)["shape"]["memory_mib"] == 64


def test_a_flavor_that_does_not_fit_is_refused_before_anything_starts(cairn: Cairn, tenant: Tenant) -> None:
    tenant.boot(host="quick", flavor="larger")
    tenant.patch(flavor="tiny")
    assert "disks do not shrink" in tenant.refused("SpecApplied", "DiskShrinks")
    tenant.patch(flavor="no-such-flavor")
    assert "does not exist" in tenant.refused("SpecApplied", "FlavorNotFound")
