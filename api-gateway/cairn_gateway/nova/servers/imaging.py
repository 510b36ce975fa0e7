"""Images of servers: snapshots and backups.

Source: Nova API, the actions createImage and createBackup of POST /servers/{server_id}/action.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any

from pydantic import Field

from cairn_database import InstanceRecord, capabilities, quota_limits, reshaping
from cairn_gateway.http.call import Answer, Call
from cairn_gateway.http.faults import OverQuota
from cairn_gateway.http.models import Integer, Name, RequestModel, Text255
from cairn_gateway.nova import microversions as since
from cairn_gateway.nova.servers.actions import action, asked_by, begin, refusals
from cairn_gateway.nova.servers.create_models import Metadata
from cairn_gateway.nova.servers.load import server_of, target_of

Json = dict[str, Any]
IntoImage = Callable[[str, str], Awaitable[InstanceRecord]]
"""(image's id, address to put its data at) to the row."""


class ImageWish(RequestModel):
    """The image's name, and further properties of it."""

    name: Name
    metadata: Metadata = {}


class CreateImage(RequestModel):
    """`{"createImage": {"name": "…"}}`."""

    wanted: Annotated[ImageWish, Field(alias="createImage")]


class BackupWish(RequestModel):
    """As of an image, and of which row of backups, how many of which are kept."""

    name: Name
    backup_type: Text255
    rotation: Annotated[Integer, Field(ge=0, le=2**31 - 1)]
    metadata: Metadata = {}


class CreateBackup(RequestModel):
    """`{"createBackup": {"name": "…", "backup_type": "daily", "rotation": 7}}`."""

    wanted: Annotated[BackupWish, Field(alias="createBackup")]


async def create_image(call: Call) -> Answer:
    """Make an image of its disk."""
    body: CreateImage = call.checked
    record = await server_of(call)
    target = target_of(call, record)
    call.enforce(target)
    if record.boots_from_volume:
        call.enforce(target, "os_compute_api:servers:create_image:allow_volume_backed")
    await _check_quota(call, body.wanted.metadata)

    async def act(image_id: str, url: str) -> InstanceRecord:
        return await reshaping.snapshot(
            call.services.db, record.id, asked_by(call), image_id=image_id, url=url
        )

    image_id = await into_image(
        call,
        record,
        "snapshot",
        act,
        called="createImage",
        name=body.wanted.name,
        properties=body.wanted.metadata,
    )
    return _answer(call, image_id)


async def create_backup(call: Call) -> Answer:
    """Make an image of its disk, and remove the oldest of a row of them."""
    body: CreateBackup = call.checked
    wanted = body.wanted
    record = await server_of(call)
    call.enforce(target_of(call, record))
    await _check_quota(call, wanted.metadata)
    backup = {"type": wanted.backup_type, "rotation": wanted.rotation}

    async def act(image_id: str, url: str) -> InstanceRecord:
        return await reshaping.snapshot(
            call.services.db, record.id, asked_by(call), image_id=image_id, url=url, backup=backup
        )

    image_id = await into_image(
        call,
        record,
        "backup",
        act,
        called="createBackup",
        name=wanted.name,
        properties=wanted.metadata,
        backup=backup,
    )
    # Of a row that keeps none, the image goes as soon as it is there: no address is told before 2.45.
    return _answer(call, image_id, location=wanted.rotation > 0)


async def into_image(
    call: Call,
    record: InstanceRecord,
    what: str,
    act: IntoImage,
    *,
    name: str,
    called: str | None = None,
    properties: Mapping[str, str] | None = None,
    backup: Json | None = None,
) -> str:
    """Reserve an image, `act`, and let the conductor know; the image's id. `what`: the action, as the table
    of legality has it. Nothing is left of the image where the action is refused.

    Raises as `actions.refusals`, and what the image back end raises.
    """
    with refusals():
        await call.services.db.read(
            lambda conn: capabilities.judge(conn, what, record, overrides_lock=call.is_admin, called=called)
        )
    images = call.services.images
    image_id, url = await images.reserve(call, record, name=name, properties=properties or {}, backup=backup)
    try:
        await begin(call, record, lambda _record: act(image_id, url))
    except BaseException:
        await asyncio.shield(images.abandon(image_id))
        raise
    return image_id


async def _check_quota(call: Call, metadata: Mapping[str, str]) -> None:
    """Before 2.39 the quota of a server's metadata counts here, too. Raises OverQuota."""
    if call.version >= since.IMAGE_METADATA_QUOTA_REMOVED or call.caller.project is None:
        return
    limits = await quota_limits.user_limits(call.services.db, call.caller.project, call.caller.user_id)
    if 0 <= limits["metadata_items"] < len(metadata):
        raise OverQuota("Image metadata limit exceeded")


def _answer(call: Call, image_id: str, *, location: bool = True) -> Answer:
    if call.version >= since.SNAPSHOT_ID_IN_BODY:
        return Answer({"image_id": image_id})
    if not location:
        return Answer()
    return Answer(headers={"Location": f"{call.base_url}/image/v2/images/{image_id}"})


ROUTES = (
    action("createImage", create_image, "os_compute_api:servers:create_image", CreateImage),
    action("createBackup", create_backup, "os_compute_api:os-create-backup", CreateBackup),
)
