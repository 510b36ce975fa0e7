"""What is done to a server on the host that it has: rebuild, rescue, its password, crash dumps.

Source: Nova API, the actions rebuild, rescue, unrescue, changePassword and trigger_crash_dump of
POST /servers/{server_id}/action.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from cairn_database import InstanceRecord, reshaping
from cairn_database.admission import Refusal, check_image
from cairn_database.volumes.attaching import refuse_unstable_rescue
from cairn_database.volumes.errors import RescueNotStable
from cairn_gateway.http.call import Answer, Call
from cairn_gateway.http.faults import BadRequest
from cairn_gateway.http.models import RequestModel, Text255, Uuid
from cairn_gateway.nova import microversions as since
from cairn_gateway.nova.servers.actions import action, asked_by, begin, perform
from cairn_gateway.nova.servers.load import server_of, target_of
from cairn_gateway.nova.servers.passwords import admin_password

Json = dict[str, Any]
ADMIN_USER = "os_admin_user"
"""Property of an image: who its administrator is (Nova's name for it)."""


class RescueWish(RequestModel):
    """The password of the rescue system, and what it is made of; the server's own image when left out."""

    admin_pass: Annotated[Text255 | None, Field(alias="adminPass")] = None
    image_ref: Annotated[Uuid | None, Field(alias="rescue_image_ref")] = None


class Rescue(RequestModel):
    """`{"rescue": null}` or with a password and an image."""

    rescue: RescueWish | None = None


class NewPassword(RequestModel):
    """The password."""

    admin_pass: Annotated[Text255, Field(alias="adminPass")]


class ChangePassword(RequestModel):
    """`{"changePassword": {"adminPass": "…"}}`."""

    wanted: Annotated[NewPassword, Field(alias="changePassword")]


async def rescue(call: Call) -> Answer:
    """Run it from a rescue image, with its own disk beside."""
    body: Rescue = call.checked
    wish = body.rescue or RescueWish()
    record = await server_of(call)
    call.enforce(target_of(call, record))
    image = record.image if wish.image_ref is None else await _rescue_image(call, record, wish.image_ref)
    _refuse_volume_backed(call, record, image)
    password = await admin_password(wish.admin_pass, make=True)
    given: Json = {}
    if password is not None:
        given["password"] = {"user": _administrator(image), "hash": password.hashed}
    await begin(
        call,
        record,
        lambda one: reshaping.rescue(call.services.db, one.id, asked_by(call), image=image, given=given),
    )
    told = call.services.settings.gateway.enable_instance_password and password is not None
    return Answer({"adminPass": password.clear} if told and password else {})


def _refuse_volume_backed(call: Call, record: InstanceRecord, image: Json) -> None:
    """From 2.87 one that boots from a volume is rescued with an image that is for that. Raises BadRequest."""
    if record.boots_from_volume and call.version < since.RESCUE_VOLUME_BACKED:
        raise BadRequest(f"Instance {record.id} cannot be rescued: it boots from a volume.")
    try:
        refuse_unstable_rescue(record, image)
    except RescueNotStable as error:
        raise BadRequest(f"Instance {record.id} cannot be rescued: {error}") from error


async def _rescue_image(call: Call, record: InstanceRecord, image_id: str) -> Json:
    """As rows hold it. Raises BadRequest for one without data, and for one that is not for the project."""
    found = await call.services.images.find(call, image_id)
    refused = BadRequest(f"Requested rescue image '{image_id}' is not supported")
    if found is None or found.status != "active":
        raise refused
    try:
        check_image(found.name, found.spec, record.project)
    except Refusal as error:
        raise refused from error
    return {**found.spec.to_api(), "id": found.id, "name": found.resource, "displayName": found.name}


async def unrescue(call: Call) -> Answer:
    """Run it from its own disk again."""
    return await perform(call, lambda record: reshaping.unrescue(call.services.db, record.id, asked_by(call)))


async def change_password(call: Call) -> Answer:
    """Have the agent inside the guest set the administrator's password; the action tells how that went."""
    body: ChangePassword = call.checked
    password = await admin_password(body.wanted.admin_pass, make=False)
    hashed = password.hashed if password is not None else ""
    return await perform(
        call,
        lambda record: reshaping.set_password(
            call.services.db,
            record.id,
            asked_by(call),
            user=_administrator(record.image),
            password_hash=hashed,
        ),
    )


def _administrator(image: Json) -> str:
    properties = image.get("properties") or {}
    if properties.get(ADMIN_USER):
        return str(properties[ADMIN_USER])
    return "Administrator" if properties.get("os_type") == "windows" else "root"


async def crash_dump(call: Call) -> Answer:
    """Have the guest's kernel write its memory down, by an NMI."""
    return await perform(
        call, lambda record: reshaping.crash_dump(call.services.db, record.id, asked_by(call))
    )


ROUTES = (
    action("rescue", rescue, "os_compute_api:os-rescue", Rescue, status=200),
    action("unrescue", unrescue, "os_compute_api:os-unrescue"),
    action("changePassword", change_password, "os_compute_api:os-admin-password", ChangePassword),
    action(
        "trigger_crash_dump",
        crash_dump,
        "os_compute_api:servers:trigger_crash_dump",
        since=since.CRASH_DUMP,
    ),
)
