"""What a person sees of an instance: its status, and its events.

Phases, as in `phases.py`.
"""

from __future__ import annotations

from cairn_crds import ConditionStatus, Guest, Instance
from cairn_crds.conditions import find_condition
from cairn_database import MAY_SEEK_HOST, VmState
from cairn_operator.conductor.outcome import current_fault
from cairn_operator.conductor.projection import View, is_passing, project
from cairn_operator.conductor.scope import Scope
from cairn_runtime.kubernetes import NotFound, merge_diff


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
    """A passing state is shown once it has lasted, and not too many of them a second. A move that needs a
    host is shown at once: that is how the scheduler hears of it."""
    record = scope.record
    if record is None:
        return True
    patience = scope.env.settings.patience_seconds
    lasted = (scope.now - record.updated_at).total_seconds()
    seeks_host = record.awaiting_host and record.task_state in MAY_SEEK_HOST
    if lasted < patience and not seeks_host:
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
