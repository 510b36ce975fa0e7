"""Volumes in the conductor: who watches what, and what the host has done of an instance's volumes.

A volume that is not made yet is no part of the Guest; one whose change is over is settled in the row. That
a host cannot do it is said by a permanent fault of the Guest: then the row goes back, and the action says
Error.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import structlog

from cairn_crds import Guest, HostVolume, Volume, VolumeAttachment
from cairn_crds.guest import GuestPhase
from cairn_database import InstanceRecord, TaskState, failures
from cairn_database.records import AttachedVolume
from cairn_database.volumes import attaching, store
from cairn_database.volumes.errors import VolumeElsewhere
from cairn_operator.conductor.guest_spec import BEFORE_GUEST
from cairn_operator.conductor.outcome import current_fault
from cairn_operator.conductor.scope import Environment, Scope
from cairn_operator.mirrors.controller import Mirror, MirrorContext, MirrorController, NotGoneYet
from cairn_operator.mirrors.volume import VolumeMirror, make_resource
from cairn_operator.mirrors.volume_attachment import remove_attachment, take_in_attachment
from cairn_runtime.store import Key, Store

log = structlog.get_logger()
CHANGING_LOOK_AGAIN = 1.0
UNMADE_LOOK_AGAIN = 0.3
"""Seconds between two looks at whether a volume has been made."""


class Volumes:
    """The watches on volumes, and what they wake."""

    def __init__(self, env: Environment) -> None:
        self._env = env
        self._volumes = Store(Volume)
        self._attachments = Store(VolumeAttachment)
        self._host_volumes = Store(HostVolume)
        self._mirror = VolumeMirror(env, self._host_volumes)

    @property
    def stores(self) -> tuple[Store[Any], ...]:
        """For the watches."""
        return (self._volumes, self._attachments, self._host_volumes)

    def mirrors(self) -> list[Mirror]:
        """For the mirror controller."""
        mirror = self._mirror
        return [
            Mirror(
                self._volumes,
                mirror.take_in,
                mirror.remove,
                guarded=True,
                look_again=CHANGING_LOOK_AGAIN,
            ),
            Mirror(
                self._attachments,
                take_in_attachment,
                remove_attachment,
                guarded=True,
                look_again=CHANGING_LOOK_AGAIN,
            ),
        ]

    async def sweep(self, context: MirrorContext, mirrors: MirrorController) -> None:
        """Volumes that have no resource (yet, or any more), and those that go with an instance; attachments
        whose instance is gone."""
        if not self._volumes.synced:
            return
        for (namespace, name), body in self._attachments.bodies():
            if (namespace, body["spec"]["instance"]) not in self._env.instances:
                mirrors.wake(("volumeattachments", (namespace, name)))
        for namespace, name, deleting in await store.keys(context.db):
            key = ("volumes", (namespace, name))
            if (namespace, name) in self._volumes:
                if deleting:
                    mirrors.wake(key)
            elif mirrors.owns(key):
                await self._without_resource(context, namespace, name)

    async def _without_resource(self, context: MirrorContext, namespace: str, name: str) -> None:
        record = await store.at(context.db, namespace, name)
        if record is None:
            return
        if not record.deleting:
            await make_resource(context, record)
            return
        try:
            await self._mirror.remove(context, namespace, name)
        except NotGoneYet as error:
            log.info("volume.going", volume_id=record.id, message=str(error))

    def listen(self, mirrors: MirrorController) -> None:
        """What a host says of a volume's file, and whom it is attached to, is news of the Volume."""

        owners: dict[tuple[str, Key], Key] = {}

        def wake(kind: str, key: Key, owner: Key | None) -> None:
            if owner is not None:
                owners[(kind, key)] = owner
            known = owner or owners.pop((kind, key), None)
            if known is not None:
                mirrors.wake(("volumes", known))

        def wake_for_file(key: Key) -> None:
            body = self._host_volumes.body(*key)
            owner = body["spec"]["volume"] if body else None
            wake("file", key, (owner["namespace"], owner["name"]) if owner else None)

        def wake_for_attachment(key: Key) -> None:
            body = self._attachments.body(*key)
            wake("attachment", key, (key[0], body["spec"]["volume"]) if body else None)

        self._host_volumes.on_change(wake_for_file)
        self._attachments.on_change(wake_for_attachment)


