"""A boot, a change and a delete, from top to bottom.

`PHASES` is run in order for one instance at a time. Each phase looks at the scope, does at most one kind
of thing, and says whether the next ones have anything to do. All of them may be run again at any time:
what is done already is not done twice. SQL changes are compare-and-set, resource changes carry the
version they were decided on; whoever loses starts again from the top.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import structlog

from cairn_crds import ConditionStatus, Guest, Instance, InstanceSpec, Metadata
from cairn_crds.base import INSTANCE_FINALIZER, INSTANCE_LABEL
from cairn_crds.conditions import find_condition
from cairn_database import (
    AddressesExhausted,
    AddressInUse,
    InstanceRecord,
    MacInUse,
    NameTaken,
    NetworkNotFound,
    NewInstance,
    ProjectDisabled,
    ProjectNotFound,
    QuotaExceeded,
    ServerGroupNotFound,
    TaskState,
    VmState,
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
from cairn_operator.conductor.changes import apply_edits, group_id
from cairn_operator.conductor.flow_running import act_on_time, run_flow
from cairn_operator.conductor.guests import keep_guests, remove_guests, take_outcome
from cairn_operator.conductor.outcome import current_fault
from cairn_operator.conductor.plugging import settle_interfaces
from cairn_operator.conductor.projection import View, is_passing, project
from cairn_operator.conductor.resolve import ResolvedRequest, resolve
from cairn_operator.conductor.scope import Scope
from cairn_operator.conductor.volume_changes import settle_volumes
from cairn_operator.conductor.volumes import place_volumes
from cairn_operator.conductor.wishes import new_request_id
from cairn_runtime.kubernetes import AlreadyExists, NotFound, merge_diff

log = structlog.get_logger()
Seen = tuple[int, dict[str, Any]]
"""A generation, and what of the spec may change as it was in that generation."""
Phase = Callable[[Scope], Awaitable[bool]]
"""True: go on with the next phase. False: this run is over."""

REFUSALS: dict[type[Exception], str] = {
    QuotaExceeded: "QuotaExceeded",
    NameTaken: "NameTaken",
    ProjectNotFound: "ProjectNotFound",
    ProjectDisabled: "ProjectDisabled",
    ServerGroupNotFound: "ServerGroupNotFound",
}


SUCCESSOR_LOOK_AGAIN = 1.0
"""Seconds between two looks at whether a name has become free."""

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
    """A deleted resource without a row has nothing left to wait for."""
    instance = scope.instance
    if scope.record is not None or instance is None or instance.metadata.deletion_timestamp is None:
        return True
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


async def register(scope: Scope) -> bool:
    """A new resource becomes a row: references looked up, quota taken, `building`/`scheduling`.

    The finalizer comes first, so that nothing can be made for a resource that is already gone.
    """
    if scope.record is not None or scope.instance is None:
        return True
    instance = scope.instance
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
    if scope.refusal is not None:
        scope.env.blocked.add(scope.key)
        scope.after(REFUSED_LOOK_AGAIN)
        return True
    scope.env.blocked.discard(scope.key)
    if scope.record is not None and scope.record.is_deleted:
        # The row was deleted through the API while the resource was still being made.
        await scope.env.kubernetes.delete(
            Instance, instance.metadata.name, instance.metadata.namespace, uid=instance.metadata.uid
        )
        return False
    return True


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
        await scope.env.kubernetes.delete(
            Instance, instance.metadata.name, instance.metadata.namespace, uid=instance.metadata.uid
        )
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


async def show(scope: Scope) -> bool:
    """Write Instance.status where it does not say what is so."""
    instance, record = scope.instance, scope.record
    if instance is None:
        return False
    guest = scope.guest
    status = project(View(instance, record, guest, scope.refusal), scope.now)
    before, after = instance.status.to_api(), status.to_api()
    if record is None and not after["conditions"] and not before.get("conditions"):
        return False
    patch = merge_diff(before, after)
    if not patch:
        return False
    if record is not None and is_passing(record) and not _worth_showing(scope):
        return False
    _tell_refusal(scope, instance)
    _tell_fault(scope, instance, guest)
    body = {"metadata": {"resourceVersion": instance.metadata.resource_version}, "status": patch}
    try:
        answer = await scope.env.kubernetes.patch(
            Instance, instance.metadata.name, instance.metadata.namespace, body, "status"
        )
    except NotFound:
        return False
    scope.take_answer(scope.env.instances, answer)
    return False


def _worth_showing(scope: Scope) -> bool:
    """A passing state is shown once it has lasted, and not too many of them a second."""
    if scope.record is None:
        return True
    patience = scope.env.settings.patience_seconds
    lasted = (scope.now - scope.record.updated_at).total_seconds()
    if lasted < patience:
        scope.after(patience - lasted + 0.01)
        return False
    if not scope.env.pacing.take():
        scope.after(patience)
        return False
    return True


def _tell_refusal(scope: Scope, instance: Instance) -> None:
    refusal = scope.refusal
    if refusal is None:
        return
    type_ = "Accepted" if scope.record is None else "SpecApplied"
    shown = find_condition(instance.status.conditions, type_)
    if shown and shown.status is ConditionStatus.FALSE and shown.message == refusal.message:
        return
    scope.env.events.warning(instance, refusal.reason, refusal.message)


def _tell_fault(scope: Scope, instance: Instance, guest: Guest | None) -> None:
    """What the host runs into and tries again; what it gives up is told where that is taken in."""
    record = scope.record
    fault = current_fault(guest) if guest is not None else None
    if fault is None or fault.permanent or record is None or record.task_state is None:
        return
    shown = find_condition(instance.status.conditions, "Ready")
    if shown is None or shown.reason != fault.reason:
        message = f"Host {record.host}: {fault.message} (trying again)"
        scope.env.events.warning(instance, fault.reason, message)


async def tell_no_valid_host(scope: Scope) -> bool:
    """The scheduler wrote its verdict into the row; the user hears of it here."""
    record, instance = scope.record, scope.instance
    if record is None or instance is None or record.vm_state is not VmState.ERROR:
        return True
    scope.env.awaiting.pop(record.id, None)
    shown = find_condition(instance.status.conditions, "Ready")
    if record.placement_message and not (shown and shown.reason == "Error"):
        scope.env.events.warning(instance, "NoValidHost", record.placement_message)
    if record.host is None:
        scope.env.blocked.add(scope.key)
    return True


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
