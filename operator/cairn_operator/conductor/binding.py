"""Which row and which resource belong together: found, lost and made anew, let go of.

Phases, as in `phases.py`.
"""

from __future__ import annotations

from typing import Any

import structlog

from cairn_crds import Instance, InstanceSpec, Metadata
from cairn_crds.base import INSTANCE_FINALIZER, INSTANCE_LABEL
from cairn_database import InstanceRecord, TaskState, instances, removal
from cairn_operator.conductor import metrics
from cairn_operator.conductor.scope import Scope
from cairn_runtime.kubernetes import AlreadyExists, NotFound

log = structlog.get_logger()
Seen = tuple[int, dict[str, Any]]
"""A generation, and what of the spec may change as it was in that generation."""

SUCCESSOR_LOOK_AGAIN = 1.0
"""Seconds between two looks at whether a name has become free."""


async def find_row(scope: Scope) -> bool:
    """Which row is it? A resource only ever meets the live row of its own namespace and name."""
    namespace, name = scope.key
    scope.record = await instances.get_by_name(scope.env.db, namespace, name)
    instance, record = scope.instance, scope.record
    scope.found = record.version if record is not None else None
    if instance is not None and record is not None and record.resource_uid != instance.metadata.uid:
        if record.resource_uid is not None and record.task_state is TaskState.DELETING:
            # Its own resource was removed by force and the name used again: the new one waits its turn.
            scope.instance = None
            scope.after(SUCCESSOR_LOOK_AGAIN)
            return True
        return await _meet(scope, record, instance)
    return instance is not None or scope.record is not None


async def _meet(scope: Scope, record: InstanceRecord, instance: Instance) -> bool:
    """A live row and a resource of its name that it does not know yet.

    What the watch has told may be old: a predecessor that is long gone, and was being deleted when it was
    seen, must not take its successor's row along. So the API server is asked.
    """
    if instance.metadata.labels.get(INSTANCE_LABEL) != record.id or instance.metadata.deletion_timestamp:
        found = await _as_it_is(scope, instance)
        if found is None or found.metadata.uid == record.resource_uid:
            scope.instance = found
            return True
        own = found.metadata.labels.get(INSTANCE_LABEL) == record.id
        if found.metadata.deletion_timestamp is not None and not own:
            scope.after(SUCCESSOR_LOOK_AGAIN)  # held by somebody else, and no business of this row's
            return False
        scope.instance = instance = found
    scope.record = await _bind(scope, record, instance, _seen(instance, record))
    return True


async def _as_it_is(scope: Scope, instance: Instance) -> Instance | None:
    """The resource of that name, from the API server; None where there is none."""
    metadata = instance.metadata
    try:
        body = await scope.env.kubernetes.get(Instance, metadata.name, metadata.namespace)
    except NotFound:
        return None
    scope.env.instances.put(body)
    found: Instance = Instance.from_api(body)
    return found


def _seen(instance: Instance, record: InstanceRecord) -> Seen:
    """What the row knows of the spec: the first generation, where it was made for the row; else nothing."""
    if instance.metadata.labels.get(INSTANCE_LABEL) != record.id:
        return 0, {}
    first = instance.metadata.generation == 1
    return 1, instance.spec.changeable() if first else record.request.get("shown", {})


async def _bind(scope: Scope, record: InstanceRecord, instance: Instance, seen: Seen) -> InstanceRecord:
    """The row belongs to this resource from now on. Every resource counts its generations from 1."""
    return await instances.bind(
        scope.env.db,
        record.id,
        record.version,
        resource_uid=instance.metadata.uid,
        generation=seen[0],
        shown=seen[1],
    )


async def restore_resource(scope: Scope) -> bool:
    """A row whose resource was lost gets it back; its machine is not touched."""
    record = scope.record
    if scope.instance is not None or record is None or scope.is_deleting:
        return True
    spec = InstanceSpec.model_validate(record.request["spec"])
    wanted = Instance(
        metadata=Metadata(
            name=record.name,
            namespace=record.namespace,
            labels={INSTANCE_LABEL: record.id},
            finalizers=[INSTANCE_FINALIZER],
        ),
        spec=spec,
    )
    try:
        body = await scope.env.kubernetes.create(Instance, wanted.manifest())
    except AlreadyExists:
        body = await scope.env.kubernetes.get(Instance, record.name, record.namespace)
        scope.env.instances.put(body)
        scope.after(0)
        return False
    scope.env.instances.put(body)
    restored: Instance = Instance.from_api(body)
    scope.instance = restored
    seen = restored.metadata.generation, restored.spec.changeable()
    scope.record = await _bind(scope, record, restored, seen)
    if record.resource_uid is None:  # the gateway that accepted it did not come to make it
        scope.env.events.normal(restored, "Created", f"Asked for through the Compute API as {record.id}.")
        return True
    metrics.REPAIRS.labels("instance").inc()
    log.warning("instance.restored", instance_id=record.id, namespace=record.namespace, name=record.name)
    scope.env.events.normal(restored, "Restored", f"The resource was lost; made again from row {record.id}.")
    return True


async def release_deleted(scope: Scope) -> bool:
    """A deleted resource without a row has nothing left to wait for, once none can come any more."""
    instance = scope.instance
    if scope.record is not None or instance is None or instance.metadata.deletion_timestamp is None:
        return True
    if INSTANCE_FINALIZER in instance.metadata.finalizers:
        project = scope.env.catalog.project_of(scope.key[0])
        name = project.metadata.name if project is not None else None
        if not await removal.release_resource(scope.env.db, instance.metadata.uid, name):
            scope.after(0)
            return False
    await release(scope)
    return False


async def release(scope: Scope) -> None:
    """Take Cairn's finalizer off, and with it let the resource go."""
    instance = scope.instance
    scope.env.blocked.discard(scope.key)
    scope.env.tried_with.pop(scope.key, None)
    if instance is None or INSTANCE_FINALIZER not in instance.metadata.finalizers:
        return
    rest = [name for name in instance.metadata.finalizers if name != INSTANCE_FINALIZER]
    patch = {"metadata": {"finalizers": rest or None, "resourceVersion": instance.metadata.resource_version}}
    try:
        body = await scope.env.kubernetes.patch(
            Instance, instance.metadata.name, instance.metadata.namespace, patch
        )
    except NotFound:
        return
    # Until the watch tells that it has gone, nobody releases it a second time.
    scope.env.instances.put(body)
