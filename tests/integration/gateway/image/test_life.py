"""An image's life through the API: made, uploaded, shown, downloaded, deleted; and what stops it."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import AsyncIterator

import httpx
import pytest

from cairn_gateway.image.blobs import BlobStoreFull
from integration.gateway.image.world import DATA, OCTETS, SHA256, World


async def test_a_new_image_is_queued_and_has_no_resource(world: World) -> None:
    image = await world.queued(name="Debian 12", os_type="linux")
    assert image["status"] == "queued"
    assert image["size"] is None
    assert image["owner"] == world.projects["green"]
    assert image["visibility"] == "shared"
    assert image["os_type"] == "linux"
    assert image["self"] == f"/v2/images/{image['id']}"
    assert await world.resource(image["id"]) is None
    assert (await world.green.get(f"/v2/images/{image['id']}/file")).status_code == 204


async def test_uploading_makes_it_active_in_both_places(world: World) -> None:
    image = await world.active(name="Debian 12 (Bookworm)", min_ram=64, min_disk=1, hw_disk_bus="virtio")
    assert image["status"] == "active"
    assert image["size"] == image["virtual_size"] == len(DATA)
    assert image["checksum"] == hashlib.md5(DATA, usedforsecurity=False).hexdigest()
    assert image["os_hash_algo"] == "sha512"
    assert image["os_hash_value"] == hashlib.sha512(DATA).hexdigest()

    resource = await world.resource(image["id"])
    assert resource is not None
    assert resource.metadata.name == "debian-12-bookworm"
    spec = resource.spec
    assert (spec.display_name, spec.sha256, spec.size) == ("Debian 12 (Bookworm)", SHA256, len(DATA))
    assert (spec.min_memory_mib, spec.min_disk_gib) == (64, 1)
    assert (spec.owner, spec.properties) == ("green", {"hw_disk_bus": "virtio"})
    assert "signature" not in spec.url


async def test_two_images_of_one_name_have_resources_of_different_names(world: World) -> None:
    first, second = await world.active(), await world.active()
    names = {(await world.resource(image["id"])).metadata.name for image in (first, second)}  # type: ignore[union-attr]
    assert "demo" in names
    assert len(names) == 2


async def test_downloading_gives_the_bytes_and_ranges_of_them(world: World) -> None:
    image = await world.active()
    where = f"/v2/images/{image['id']}/file"
    whole = await world.green.get(where)
    assert whole.content == DATA
    assert whole.headers["content-length"] == str(len(DATA))
    assert whole.headers["content-md5"] == image["checksum"]
    assert whole.headers["content-type"] == "application/octet-stream"
    for asked, expected in {
        "bytes=0-9": DATA[:10],
        "bytes=10-": DATA[10:],
        "bytes=-5": DATA[-5:],
        f"bytes=5-{len(DATA) * 2}": DATA[5:],
    }.items():
        part = await world.green.get(where, headers={"Range": asked})
        assert part.status_code == 206, asked
        assert part.content == expected
        assert part.headers["content-length"] == str(len(expected))
    assert (await world.green.get(where, headers={"Range": "bytes=99999999-"})).status_code == 416
    assert (await world.green.get(where, headers={"Range": "lines=1-2"})).status_code == 200


async def test_deleting_leaves_nothing(world: World) -> None:
    image = await world.active()
    assert len(world.files()) >= 1
    assert (await world.green.delete(f"/v2/images/{image['id']}")).status_code == 204
    assert (await world.green.get(f"/v2/images/{image['id']}")).status_code == 404
    assert await world.resource(image["id"]) is None
    await world.images._sweep.once()
    assert world.files() == []
    again = await world.green.post("/v2/images", json={"id": image["id"]})
    assert again.status_code == 409


async def test_a_protected_image_stays(world: World) -> None:
    image = await world.active(protected=True)
    refused = await world.green.delete(f"/v2/images/{image['id']}")
    assert refused.status_code == 403
    assert refused.json()["code"] == "403 Forbidden"
    assert await world.resource(image["id"]) is not None
    assert (await world.patch(world.green, image["id"], ("replace", "protected", False))).status_code == 200
    assert (await world.green.delete(f"/v2/images/{image['id']}")).status_code == 204


async def test_the_caller_may_choose_the_id_once(world: World) -> None:
    image_id = str(uuid.uuid4())
    assert (await world.queued(id=image_id))["id"] == image_id
    assert (await world.green.post("/v2/images", json={"id": image_id})).status_code == 409
    assert (await world.green.post("/v2/images", json={"id": "seven"})).status_code == 400


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ([], 400),
        ({"name": 7}, 400),
        ({"name": "x" * 256}, 400),
        ({"name": "nul\0"}, 400),
        ({"disk_format": "floppy"}, 400),
        ({"container_format": "crate"}, 400),
        ({"visibility": "secret"}, 400),
        ({"min_disk": -1}, 400),
        ({"min_ram": "64"}, 400),
        ({"protected": "yes"}, 400),
        ({"tags": "one"}, 400),
        ({"property": 5}, 400),
        ({"x" * 256: "y"}, 400),
        ({"property": "y" * 5000}, 400),
        ({"status": "active"}, 403),
        ({"size": 5}, 403),
        ({"checksum": "x"}, 403),
        ({"location": "x"}, 403),
        ({"os_glance_x": "y"}, 403),
        ({f"p{number}": "x" for number in range(129)}, 413),
        ({"owner": "somebody-else"}, 403),
        ({"visibility": "public"}, 403),
    ],
)
async def test_what_an_image_cannot_be(world: World, body: object, status: int) -> None:
    answer = await world.green.post("/v2/images", json=body)
    assert answer.status_code == status, answer.text
    assert answer.json()["message"]


# --- uploads that go wrong --------------------------------------------------------------------------------


async def test_an_interrupted_upload_leaves_the_image_queued_and_no_file(world: World) -> None:
    image = await world.queued()
    where = f"/v2/images/{image['id']}/file"
    messages = [
        {"type": "http.request", "body": b"x" * 2_000_000, "more_body": True},
        {"type": "http.disconnect"},
    ]
    scope = {
        "type": "http",
        "method": "PUT",
        "path": f"/image{where}",
        "query_string": b"",
        "headers": [
            (name.lower().encode(), value.encode())
            for name, value in {**world.green.headers, **OCTETS}.items()
        ],
    }

    async def receive() -> dict[str, object]:
        return messages.pop(0)

    async def send(_message: dict[str, object]) -> None:
        """Nobody is there any more."""

    await world.gateway.app(scope, receive, send)
    assert (await world.show(image["id"]))["status"] == "queued"
    assert world.files() == []
    assert (await world.green.put(where, content=DATA, headers=OCTETS)).is_success


async def test_an_image_that_is_too_large_is_refused(world: World) -> None:
    world.images.settings = world.images.settings.model_copy(update={"max_bytes": 3_000_000})

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 500_000

    image = await world.queued()
    where = f"/v2/images/{image['id']}/file"
    for content in (b"x" * 3_000_001, endless()):
        assert (await world.green.put(where, content=content, headers=OCTETS)).status_code == 413
        assert (await world.show(image["id"]))["status"] == "queued"
        assert world.files() == []


async def test_a_full_store_is_told_of(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_blob: str) -> None:
        raise BlobStoreFull("there is no room left in the image store")

    monkeypatch.setattr(world.images.blobs, "writer", full)
    image = await world.queued()
    answer = await world.green.put(f"/v2/images/{image['id']}/file", content=DATA, headers=OCTETS)
    assert answer.status_code == 413
    assert "no room" in answer.json()["message"]
    assert (await world.show(image["id"]))["status"] == "queued"


async def test_data_is_uploaded_once_and_as_it_should_be(world: World) -> None:
    image = await world.active()
    where = f"/v2/images/{image['id']}/file"
    assert (await world.green.put(where, content=DATA, headers=OCTETS)).status_code == 409
    other = await world.queued()
    answer = await world.green.put(f"/v2/images/{other['id']}/file", json={"data": 1})
    assert answer.status_code == 415
    shapeless = await world.queued(disk_format=None)
    answer = await world.green.put(f"/v2/images/{shapeless['id']}/file", content=DATA, headers=OCTETS)
    assert answer.status_code == 400


async def test_an_image_deleted_under_its_upload_is_gone(world: World) -> None:
    image = await world.queued()

    async def slow() -> AsyncIterator[bytes]:
        yield b"x" * 2_000_000
        assert (await world.green.delete(f"/v2/images/{image['id']}")).status_code == 204
        yield b"y"

    answer = await world.green.put(f"/v2/images/{image['id']}/file", content=slow(), headers=OCTETS)
    assert answer.status_code == 410
    await world.images._sweep.once()
    assert world.files() == []
    assert await world.resource(image["id"]) is None


async def test_versions_schemas_and_ways_to_import(world: World) -> None:
    root = await world.nobody.get("/")
    assert root.status_code == 300
    [current] = [version for version in root.json()["versions"] if version["status"] == "CURRENT"]
    assert current["links"][0]["href"] == "http://cloud.test/image/v2/"
    assert (await world.nobody.get("/versions")).status_code == 200
    assert (await world.nobody.get("/v2/images")).status_code == 401
    for name in ("image", "images", "member", "members"):
        assert (await world.green.get(f"/v2/schemas/{name}")).json()["name"] == name
    methods = await world.green.get("/v2/info/import")
    assert methods.json()["import-methods"]["value"] == []
    image = await world.queued()
    body = {"method": {"name": "web-download", "uri": "http://x"}}
    answer = await world.green.post(f"/v2/images/{image['id']}/import", json=body)
    assert answer.status_code == 400
    assert "not supported" in answer.json()["message"]


async def test_hosts_fetch_with_a_signed_address_only(world: World) -> None:
    image, other = await world.active(), await world.active()
    keys = await world.images.keys()
    resource = await world.resource(image["id"])
    assert resource is not None
    path = httpx.URL(resource.spec.url).path
    signed = httpx.URL(keys.signed(resource.spec.url))
    stranger = httpx.AsyncClient(
        transport=httpx.ASGITransport(app=world.gateway.app), base_url="http://cloud.test"
    )
    world.gateway.clients.append(stranger)
    assert (await stranger.get(path)).status_code == 404
    assert (await stranger.get(f"{path}?signature=x")).status_code == 404
    assert (await stranger.get(f"{path}?{signed.query.decode()}")).content == DATA
    elsewhere = path.replace(image["id"], other["id"])
    assert (await stranger.get(f"{elsewhere}?{signed.query.decode()}")).status_code == 404
