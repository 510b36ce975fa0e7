"""A boot, a change and a delete, from top to bottom.

`PHASES` is run in order for one instance at a time. Each phase looks at the scope, does at most one kind
of thing, and says whether the next ones have anything to do. All of them may be run again at any time:
what is done already is not done twice. SQL changes are compare-and-set, resource changes carry the
version they were decided on; whoever loses starts again from the top.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import structlog

from cairn_crds import Instance
from cairn_crds.base import INSTANCE_FINALIZER, INSTANCE_LABEL
from cairn_database import (
    AddressesExhausted,
    AddressInUse,
    InstanceNotFound,
    MacInUse,
    NameTaken,
    NetworkNotFound,
    NewInstance,
    ProjectDisabled,
    ProjectNotFound,
    QuotaExceeded,
    ServerGroupNotFound,
    TaskState,
    addresses,
    failures,
    instances,
    removal,
)
from cairn_database.addresses import InterfaceWant
from cairn_database.admission import Refusal
from cairn_database.networking.errors import PortInUse, PortNotFound, SecurityGroupNotFound
from cairn_operator.catalog import Catalog
from cairn_operator.conductor import images, metrics
from cairn_operator.conductor.binding import find_row, release, release_deleted, restore_resource
from cairn_operator.conductor.changes import apply_edits, group_id
from cairn_operator.conductor.flow_running import act_on_time, run_flow
from cairn_operator.conductor.guests import keep_guests, remove_guests, take_outcome
from cairn_operator.conductor.plugging import settle_interfaces
from cairn_operator.conductor.resolve import ResolvedRequest, resolve
from cairn_operator.conductor.scope import Scope
from cairn_operator.conductor.showing import show, tell_no_valid_host
from cairn_operator.conductor.volume_changes import settle_volumes
from cairn_operator.conductor.volumes import place_volumes
from cairn_operator.conductor.wishes import new_request_id

log = structlog.get_logger()
Phase = Callable[[Scope], Awaitable[bool]]
"""True: go on with the next phase. False: this run is over."""

REFUSALS: dict[type[Exception], str] = {
    QuotaExceeded: "QuotaExceeded",
    NameTaken: "NameTaken",
    ProjectNotFound: "ProjectNotFound",
    ProjectDisabled: "ProjectDisabled",
    ServerGroupNotFound: "ServerGroupNotFound",
}

REFUSED_LOOK_AGAIN = 30.0
"""Seconds; a change of what the spec refers to is acted upon at once, freed quota only then."""

NETWORK_LOOK_AGAIN = 0.2
NETWORK_PATIENCE_SECONDS = 30.0
"""For a Network or a SecurityGroup that SQL does not know yet."""

NO_INTERFACE = (
    AddressesExhausted,
    AddressInUse,
    MacInUse,
    NetworkNotFound,
    PortInUse,
    PortNotFound,
    SecurityGroupNotFound,
)
"""Why an instance does not get the interfaces that it asks for."""


async def register(scope: Scope) -> bool:
    """A new resource becomes a row: references looked up, quota taken, `building`/`scheduling`.

    The finalizer comes first, so that nothing can be made for a resource that is already gone.
    """
    if scope.record is not None or scope.instance is None:
        return True
    instance = scope.instance
    if await _is_of_a_deleted_row(scope, instance):
        await _delete(scope, instance)
        return False
    try:
        resolved = resolve(instance, scope.env.catalog)
    except Refusal as refusal:
        scope.refusal = refusal
    else:
        await _protect(scope)
        try:
            scope.record = await instances.register(scope.env.db, await _new_instance(scope, resolved))
        except tuple(REFUSALS) as error:
            scope.refusal = Refusal(REFUSALS[type(error)], str(error))
        except InstanceNotFound:
            return False  # deleted while this process was held up
    if scope.refusal is not None:
        scope.env.blocked.add(scope.key)
        scope.after(REFUSED_LOOK_AGAIN)
        return True
    scope.env.blocked.discard(scope.key)
    if scope.record is not None and scope.record.is_deleted:
        # The row was deleted through the API while the resource was still being made.
        await _delete(scope, instance)
        return False
    return True


async def _is_of_a_deleted_row(scope: Scope, instance: Instance) -> bool:
    """Whether it was made for a row that is deleted by now: it is still seen, or came after its row had gone.

    A label alone says nothing: it may have been applied with the manifest of an instance of old.
    """
    made_for = instance.metadata.labels.get(INSTANCE_LABEL)
    if made_for in (None, instance.metadata.uid):
        return False
    record = (await instances.get_many(scope.env.db, [made_for])).get(made_for)
    return record is not None and record.is_deleted and record.resource_uid in (None, instance.metadata.uid)


async def _delete(scope: Scope, instance: Instance) -> None:
    metadata = instance.metadata
    body = await scope.env.kubernetes.delete(Instance, metadata.name, metadata.namespace, uid=metadata.uid)
    if body["kind"] == "Instance":  # held by a finalizer; until the watch tells, it is not asked for again
        scope.env.instances.put(body)


async def _protect(scope: Scope) -> None:
    instance = scope.instance
    if instance is None or INSTANCE_FINALIZER in instance.metadata.finalizers:
        return
    patch = {
        "metadata": {
            "finalizers": [*instance.metadata.finalizers, INSTANCE_FINALIZER],
            "resourceVersion": instance.metadata.resource_version,
        }
    }
    body = await scope.env.kubernetes.patch(
        Instance, instance.metadata.name, instance.metadata.namespace, patch
    )
    scope.env.instances.put(body)
    scope.instance = Instance.from_api(body)


async def _new_instance(scope: Scope, resolved: ResolvedRequest) -> NewInstance:
    namespace, name = scope.key
    assert scope.instance is not None  # noqa: S101 - register() has checked
    spec = scope.instance.spec
    return NewInstance(
        id=scope.instance.metadata.uid,
        project=resolved.project,
        namespace=namespace,
        name=name,
        resource_uid=scope.instance.metadata.uid,
        request=resolved.request,
        flavor=resolved.flavor,
        image=resolved.image,
        key_pair=resolved.key_pair,
        group_id=await group_id(scope, resolved),
        availability_zone=spec.availability_zone,
        hints=spec.scheduler_hints.to_api(),
        reboot_generation=spec.reboot.generation,
        request_id=new_request_id(),
    )


async def remove(scope: Scope) -> bool:
    """A delete, at whatever the instance was doing: machine, then row with all it holds, then resource."""
    record = scope.record
    if record is None or not scope.is_deleting:
        return True
    if record.task_state is not TaskState.DELETING:
        scope.record = record = await removal.begin_delete(
            scope.env.db, record.id, record.version, request_id=new_request_id()
        )
    instance = scope.instance
    if instance is not None and instance.metadata.deletion_timestamp is None:
        await _delete(scope, instance)
    if not await remove_guests(scope):
        return True  # shows Deleting, and waits for the host
    key = scope.guest_key
    await images.let_go(scope.env.db, scope.env.kubernetes, record)
    await removal.finish_delete(scope.env.db, record.id)
    metrics.TASKS.labels("delete", "done").inc()
    scope.env.awaiting.pop(record.id, None)
    scope.env.retreats.pop(record.id, None)
    if key is not None:
        scope.env.guests.forget_deletion(key)
    await release(scope)
    return False


async def await_placement(scope: Scope) -> bool:
    """Until the scheduler has claimed a host there is nothing to do but to show it."""
    record = scope.record
    if record is None or record.task_state is not TaskState.SCHEDULING or scope.is_deleting:
        return True
    scope.env.awaiting[record.id] = scope.key
    scope.env.tried_with.setdefault(scope.key, (scope.env.freed, scope.env.capacity_changes))
    await show(scope)
    return False


async def connect(scope: Scope) -> bool:
    """Placed: addresses, from now on the host may build (`networking` → `spawning`)."""
    record = scope.record
    if record is None or record.task_state is not TaskState.NETWORKING:
        return True
    scope.env.awaiting.pop(record.id, None)
    wishes = record.request["spec"].get("networks") or []
    wants = [
        InterfaceWant(
            network["name"],
            wishes[index].get("address") if index < len(wishes) else None,
            wishes[index].get("mac") if index < len(wishes) else None,
            wishes[index].get("port") if index < len(wishes) else None,
            wishes[index].get("tag") if index < len(wishes) else None,
        )
        for index, network in enumerate(record.request["networks"])
    ]
    try:
        scope.record = await addresses.allocate_interfaces(scope.env.db, record.id, record.version, wants)
    except NO_INTERFACE as error:
        if _is_being_taken_in(scope, error):
            scope.after(NETWORK_LOOK_AGAIN)
            return False
        scope.record = await failures.fail(
            scope.env.db, record.id, record.version, code=409, message=str(error), keep_host=False
        )
        _tell_error(scope)
        return True
    if scope.instance is not None:
        waited = (scope.now - record.created_at).total_seconds()
        metrics.BOOT_PHASE_SECONDS.labels("place").observe(waited)
        scope.env.events.normal(scope.instance, "Scheduled", f"Placed on host {record.host}.")
    return True


def _is_being_taken_in(scope: Scope, error: Exception) -> bool:
    """Whether what SQL does not know is a resource that is there, or may just have been applied as well."""
    is_new = isinstance(error, SecurityGroupNotFound) or (
        isinstance(error, NetworkNotFound)
        and Catalog.find(scope.env.catalog.networks, error.network) is not None
    )
    if scope.record is None or not is_new:
        return False
    return (scope.now - scope.record.updated_at).total_seconds() < NETWORK_PATIENCE_SECONDS


def _tell_error(scope: Scope) -> None:
    if scope.instance is not None and scope.record is not None:
        scope.env.events.warning(scope.instance, "Failed", scope.record.fault_message or "It failed.")


PHASES: tuple[Phase, ...] = (
    find_row,
    restore_resource,
    release_deleted,
    register,
    remove,
    tell_no_valid_host,
    apply_edits,
    await_placement,
    connect,
    place_volumes,
    keep_guests,
    run_flow,
    settle_interfaces,
    settle_volumes,
    take_outcome,
    act_on_time,
    show,
)
