"""/images of the Compute API, which ends with 2.35, and images' metadata, which ends with 2.38."""

from __future__ import annotations

import httpx

from integration.gateway.image.world import World


async def _nova(world: World, version: str = "2.1", project: str = "green") -> httpx.AsyncClient:
    client = world.gateway.client(await world.gateway.caller(project), version)
    client.base_url = httpx.URL("http://cloud.test/compute/v2.1")
    return client


async def test_images_in_novas_words(world: World) -> None:
    image = await world.active(name="snap", min_ram=64, instance_uuid="7", image_type="snapshot")
    await world.queued(name="empty", visibility="private")
    nova = await _nova(world)
    shown = (await nova.get(f"/images/{image['id']}")).json()["image"]
    assert (shown["name"], shown["status"], shown["progress"]) == ("snap", "ACTIVE", 100)
    assert (shown["minRam"], shown["OS-EXT-IMG-SIZE:size"]) == (64, image["size"])
    assert shown["metadata"] == {"instance_uuid": "7", "image_type": "snapshot"}
    assert shown["server"]["id"] == "7"
    assert {link["rel"] for link in shown["links"]} == {"self", "bookmark", "alternate"}
    detail = (await nova.get("/images/detail")).json()["images"]
    assert [(found["name"], found["status"]) for found in detail] == [("empty", "SAVING"), ("snap", "ACTIVE")]
    assert detail[1] == shown
    brief = (await nova.get("/images")).json()["images"]
    assert set(brief[0]) == {"id", "name", "links"}
    for query, names in {
        "name=snap": ["snap"],
        "status=ACTIVE": ["snap"],
        "server=http://x/servers/7": ["snap"],
        "type=snapshot": ["snap"],
        "property-image_type=snapshot": ["snap"],
        "minRam=64": ["snap"],
        "limit=1": ["empty"],
        "changes-since=2100-01-01T00:00:00Z": [],
        f"changes-since={image['updated_at']}": ["empty", "snap"],
    }.items():
        found = (await nova.get(f"/images/detail?{query}")).json()
        assert [one["name"] for one in found["images"]] == names, query
    assert "marker=" in (await nova.get("/images?limit=1")).json()["images_links"][0]["href"]


async def test_deleting_and_who_may(world: World) -> None:
    image = await world.active(world.admin, visibility="public")
    assert (await (await _nova(world)).delete(f"/images/{image['id']}")).status_code == 403
    own = await world.active()
    assert (await (await _nova(world, project="blue")).get(f"/images/{own['id']}")).status_code == 404
    assert (await (await _nova(world)).delete(f"/images/{own['id']}")).status_code == 204
    assert (await (await _nova(world)).delete(f"/images/{own['id']}")).status_code == 404


async def test_metadata(world: World) -> None:
    image = await world.active(a="1", b="2")
    nova = await _nova(world)
    where = f"/images/{image['id']}/metadata"
    assert (await nova.get(where)).json() == {"metadata": {"a": "1", "b": "2"}}
    assert (await nova.post(where, json={"metadata": {"b": "3", "c": "4"}})).json() == {
        "metadata": {"a": "1", "b": "3", "c": "4"}
    }
    assert (await nova.get(f"{where}/c")).json() == {"meta": {"c": "4"}}
    assert (await nova.put(f"{where}/c", json={"meta": {"c": "5"}})).json() == {"meta": {"c": "5"}}
    assert (await nova.put(f"{where}/c", json={"meta": {"d": "5"}})).status_code == 400
    assert (await nova.delete(f"{where}/a")).status_code == 204
    assert (await nova.delete(f"{where}/a")).status_code == 404
    assert (await nova.put(where, json={"metadata": {"z": "9"}})).json() == {"metadata": {"z": "9"}}
    resource = await world.resource(image["id"])
    assert resource is not None
    assert resource.spec.properties == {"z": "9"}


async def test_both_end_as_in_nova(world: World) -> None:
    image = await world.queued()
    where = f"/images/{image['id']}"
    assert (await (await _nova(world, "2.35")).get(where)).status_code == 200
    assert (await (await _nova(world, "2.36")).get(where)).status_code == 404
    assert (await (await _nova(world, "2.38")).get(f"{where}/metadata")).status_code == 200
    assert (await (await _nova(world, "2.39")).get(f"{where}/metadata")).status_code == 404
