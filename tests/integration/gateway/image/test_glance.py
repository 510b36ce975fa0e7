"""Images in a real Glance: who sees them, how hosts get them, what becomes of their resources."""

from __future__ import annotations

import hashlib
import uuid

import httpx
import pytest

from cairn_database.images import rows
from cairn_gateway.http.faults import ServiceUnavailable
from integration.gateway.image.abroad import DATA, Abroad


async def test_an_image_becomes_a_resource_when_it_is_first_booted(abroad: Abroad) -> None:
    shown = abroad.upload("green", name="Debian 12", visibility="private", min_ram=64, os_type="linux")
    found = await abroad.images.find(abroad.call("green"), shown["id"])
    assert found is not None
    assert (found.id, found.name, found.size, found.status) == (shown["id"], "Debian 12", len(DATA), "active")
    assert found.spec.sha256 == hashlib.sha256(DATA).hexdigest()
    resource = await abroad.resource(found.resource)
    assert resource is not None
    assert resource.metadata.name == "debian-12"
    assert resource.spec == found.spec
    assert (resource.spec.id, resource.spec.owner) == (shown["id"], "green")
    assert (resource.spec.min_memory_mib, resource.spec.properties["os_type"]) == (64, "linux")
    again = await abroad.images.find(abroad.call("green"), shown["id"])
    assert again == found


async def test_who_does_not_see_it_does_not_boot_it(abroad: Abroad) -> None:
    shown = abroad.upload("green", visibility="private")
    assert await abroad.images.find(abroad.call("blue"), shown["id"]) is None
    assert await abroad.images.find(abroad.call("green"), shown["id"]) is not None
    assert await abroad.images.find(abroad.call("blue"), shown["id"]) is None
    assert await abroad.resource("demo") is not None
    assert await abroad.images.find(abroad.call("green"), str(uuid.uuid4())) is None
    assert await abroad.images.find(abroad.call("green"), "../../v2/images") is None


async def test_a_member_of_a_shared_image_boots_it(abroad: Abroad) -> None:
    shown = abroad.upload("green")
    blue = abroad.call("blue").caller.project_id
    abroad.glance.request(
        "POST", f"/v2/images/{shown['id']}/members", {"member": blue}, abroad.tokens["green"]
    )
    found = await abroad.images.find(abroad.call("blue"), shown["id"])
    assert found is not None
    assert "blue" in found.spec.projects


async def test_hosts_fetch_it_through_the_gateway(abroad: Abroad) -> None:
    shown = abroad.upload("green")
    found = await abroad.images.find(abroad.call("green"), shown["id"])
    assert found is not None
    signed = httpx.URL((await abroad.images.keys()).signed(found.spec.url))
    host = abroad.gateway.client(None)
    answer = await host.get(signed.raw_path.decode())
    assert answer.status_code == 200
    assert answer.content == DATA
    assert (await host.get(signed.path)).status_code == 404
    other = abroad.upload("green")
    path = signed.raw_path.decode().replace(shown["id"], other["id"])
    assert (await host.get(path)).status_code == 404


async def test_changes_in_glance_reach_the_resource(abroad: Abroad) -> None:
    shown = abroad.upload("green")
    first = await abroad.images.find(abroad.call("green"), shown["id"])
    assert first is not None
    await abroad.images.change_properties(abroad.call("green"), shown["id"], {"a/b": "c"})
    await abroad.images.find(abroad.call("green"), shown["id"])
    resource = await abroad.resource(first.resource)
    assert resource is not None
    assert resource.spec.properties["a/b"] == "c"
    assert await abroad.images.delete(abroad.call("green"), shown["id"])
    assert await abroad.resource(first.resource) is None
    assert await rows.get(abroad.gateway.services.db, shown["id"]) is None
    assert not await abroad.images.delete(abroad.call("green"), shown["id"])


async def test_novas_images_are_glances(abroad: Abroad) -> None:
    for name in ("one", "two", "three"):
        abroad.upload("green", data=b"x", name=name)
    nova = abroad.gateway.client(None, "2.1", **{"X-Auth-Token": abroad.tokens["green"]})
    found = (await nova.get("/compute/v2.1/images?limit=2")).json()
    assert [image["name"] for image in found["images"]] == ["three", "two"]
    following = found["images_links"][0]["href"]
    assert [image["name"] for image in (await nova.get(following)).json()["images"]] == ["one"]
    assert (await nova.get("/image/v2/images")).status_code == 404


async def test_a_glance_that_is_away_is_told_of(abroad: Abroad) -> None:
    shown = abroad.upload("green", data=b"x")
    abroad.images._client._url = "http://127.0.0.1:9"
    with pytest.raises(ServiceUnavailable, match="Glance does not answer"):
        await abroad.images.find(abroad.call("green"), shown["id"])
