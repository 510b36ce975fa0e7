"""The disks that a new server asks for: `block_device_mapping_v2`, and with it booting from a volume.

Source of behaviour: Nova API, POST /servers; what cannot be is 400 (`nova/compute/api.py`, its checks of
block device mappings).
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace
from typing import Any

import structlog

from cairn_crds import Metadata, Volume, VolumeAttachment, VolumeAttachmentSpec
from cairn_crds.volume import VOLUME_LABEL, VolumeBackend, VolumeSpec
from cairn_database import InstanceRecord
from cairn_database.volumes import store
from cairn_database.volumes.wants import NewVolume, VolumeWant
from cairn_gateway.http.call import Call
from cairn_gateway.http.faults import BadRequest, NotImplementedYet
from cairn_gateway.nova.servers.create_models import BlockDevice, ServerWish
from cairn_gateway.services import ImageToBoot
from cairn_runtime.kubernetes import AlreadyExists, KubernetesError

log = structlog.get_logger()
Json = dict[str, Any]
NO_IMAGE = "none"
"""What a server is said to be made from that boots from a volume without an image."""
BACKENDS = {None: VolumeBackend.LOCAL, "local": VolumeBackend.LOCAL, "shared": VolumeBackend.SHARED}
"""By `volume_type`."""


@dataclass(frozen=True)
class PlannedVolume:
    """One volume that each server gets; new ones get their ids when the servers get theirs."""

    device: BlockDevice
    volume_id: str | None = None
    """One that there is."""
    image: Json | None = None
    """What a new one is made from."""

    def want(self, call: Call, server: str, number: int) -> VolumeWant:
        """For the server whose resource is called `server`."""
        device = self.device
        want = VolumeWant(
            volume_id=self.volume_id or str(uuid.uuid4()),
            device=device.device_name if (device.device_name or "").startswith("/dev/") else None,
            boot_index=0 if device.boot_index == 0 else None,
            delete_on_termination=device.delete_on_termination,
            tag=device.tag,
            bus=device.disk_bus,
        )
        if self.volume_id is not None:
            return want
        spec = VolumeSpec(
            size_gib=device.volume_size or 0,
            backend=BACKENDS[(device.volume_type or "").lower() or None],
            image=self.image["name"] if self.image else None,
        )
        new = NewVolume(
            id=want.volume_id,
            project=call.caller.project or "",
            namespace=call.caller.namespace or "",
            name=f"{server}-{number}",
            spec=spec,
            image=self.image,
        )
        return replace(want, new=new)


@dataclass(frozen=True)
class Disks:
    """What a server boots from, and what else it gets."""

    image_ref: str
    """Of a root disk of its own; empty where it boots from a volume."""
    volumes: tuple[PlannedVolume, ...] = ()
    volume_image: Json | None = None
    """What the boot volume was made from."""


async def find_disks(call: Call, wish: ServerWish) -> Disks:
    """Look everything up. Raises BadRequest, NotImplementedYet."""
    reference, volumes, boots = wish.image_ref or "", [], 0
    for device in wish.block_device_mapping_v2:
        if device.no_device:
            continue
        if device.source_type == "image" and device.destination_type in (None, "local"):
            reference = _own_root(device, reference)
            continue
        volumes.append(await _volume(call, device, several=(wish.max_count or wish.min_count or 1) > 1))
        boots += device.boot_index == 0
    if boots + bool(reference) > 1:
        raise BadRequest(
            "Block Device Mapping is Invalid: Boot sequence for the instance and image/block device mapping "
            "combination is not valid."
        )
    if not boots:
        return Disks(reference, tuple(volumes))
    root = next(volume for volume in volumes if volume.device.boot_index == 0)
    return Disks("", tuple(volumes), root.image)


def _own_root(device: BlockDevice, reference: str) -> str:
    """The image as the root disk, which clients spell out."""
    if device.boot_index not in (0, None):
        raise BadRequest("Mapping image to local is not supported, other than as the boot disk.")
    if reference and device.uuid and device.uuid != reference:
        raise BadRequest("The boot disk in block_device_mapping_v2 is another image than imageRef.")
    return device.uuid or reference


async def _volume(call: Call, device: BlockDevice, *, several: bool) -> PlannedVolume:
    source, destination = device.source_type, device.destination_type
    if source == "snapshot":
        raise BadRequest(f"Block Device Mapping is Invalid: failed to get snapshot {device.uuid}.")
    if source == "blank" and destination in (None, "local"):
        raise NotImplementedYet(
            "Cairn makes ephemeral and swap disks of the flavor's sizes only: leave them out of "
            "block_device_mapping_v2."
        )
    if destination == "local":
        raise BadRequest(f"Block Device Mapping is Invalid: a {source} cannot be a local disk.")
    if source == "volume":
        return await _existing(call, device, several=several)
    if (device.volume_type or "").lower() not in ("", "local", "shared"):
        raise BadRequest(f"Volume type {device.volume_type} could not be found: it is local or shared.")
    if not device.volume_size:
        raise BadRequest(
            "Block Device Mapping is Invalid: "
            + (
                "Images with destination_type 'volume' need to have a non-zero size specified"
                if source == "image"
                else "Blank volumes (source: 'blank', dest: 'volume') need to have non-zero size"
            )
        )
    if source == "blank":
        return PlannedVolume(device)
    found = await call.services.images.find(call, device.uuid or "")
    if found is None or found.status != "active":
        raise BadRequest(f"Block Device Mapping is Invalid: failed to get image {device.uuid}.")
    return PlannedVolume(device, image=image_document(found))


async def _existing(call: Call, device: BlockDevice, *, several: bool) -> PlannedVolume:
    found = await store.get(call.services.db, (device.uuid or "").lower())
    if found is None or found.project != call.caller.project:
        raise BadRequest(f"Block Device Mapping is Invalid: failed to get volume {device.uuid}.")
    if several and not found.spec.multi_attach:
        raise BadRequest("Cannot attach one or more volumes to multiple instances")
    if device.boot_index == 0 and not found.is_bootable:
        raise BadRequest(f"Block Device {found.id} is not bootable.")
    return PlannedVolume(device, volume_id=found.id, image=found.image)


def image_document(image: ImageToBoot) -> Json:
    """What a row keeps of an image."""
    return {**image.spec.to_api(), "id": image.id, "name": image.resource, "displayName": image.name}


def image_of_volume(disks: Disks) -> Json:
    """What the row of a server says that boots from a volume: no image's id, as in Nova."""
    if disks.volume_image is None:
        return {"name": NO_IMAGE, "url": "http://volume.invalid/", "sha256": "0" * 64}
    return {name: value for name, value in disks.volume_image.items() if name != "id"}


