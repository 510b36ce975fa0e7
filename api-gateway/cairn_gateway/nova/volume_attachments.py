"""/servers/{server_id}/os-volume_attachments: volumes of servers, attached and detached.

Volumes are Cairn's own resources, named by id (or by the resource's name); there is no volume service.
Source of behaviour: Nova's `volume_attachments`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import structlog
from pydantic import Field, StringConstraints

from cairn_crds import VolumeAttachment
from cairn_database import InstanceNotFound, InstanceRecord, VmState
from cairn_database.legality import ActionRefused, InstanceLocked, NotCapable
from cairn_database.records import AttachedVolume
from cairn_database.volumes import attaching, store, swapping
from cairn_database.volumes.errors import (
    RootVolume,
    TooManyVolumes,
    VolumeElsewhere,
    VolumeGoing,
    VolumeInUse,
    VolumeNotAttached,
    VolumeNotFound,
    VolumeNotSwappable,
    VolumeSwapping,
    VolumeTooSmall,
)
from cairn_database.volumes.store import VolumeRecord
from cairn_database.volumes.wants import VolumeWant
from cairn_gateway.http.call import Answer, Call
from cairn_gateway.http.faults import BadRequest, Conflict, Forbidden, NotFound
from cairn_gateway.http.models import Boolean, RequestModel, Since, Text255, Uuid
from cairn_gateway.http.routes import Enforce, Route
from cairn_gateway.nova import microversions as since
from cairn_gateway.nova.microversions import before
from cairn_gateway.nova.servers.actions import asked_by, perform
from cairn_gateway.nova.servers.create_models import Tag
from cairn_gateway.nova.servers.disks import attachment_name, make_volume_resources
from cairn_gateway.nova.servers.load import server_of, target_of
from cairn_runtime.kubernetes import KubernetesError

log = structlog.get_logger()
Json = dict[str, Any]
RULE = "os_compute_api:os-volumes-attachments:"
SHELVED = (VmState.SHELVED, VmState.SHELVED_OFFLOADED)
REFUSED = (
    VolumeInUse,
    VolumeGoing,
    VolumeElsewhere,
    VolumeNotSwappable,
    VolumeSwapping,
    VolumeTooSmall,
    NotCapable,
)
"""400 in Nova: InvalidVolume."""
Device = Annotated[str, StringConstraints(max_length=255, pattern=r"^/dev/[a-z]+[0-9]*$")]


class NewAttachment(RequestModel):
    """Which volume, and how."""

    volume_id: Annotated[Uuid, Field(alias="volumeId")]
    device: Device | None = None
    tag: Annotated[Tag | None, Since(since.ATTACH_TAGS)] = None
    delete_on_termination: Annotated[Boolean, Since(since.VOLUME_DELETE_ON_TERMINATION)] = False


class AttachVolume(RequestModel):
    """`{"volumeAttachment": {"volumeId": …}}`."""

    volumeAttachment: NewAttachment  # noqa: N815 - the body's own name


class ChangedAttachment(RequestModel):
    """The volume in the attachment; from 2.85 what of it may change, and what may be repeated."""

    volume_id: Annotated[Uuid, Field(alias="volumeId")]
    id: Annotated[Uuid | None, Since(since.VOLUME_ATTACHMENT_UPDATE)] = None
    server_id: Annotated[Uuid | None, Field(alias="serverId"), Since(since.VOLUME_ATTACHMENT_UPDATE)] = None
    device: Annotated[Text255 | None, Since(since.VOLUME_ATTACHMENT_UPDATE)] = None
    tag: Annotated[Tag | None, Since(since.VOLUME_ATTACHMENT_UPDATE)] = None
    delete_on_termination: Annotated[Boolean | None, Since(since.VOLUME_ATTACHMENT_UPDATE)] = None


class ChangeAttachment(RequestModel):
    """`{"volumeAttachment": {"volumeId": …}}`."""

    volumeAttachment: ChangedAttachment  # noqa: N815 - the body's own name


async def index(call: Call) -> Answer:
    """A server's volumes."""
    record = await server_of(call)
    call.enforce(target_of(call, record))
    offset, limit = _number(call, "offset", 0), _number(call, "limit", 1000)
    shown = record.volumes[offset : offset + min(limit or 1000, 1000)]
    return Answer({"volumeAttachments": [_view(call, record, one) for one in shown]})


