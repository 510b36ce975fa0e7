"""Images and Image resources are the same thing, whichever way they are made, changed and deleted."""

from __future__ import annotations

import uuid

import pytest
from aiohttp import web

from cairn_crds import Image
from cairn_database.images import rows, uploads
from cairn_operator.mirrors.image import remove_image
from cairn_runtime.kubernetes import ApiServerUnavailable
from integration.gateway.image.world import DATA, OCTETS, SHA256, World
from support.ports import free_port


async def test_a_resource_is_an_active_image(world: World) -> None:
    spec = {"displayName": "CirrOS 0.6", "minDiskGiB": 1, "properties": {"os_type": "linux"}}
    made = await world.apply("cirros", **spec)
    image = await world.show(made.metadata.uid, world.blue)
    assert (image["name"], image["status"], image["visibility"]) == ("CirrOS 0.6", "active", "public")
    assert (image["disk_format"], image["container_format"], image["min_disk"]) == ("qcow2", "bare", 1)
    assert (image["size"], image["owner"], image["os_type"]) == (None, None, "linux")
    assert await world.names(world.green) == ["CirrOS 0.6"]


async def test_a_resource_may_choose_its_id_and_its_people(world: World) -> None:
    image_id = str(uuid.uuid4())
    await world.apply("shared", id=image_id, visibility="Shared", owner="green", projects=["blue"])
    image = await world.show(image_id, world.blue)
    assert (image["name"], image["owner"]) == ("shared", world.projects["green"])
    members = (await world.green.get(f"/v2/images/{image_id}/members")).json()["members"]
    assert [(member["member_id"], member["status"]) for member in members] == [
        (world.projects["blue"], "accepted")
    ]
    await world.edit("shared", projects=[], owner="blue")
    assert (await world.green.get(f"/v2/images/{image_id}")).status_code == 404
    taken = await world.mirror(
        Image.from_api(
            {
                "metadata": {"name": "other", "uid": str(uuid.uuid4())},
                "spec": {"id": image_id, "url": "http://x/y", "sha256": "b" * 64},
            }
        )
    )
    assert taken.reason == "IdTaken"


async def test_edits_of_the_resource_show_in_the_api(world: World) -> None:
    image = await world.active(tags=["mine"])
    answer = await world.edit("demo", displayName="better", minMemoryMiB=512, properties={"a": "b"})
    assert answer.ready
    shown = await world.show(image["id"])
    assert (shown["name"], shown["min_ram"], shown["a"], shown["tags"]) == ("better", 512, "b", ["mine"])
    answer = await world.edit("demo", id=str(uuid.uuid4()))
    assert answer.reason == "FieldImmutable"
    assert (await world.show(image["id"]))["name"] == "better"


async def test_an_older_view_of_the_resource_changes_nothing(world: World) -> None:
    image = await world.active()
    old = await world.resource(image["id"])
    assert old is not None
    await world.patch(world.green, image["id"], ("replace", "name", "newer"))
    await world.mirror(old)
    assert (await world.show(image["id"]))["name"] == "newer"


async def test_deleting_the_resource_deletes_the_image_and_its_file(world: World) -> None:
    image = await world.active(protected=True)
    await world.forget("demo")
    assert (await world.green.get(f"/v2/images/{image['id']}")).status_code == 404
    await world.images._sweep.once()
    assert world.files() == []


async def test_a_resource_that_is_seen_late_is_no_loss(world: World) -> None:
    """The conductor looks for lost resources before its watch has told of the newest one."""
    image = await world.active()
    await remove_image(world._context(), "", "demo")
    assert (await world.show(image["id"]))["status"] == "active"


async def test_a_late_look_does_not_bring_a_deleted_image_back(world: World) -> None:
    image = await world.active()
    seen = await world.resource(image["id"])
    assert seen is not None
    await world.green.delete(f"/v2/images/{image['id']}")
    assert (await world.mirror(seen)).reason == "Deleted"
    assert (await world.green.get(f"/v2/images/{image['id']}")).status_code == 404


