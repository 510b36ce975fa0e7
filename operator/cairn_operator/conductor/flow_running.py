"""Runs the flows (`flows.py`): looks at the hosts' answers, takes the steps, and does what goes with them."""

from __future__ import annotations

import uuid
from datetime import datetime

import structlog

from cairn_crds.guest_operation import OperationKind, OperationPhase
from cairn_database import (
    DatabaseError,
    InstanceRecord,
    TaskState,
    VmState,
    moves,
    moving,
    removal,
    shelving,
    steps,
)
from cairn_database.asking import Asked
from cairn_database.legality import HostNotUp
from cairn_database.records import MoveKind
from cairn_database.steps import Step
from cairn_operator.conductor import images, metrics
from cairn_operator.conductor.flows import FLOWS, REMOVE, Demand, Situation
from cairn_operator.conductor.guests import has_elsewhere, keep_guests, remove_guest, remove_other
from cairn_operator.conductor.scope import Scope
from cairn_operator.conductor.story import story_of
from cairn_runtime.kubernetes import KubernetesError

log = structlog.get_logger()
MOST_STEPS = 12
"""In one run; no flow has as many."""
HOST_DOWN_LOOK_AGAIN = 10.0
"""Seconds until what comes by itself is tried again, whose host is down."""
QUICK_TASKS = frozenset(
    {
        TaskState.RESCUING,
        TaskState.UNRESCUING,
        TaskState.UPDATING_PASSWORD,
        TaskState.SOFT_DELETING,
        TaskState.RESTORING,
    }
)
"""What copies nothing large: a power change's time is enough."""


async def run_flow(scope: Scope) -> bool:
    """Take every step of the task that can be taken now."""
    _tell_refused(scope)
    is_removed = False
    for _ in range(MOST_STEPS):
        record = scope.record
        if record is None or scope.is_deleting or record.task_state is None:
            return True
        flow = FLOWS.get(record.task_state)
        if flow is None:
            return True
        scope.env.awaiting.pop(record.id, None)
        if record.awaiting_host:
            scope.env.awaiting[record.id] = scope.key
        situation = _situation(scope, record, is_removed=is_removed)
        await _note_progress(scope, situation)
        decided = flow(situation)
        if decided is None:
            return True
        if isinstance(decided, Demand):
            is_removed = await (remove_guest if decided is REMOVE else remove_other)(scope)
            if not is_removed:
                return True
            continue
        await _take(scope, record, decided)
        is_removed = False
        await keep_guests(scope)
    return True


def _tell_refused(scope: Scope) -> None:
    """The scheduler has found no host for a move, and that was the end of it."""
    record = scope.record
    if record is None or record.id not in scope.env.answered:
        return
    scope.env.answered.discard(record.id)
    is_over = record.task_state is None and record.vm_state is not VmState.ERROR
    if is_over and record.fault_message and scope.instance is not None:
        scope.env.events.warning(scope.instance, "NoValidHost", record.fault_message)
        scope.after(0)


def _situation(scope: Scope, record: InstanceRecord, *, is_removed: bool) -> Situation:
    env = scope.env
    other_host = record.other_host
    other = scope.guest_on(other_host) if other_host else None
    return Situation(
        record=record,
        own=scope.guest,
        other=other,
        overdue=_overdue(scope, record),
        is_removed=is_removed,
        is_cut_off=record.host is not None and env.is_forced_down(record.host),
        other_is_down=other_host is not None
        and (env.is_forced_down(other_host) or env.is_silent(other_host)),
        elsewhere=has_elsewhere(scope, record),
        offloads_at_once=env.settings.shelved_offload_seconds == 0,
    )


def _overdue(scope: Scope, record: InstanceRecord) -> bool:
    settings = scope.env.settings
    quick = record.task_state in QUICK_TASKS
    limit = settings.task_timeout_seconds if quick else settings.move_timeout_seconds
    left = limit - (scope.now - record.updated_at).total_seconds()
    if left > 0:
        scope.after(left)
    return left <= 0