async def make_volume_resources(call: Call, record: InstanceRecord) -> None:
    """Volume and VolumeAttachment of what a new server has; where it fails the conductor's sweep goes on."""
    known = await store.get_many(call.services.db, [one.volume_id for one in record.volumes])
    for mine in record.volumes:
        volume = known.get(mine.volume_id)
        if volume is None:
            continue
        namespace = record.namespace
        wanted: list[Volume | VolumeAttachment] = []
        if volume.resource_uid is None:
            metadata = Metadata(name=volume.name, namespace=namespace, labels={VOLUME_LABEL: volume.id})
            wanted.append(Volume(metadata=metadata, spec=volume.spec))
        spec = VolumeAttachmentSpec(
            instance=record.name,
            volume=volume.name,
            read_only=mine.read_only,
            delete_on_termination=mine.delete_on_termination,
            tag=mine.tag,
        )
        metadata = Metadata(name=attachment_name(record, volume.name), namespace=namespace)
        wanted.append(VolumeAttachment(metadata=metadata, spec=spec))
        for resource in wanted:
            try:
                await call.services.cluster.create(resource)
            except AlreadyExists:
                continue
            except KubernetesError as error:
                log.warning("volume.resource_later", volume_id=volume.id, error=str(error))


def attachment_name(record: InstanceRecord, volume: str) -> str:
    """What the VolumeAttachment of an attachment that came through this API is called."""
    return f"{record.name}.{volume}"[:253].rstrip(".-")
