"""What the user changed since the row was written, and what becomes of it."""

from __future__ import annotations

from typing import Any

import structlog

from cairn_crds import Instance, InstanceSpec
from cairn_crds.instance import CHANGEABLE, DesiredPower
from cairn_database import (
    InstanceRecord,
    QuotaExceeded,
    ServerGroupNotFound,
    VmState,
    failures,
    instances,
    tasks,
    tenants,
)
from cairn_database.admission import Refusal
from cairn_database.asking import with_spec
from cairn_operator.conductor.power import ACTIONS, DESIRED, reboot_task
from cairn_operator.conductor.resolve import (
    ResolvedRequest,
    frozen_changes,
    resolve,
)
from cairn_operator.conductor.scope import Scope
from cairn_operator.conductor.wishes import LABELS, follow_wishes, new_request_id
from cairn_runtime.kubernetes import merge_diff

log = structlog.get_logger()
CONFLICT = 409
"""The fault of an instance for which no address was free."""


async def apply_edits(scope: Scope) -> bool:
    """Bring spec and row together: edits become tasks, what cannot follow is refused in a condition.

    `metadata.generation` tells who is ahead. A newer generation than the row has seen is the user's word,
    where it says something else than what was in the spec before; in everything else the row is ahead (the
    guest was stopped on its host, somebody used the API), and the spec is made to say so.
    """
    instance, record = scope.instance, scope.record
    if instance is None or record is None or scope.is_deleting:
        return True
    if record.vm_state is VmState.ERROR and record.host is None:
        await _try_again(scope, instance, record)
        record = scope.record or record
    else:
        _refuse_frozen(scope, instance, record)
    if record.task_state is not None:
        return True
    if instance.metadata.generation > record.request.get("generation", 0):
        scope.record = record = await _follow_spec(scope, instance, record)
    if record.request.get("unapplied"):
        await follow_wishes(scope, instance, record)
    if scope.record is not None and scope.record.task_state is None:
        await _reboot(scope, instance, scope.record)
    if scope.record is not None and scope.record.task_state is None:
        await _follow_row(scope, instance, scope.record)
    return True


def _refuse_frozen(scope: Scope, instance: Instance, record: InstanceRecord) -> None:
    fields = frozen_changes(instance.spec.to_api(), record.request["spec"])
    if not fields:
        return
    was = record.request["spec"]
    shown = ", ".join(f"spec.{name}{_built_with(name, was.get(name, 'none'))}" for name in fields)
    scope.refusal = Refusal(
        "FieldImmutable",
        f"This cannot change once the instance has been made: {shown}. Set it back, or make another "
        "instance. Everything else in the spec is followed.",
    )


SHOWN_CHARACTERS = 60
SECRETS = frozenset({"adminPasswordHash", "userData", "userDataBase64"})
"""Fields whose values no message has: more people read conditions and events than specs."""


def _built_with(field: str, value: Any) -> str:
    return "" if field in SECRETS else f" (built with {shorten(value)})"


def shorten(value: Any) -> str:
    """A value as a message shows it."""
    shown = repr(value)
    return shown if len(shown) <= SHOWN_CHARACTERS else shown[:SHOWN_CHARACTERS] + "…"


async def _follow_spec(scope: Scope, instance: Instance, record: InstanceRecord) -> InstanceRecord:
    """Note what the user has changed: labels count at once, everything else is a wish."""
    shown = instance.spec.changeable()
    recorded = InstanceSpec.model_validate(record.spec).changeable()
    edits = _edits(instance, record)
    labels = {name: value for name, value in edits.items() if name in LABELS}
    wishes = {*record.request.get("unapplied", []), *edits} - LABELS - {"reboot"}  # see _reboot
    unapplied = [name for name in CHANGEABLE if name in wishes and shown.get(name) != recorded.get(name)]
    request = {
        **with_spec(record, **labels),
        "generation": instance.metadata.generation,
        "shown": shown,
        "unapplied": unapplied,
    }
    request.pop("projection", None)
    return await instances.update_request(scope.env.db, record.id, record.version, request=request)


def _edits(instance: Instance, record: InstanceRecord) -> dict[str, Any]:
    """What the user changed in the spec since the row last saw it: field to value, None for one left out.

    Before Cairn makes the spec follow the row it writes down what it is about to write (`projection`), so
    that it does not take its own hand for the user's, however late it hears of it.
    """
    now_shown = instance.spec.changeable()
    projection = record.request.get("projection") or {}
    ours = projection.get("generation") == instance.metadata.generation and projection["spec"] == now_shown
    before = now_shown if ours else record.request.get("shown", {})
    names = [name for name in CHANGEABLE if now_shown.get(name) != before.get(name)]
    return {name: now_shown.get(name) for name in names}