def _number(call: Call, name: str, default: int) -> int:
    value = call.query_dict().get(name, default)
    try:
        number = int(value)
    except ValueError as error:
        raise BadRequest(f"Invalid input for query parameters {name}.") from error
    if number < 0:
        raise BadRequest(f"Invalid input for query parameters {name}.")
    return number


async def show(call: Call) -> Answer:
    """One volume of a server."""
    record = await server_of(call)
    call.enforce(target_of(call, record))
    return Answer({"volumeAttachment": _view(call, record, _attached(call, record))})


def _attached(call: Call, record: InstanceRecord) -> AttachedVolume:
    volume_id = call.params["volume_id"].lower()
    try:
        return attaching.of_instance(record, volume_id)
    except VolumeNotAttached as error:
        raise NotFound(f"Instance {record.id} is not attached to volume {volume_id}") from error


def _view(call: Call, record: InstanceRecord, volume: AttachedVolume) -> Json:
    version = call.version
    shown: Json = {"volumeId": volume.volume_id, "serverId": record.id, "device": volume.device}
    if version < since.ATTACHMENT_ID:
        shown["id"] = volume.volume_id
    else:
        shown |= {"attachment_id": volume.attachment_id, "bdm_uuid": volume.attachment_id}
    if version >= since.ATTACHMENT_TAGS_SHOWN:
        shown["tag"] = volume.tag
    if version >= since.VOLUME_DELETE_ON_TERMINATION:
        shown["delete_on_termination"] = volume.delete_on_termination
    return shown


async def attach(call: Call) -> Answer:
    """Attach a volume; the host plugs it in then."""
    record = await server_of(call)
    call.enforce(target_of(call, record))
    wish: NewAttachment = call.checked.volumeAttachment
    _refuse_shelved(call, record, "attach_volume")
    volume = await _volume(call, record, wish.volume_id)
    want = VolumeWant(
        volume_id=volume.id,
        device=wish.device,
        tag=wish.tag,
        delete_on_termination=wish.delete_on_termination,
    )
    if volume.spec.multi_attach and call.version < since.VOLUME_MULTIATTACH:
        raise BadRequest("Multiattach volumes are only supported starting with compute API version 2.60.")
    with _as_nova():
        after = await attaching.attach(call.services.db, record.id, asked_by(call), want)
    await make_volume_resources(call, after)
    await call.services.cluster.hint(after.namespace, after.name, call.request_id)
    if call.version >= since.VOLUME_ATTACH_LATER:
        return Answer(status=202)
    new = after.volumes[-1]
    shown: Json = {
        "id": volume.id,
        "serverId": after.id,
        "volumeId": volume.id,
        "device": new.device,
    }
    if call.version >= since.ATTACHMENT_TAGS_SHOWN:
        shown["tag"] = new.tag
    if call.version >= since.VOLUME_DELETE_ON_TERMINATION:
        shown["delete_on_termination"] = new.delete_on_termination
    return Answer({"volumeAttachment": shown})


async def update(call: Call) -> Answer:
    """From 2.85 say whether the volume goes with the server; put another volume in its place. Nova leaves
    that to the volume service, which does it while it moves one; there is none here, and whom the policy
    allows it may do it."""
    record = await server_of(call)
    wish: ChangedAttachment = call.checked.volumeAttachment
    path_id = call.params["volume_id"].lower()
    swaps = call.version < since.VOLUME_ATTACHMENT_UPDATE or path_id != wish.volume_id.lower()
    call.enforce({} if swaps else target_of(call, record), RULE + ("swap" if swaps else "update"))
    if call.version >= since.VOLUME_ATTACHMENT_UPDATE:
        await _update(call, record, wish)
    if swaps:
        await _swap(call, record, path_id, wish.volume_id.lower())
    return Answer(status=202)


