"""VolumeAttachments: what kubectl plugs in, and how far what was plugged in is.

An attachment is known by its id, which stays when another volume takes the first one's place: that is what a
change of `spec.volume` asks for. Where the Compute API has asked for it, `spec.volume` follows.
"""

from __future__ import annotations

import uuid

from cairn_crds import Instance, VolumeAttachment
from cairn_crds.volume import VolumeAttachmentPhase as Phase
from cairn_database import InstanceRecord, history, instances, legality
from cairn_database.asking import Asked
from cairn_database.records import AttachedVolume
from cairn_database.volumes import attaching, pairs, store, swapping
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
from cairn_operator.mirrors.controller import MirrorContext, Mirrored, NotGoneYet
from cairn_runtime.kubernetes import KubernetesError, NotFound

REFUSALS = (
    legality.ActionRefused,
    legality.InstanceLocked,
    legality.NotCapable,
    RootVolume,
    TooManyVolumes,
    VolumeElsewhere,
    VolumeGoing,
    VolumeInUse,
    VolumeNotFound,
    VolumeNotSwappable,
    VolumeSwapping,
    VolumeTooSmall,
)
DONE = (Phase.ATTACHED, Phase.DETACHING, Phase.SWAPPING)
HINT = "compute.cairn.dev/request"
PENDING_LOOK_AGAIN = 15.0
"""Seconds; a change of its Instance or its Volume is acted upon at once."""


async def take_in_attachment(context: MirrorContext, attachment: VolumeAttachment) -> Mirrored:
    """Attach what is not attached, swap what is to be another; say how far it is. One whose volume has been
    detached by others goes."""
    spec, metadata = attachment.spec, attachment.metadata
    namespace = metadata.namespace or ""
    record = await instances.get_by_name(context.db, namespace, spec.instance)
    volume = await store.at(context.db, namespace, spec.volume)
    mine = _mine(attachment, record, volume.id if volume else None)
    if mine is None:
        ended = await _ended(context, attachment, record)
        if ended is not None:
            return ended
    if record is None or volume is None:
        kind, name = ("Instance", spec.instance) if record is None else ("Volume", spec.volume)
        message = f"{kind} '{name}' does not exist."
        if record is not None and mine is not None:
            return _not_so(_shown(record, mine), f"{kind}NotFound", message)
        return _pending(f"{kind}NotFound", message)
    if mine is None:
        want = VolumeWant(
            volume_id=volume.id,
            device=spec.device,
            read_only=spec.read_only,
            delete_on_termination=spec.delete_on_termination,
            tag=spec.tag,
            attachment_id=metadata.uid or None,
        )
        try:
            record = await attaching.attach(context.db, record.id, _asked(metadata.uid), want)
        except REFUSALS as error:
            return _pending(type(error).__name__, str(error))
        await _hint(context, record)
        mine = record.volumes[-1]
    elif mine.delete_on_termination != spec.delete_on_termination:
        await attaching.set_delete_on_termination(
            context.db, record.id, mine.volume_id, spec.delete_on_termination
        )
    if volume.id not in (mine.volume_id, mine.successor.volume_id if mine.successor else None):
        return await _replace(context, attachment, record, mine, volume)
    return _shown(record, mine)


async def _replace(
    context: MirrorContext,
    attachment: VolumeAttachment,
    record: InstanceRecord,
    mine: AttachedVolume,
    wanted: VolumeRecord,
) -> Mirrored:
    """The spec names another volume than the one that is attached: it is wanted in its place, or it was in
    its place before the Compute API had that changed. Each change of the spec is tried once."""
    metadata = attachment.metadata
    if attachment.status.volume_id == wanted.id:
        await _follow(context, attachment, mine)
        return _shown(record, mine)
    request_id = f"req-{uuid.uuid5(uuid.UUID(metadata.uid), str(metadata.generation))}"
    actions = await history.list_actions(context.db, record.id)
    tried = next((action for action in actions if action.request_id == request_id), None)
    if tried is not None:
        message = tried.message or "The host could not do it."
        return _not_so(_shown(record, mine), "Failed", message, Phase.FAILED)
    asked = Asked(request_id=request_id, overrides_lock=True)
    try:
        record = await swapping.swap(context.db, record.id, asked, mine.volume_id, wanted.id)
    except REFUSALS as error:
        return _not_so(_shown(record, mine), type(error).__name__, str(error))
    await _hint(context, record)
    return _shown(record, pairs.of_instance(record, mine.volume_id))


async def _follow(context: MirrorContext, attachment: VolumeAttachment, mine: AttachedVolume) -> None:
    """The spec says what is so."""
    volume = await store.get(context.db, mine.volume_id)
    if volume is None:
        return
    metadata = attachment.metadata
    patch = {
        "metadata": {"resourceVersion": metadata.resource_version},
        "spec": {"volume": volume.name},
    }
    await context.kubernetes.patch(VolumeAttachment, metadata.name, metadata.namespace, patch)