async def _follow_row(scope: Scope, instance: Instance, record: InstanceRecord) -> None:
    shown = instance.spec.changeable()
    wanted = InstanceSpec.model_validate(record.request["spec"]).changeable()
    refused = [*record.request.get("unapplied", [])]
    if instance.spec.reboot.generation > record.reboot_generation:
        refused.append("reboot")
    for name in refused:  # asked for, and not followed so far
        wanted.pop(name, None)
        if name in shown:
            wanted[name] = shown[name]
    patch = merge_diff(shown, wanted)
    if not patch:
        return
    generation = instance.metadata.generation
    projection = {"generation": generation + 1, "spec": wanted}
    request = {**record.request, "projection": projection, "shown": shown}
    record = await instances.update_request(scope.env.db, record.id, record.version, request=request)
    body = await scope.env.kubernetes.patch(
        Instance,
        instance.metadata.name,
        instance.metadata.namespace,
        {"metadata": {"resourceVersion": instance.metadata.resource_version}, "spec": patch},
    )
    scope.env.instances.put(body)
    scope.instance = Instance.from_api(body)
    request = {**record.request, "generation": body["metadata"]["generation"], "shown": wanted}
    del request["projection"]
    scope.record = await instances.update_request(scope.env.db, record.id, record.version, request=request)


async def _reboot(scope: Scope, instance: Instance, record: InstanceRecord) -> None:
    wanted = instance.spec.reboot
    if wanted.generation <= record.reboot_generation:
        return
    nowhere = record.vm_state is VmState.ERROR and record.host is None
    task = None if nowhere else reboot_task(record.vm_state, wanted.type)
    if task is None:
        scope.refusal = scope.refusal or Refusal(
            "RebootRefused",
            f"Cannot reboot the instance while it is in vm_state {record.vm_state}. Set spec.powerState: "
            "Running first, or spec.reboot.type: Hard.",
        )
        return
    request = {
        **with_spec(record, reboot=wanted.to_api(), powerState=DesiredPower.RUNNING),
        "generation": instance.metadata.generation,
        "shown": instance.spec.changeable(),
    }
    scope.record = await tasks.begin_task(
        scope.env.db,
        record.id,
        record.version,
        task,
        action=ACTIONS[task],
        request=request,
        request_id=new_request_id(),
    )


def with_power(record: InstanceRecord, vm_state: VmState) -> dict[str, Any]:
    """The row's request after somebody else brought the machine into `vm_state`."""
    return with_spec(record, powerState=DESIRED[vm_state]) if vm_state in DESIRED else record.request


def _has_more_room(scope: Scope, record: InstanceRecord) -> bool:
    """Whether what was missing may be there by now: a host, or an address."""
    env = scope.env
    if record.placement_message:
        return env.has_capacity_since(scope.key)
    return record.fault_code == CONFLICT and env.has_freed_since(scope.key)


async def group_id(scope: Scope, resolved: ResolvedRequest) -> str | None:
    """The id of the ServerGroup that the request names. Raises ServerGroupNotFound before SQL has it."""
    if resolved.group is None:
        return None
    group = await tenants.get_server_group(scope.env.db, scope.key[0], resolved.group)
    if group is None:
        raise ServerGroupNotFound(resolved.group)
    return group.id


async def _try_again(scope: Scope, instance: Instance, record: InstanceRecord) -> None:
    """In error before any machine was made: mended input, or new hosts, start it anew."""
    try:
        resolved = resolve(instance, scope.env.catalog)
    except Refusal as refusal:
        scope.refusal = refusal
        scope.env.blocked.add(scope.key)
        return
    if resolved.builds_the_same(record) and not _has_more_room(scope, record):
        return
    scope.env.note_try(scope.key)
    try:
        scope.record = await failures.retry(
            scope.env.db,
            record.id,
            record.version,
            request=resolved.request,
            flavor=resolved.flavor,
            image=resolved.image,
            key_pair=resolved.key_pair,
            group_id=await group_id(scope, resolved),
            availability_zone=instance.spec.availability_zone,
            hints=instance.spec.scheduler_hints.to_api(),
            request_id=new_request_id(),
        )
    except (QuotaExceeded, ServerGroupNotFound) as error:
        scope.refusal = Refusal(type(error).__name__, str(error))
        return
    scope.env.blocked.discard(scope.key)
    scope.env.events.normal(instance, "Retrying", "The cause of the failure has changed: building again.")
