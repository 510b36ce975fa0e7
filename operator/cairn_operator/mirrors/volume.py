"""Volumes and VolumeAttachments: their rows, the files that hosts make of them, and what people are told.

A Volume's row says which host keeps the file (`volumes.store`); that host's agent is told by a HostVolume.
A VolumeAttachment is the same transaction that the Compute API's is; the instance's row says how far it is.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import structlog

from cairn_crds import HostVolume, Image, Metadata, Volume
from cairn_crds.guest import node_namespace
from cairn_crds.host_volume import HostVolumePhase, HostVolumeSpec, VolumeReference
from cairn_crds.volume import VOLUME_LABEL, VolumePhase, VolumeStatus, VolumeUse
from cairn_database import Database, admission, instances, tenants
from cairn_database.admission import Refusal
from cairn_database.records import Json
from cairn_database.volumes import store
from cairn_database.volumes.errors import VolumeInUse, VolumeNotFound
from cairn_database.volumes.store import VolumeRecord
from cairn_database.volumes.wants import NewVolume
from cairn_operator.catalog import Catalog
from cairn_operator.conductor.guest_spec import guest_image
from cairn_operator.conductor.scope import Environment
from cairn_operator.mirrors.controller import MirrorContext, Mirrored, NotGoneYet
from cairn_runtime.kubernetes import AlreadyExists, NotFound, merge_diff
from cairn_runtime.store import Store

log = structlog.get_logger()
WAITING = "Made on the host of the first instance that it is attached to."


@dataclass(frozen=True)
class VolumeMirror:
    """How Volumes are taken in and let go."""

    env: Environment
    host_volumes: Store[HostVolume]
    removing: set[str] = field(default_factory=set)
    """Volumes whose host has been told to remove the file: only of these does a HostVolume that is not there
    mean that the file is not either."""

    async def take_in(self, context: MirrorContext, volume: Volume) -> Mirrored:
        """A row; a file, where a host is known; and what there is of it as the status."""
        metadata = volume.metadata
        namespace = metadata.namespace or ""
        project = await tenants.project_of_namespace(context.db, namespace)
        if project is None:
            return Mirrored(False, "ProjectNotFound", f"Namespace '{namespace}' belongs to no Project.")
        recorded = await store.at(context.db, namespace, metadata.name)
        image: Json | None = recorded.image if recorded else None
        if recorded is None and volume.spec.image is not None:
            found = Catalog.find(self.env.catalog.images, volume.spec.image)
            if found is None:
                return Mirrored(False, "ImageNotFound", f"Image '{volume.spec.image}' does not exist.")
            try:
                admission.check_image(volume.spec.image, found.spec, project.name)
            except Refusal as refusal:
                return Mirrored(False, refusal.reason, refusal.message)
            image = image_document(found)
        new = NewVolume(
            id=metadata.labels.get(VOLUME_LABEL) or metadata.uid,
            project=project.name,
            namespace=namespace,
            name=metadata.name,
            spec=volume.spec,
            image=image,
            resource_uid=metadata.uid,
        )
        try:
            record = await store.upsert(context.db, new)
        except VolumeNotFound:  # this process has not heard of its end
            record = None
        if record is None or record.deleting:
            await context.kubernetes.delete(Volume, metadata.name, namespace, uid=metadata.uid)
            return Mirrored(False, "Deleting", "It is deleted, or goes with its instance.")
        if record.made_gib == 0 and record.host is not None and ("", record.host) not in self.env.nodes:
            message = f"There is no compute host '{record.host}': make the volume on one that there is."
            return Mirrored(False, "HostNotFound", message)
        record = await self._keep_file(context, record)
        return await self._shown(context.db, record)

    async def remove(self, context: MirrorContext, namespace: str, name: str) -> None:
        """The file, then the row. Raises NotGoneYet while an instance has it, or its host is still at it."""
        record = await store.at(context.db, namespace, name)
        if record is None:
            await _release(context, namespace, name)
            return
        try:
            await store.begin_delete(context.db, record.id)
            await self._forget_elsewhere(context, record)
            if record.host is not None and not await self._remove_file(context, record, record.host):
                raise NotGoneYet(f"Host {record.host} is removing its file.")
            await store.finish_delete(context.db, record.id)
        except VolumeInUse as error:
            # Whoever has it goes on using it, or is still to get it: the deletion waits.
            await self._keep_file(context, record)
            raise NotGoneYet(str(error)) from error

    async def _keep_file(self, context: MirrorContext, record: VolumeRecord) -> VolumeRecord:
        """The HostVolume says what the row says, and the row what the host has made."""
        host = record.host
        if host is None:
            return record
        if not record.is_local and self.env.is_forced_down(host):
            other = self._another_host(host)
            if other is not None:
                record = await store.keep_elsewhere(context.db, record.id, host, other)
                host = other
        await self._forget_elsewhere(context, record)
        wanted = self._wanted(record)
        found = self.host_volumes.get(node_namespace(host), record.id)
        if found is None:
            await self._create(context, record.id, host, wanted)
            return record
        patch = merge_diff(found.spec.to_api(), wanted.to_api())
        patch.pop("made", None)  # says what was so when it was written
        patch.pop("image", None)  # signed anew each time, and only needed once
        if patch:
            body = {"metadata": {"resourceVersion": found.metadata.resource_version}, "spec": patch}
            namespace = found.metadata.namespace
            self.host_volumes.put(await context.kubernetes.patch(HostVolume, record.id, namespace, body))
            return record
        return await _take_answer(context.db, record, found)

    def _wanted(self, record: VolumeRecord, *, absent: bool = False) -> HostVolumeSpec:
        return HostVolumeSpec(
            volume=VolumeReference(namespace=record.namespace, name=record.name),
            size_gib=record.size_gib,
            backend=record.spec.backend,
            image=guest_image(record.image, self.env.image_keys) if record.image else None,
            made=record.made_gib > 0,
            absent=absent,
        )

    async def _forget_elsewhere(self, context: MirrorContext, record: VolumeRecord) -> None:
        """Another host looks after a shared one now: the one before, lost then, knows nothing of it when it
        comes back, and so removes nothing."""
        own = node_namespace(record.host or "")
        for namespace, name in [] if record.is_local else self.host_volumes.named(record.id):
            if namespace == own:
                continue
            try:
                await context.kubernetes.delete(HostVolume, name, namespace)
            except NotFound:
                continue
            log.info("volume.kept_elsewhere", volume_id=record.id, host=record.host)

    async def _create(
        self, context: MirrorContext, volume_id: str, host: str, wanted: HostVolumeSpec
    ) -> bool:
        """False where there is no such host (yet)."""
        metadata = Metadata(name=volume_id, namespace=node_namespace(host))
        try:
            body = await context.kubernetes.create(
                HostVolume, HostVolume(metadata=metadata, spec=wanted).manifest()
            )
        except AlreadyExists:
            body = await context.kubernetes.get(HostVolume, volume_id, metadata.namespace)
        except NotFound:
            return False
        self.host_volumes.put(body)
        return True

    async def _remove_file(self, context: MirrorContext, record: VolumeRecord, host: str) -> bool:
        """True once the host has removed it, or is down for good. A HostVolume that is not there, where this
        process has not told the host by it, is made as absent: only the host knows what it has."""
        namespace = node_namespace(host)
        found = self.host_volumes.get(namespace, record.id)
        if found is None:
            found = await _as_it_is(context, record.id, namespace)
        if found is None and record.id in self.removing:
            self.removing.discard(record.id)
            return True
        if found is None:
            if not await self._create(context, record.id, host, self._wanted(record, absent=True)):
                return True  # the host's namespace is gone, and with it the host
        elif not found.spec.absent:
            body = {"spec": {"absent": True}}
            try:
                self.host_volumes.put(await context.kubernetes.patch(HostVolume, record.id, namespace, body))
            except NotFound:
                return False  # deleted by somebody else: it is made anew at the next look
        self.removing.add(record.id)
        return self.env.is_forced_down(host)

    def _another_host(self, lost: str) -> str | None:
        names = sorted(key[1] for key in self.env.nodes if key[1] != lost)
        return next((name for name in names if not self.env.is_forced_down(name)), None)

    async def _shown(self, db: Database, record: VolumeRecord) -> Mirrored:
        users = await instances.get_many(db, record.instance_ids)
        uses = [
            VolumeUse(
                instance=user.name,
                instance_id=user.id,
                device=next((one.device for one in user.volumes if one.volume_id == record.id), None),
            )
            for user in users.values()
        ]
        phase, reason, message = _phase(record, bool(uses))
        status = VolumeStatus(
            phase=phase,
            volume_id=record.id,
            size_gib=record.made_gib,
            host=record.host,
            attachments=uses,
            used_by=",".join(use.instance for use in uses) or None,
        )
        fields = {
            name: value
            for name, value in status.to_api().items()
            if name not in ("conditions", "observedGeneration")
        }
        ready = record.made_gib >= record.size_gib or (record.host is None and record.message is None)
        gone = dict.fromkeys(("usedBy", "host"))
        return Mirrored(ready, reason, message, {**gone, **fields})


async def _release(context: MirrorContext, namespace: str, name: str) -> None:
    """It goes without a row, and whoever was held up on the way to make one makes none. Raises NotGoneYet
    where it has one by now."""
    try:
        metadata = (await context.kubernetes.get(Volume, name, namespace))["metadata"]
    except NotFound:
        return
    if "deletionTimestamp" not in metadata:
        return  # the next one of that name
    project = await tenants.project_of_namespace(context.db, namespace)
    if not await store.release_resource(context.db, metadata["uid"], project.name if project else None):
        raise NotGoneYet("It has been taken in in this moment.")


async def _as_it_is(context: MirrorContext, volume_id: str, namespace: str) -> HostVolume | None:
    """From the API server; None where there is none."""
    try:
        found: HostVolume = HostVolume.from_api(
            await context.kubernetes.get(HostVolume, volume_id, namespace)
        )
    except NotFound:
        return None
    return found


def _phase(record: VolumeRecord, in_use: bool) -> tuple[VolumePhase, str, str]:
    if record.message is not None:
        phase = VolumePhase.ERROR if record.made_gib == 0 else VolumePhase.AVAILABLE
        return (VolumePhase.IN_USE if in_use and record.made_gib else phase), "HostFailed", record.message
    if record.host is None:
        return VolumePhase.PENDING, "WaitForFirstAttachment", WAITING
    if record.made_gib == 0:
        return VolumePhase.PENDING, "Making", f"Host {record.host} is making it."
    if record.made_gib < record.size_gib:
        message = f"Host {record.host} is making it larger: {record.made_gib} of {record.size_gib} GiB."
        return (VolumePhase.IN_USE if in_use else VolumePhase.AVAILABLE), "Growing", message
    if in_use:
        return VolumePhase.IN_USE, "InUse", f"On host {record.host}."
    return VolumePhase.AVAILABLE, "Available", f"On host {record.host}."


async def _take_answer(db: Database, record: VolumeRecord, found: HostVolume) -> VolumeRecord:
    status = found.status
    if status.spec_generation < found.metadata.generation:
        return record
    if status.phase is HostVolumePhase.READY and (
        status.size_gib != record.made_gib or record.message is not None
    ):
        return await store.note_made(db, record.id, status.size_gib) or record
    if status.permanent and status.message:
        await store.note_failed(db, record.id, f"Host {record.host}: {status.message}")
        return await store.get(db, record.id) or record
    return record


def image_document(image: Image) -> Json:
    """What a row keeps of an image."""
    return {"id": image.metadata.uid, **image.spec.to_api(), "name": image.metadata.name}


async def make_resource(context: MirrorContext, record: VolumeRecord) -> None:
    """The Volume of a row that has none: asked for through the Compute API, or lost."""
    wanted = Volume(
        metadata=Metadata(name=record.name, namespace=record.namespace, labels={VOLUME_LABEL: record.id}),
        spec=record.spec,
    )
    try:
        await context.kubernetes.create(Volume, wanted.manifest())
    except (AlreadyExists, NotFound):
        return
    log.info("volume.resource_made", volume_id=record.id)
