"""What a host runs into while it builds is told, leaks nothing, and goes on once it is mended."""

from __future__ import annotations

from collections.abc import Callable

from cairn_agent.drivers.api import ImageCorrupt, ImageUnavailable, NoSpace
from cairn_crds import Image
from integration.cloud.cairn import Cairn, Tenant, condition
from integration.cloud.catalog import Catalog
from integration.cloud.laboratory import Laboratory

OTHER_SHA = "1" * 64
SHA = "0" * 64


def test_a_wrong_checksum_fails_the_build_until_the_image_is_mended(
    cairn: Cairn, lab: Laboratory, catalog: Catalog, make_tenant: Callable[..., Tenant]
) -> None:
    tenant = make_tenant()
    image = f"{tenant.namespace}-wrong"
    catalog.add(Image, image, url="http://127.0.0.1:9/wrong", sha256=OTHER_SHA)
    why = f"the image has sha256 {SHA}, not {OTHER_SHA}"
    lab.fails("spawn.image", ImageCorrupt(why))
    instance_id = tenant.create(image=image, availabilityZone="lab")
    body = tenant.phase("Error")
    assert body["status"]["fault"]["message"] == why
    assert condition(body, "Ready")["message"] == why
    assert why in tenant.told("ImageCorrupt")["message"]
    assert cairn.machine(instance_id) is None
    assert cairn.guest(instance_id) is None
    row = cairn.row(instance_id)
    assert (row.host, row.interfaces, row.attempts) == (None, (), 1), "no other host is asked for it"
    assert cairn.findings() == []

    lab.heal("spawn.image")
    catalog.edit(Image, image, sha256=SHA)
    body = tenant.phase("Active", seconds=20)
    assert body["status"]["instanceId"] == instance_id


def test_an_image_server_that_is_down_is_told_and_waited_for(
    cairn: Cairn, lab: Laboratory, tenant: Tenant
) -> None:
    why = "http://127.0.0.1:9/demo.qcow2 does not answer: connection refused"
    lab.fails("spawn.image", ImageUnavailable(why))
    instance_id = tenant.create(availabilityZone="lab")
    body = tenant.until(lambda body: why in condition(body, "Ready")["message"], "says what it waits for")
    assert condition(body, "Ready")["reason"] == "ImageUnavailable"
    assert "trying again" in condition(body, "Ready")["message"]
    assert body["status"]["phase"] == "Building"
    event = tenant.told("ImageUnavailable")
    assert event["type"] == "Warning"
    assert why in event["message"]
    lab.heal("spawn.image")
    tenant.phase("Active", seconds=40)
    assert (cairn.machine(instance_id) or {})["boots"] == 1


def test_a_host_that_cannot_build_it_is_left_for_another(
    cairn: Cairn, lab: Laboratory, tenant: Tenant
) -> None:
    lab.fails("spawn.disk", NoSpace("the disk of lab is full"))
    cairn.api.request(
        "PATCH",
        "/apis/compute.cairn.dev/v1alpha1/hostaggregates/zone-quick",
        {"spec": {"hosts": ["quick", "lab"]}},
        "application/merge-patch+json",
    )
    try:
        names = [f"vm-{number}" for number in range(6)]
        ids = {name: tenant.create(name, availabilityZone="quick") for name in names}
        for name in names:
            assert tenant.phase("Active", name)["status"]["host"] == "quick"
            assert (cairn.machine(ids[name]) or {})["node"] == "quick"
        assert not list((cairn.machines / "lab").glob("*.json"))
        assert cairn.findings() == []
    finally:
        cairn.api.request(
            "PATCH",
            "/apis/compute.cairn.dev/v1alpha1/hostaggregates/zone-quick",
            {"spec": {"hosts": ["quick"]}},
            "application/merge-patch+json",
        )


def test_an_instance_no_host_can_build_ends_in_error_and_holds_nothing(
    cairn: Cairn, lab: Laboratory, tenant: Tenant
) -> None:
    lab.fails("spawn.disk", NoSpace("the disk of lab is full"))
    instance_id = tenant.create(availabilityZone="lab")
    body = tenant.phase("Error")
    assert "the disk of lab is full" in tenant.told("NoSpace")["message"]
    assert body["status"]["phase"] == "Error"
    assert cairn.row(instance_id).host is None
    assert cairn.machine(instance_id) is None
    assert cairn.findings() == []
