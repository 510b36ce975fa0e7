"""Rebuilding: the same server, with disks made anew from an image.

Source: Nova API, the action rebuild of POST /servers/{server_id}/action.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from cairn_crds.flavor import FlavorSpec
from cairn_database import InstanceRecord, reshaping
from cairn_database.admission import Refusal, check_fit, check_image, check_root_volume
from cairn_gateway.http.call import Answer, Call
from cairn_gateway.http.faults import BadRequest, NotImplementedYet, NotSupported
from cairn_gateway.http.models import Boolean, Name, RequestModel, Since, Text255, Until, Uuid
from cairn_gateway.nova import microversions as since
from cairn_gateway.nova.microversions import before
from cairn_gateway.nova.paging import PREFIX
from cairn_gateway.nova.servers import hostnames
from cairn_gateway.nova.servers.actions import action, asked_by, begin
from cairn_gateway.nova.servers.create import check_metadata_quota
from cairn_gateway.nova.servers.create_models import (
    AccessIPv4,
    AccessIPv6,
    DiskConfig,
    InjectedFile,
    Metadata,
    UserData,
)
from cairn_gateway.nova.servers.hostnames import Hostname
from cairn_gateway.nova.servers.labels import brief
from cairn_gateway.nova.servers.load import server_of, surroundings, target_of
from cairn_gateway.nova.servers.parts import find_key_pair
from cairn_gateway.nova.servers.passwords import AdminPassword, admin_password
from cairn_gateway.nova.servers.view import ServerView, user_data_of

Json = dict[str, Any]
RULE = "os_compute_api:servers:rebuild"


class RebuildWish(RequestModel):
    """The image, and what else changes."""

    image_ref: Annotated[Uuid, Field(alias="imageRef")]
    name: Name | None = None
    admin_pass: Annotated[Text255 | None, Field(alias="adminPass")] = None
    metadata: Metadata | None = None
    preserve_ephemeral: Boolean = False
    disk_config: Annotated[DiskConfig | None, Field(alias="OS-DCF:diskConfig")] = None
    access_ipv4: Annotated[AccessIPv4, Field(alias="accessIPv4")] = None
    access_ipv6: Annotated[AccessIPv6, Field(alias="accessIPv6")] = None
    personality: Annotated[
        list[InjectedFile] | None, Field(max_length=64), Until(before(since.PERSONALITY_REMOVED))
    ] = None
    description: Annotated[Text255 | None, Since(since.SERVER_DESCRIPTION)] = None
    key_name: Annotated[Name | None, Since(since.REBUILD_KEYPAIR)] = None
    user_data: Annotated[UserData | None, Since(since.REBUILD_USER_DATA)] = None
    trusted_image_certificates: Annotated[
        list[Text255] | None, Field(max_length=50), Since(since.TRUSTED_CERTIFICATES)
    ] = None
    hostname: Annotated[Hostname | None, Since(since.HOSTNAME_REQUEST)] = None


class Rebuild(RequestModel):
    """`{"rebuild": {"imageRef": "…"}}`."""

    rebuild: RebuildWish


async def rebuild(call: Call) -> Answer:
    """Make its disks anew from an image; what was on them is lost."""
    body: Rebuild = call.checked
    wish = body.rebuild
    hostnames.check(call, wish.hostname)
    record = await server_of(call)
    target = target_of(call, record)
    call.enforce(target)
    if "trusted_image_certificates" in wish.model_fields_set:
        call.enforce(target, f"{RULE}:trusted_certs")
    _refuse_what_is_not_there(wish)
    await check_metadata_quota(call, wish.metadata or {})
    if record.boots_from_volume and call.version < since.REBUILD_VOLUME_BACKED:
        raise BadRequest(
            f"Image {wish.image_ref} is unacceptable: Unable to rebuild with a different image for a "
            "volume-backed server."
        )
    image = await _image(call, record, wish.image_ref)
    key_pair, spec = record.key_pair, _spec(wish)
    if "key_name" in wish.model_fields_set:
        key_pair, spec["keyPair"] = await find_key_pair(call, wish.key_name)
    password = await admin_password(wish.admin_pass, make=True)
    if password is not None:
        spec["adminPasswordHash"] = password.hashed
    after = await begin(
        call,
        record,
        lambda one: reshaping.rebuild(
            call.services.db,
            one.id,
            asked_by(call),
            image=image,
            spec=spec,
            details=_details(wish),
            key_pair=key_pair,
        ),
    )
    return await _answer(call, after, password)


def _refuse_what_is_not_there(wish: RebuildWish) -> None:
    if wish.personality:
        raise NotImplementedYet("Cairn cannot inject files yet: use user data in place of personality.")
    if wish.preserve_ephemeral:
        raise NotSupported("Ephemeral disks are made anew in a rebuild: leave preserve_ephemeral out.")


async def _image(call: Call, record: InstanceRecord, image_id: str) -> Json:
    """As rows hold it. Raises BadRequest."""
    found = await call.services.images.find(call, image_id)
    if found is None:
        raise BadRequest("Cannot find image for rebuild")
    if found.status != "active":
        raise BadRequest(f"Image {found.id} is not active.")
    known = {info.alias or name for name, info in FlavorSpec.model_fields.items()}
    flavor = {name: value for name, value in record.flavor.items() if name in known}
    shown = str(record.flavor.get("displayName") or record.flavor["name"])
    try:
        check_image(found.name, found.spec, record.project)
        if record.boots_from_volume:
            check_root_volume(record.root_gib, found.name, found.spec)
        else:
            check_fit(shown, FlavorSpec.model_validate(flavor), found.name, found.spec)
    except Refusal as refusal:
        raise BadRequest(refusal.message) from refusal
    return {**found.spec.to_api(), "id": found.id, "name": found.resource, "displayName": found.name}


def _spec(wish: RebuildWish) -> Json:
    given = wish.model_fields_set
    spec: Json = {}
    if wish.name is not None:
        spec["displayName"] = wish.name
    if wish.metadata is not None:
        spec["metadata"] = wish.metadata
    if "description" in given:
        spec["description"] = wish.description or None
    if "user_data" in given:
        spec |= {"userData": None, "userDataBase64": wish.user_data or None}
    if wish.hostname is not None:
        spec["hostname"] = wish.hostname
    return spec


def _details(wish: RebuildWish) -> Json:
    given = wish.model_fields_set
    details: Json = {}
    if wish.disk_config is not None:
        details["diskConfig"] = wish.disk_config
    if wish.hostname is not None:
        details["hostname"] = None  # the guest's own is the one in the spec from now on
    for name, key in (
        ("access_ipv4", "accessIPv4"),
        ("access_ipv6", "accessIPv6"),
        ("trusted_image_certificates", "trustedImageCertificates"),
    ):
        if name in given:
            details[key] = getattr(wish, name)
    return details


async def _answer(call: Call, record: InstanceRecord, password: AdminPassword | None) -> Answer:
    """The server as it is now; what PUT shows of it, and what only a rebuild shows."""
    server = ServerView(call, await surroundings(call, [record])).full(record)
    if call.version < since.SERVER_SHAPE_UNIFORM:
        server = brief(call, server, *(["key_name"] if call.version >= since.REBUILD_KEYPAIR else []))
    server.pop("OS-EXT-SRV-ATTR:user_data", None)
    if call.version >= since.REBUILD_USER_DATA:
        server["user_data"] = user_data_of(record)
    if password is not None and call.services.settings.gateway.enable_instance_password:
        server["adminPass"] = password.clear
    location = f"{call.base_url}{PREFIX}/servers/{record.id}"
    return Answer({"server": server}, headers={"Location": location})


ROUTES = (action("rebuild", rebuild, RULE, Rebuild),)
