"""Volumes in the conductor: who watches what, and volumes that a new instance waits for.

A volume that is not made yet is no part of the Guest; one whose change is over is settled in the row. That
a host cannot do it is said by a permanent fault of the Guest, or of a swap by what the Guest's status says of
that: then the row goes back, and the action says Error.
"""

from __future__ import annotations

from typing import Any

import structlog

from cairn_crds import HostVolume, Volume, VolumeAttachment
from cairn_database import TaskState, failures
from cairn_database.volumes import attaching, store
from cairn_database.volumes.errors import VolumeElsewhere
from cairn_operator.conductor.scope import Environment, Scope
from cairn_operator.conductor.volume_changes import UNMADE_LOOK_AGAIN
from cairn_operator.mirrors.controller import Mirror, MirrorContext, MirrorController, NotGoneYet
from cairn_operator.mirrors.volume import VolumeMirror, make_resource
from cairn_operator.mirrors.volume_attachment import remove_attachment, take_in_attachment
from cairn_runtime.store import Key, Store

log = structlog.get_logger()
CHANGING_LOOK_AGAIN = 1.0


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
        """Volumes that have no resource (yet, or any more), those that go with an instance, and those that an
        instance waits for; attachments whose instance is gone."""
        if not self._volumes.synced:
            return
        for (namespace, name), body in self._attachments.bodies():
            if (namespace, body["spec"]["instance"]) not in self._env.instances:
                mirrors.wake(("volumeattachments", (namespace, name)))
        for namespace, name, pending in await store.keys(context.db):
            key = ("volumes", (namespace, name))
            if (namespace, name) in self._volumes:
                if pending:
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
        attached: dict[tuple[str, Key], set[Key]] = {}
        """The attachments that name an Instance, or a Volume."""
        naming: dict[Key, list[tuple[str, Key]]] = {}
        """What an attachment names."""
        names: dict[str, Key] = {}
        """Where a volume's resource is, by its id."""

        def wake(kind: str, key: Key, owner: Key | None) -> None:
            before = owners.pop((kind, key), None)
            if owner is not None:
                owners[(kind, key)] = owner
            for known in (before, owner):
                if known is not None:
                    mirrors.wake(("volumes", known))

        def wake_for_file(key: Key) -> None:
            body = self._host_volumes.body(*key)
            owner = body["spec"]["volume"] if body else None
            wake("file", key, (owner["namespace"], owner["name"]) if owner else None)

        def wake_for_attachment(key: Key) -> None:
            body = self._attachments.body(*key)
            wake("attachment", key, (key[0], body["spec"]["volume"]) if body else None)
            # Of two volumes that change places, the one that is not in the spec, too.
            status = (body or {}).get("status", {})
            for word in ("volumeId", "replacedBy"):
                wake(word, key, names.get(status.get(word, "")))
            for named in naming.pop(key, ()):
                attached[named].discard(key)
                if not attached[named]:
                    del attached[named]
            if body is not None:
                naming[key] = [(word, (key[0], body["spec"][word])) for word in ("instance", "volume")]
                for named in naming[key]:
                    attached.setdefault(named, set()).add(key)

        def note_name(key: Key) -> None:
            body = self._volumes.body(*key)
            if body is not None and (volume_id := body.get("status", {}).get("volumeId")):
                names[volume_id] = key
            elif body is None:
                for known in [one for one, at in names.items() if at == key]:
                    del names[known]

        def wake_attachments(word: str, key: Key) -> None:
            for attachment in attached.get((word, key), ()):
                mirrors.wake(("volumeattachments", attachment))

        self._host_volumes.on_change(wake_for_file)
        self._attachments.on_change(wake_for_attachment)
        self._volumes.on_change(note_name)
        self._volumes.on_change(lambda key: wake_attachments("volume", key))
        self._env.instances.on_change(lambda key: wake_attachments("instance", key))


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
    failed = [volume.message or "" for volume in known.values() if volume.has_failed]
    if failed and record.task_state is TaskState.SPAWNING:
        scope.record = await failures.fail(
            scope.env.db, record.id, record.version, code=500, message=failed[0], keep_host=False
        )
        return True
    scope.after(UNMADE_LOOK_AGAIN)
    return False
