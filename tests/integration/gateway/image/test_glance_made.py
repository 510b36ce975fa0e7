"""Images of servers in a real Glance: what hosts put to the gateway, what is left of what goes wrong, and who
deletes them."""

from __future__ import annotations

import asyncio
import hashlib
import uuid
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from cairn_database import InstanceRecord
from cairn_database.images import rows, snapshots
from cairn_gateway.http.faults import BadRequest, Forbidden
from cairn_operator.conductor import images as conductor_images
from integration.gateway.image.abroad import DATA, Abroad
from support.openstack_services import ServiceRefused

BACKUP = {"type": "daily", "rotation": 1}


def instance() -> InstanceRecord:
    """One of project green, as far as images of it say."""
    image = {"id": "base", "minMemoryMiB": 64, "properties": {"os_type": "linux", "image_type": "x"}}
    fields = {"id": str(uuid.uuid4()), "project": "green", "user_id": "ann", "image": image}
    return cast(InstanceRecord, SimpleNamespace(**fields, root_gib=1))


async def reserve(abroad: Abroad, of: InstanceRecord, **options: Any) -> str:
    """What createImage does, by a member of green."""
    image_id, _url = await abroad.images.reserve(
        abroad.call("green"), of, **{"name": "snap", "properties": {"note": "mine"}, **options}
    )
    return image_id


async def gone(abroad: Abroad, image_id: str) -> None:
    """Wait until Glance no longer has it."""
    for _ in range(300):
        if await abroad.images._client.own_view(image_id) is None:
            return
        await asyncio.sleep(0.1)
    pytest.fail(f"image {image_id} stays in Glance")


async def test_what_a_host_puts_is_active_in_glance_and_boots(abroad: Abroad) -> None:
    of, caller = instance(), abroad.call("green").caller
    image_id = await reserve(abroad, of)
    queued = abroad.shown(image_id)
    assert (queued["status"], queued["owner"], queued["visibility"]) == (
        "queued",
        caller.project_id,
        "private",
    )
    assert (await abroad.put(image_id, DATA, X_Cairn_Disk_Format="raw")).status_code == 204
    shown = abroad.shown(image_id)
    assert (shown["status"], shown["size"]) == ("active", len(DATA))
    assert shown["os_hash_value"] == hashlib.sha512(DATA).hexdigest()
    assert (shown["disk_format"], shown["container_format"]) == ("raw", "bare")
    assert (shown["min_disk"], shown["min_ram"]) == (1, 64)
    assert (shown["instance_uuid"], shown["image_type"]) == (of.id, "snapshot")
    assert (shown["base_image_ref"], shown["os_type"], shown["note"]) == ("base", "linux", "mine")
    found = await abroad.images.find(abroad.call("green"), image_id)
    assert found is not None
    assert (found.status, found.spec.sha256) == ("active", hashlib.sha256(DATA).hexdigest())
    assert (await abroad.put(image_id, DATA, X_Cairn_Disk_Format="raw")).status_code == 204
    assert (await abroad.put(image_id, DATA + b"!", X_Cairn_Disk_Format="raw")).status_code == 409
    await conductor_images.forget(
        abroad.gateway.services.db, abroad.gateway.services.cluster.kubernetes, image_id
    )
    await gone(abroad, image_id)


async def test_what_breaks_off_leaves_it_queued_and_the_host_comes_again(abroad: Abroad) -> None:
    image_id = await reserve(abroad, instance())

    async def half() -> AsyncIterator[bytes]:
        yield DATA[:500_000]
        raise BadRequest("the host is gone")

    record = await rows.get(abroad.images.db, image_id)
    assert record is not None
    with pytest.raises(BadRequest, match="the host is gone"):
        await abroad.images.upload(record, half(), len(DATA))
    for _ in range(100):  # Glance takes a moment to notice
        answer = await abroad.put(image_id, DATA, X_Cairn_Disk_Format="raw")
        if answer.status_code != 503:
            break
        await asyncio.sleep(0.1)
    assert answer.status_code == 204, answer.text
    shown = abroad.shown(image_id)
    assert (shown["status"], shown["size"]) == ("active", len(DATA))


async def test_one_that_was_deleted_in_glance_is_410_and_one_that_came_to_nothing_goes(
    abroad: Abroad,
) -> None:
    image_id = await reserve(abroad, instance())
    abroad.glance.request("DELETE", f"/v2/images/{image_id}")
    assert (await abroad.put(image_id, DATA)).status_code == 410
    assert await rows.get(abroad.images.db, image_id) is None
    unwanted = await reserve(abroad, instance())
    assert (await abroad.put(unwanted, DATA, X_Cairn_Disk_Format="qcow2")).status_code == 400, "it is raw"
    await abroad.images.abandon(unwanted)
    await gone(abroad, unwanted)
    assert (await abroad.put(unwanted, DATA)).status_code == 410
    with pytest.raises(Forbidden):
        await reserve(abroad, instance(), properties={"os_glance_x": "y"})


async def test_backups_rotate_by_what_glance_still_has(abroad: Abroad) -> None:
    """The newest but one was deleted in Glance: it does not count, and the one before it stays."""
    of, made = instance(), []
    services = abroad.gateway.services
    for number in range(4):
        made.append(await reserve(abroad, of, backup=BACKUP, name=f"backup-{number}"))
        if number == 3:
            abroad.glance.request("DELETE", f"/v2/images/{made[2]}", token=abroad.tokens["green"])
        assert (await abroad.put(made[-1], DATA, X_Cairn_Disk_Format="raw")).status_code == 204
    await conductor_images.rotate(services.db, services.cluster.kubernetes, of.id, "daily", 2)
    await gone(abroad, made[0])
    assert [abroad.shown(image_id)["status"] for image_id in (made[1], made[3])] == ["active", "active"]
    assert abroad.shown(made[3])["backup_type"] == "daily"
    with pytest.raises(ServiceRefused):
        abroad.shown(made[2])


async def test_one_that_was_asked_for_with_kubectl_is_made_when_its_host_comes(abroad: Abroad) -> None:
    image_id, _url = await snapshots.reserve(
        abroad.images.db, "http://gateway.test", name="by-kubectl", instance=instance()
    )
    assert await abroad.images.find(abroad.call("green"), image_id) is None
    assert (await abroad.put(image_id, DATA, X_Cairn_Disk_Format="raw")).status_code == 204
    shown = abroad.shown(image_id)
    assert (shown["status"], shown["name"]) == ("active", "by-kubectl")
    assert shown["owner"] == abroad.call("green").caller.project_id
    assert await abroad.images.find(abroad.call("blue"), image_id) is None
    assert await abroad.images.find(abroad.call("green"), image_id) is not None
