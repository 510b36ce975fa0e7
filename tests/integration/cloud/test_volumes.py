"""Volumes in a running cloud: made by kubectl, attached while the machine runs, grown, and gone again."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from cairn_agent.drivers.api_operations import OperationFailed
from cairn_crds import HostVolume, Image, Volume, VolumeAttachment
from cairn_crds.guest import node_namespace
from cairn_crds.volume import VolumeSpec
from cairn_database import NewInstance, VmState, instances
from cairn_database.asking import Asked
from cairn_database.volumes import store, swapping
from cairn_database.volumes.wants import NewVolume, VolumeWant
from integration.cloud.cairn import Cairn, Tenant, condition
from integration.cloud.laboratory import Laboratory
from support.api import Body


class Disks:
    """Short ways to do things with volumes."""

    def __init__(self, tenant: Tenant) -> None:
        self.tenant = tenant
        self.api, self.wait = tenant.api, tenant.cairn.wait

    def create(self, name: str = "data", **spec: Any) -> str:
        body = {
            "metadata": {"name": name, "namespace": self.tenant.namespace},
            "spec": {"sizeGiB": 1, **spec},
        }
        uid: str = self.api.create(Volume, body)["metadata"]["uid"]
        return uid

    def attach(self, name: str = "data", instance: str = "vm", **spec: Any) -> None:
        body = {
            "metadata": {"name": f"{instance}-{name}", "namespace": self.tenant.namespace},
            "spec": {"instance": instance, "volume": name, **spec},
        }
        self.api.create(VolumeAttachment, body)

    def detach(self, name: str = "data", instance: str = "vm") -> None:
        self.api.delete(VolumeAttachment, f"{instance}-{name}", self.tenant.namespace)

    def phase(self, phase: str, name: str = "data") -> Body:
        return self._until(Volume, name, phase)

    def attachment(self, phase: str, name: str = "vm-data") -> Body:
        return self._until(VolumeAttachment, name, phase)

    def refusal(self, name: str = "vm-data") -> str:
        """Until it is said why it is not attached."""

        def look() -> str | None:
            body = self.api.get(VolumeAttachment, name, self.tenant.namespace)
            return (body or {}).get("status", {}).get("message")

        found = self.wait(f"{name} to be refused", look)
        assert found is not None
        return found

    def gone(self, kind: type[Any], name: str) -> None:
        self.wait(f"{name} to go", lambda: self.api.get(kind, name, self.tenant.namespace) is None)

    def _until(self, kind: type[Any], name: str, phase: str) -> Body:
        def look() -> Body | None:
            body = self.api.get(kind, name, self.tenant.namespace)
            return body if body and body.get("status", {}).get("phase") == phase else None

        found = self.wait(f"{name} {phase}", look)
        assert found is not None
        return found


@pytest.fixture
def disks(tenant: Tenant) -> Iterator[Disks]:
    found = Disks(tenant)
    yield found
    for kind in (VolumeAttachment, Volume):
        for body in tenant.api.list(kind, tenant.namespace):
            tenant.api.delete(kind, body["metadata"]["name"], tenant.namespace)
    found.wait("volumes to go", lambda: not tenant.api.list(Volume, tenant.namespace))
    assert tenant.api.list(HostVolume) == []


def plugged(cairn: Cairn, instance_id: str) -> list[Body]:
    found: list[Body] = (cairn.machine(instance_id) or {})["shape"]["volumes"]
    return found


def test_a_volume_is_plugged_in_grown_and_unplugged(cairn: Cairn, tenant: Tenant, disks: Disks) -> None:
    volume_id = disks.create()
    disks.wait(
        "it to wait", lambda: condition(disks.phase("Pending"), "Ready")["reason"] == "WaitForFirstAttachment"
    )
    instance_id = tenant.boot()
    disks.attach(tag="db")
    shown = disks.attachment("Attached")
    assert shown["status"]["volumeId"] == volume_id
    assert shown["status"]["device"] == "/dev/vdc"
    assert plugged(cairn, instance_id) == [{"id": volume_id, "sizeGiB": 1, "readOnly": False}]
    used = disks.phase("InUse")["status"]
    assert (used["usedBy"], used["host"]) == ("vm", cairn.row(instance_id).host)
    tenant.api.patch(Volume, "data", tenant.namespace, {"spec": {"sizeGiB": 3}})
    cairn.wait("the machine's disk to grow", lambda: plugged(cairn, instance_id)[0]["sizeGiB"] == 3)
    disks.wait("the size", lambda: disks.phase("InUse")["status"]["sizeGiB"] == 3)
    tenant.api.delete(Volume, "data", tenant.namespace)  # waits until nobody has it
    disks.detach()
    disks.gone(VolumeAttachment, "vm-data")
    disks.gone(Volume, "data")
    assert plugged(cairn, instance_id) == []
    assert (cairn.machine(instance_id) or {})["boots"] == 1
    assert cairn.findings() == []


def test_what_is_on_a_volume_goes_from_instance_to_instance(
    cairn: Cairn, tenant: Tenant, disks: Disks
) -> None:
    disks.create(backend="Shared")
    first = tenant.boot(availabilityZone="quick")
    disks.attach()
    disks.attachment("Attached")
    tenant.boot("second", availabilityZone="quick")
    disks.attach(instance="second")
    refused = disks.refusal("second-data")
    assert f"is attached to {first}" in refused
    tenant.delete()
    tenant.gone()
    disks.attachment("Attached", "second-data")  # it was waiting
    disks.gone(VolumeAttachment, "vm-data")


def test_a_local_volume_holds_its_instance(cairn: Cairn, tenant: Tenant, disks: Disks) -> None:
    disks.create(host="quick")
    disks.phase("Available")
    tenant.boot(availabilityZone="frail")
    disks.attach()
    message = disks.refusal()
    assert "is on the disk of host quick, and the instance is on frail" in message


def test_a_host_that_cannot_do_it_leaves_all_as_it_was(
    cairn: Cairn, tenant: Tenant, disks: Disks, lab: Laboratory
) -> None:
    disks.create(host="lab")
    disks.phase("Available")
    instance_id = tenant.boot(availabilityZone="lab")
    lab.fails("reconfigure", OperationFailed("no slot is free"), times=1)
    disks.attach()
    assert "no slot is free" in tenant.told("VolumeFailed")["message"]
    cairn.wait("no volume", lambda: not cairn.row(instance_id).volumes)
    assert "no slot is free" in disks.attachment("Failed")["status"]["message"]
    assert plugged(cairn, instance_id) == []


def test_lost_resources_come_back(cairn: Cairn, tenant: Tenant, disks: Disks) -> None:
    volume_id = disks.create()
    instance_id = tenant.boot()
    disks.attach()
    disks.attachment("Attached")
    host = cairn.row(instance_id).host or ""
    tenant.api.delete(HostVolume, volume_id, node_namespace(host))
    cairn.wait("it to be written again", lambda: tenant.api.get(HostVolume, volume_id, node_namespace(host)))
    assert plugged(cairn, instance_id)[0]["id"] == volume_id
    found = cairn.sql(store.get(cairn.db, volume_id))
    assert found is not None
    assert found.made_gib == 1


def test_an_instance_boots_from_a_volume_that_goes_with_it(
    cairn: Cairn, tenant: Tenant, disks: Disks
) -> None:
    tenant.boot("model")
    model = cairn.row(cairn.wait("the model", lambda: tenant.get("model")["status"]["instanceId"]))
    instance_id, root = str(uuid.uuid4()), str(uuid.uuid4())
    made = NewVolume(
        id=root,
        project=model.project,
        namespace=model.namespace,
        name="vm-root",
        spec=VolumeSpec(size_gib=2, image=model.image["name"]),
        image=model.image,
    )
    new = NewInstance(
        id=instance_id,
        project=model.project,
        namespace=model.namespace,
        name="vm",
        request={**model.request, "spec": {**model.spec, "networks": []}, "networks": []},
        flavor=model.flavor,
        image=model.image,
        volumes=(VolumeWant(volume_id=root, boot_index=0, delete_on_termination=True, new=made),),
    )
    cairn.sql(instances.register(cairn.db, new))
    tenant.phase("Active")
    assert plugged(cairn, instance_id) == [{"id": root, "sizeGiB": 2, "readOnly": False}]
    disks.phase("InUse", "vm-root")
    assert cairn.row(instance_id).pinned_host == cairn.row(instance_id).host
    host = cairn.row(instance_id).host
    boots = (cairn.machine(instance_id) or {})["boots"]
    tenant.patch(rebuild={"generation": 1})
    cairn.wait("its volume's new content", lambda: (cairn.machine(instance_id) or {})["boots"] > boots)
    cairn.wait("the rebuild to end", lambda: cairn.row(instance_id).task_state is None)
    assert cairn.row(instance_id).vm_state is VmState.ACTIVE
    assert plugged(cairn, instance_id) == [{"id": root, "sizeGiB": 2, "readOnly": False}]
    tenant.patch(powerState="Shelved")
    tenant.phase("Shelved")
    cairn.wait("it to leave", lambda: cairn.row(instance_id).vm_state is VmState.SHELVED_OFFLOADED)
    assert cairn.machine(instance_id) is None
    shelved = cairn.row(instance_id)
    assert (shelved.host, shelved.pinned_host, shelved.details.get("shelvedImage")) == (None, host, None)
    tenant.patch(powerState="Running")
    tenant.phase("Active")
    assert cairn.row(instance_id).host == host
    assert plugged(cairn, instance_id) == [{"id": root, "sizeGiB": 2, "readOnly": False}]
    assert cairn.findings() == []
    tenant.delete()
    tenant.gone()
    disks.gone(Volume, "vm-root")
    assert cairn.sql(store.get(cairn.db, root)) is None


def test_a_volume_takes_anothers_place(cairn: Cairn, tenant: Tenant, disks: Disks) -> None:
    first, second = disks.create(), disks.create("next", sizeGiB=2)
    instance_id = tenant.boot()
    disks.attach()
    attachment = disks.attachment("Attached")["status"]["attachmentId"]
    tenant.api.patch(VolumeAttachment, "vm-data", tenant.namespace, {"spec": {"volume": "next"}})
    tenant.told("VolumeSwapped")
    disks.wait("the new one", lambda: disks.attachment("Attached")["status"]["volumeId"] == second)
    assert disks.attachment("Attached")["status"]["attachmentId"] == attachment
    assert plugged(cairn, instance_id) == [{"id": second, "sizeGiB": 2, "readOnly": False}]
    disks.phase("Available")
    disks.phase("InUse", "next")
    asked = Asked(request_id="req-api")
    third = disks.create("third", sizeGiB=2)
    disks.wait("its row", lambda: disks.phase("Pending", "third")["status"].get("volumeId"))
    cairn.sql(swapping.swap(cairn.db, instance_id, asked, second, third))  # as the Compute API does
    tenant.patch(metadata={"a": "b"})
    disks.wait("the third", lambda: disks.attachment("Attached")["spec"]["volume"] == "third")
    disks.phase("Available", "next")
    tenant.api.patch(VolumeAttachment, "vm-data", tenant.namespace, {"spec": {"volume": "data"}})
    disks.wait("a refusal", lambda: "same size" in (disks.refusal() or ""))
    shown = disks.attachment("Attached")["status"]
    assert (shown["volumeId"], plugged(cairn, instance_id)[0]["id"]) == (third, third)
    assert first not in str(plugged(cairn, instance_id))
    assert cairn.findings() == []


def test_a_swap_that_the_host_cannot_do_leaves_the_old_one(
    cairn: Cairn, tenant: Tenant, disks: Disks, lab: Laboratory
) -> None:
    for name in ("data", "next"):
        disks.create(name, host="lab")
        disks.phase("Available", name)
    instance_id = tenant.boot(availabilityZone="lab")
    disks.attach()
    first = disks.attachment("Attached")["status"]["volumeId"]
    lab.fails("swap_volume.copy", OperationFailed("no room on the disk"), times=1)
    tenant.api.patch(VolumeAttachment, "vm-data", tenant.namespace, {"spec": {"volume": "next"}})
    failed = disks.attachment("Failed")["status"]
    assert (failed["message"], failed["volumeId"]) == ("no room on the disk", first)
    assert plugged(cairn, instance_id)[0]["id"] == first
    disks.phase("Available", "next")
    tenant.api.patch(VolumeAttachment, "vm-data", tenant.namespace, {"spec": {"volume": "data"}})
    disks.attachment("Attached")


def test_what_a_volume_cannot_be_made_of_is_said(tenant: Tenant, disks: Disks) -> None:
    foreign = {
        "url": "http://127.0.0.1:9/x",
        "sha256": "0" * 64,
        "visibility": "Private",
        "owner": "somebody",
    }
    tenant.api.create(Image, {"metadata": {"name": f"foreign-{tenant.namespace}"}, "spec": foreign})
    reasons = {}
    for name, spec in (
        ("elsewhere", {"host": "nowhere"}),
        ("unknown", {"image": "no-such-image"}),
        ("stolen", {"image": f"foreign-{tenant.namespace}"}),
    ):
        disks.create(name, **spec)

        def said(name: str = name) -> str:
            body = tenant.api.get(Volume, name, tenant.namespace)
            return str(condition(body or {}, "Ready")["reason"])

        reasons[name] = disks.wait(f"{name} to be refused", said)
    tenant.api.delete(Image, f"foreign-{tenant.namespace}")
    assert (reasons["elsewhere"], reasons["unknown"]) == ("HostNotFound", "ImageNotFound")
    assert reasons["stolen"].startswith("Image")
