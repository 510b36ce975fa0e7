"""Who may see, use, change and share which image."""

from __future__ import annotations

import pytest

from integration.gateway.image.world import DATA, OCTETS, World


async def test_a_private_image_is_there_for_its_project_only(world: World) -> None:
    image = await world.active(visibility="private")
    where = f"/v2/images/{image['id']}"
    assert (await world.reader.get(where)).status_code == 200
    assert (await world.admin.get(where)).status_code == 200
    for answer in (
        await world.blue.get(where),
        await world.blue.get(f"{where}/file"),
        await world.blue.delete(where),
        await world.patch(world.blue, image["id"], ("replace", "name", "mine")),
        await world.blue.put(f"{where}/tags/mine"),
        await world.blue.get(f"{where}/members"),
        await world.blue.post(f"{where}/actions/deactivate"),
    ):
        assert answer.status_code == 404, answer.request.url
    assert await world.names(world.blue) == []


async def test_readers_look_and_do_not_touch(world: World) -> None:
    image = await world.active()
    where = f"/v2/images/{image['id']}"
    assert (await world.reader.post("/v2/images", json={})).status_code == 403
    assert (await world.patch(world.reader, image["id"], ("replace", "name", "x"))).status_code == 403
    assert (await world.reader.delete(where)).status_code == 403
    assert (await world.reader.get(f"{where}/file")).status_code == 403
    queued = await world.queued()
    answer = await world.reader.put(f"/v2/images/{queued['id']}/file", content=DATA, headers=OCTETS)
    assert answer.status_code == 403


async def test_a_public_image_is_everybodys_to_use_and_its_owners_to_change(world: World) -> None:
    image = await world.active(world.admin, visibility="public", name="for-all")
    assert await world.names(world.blue) == ["for-all"]
    assert (await world.blue.get(f"/v2/images/{image['id']}/file")).content == DATA
    assert (await world.patch(world.blue, image["id"], ("replace", "name", "x"))).status_code == 403
    assert (await world.blue.delete(f"/v2/images/{image['id']}")).status_code == 403


async def test_only_administrators_publish(world: World) -> None:
    image = await world.active(visibility="private")
    change = ("replace", "visibility", "public")
    assert (await world.patch(world.green, image["id"], change)).status_code == 403
    assert (await world.patch(world.admin, image["id"], change)).status_code == 200
    assert (await world.show(image["id"], world.blue))["visibility"] == "public"


async def test_a_community_image_is_found_by_its_id(world: World) -> None:
    image = await world.active(visibility="community", name="club")
    assert await world.names(world.blue) == []
    assert (await world.show(image["id"], world.blue))["name"] == "club"
    assert await world.names(world.blue, "visibility=community") == ["club"]
    assert await world.names(world.green) == ["club"]


async def test_sharing_with_a_project_that_accepts(world: World) -> None:
    image = await world.active(name="together")
    members = f"/v2/images/{image['id']}/members"
    blue = world.projects["blue"]
    made = await world.green.post(members, json={"member": blue})
    assert made.status_code == 200
    assert made.json() | {"created_at": "", "updated_at": ""} == {
        "member_id": blue,
        "image_id": image["id"],
        "status": "pending",
        "created_at": "",
        "updated_at": "",
        "schema": "/v2/schemas/member",
    }
    assert (await world.green.post(members, json={"member": blue})).status_code == 409

    assert await world.names(world.blue) == []
    assert (await world.show(image["id"], world.blue))["name"] == "together"
    assert await world.names(world.blue, "member_status=pending&visibility=shared") == ["together"]
    answered = await world.blue.put(f"{members}/{blue}", json={"status": "accepted"})
    assert answered.status_code == 200
    assert answered.json()["status"] == "accepted"
    assert await world.names(world.blue) == ["together"]
    assert (await world.blue.get(f"/v2/images/{image['id']}/file")).content == DATA

    resource = await world.resource(image["id"])
    assert resource is not None
    assert resource.spec.projects == ["blue"]

    assert (await world.blue.delete(f"{members}/{blue}")).status_code == 403
    assert (await world.green.delete(f"{members}/{blue}")).status_code == 204
    assert (await world.blue.get(f"/v2/images/{image['id']}")).status_code == 404
    resource = await world.resource(image["id"])
    assert resource is not None
    assert resource.spec.projects == []


async def test_members_know_of_themselves_only(world: World) -> None:
    image = await world.active()
    members = f"/v2/images/{image['id']}/members"
    for project in (world.projects["blue"], "f" * 32):
        assert (await world.green.post(members, json={"member": project})).is_success
    listed = (await world.green.get(members)).json()["members"]
    assert {member["member_id"] for member in listed} == {world.projects["blue"], "f" * 32}
    listed = (await world.blue.get(members)).json()["members"]
    assert [member["member_id"] for member in listed] == [world.projects["blue"]]
    assert (await world.blue.get(f"{members}/{'f' * 32}")).status_code == 404
    own = f"{members}/{world.projects['blue']}"
    assert (await world.blue.get(own)).status_code == 200
    assert (await world.green.put(own, json={"status": "accepted"})).status_code == 403
    assert (await world.blue.put(own, json={"status": "perhaps"})).status_code == 400
    assert (await world.blue.post(members, json={"member": "x"})).status_code == 403


@pytest.mark.parametrize("body", [{}, [], {"member": ""}, {"member": 7}, {"member": "Not A Project"}])
async def test_who_cannot_be_a_member(world: World, body: object) -> None:
    image = await world.queued()
    answer = await world.green.post(f"/v2/images/{image['id']}/members", json=body)
    assert answer.status_code == 400


async def test_only_shared_images_have_members(world: World) -> None:
    image = await world.queued(visibility="private")
    answer = await world.green.post(f"/v2/images/{image['id']}/members", json={"member": "x"})
    assert answer.status_code == 403


async def test_a_deactivated_image_is_for_administrators(world: World) -> None:
    image = await world.active()
    where = f"/v2/images/{image['id']}"
    assert (await world.green.post(f"{where}/actions/deactivate")).status_code == 204
    assert (await world.show(image["id"]))["status"] == "deactivated"
    resource = await world.resource(image["id"])
    assert resource is not None
    assert resource.spec.deactivated
    assert (await world.green.get(f"{where}/file")).status_code == 403
    assert (await world.admin.get(f"{where}/file")).status_code == 200
    assert (await world.green.post(f"{where}/actions/deactivate")).status_code == 204
    assert (await world.green.post(f"{where}/actions/reactivate")).status_code == 204
    assert (await world.show(image["id"]))["status"] == "active"
    queued = await world.queued()
    assert (await world.green.post(f"/v2/images/{queued['id']}/actions/deactivate")).status_code == 403