async def remove_attachment(context: MirrorContext, namespace: str, name: str) -> None:
    """Unplug it. Raises NotGoneYet until the machine has let go of it."""
    try:
        body = await context.kubernetes.get(VolumeAttachment, name, namespace)
    except NotFound:
        return
    attachment = VolumeAttachment.from_api(body)
    spec = attachment.spec
    record = await instances.get_by_name(context.db, namespace, spec.instance)
    volume = await store.at(context.db, namespace, spec.volume)
    mine = _mine(attachment, record, volume.id if volume else None)
    if record is None or mine is None:
        return
    if mine.change != attaching.DETACHING:
        try:
            record = await attaching.detach(context.db, record.id, _asked(), mine.volume_id)
        except VolumeNotAttached:
            return
        except REFUSALS as error:
            raise NotGoneYet(str(error)) from error
        await _hint(context, record)
    raise NotGoneYet(f"Host {record.host} is unplugging it.")


async def _ended(
    context: MirrorContext, attachment: VolumeAttachment, record: InstanceRecord | None
) -> Mirrored | None:
    """What has become of one that was attached before, and is not any more: each is attached once. None for
    one that was not. The request's id, which is the resource's, tells."""
    if record is None:
        return await _detached(context, attachment) if attachment.status.phase in DONE else None
    mine = f"req-{attachment.metadata.uid}"
    actions = await history.list_actions(context.db, record.id)
    before = next((action for action in actions if action.request_id == mine), None)
    if before is None:
        return await _detached(context, attachment) if attachment.status.phase in DONE else None
    if before.result == history.ERROR:
        message = before.message or "The host could not attach it."
        return Mirrored(True, "Failed", message, {"phase": Phase.FAILED.value, "message": message[:1024]})
    return await _detached(context, attachment)


async def _detached(context: MirrorContext, attachment: VolumeAttachment) -> Mirrored:
    metadata = attachment.metadata
    await context.kubernetes.delete(VolumeAttachment, metadata.name, metadata.namespace, uid=metadata.uid)
    return Mirrored(message="It has been detached.")


def _mine(
    attachment: VolumeAttachment, record: InstanceRecord | None, volume_id: str | None
) -> AttachedVolume | None:
    """What is attached by it; one that the Compute API has made is known by its volume at first."""
    found = record.volumes if record is not None else ()
    ids = (attachment.status.attachment_id, attachment.metadata.uid)
    own = next((one for one in found if one.attachment_id in ids), None)
    return own or next((one for one in found if one.volume_id == volume_id), None)


def _asked(uid: str | None = None) -> Asked:
    return Asked(request_id=f"req-{uid or uuid.uuid4()}", overrides_lock=True)


async def _hint(context: MirrorContext, record: InstanceRecord) -> None:
    """The instance's own conductor is to look at once; its sweep does otherwise."""
    patch = {"metadata": {"annotations": {HINT: f"req-{uuid.uuid4()}"}}}
    try:
        await context.kubernetes.patch(Instance, record.name, record.namespace, patch)
    except KubernetesError:
        return


def _pending(reason: str, message: str) -> Mirrored:
    fields = {"phase": Phase.PENDING.value, "message": message[:1024]}
    return Mirrored(False, reason, message, fields, PENDING_LOOK_AGAIN)


def _shown(record: InstanceRecord, mine: AttachedVolume) -> Mirrored:
    phase, message = Phase.ATTACHED, None
    if mine.change == attaching.ATTACHING:
        phase = Phase.ATTACHING
        message = None if mine.made else "Its file is being made."
    elif mine.change == attaching.DETACHING:
        phase = Phase.DETACHING
    elif mine.successor is not None:
        phase = Phase.SWAPPING
        message = f"Volume {mine.successor.volume_id} takes the place of {mine.volume_id}."
    fields = {
        "phase": phase.value,
        "device": mine.device,
        "attachmentId": mine.attachment_id,
        "volumeId": mine.volume_id,
        "replacedBy": mine.successor.volume_id if mine.successor is not None else None,
        "instanceId": record.id,
        "message": message,
    }
    ready = mine.change is None
    return Mirrored(ready, phase.value, f"{phase.value} as {mine.device}.", fields)


def _not_so(shown: Mirrored, reason: str, message: str, phase: Phase | None = None) -> Mirrored:
    """What is attached, and why that is not what the spec says."""
    fields = {**(shown.fields or {}), "message": message[:1024]}
    if phase is not None:
        fields["phase"] = phase.value
    return Mirrored(False, reason, message, fields)