async def _swap(call: Call, record: InstanceRecord, old_id: str, new_id: str) -> None:
    await _volume(call, record, old_id)
    try:
        await _volume(call, record, new_id)
    except NotFound as error:
        raise BadRequest(str(error)) from error  # a word of the body, not of the path
    _attached(call, record)
    with _as_nova():
        after = await swapping.swap(call.services.db, record.id, asked_by(call), old_id, new_id)
    await call.services.cluster.hint(after.namespace, after.name, call.request_id)


async def _update(call: Call, record: InstanceRecord, wish: ChangedAttachment) -> None:
    mine, given = _attached(call, record), wish.model_fields_set
    for name, value, has in (
        ("id", wish.id, mine.volume_id),
        ("serverId", wish.server_id, record.id),
        ("device", wish.device, mine.device),
        ("tag", wish.tag, mine.tag),
    ):
        field = "server_id" if name == "serverId" else name
        if field in given and value != has:
            raise BadRequest(f"The {name} property is not mutable")
    if wish.delete_on_termination is not None:
        with _as_nova():
            await attaching.set_delete_on_termination(
                call.services.db, record.id, mine.volume_id, wish.delete_on_termination
            )


async def detach(call: Call) -> Answer:
    """Detach a volume; it is the server's until the host has unplugged it."""
    volume_id = call.params["volume_id"].lower()

    async def act(record: InstanceRecord) -> InstanceRecord:
        _refuse_shelved(call, record, "detach_volume")
        await _volume(call, record, volume_id)
        _attached(call, record)
        with _as_nova():
            after = await attaching.detach(call.services.db, record.id, asked_by(call), volume_id)
        await _drop_resource(call, after, volume_id)
        return after

    return await perform(call, act)


def _refuse_shelved(call: Call, record: InstanceRecord, action: str) -> None:
    if record.vm_state in SHELVED and call.version < since.VOLUMES_WHILE_SHELVED:
        raise Conflict(str(ActionRefused(action, record.id, "vm_state", record.vm_state)))


async def _volume(call: Call, record: InstanceRecord, volume_id: str) -> VolumeRecord:
    found = await store.get(call.services.db, volume_id.lower())
    if found is None or found.project != record.project:
        raise NotFound(f"Volume {volume_id} could not be found.")
    return found


async def _drop_resource(call: Call, record: InstanceRecord, volume_id: str) -> None:
    volume = await store.get(call.services.db, volume_id)
    if volume is None:
        return
    name = attachment_name(record, volume.name)
    try:
        await call.services.cluster.delete(VolumeAttachment, name, record.namespace)
    except KubernetesError as error:
        log.warning("volume.resource_goes_later", volume_id=volume_id, error=str(error))


@contextmanager
def _as_nova() -> Iterator[None]:
    """The statuses that Nova gives these refusals."""
    try:
        yield
    except (InstanceNotFound, VolumeNotFound, VolumeNotAttached) as error:
        raise NotFound(str(error)) from error
    except (ActionRefused, InstanceLocked) as error:
        raise Conflict(str(error)) from error
    except (RootVolume, TooManyVolumes) as error:
        raise Forbidden(str(error)) from error
    except REFUSED as error:
        raise BadRequest(f"Invalid volume: {error}") from error


def _route(method: str, path: str, handler: Any, rule: str, **options: Any) -> Route:
    at = f"/servers/{{server_id}}/os-volume_attachments{path}"
    return Route(method, at, handler, RULE + rule, enforce=Enforce.HANDLER, **options)


_LATER = since.VOLUME_ATTACH_LATER
ROUTES: tuple[Route, ...] = (
    _route("GET", "", index, "index"),
    _route("POST", "", attach, "create", body=AttachVolume, until=before(_LATER)),
    _route("POST", "", attach, "create", body=AttachVolume, status=202, since=_LATER),
    _route("GET", "/{volume_id}", show, "show"),
    _route("PUT", "/{volume_id}", update, "update", body=ChangeAttachment, status=202),
    _route("DELETE", "/{volume_id}", detach, "delete", status=202),
)