async def place_volumes(scope: Scope) -> bool:
    """A new instance has a host: its volumes are made there before it is."""
    record = scope.record
    if record is None or scope.is_deleting or not record.volumes or record.host is None:
        return True
    arriving = record.task_state in (TaskState.SPAWNING, TaskState.UNSHELVING)
    if not arriving or all(one.made for one in record.volumes):
        return True
    try:
        record = await attaching.place(scope.env.db, record.id, record.version)
    except VolumeElsewhere as error:
        scope.record = await failures.fail(
            scope.env.db, record.id, record.version, code=409, message=str(error), keep_host=False
        )
        return True
    scope.record = record
    unmade = [one.volume_id for one in record.volumes if not one.made]
    if not unmade:
        return True
    known = await store.get_many(scope.env.db, unmade)
    failed = [volume.message for volume in known.values() if volume.message]
    if failed and record.task_state is TaskState.SPAWNING:
        scope.record = await failures.fail(
            scope.env.db, record.id, record.version, code=500, message=failed[0], keep_host=False
        )
        return True
    scope.after(UNMADE_LOOK_AGAIN)
    return False


async def settle_volumes(scope: Scope) -> bool:
    """Write down which changes of volumes are over."""
    record = scope.record
    if record is None or scope.is_deleting or record.task_state in BEFORE_GUEST:
        return True
    changing = [one for one in record.volumes if one.change is not None]
    if not changing:
        return True
    guest = scope.guest
    done = [one for one in changing if is_done(record, guest, one)]
    failed = {
        one.volume_id: why
        for one in changing
        if one not in done and (why := _failure(scope, record, guest, one)) is not None
    }
    if not done and not failed:
        return True
    scope.record = await attaching.settle(
        scope.env.db, record.id, record.version, done=[one.volume_id for one in done], failed=failed
    )
    log.info("volumes.settled", instance_id=record.id, done=len(done), failed=len(failed))
    _tell(scope, changing, done, failed)
    scope.after(0)  # the Guest follows the row
    return True


def is_done(record: InstanceRecord, guest: Guest | None, volume: AttachedVolume) -> bool:
    """Whether the machine is as the volume's change wants it; one that is on no host has no machine."""
    if record.host is None:
        return True
    if guest is None or guest.status.phase is not GuestPhase.READY:
        return False
    if guest.status.spec_generation < guest.metadata.generation or current_fault(guest) is not None:
        return False
    return _is_told(guest, volume)


def _is_told(guest: Guest, volume: AttachedVolume) -> bool:
    """Whether the host is asked for it; an unmade one is no part of the Guest."""
    plugged = volume.volume_id in {one.id for one in guest.spec.volumes}
    return plugged == (volume.change == attaching.ATTACHING)


def _failure(scope: Scope, record: InstanceRecord, guest: Guest | None, volume: AttachedVolume) -> str | None:
    fault = current_fault(guest) if guest is not None and _is_told(guest, volume) else None
    if fault is not None and fault.permanent:
        return fault.message
    began = datetime.fromisoformat(volume.since) if volume.since else record.updated_at
    left = scope.env.settings.task_timeout_seconds - (scope.now - began).total_seconds()
    if left > 0:
        scope.after(left if volume.made else min(left, UNMADE_LOOK_AGAIN))
        return None
    why = f" The last it said: {fault.message}" if fault is not None else " Is its agent running?"
    return f"Host {record.host} has not done it in time.{why}"


def _tell(
    scope: Scope, changing: list[AttachedVolume], done: list[AttachedVolume], failed: dict[str, str]
) -> None:
    if scope.instance is None:
        return
    for one in changing:
        word = "attached to" if one.change == attaching.ATTACHING else "detached from"
        if one.volume_id in failed:
            message = f"Volume {one.volume_id} was not {word} the machine: {failed[one.volume_id]}"
            scope.env.events.warning(scope.instance, "VolumeFailed", message)
        elif one in done and one.action_id is not None:
            reason = "VolumeAttached" if one.change == attaching.ATTACHING else "VolumeDetached"
            message = f"Volume {one.volume_id} was {word} the machine, as {one.device}."
            scope.env.events.normal(scope.instance, reason, message)