async def _take(scope: Scope, record: InstanceRecord, step: Step) -> None:
    env, task = scope.env, record.task_state
    if record.awaiting_host and step.error is not None:
        scope.record = await moving.cancel(env.db, record.id, record.version, step.error)
    else:
        scope.record = await steps.advance(env.db, record.id, record.version, task, step)
    log.info(
        "task.step",
        instance_id=record.id,
        task=task,
        next=step.task_state,
        host=scope.record.host,
        error=step.error,
    )
    told = story_of(record, step)
    if told is not None and scope.instance is not None:
        env.events.normal(scope.instance, *told)
    if step.task_state is not None:
        return
    metrics.TASKS.labels(str(task), "failed" if step.error else "done").inc()
    await _tidy_images(scope, record, step)
    if scope.instance is None:
        return
    if step.error:
        env.events.warning(scope.instance, "TaskFailed", f"Task '{task}' failed: {step.error}")
        scope.after(0)
    elif told is None:
        message = f"Task '{task}' is done: the instance is {scope.record.vm_state}."
        env.events.normal(scope.instance, "TaskDone", message)


async def _tidy_images(scope: Scope, record: InstanceRecord, step: Step) -> None:
    """Images that came to nothing, that the rotation ends, or that a shelved instance was made from."""
    db, kubernetes, operation = scope.env.db, scope.env.kubernetes, record.operation
    try:
        if operation is not None and operation.kind is OperationKind.SNAPSHOT:
            if step.error:
                await images.forget(db, kubernetes, operation.given["imageId"])
            elif backup := operation.given.get("backup"):
                await images.rotate(db, kubernetes, record.id, backup["type"], int(backup["rotation"]))
        shelved = record.details.get("shelvedImage")
        if record.task_state is TaskState.UNSHELVING and not step.error and shelved:
            await images.forget(db, kubernetes, shelved["id"])
    except (DatabaseError, KubernetesError) as error:
        log.warning("images.not_tidied", instance_id=record.id, error=str(error))


async def _note_progress(scope: Scope, situation: Situation) -> None:
    """What a live migration says of its copy goes where it is listed."""
    record = situation.record
    if record.move is None or record.move.kind is not MoveKind.LIVE or situation.own is None:
        return
    status = situation.own.status.operation
    if status is None or status.phase is not OperationPhase.RUNNING or status.progress is None:
        return
    progress = status.progress.to_api()
    if scope.env.progress.get(record.id) != progress:
        scope.env.progress[record.id] = progress
        await moves.record_progress(scope.env.db, record.move.id, progress)


async def act_on_time(scope: Scope) -> bool:
    """What comes by itself when its time has come: resizes are confirmed, shelved ones offloaded,
    soft-deleted ones reclaimed."""
    record = scope.record
    if record is None or scope.is_deleting or record.task_state is not None:
        return True
    settings = scope.env.settings
    if record.vm_state is VmState.SOFT_DELETED:
        return await _reclaim(scope, record)
    due = {
        "resized": (settings.resize_confirm_seconds, moving.confirm_resize),
        "shelved": (settings.shelved_offload_seconds, shelving.shelve_offload),
    }.get(record.vm_state)
    at_once = record.move is not None and record.move.confirms
    if due is None or (due[0] <= 0 and not at_once):
        return True
    left = due[0] - (scope.now - record.updated_at).total_seconds()
    if left > 0 and not at_once:
        scope.after(left)
        return True
    asked = by_itself(record)
    try:
        scope.record = await due[1](scope.env.db, record.id, asked)
    except HostNotUp:
        scope.after(HOST_DOWN_LOOK_AGAIN)
    return True


async def _reclaim(scope: Scope, record: InstanceRecord) -> bool:
    """Delete for good what was soft-deleted long enough ago. False: it is gone, or going."""
    after = scope.env.settings.reclaim_seconds
    if after <= 0:
        return True
    since = record.details.get("softDeletedAt")
    deleted_at = datetime.fromisoformat(since) if since else record.updated_at
    left = after - (scope.now - deleted_at).total_seconds()
    if left > 0:
        scope.after(left)
        return True
    scope.record = await removal.begin_delete(
        scope.env.db, record.id, record.version, request_id=f"req-{uuid.uuid4()}"
    )
    if scope.instance is not None:
        message = "The time to restore it is over: it is deleted."
        scope.env.events.normal(scope.instance, "Reclaimed", message)
    scope.after(0)
    return True


def by_itself(record: InstanceRecord) -> Asked:
    """Asked for by nobody but the clock."""
    return Asked(
        request_id=f"req-{uuid.uuid4()}", overrides_lock=True, version=record.version, user_id=record.user_id
    )
