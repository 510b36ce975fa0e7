"""Images that compute hosts put into the store: by a signed address, and again after an answer was lost."""

from __future__ import annotations

import asyncio
import hashlib
import uuid
from collections.abc import AsyncIterator

import pytest

from cairn_database.images import rows, uploads
from integration.gateway.image.world import DATA, SHA256, World

QCOW2 = b"QFI\xfb" + bytes(20) + (2**30).to_bytes(8) + bytes(500)


async def address(world: World, image_id: str) -> str:
    keys = await world.images.keys()
    return f"/internal/blobs/{image_id}?signature={keys.sign_upload(image_id)}"


async def test_a_hosts_image_becomes_active_with_the_format_that_it_names(world: World) -> None:
    image = await world.queued(name="snap", disk_format="raw")
    answer = await world.nobody.put(
        await address(world, image["id"]), content=QCOW2, headers={"X-Cairn-Disk-Format": "qcow2"}
    )
    assert (answer.status_code, answer.content) == (204, b"")
    shown = await world.show(image["id"])
    assert (shown["status"], shown["disk_format"], shown["size"]) == ("active", "qcow2", len(QCOW2))
    assert shown["virtual_size"] == 2**30
    assert shown["os_hash_value"] == hashlib.sha512(QCOW2).hexdigest()
    resource = await world.resource(image["id"])
    assert resource is not None
    assert (resource.metadata.name, resource.spec.disk_format) == ("snap", "qcow2")


async def test_the_same_again_is_taken_and_something_else_is_not(world: World) -> None:
    image = await world.queued()
    where = await address(world, image["id"])
    raw = {"X-Cairn-Disk-Format": "raw"}
    for _ in range(2):
        assert (await world.nobody.put(where, content=DATA, headers=raw)).status_code == 204
    assert (await world.nobody.put(where, content=DATA + b"!", headers=raw)).status_code == 409
    resource = await world.resource(image["id"])
    assert resource is not None
    assert resource.spec.sha256 == SHA256
    assert len(world.files()) == 1


async def test_only_the_signature_for_putting_it_is_the_right_to(world: World) -> None:
    image, other = await world.queued(), await world.queued()
    keys = await world.images.keys()
    path = f"/internal/blobs/{image['id']}"
    wrong = ("", "x", keys.sign(image["id"]), keys.sign_upload(other["id"]))
    for signature in wrong:
        answer = await world.nobody.put(f"{path}?signature={signature}", content=DATA)
        assert answer.status_code == 404
    assert (await world.admin.put(path, content=DATA)).status_code == 404
    assert (await world.show(image["id"]))["status"] == "queued"


async def test_an_image_that_is_gone_is_410_and_one_that_never_was_404(world: World) -> None:
    image = await world.queued()
    where = await address(world, image["id"])
    assert (await world.green.delete(f"/v2/images/{image['id']}")).status_code == 204
    assert (await world.nobody.put(where, content=DATA)).status_code == 410
    never = await address(world, str(uuid.uuid4()))
    assert (await world.nobody.put(never, content=DATA)).status_code == 404


@pytest.mark.parametrize("word", ["", "vhdx-2", "QCOW2"])
async def test_formats_that_are_none_are_400(world: World, word: str) -> None:
    image = await world.queued()
    where = await address(world, image["id"])
    answer = await world.nobody.put(where, content=DATA, headers={"X-Cairn-Disk-Format": word})
    assert answer.status_code == 400
    assert (await world.show(image["id"]))["status"] == "queued"


async def test_what_is_too_large_leaves_nothing(world: World) -> None:
    image = await world.queued()
    world.images.settings = world.images.settings.model_copy(update={"max_bytes": 100})
    answer = await world.nobody.put(await address(world, image["id"]), content=DATA)
    assert answer.status_code == 413
    assert (await world.show(image["id"]))["status"] == "queued"


async def test_while_one_is_coming_another_is_told_to_come_again(world: World) -> None:
    image = await world.queued()
    where = await address(world, image["id"])
    came, go_on = asyncio.Event(), asyncio.Event()

    async def slowly() -> AsyncIterator[bytes]:
        yield DATA[:100]
        came.set()
        await go_on.wait()
        yield DATA[100:]

    first = asyncio.create_task(world.nobody.put(where, content=slowly()))
    db = world.gateway.services.db
    await came.wait()
    record = await rows.get(db, image["id"])
    assert record is not None
    assert record.status == "saving"
    second = await world.nobody.put(where, content=DATA)
    assert (second.status_code, "retry-after" in second.headers) == (503, True)
    go_on.set()
    assert (await first).status_code == 204
    assert await uploads.doomed(db) == []