async def test_a_resource_that_is_made_anew_under_its_name_is_another_image(world: World) -> None:
    first = await world.apply("demo")
    await world.kubernetes.delete(Image, "demo")
    second = await world.apply("demo")
    assert (await world.green.get(f"/v2/images/{first.metadata.uid}")).status_code == 404
    assert (await world.show(second.metadata.uid))["name"] == "demo"


async def test_deleting_in_the_api_deletes_a_resource_that_was_applied(world: World) -> None:
    made = await world.apply("demo")
    assert (await world.green.delete(f"/v2/images/{made.metadata.uid}")).status_code == 403
    assert (await world.admin.delete(f"/v2/images/{made.metadata.uid}")).status_code == 204
    assert await world._resources() == []


async def test_data_elsewhere_is_passed_on_and_files_are_not(world: World) -> None:
    async def serve(_request: web.Request) -> web.Response:
        return web.Response(body=DATA)

    app = web.Application()
    app.router.add_get("/disk", serve)
    runner = web.AppRunner(app)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        made = await world.apply("elsewhere", url=f"http://127.0.0.1:{port}/disk", sha256=SHA256)
        answer = await world.green.get(f"/v2/images/{made.metadata.uid}/file")
        assert answer.content == DATA
    finally:
        await runner.cleanup()
    answer = await world.green.get(f"/v2/images/{made.metadata.uid}/file")
    assert answer.status_code == 503
    made = await world.apply("file", url="file:///etc/passwd", sha256=SHA256)
    answer = await world.green.get(f"/v2/images/{made.metadata.uid}/file")
    assert answer.status_code == 404
    assert "on the compute hosts only" in answer.json()["message"]


# --- a gateway that dies ----------------------------------------------------------------------------------


async def test_an_upload_that_its_gateway_left_is_given_up(world: World) -> None:
    image = await world.queued()
    assert await uploads.begin(world.gateway.services.db, image["id"], "half")
    writer = world.images.blobs.writer("half")
    writer.write(b"half of it")
    assert (await world.show(image["id"]))["status"] == "saving"
    await world.images._sweep.once()
    assert (await world.show(image["id"]))["status"] == "saving"
    await uploads.give_up_stale(world.gateway.services.db, -1)
    await world.images._sweep.once()
    assert (await world.show(image["id"]))["status"] == "queued"
    assert world.files() == []
    answer = await world.green.put(f"/v2/images/{image['id']}/file", content=DATA, headers=OCTETS)
    assert answer.status_code == 204


async def test_without_the_api_server_an_upload_waits_for_its_resource(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = await world.queued()

    async def gone(*_arguments: object, **_more: object) -> None:
        raise ApiServerUnavailable(0, "NoAnswer", "it is down")

    with monkeypatch.context() as down:
        down.setattr(world.kubernetes, "create", gone)
        answer = await world.green.put(f"/v2/images/{image['id']}/file", content=DATA, headers=OCTETS)
        assert answer.status_code == 204
        assert (await world.show(image["id"]))["status"] == "saving"
    for record in await uploads.unfinished(world.gateway.services.db, -1):
        await world.images.resources.publish(record)
        await world.images.resources.publish(record)
    assert (await world.show(image["id"]))["status"] == "active"
    assert len(await world._resources()) == 1


async def test_without_the_api_server_nothing_is_deleted_by_halves(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = await world.active()

    async def gone(*_arguments: object, **_more: object) -> None:
        raise ApiServerUnavailable(0, "NoAnswer", "it is down")

    with monkeypatch.context() as down:
        down.setattr(world.kubernetes, "delete", gone)
        answer = await world.green.delete(f"/v2/images/{image['id']}")
        assert answer.status_code == 503
        assert "retry-after" in answer.headers
    assert (await world.show(image["id"]))["status"] == "active"


async def test_resources_follow_the_address_of_the_gateway(world: World) -> None:
    image = await world.active()
    world.images.resources._hosts_url = "http://10.9.8.7:1234"
    await world.images.resources.correct_urls()
    resource = await world.resource(image["id"])
    assert resource is not None
    assert resource.spec.url == f"http://10.9.8.7:1234/image/internal/blobs/{image['id']}"
    record = await rows.get(world.gateway.services.db, image["id"])
    assert record is not None
    assert record.url is None
