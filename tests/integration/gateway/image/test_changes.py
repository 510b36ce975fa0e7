"""JSON patches and tags: on images without data, and on those that have a resource."""

from __future__ import annotations

from typing import Any

import pytest

from integration.gateway.image.world import PATCH, World


@pytest.mark.parametrize("with_data", [False, True])
async def test_a_patch_changes_what_it_says(world: World, with_data: bool) -> None:
    made = await (world.active if with_data else world.queued)(os_type="linux", kernel="5", empty="")
    answer = await world.patch(
        world.green,
        made["id"],
        ("replace", "name", "renamed"),
        ("replace", "min_ram", 128),
        ("replace", "protected", True),
        ("replace", "os_hidden", True),
        ("replace", "tags", ["b", "a"]),
        ("add", "hw_disk_bus", "scsi"),
        ("replace", "os_type", "windows"),
        ("remove", "kernel", None),
    )
    assert answer.status_code == 200, answer.text
    changed = answer.json()
    assert (changed["name"], changed["min_ram"], changed["protected"]) == ("renamed", 128, True)
    assert (changed["os_hidden"], changed["tags"]) == (True, ["a", "b"])
    assert (changed["hw_disk_bus"], changed["os_type"], changed["empty"]) == ("scsi", "windows", "")
    assert "kernel" not in changed
    assert await world.show(made["id"]) == changed
    resource = await world.resource(made["id"])
    assert (resource is not None) == with_data
    if resource is not None:
        assert resource.metadata.name == "demo"
        assert (resource.spec.display_name, resource.spec.min_memory_mib) == ("renamed", 128)
        assert resource.spec.properties == {"hw_disk_bus": "scsi", "os_type": "windows"}
        assert resource.spec.protected
        assert resource.spec.hidden
        await world.mirror(resource)
        assert await world.show(made["id"]) == changed


async def test_a_name_may_be_none(world: World) -> None:
    image = await world.active(name=None)
    assert image["name"] is None
    resource = await world.resource(image["id"])
    assert resource is not None
    assert resource.metadata.name.startswith("image")
    await world.mirror(resource)
    assert (await world.show(image["id"]))["name"] is None


@pytest.mark.parametrize(
    ("operations", "status"),
    [
        ([{"op": "replace", "path": "/status", "value": "active"}], 403),
        ([{"op": "replace", "path": "/id", "value": "x"}], 403),
        ([{"op": "remove", "path": "/name"}], 403),
        ([{"op": "add", "path": "/locations/-", "value": {}}], 400),
        ([{"op": "replace", "path": "/missing", "value": "x"}], 409),
        ([{"op": "remove", "path": "/missing"}], 409),
        ([{"op": "replace", "path": "name", "value": "x"}], 400),
        ([{"op": "replace", "path": "/a/b", "value": "x"}], 400),
        ([{"op": "replace", "path": "/a~2", "value": "x"}], 400),
        ([{"op": "replace", "path": "/", "value": "x"}], 400),
        ([{"op": "test", "path": "/name", "value": "x"}], 400),
        ([{"op": "replace", "path": "/name"}], 400),
        ([{"path": "/name", "value": "x"}], 400),
        ([{"op": "replace", "path": "/min_disk", "value": "x"}], 400),
        ([{"op": "replace", "path": "/visibility", "value": "all"}], 400),
        (["x"], 400),
        ({"op": "replace"}, 400),
        ([{"op": "add", "path": f"/p{number}", "value": "x"} for number in range(129)], 413),
    ],
)
async def test_what_a_patch_cannot_do(world: World, operations: Any, status: int) -> None:
    image = await world.queued()
    answer = await world.green.patch(f"/v2/images/{image['id']}", json=operations, headers=PATCH)
    assert answer.status_code == status, answer.text
    assert (await world.show(image["id"]))["name"] == "demo"


async def test_a_patch_needs_its_own_content_type(world: World) -> None:
    image = await world.queued()
    answer = await world.green.patch(f"/v2/images/{image['id']}", json=[])
    assert answer.status_code == 415
    assert "openstack-images-v2.1-json-patch" in answer.headers["accept-patch"]


async def test_the_older_kind_of_patch(world: World) -> None:
    image = await world.queued(here="1")
    old = {"Content-Type": "application/openstack-images-v2.0-json-patch"}
    where = f"/v2/images/{image['id']}"
    answer = await world.green.patch(where, json=[{"replace": "/name", "value": "x"}], headers=old)
    assert answer.json()["name"] == "x"
    answer = await world.green.patch(where, json=[{"add": "/here", "value": "x"}], headers=old)
    assert answer.status_code == 409
    answer = await world.green.patch(where, json=[{"remove": "/here"}], headers=old)
    assert "here" not in answer.json()


async def test_formats_are_fixed_once_there_is_data(world: World) -> None:
    queued, active = await world.queued(), await world.active()
    change = ("replace", "disk_format", "qcow2")
    assert (await world.patch(world.green, queued["id"], change)).status_code == 200
    assert (await world.patch(world.green, active["id"], change)).status_code == 403


async def test_tags(world: World) -> None:
    for image in (await world.queued(), await world.active()):
        where = f"/v2/images/{image['id']}/tags"
        for _ in range(2):
            assert (await world.green.put(f"{where}/blue sky")).status_code == 204
        assert (await world.show(image["id"]))["tags"] == ["blue sky"]
        assert (await world.green.delete(f"{where}/blue sky")).status_code == 204
        assert (await world.green.delete(f"{where}/blue sky")).status_code == 404
        assert (await world.green.put(f"{where}/{'x' * 256}")).status_code == 400
