"""The Guest of an instance: kept as the row says, and its answer taken in."""

from __future__ import annotations

from dataclasses import replace

import structlog

from cairn_crds import Guest
from cairn_crds.guest import node_namespace
from cairn_crds.guest_operation import OperationKind
from cairn_crds.peer import Peer
from cairn_database import InstanceRecord, TaskState, VmState, failures, instances, tasks
from cairn_database.records import MoveKind
from cairn_operator.conductor import metrics
from cairn_operator.conductor.changes import with_power
from cairn_operator.conductor.flows import FLOWS
from cairn_operator.conductor.guest_spec import build_guest, guests_of
from cairn_operator.conductor.outcome import (
    REQUEST_FAULTS,
    BuildFailed,
    Drifted,
    Finished,
    Nothing,
    TaskFailed,
    Vanished,
    judge,
)
from cairn_operator.conductor.power import DESIRED
from cairn_operator.conductor.scope import Scope
from cairn_runtime.agent_errors import AgentUnreachable
from cairn_runtime.kubernetes import AlreadyExists, NotFound, merge_diff
from cairn_runtime.peers import for_disks, read_peer
from cairn_runtime.store import Key

log = structlog.get_logger()


async def keep_guests(scope: Scope) -> bool:
    """The Guests are there and say what the row says: one, or while it moves two. Others go."""
    record = scope.record
    if record is None or scope.is_deleting:
        return True
    guest = scope.guest
    if guest is not None and guest.spec.absent and record.task_state is TaskState.SPAWNING:
        # Another conductor began to clear the host after a failed build: go on with that.
        fault = guest.status.fault
        reason, message = (fault.reason, fault.message) if fault else ("BuildFailed", "The build failed.")
        if scope.retreat is None:
            scope.begin_retreat(BuildFailed(reason, message, elsewhere=reason not in REQUEST_FAULTS))
    if scope.retreat is not None:
        return True
    wanted = guests_of(record)
    hosts = {view.host for view in wanted} | {record.host}  # its own is `remove_guest`'s to take away
    await _remove_others(scope, record, hosts)
    for view in wanted:
        await _write_guest(scope, view, absent=False)
    return True


async def _remove_others(scope: Scope, record: InstanceRecord, hosts: set[str | None]) -> bool:
    """Have every other host remove what it has of it; True where none has anything any more."""
    keep = {node_namespace(host) for host in hosts if host}
    found = [key for key in scope.env.guests.named(record.id) if key[0] not in keep]
    for key in found:
        guest = scope.env.guests.get(*key)
        if guest is not None and not guest.spec.absent:
            await _write_guest(scope, replace(record, host=node_of(key)), absent=True)
    return all(scope.env.is_forced_down(node_of(key)) for key in found)


async def _peer(scope: Scope, view: InstanceRecord, guest: Guest | None) -> Peer | None:
    """The host that has the disks that `view`'s host is to fetch."""
    operation, move = view.operation, view.move
    if operation is None or operation.kind is not OperationKind.FETCH_DISKS or move is None:
        return None
    known = guest.spec.operation.peer if guest is not None and guest.spec.operation is not None else None
    has_failed = guest is not None and guest.status.fault is not None
    if known is not None and not has_failed:
        return known
    try:
        source = await read_peer(scope.env.kubernetes, move.source or "")
    except AgentUnreachable:
        scope.after(1.0)
        return known
    return for_disks(source, view.id, operation.id)


async def _write_guest(scope: Scope, record: InstanceRecord, *, absent: bool) -> None:
    guest = scope.guest_on(record.host or "")
    peer = None if absent else await _peer(scope, record, guest)
    wanted = build_guest(
        record, absent=absent, keys=scope.env.image_keys, zone=_zone(scope, record, guest), peer=peer
    )
    namespace, name = wanted.metadata.namespace, wanted.metadata.name
    if guest is None or guest.metadata.deletion_timestamp is not None:
        if scope.record is None or record.host == scope.record.host:
            wanted = as_recorded(wanted, record)  # what another host keeps for it stays off, whatever it does
        try:
            body = await scope.env.kubernetes.create(Guest, wanted.manifest())
        except AlreadyExists:
            body = await scope.env.kubernetes.get(Guest, name, namespace)
            scope.env.guests.put(body)
            scope.after(0.1)
            return
        if wanted.spec.launched and not absent:
            metrics.REPAIRS.labels("guest").inc()
            log.warning("guest.restored", host=record.host)
        scope.take_answer(scope.env.guests, body)
        return
    if guest.spec.launched and not absent and guest.status.spec_generation == 0:
        return  # the host has not taken its machine in again: only then can it be asked for a change
    patch = merge_diff(guest.spec.to_api(), wanted.spec.to_api())
    patch.pop("launched", None)  # says what was so when the Guest was made
    if not patch:
        return
    # The Guest may have been seen after the row was read: its version alone would let an old row's order in.
    # With the row as it was after the Guest was seen, whoever goes by a newer row changes the Guest first, or
    # finds it changed.
    await instances.check_version(scope.env.db, record.id, record.version)
    versioned = {"metadata": {"resourceVersion": guest.metadata.resource_version}, "spec": patch}
    scope.take_answer(scope.env.guests, await scope.env.kubernetes.patch(Guest, name, namespace, versioned))


def _zone(scope: Scope, record: InstanceRecord, guest: Guest | None) -> str:
    """The zone of the host when the Guest was made: what a guest was told once stays, as in Nova."""
    if guest is not None:
        return guest.spec.config.availability_zone
    return scope.env.zone_of(record.host or "")


def as_recorded(wanted: Guest, record: InstanceRecord) -> Guest:
    """The Guest to make anew for a machine that there is: without the change that is under way.

    The host takes such a machine as it is, and reports what it was told as reached.
    """
    if not wanted.spec.launched or wanted.spec.absent or record.vm_state not in DESIRED:
        return wanted
    recorded = {
        "power_state": DESIRED[record.vm_state],
        "reboot": wanted.spec.reboot.model_copy(update={"generation": record.reboot_generation}),
    }
    return wanted.model_copy(update={"spec": wanted.spec.model_copy(update=recorded)})


async def remove_guest(scope: Scope) -> bool:
    """True once nothing of the machine is left on its host."""
    return scope.record is None or await _remove_from(scope, scope.record)


async def remove_other(scope: Scope) -> bool:
    """True once nothing of the machine is left on the other end of its move."""
    record = scope.record
    return record is None or await _remove_from(scope, replace(record, host=record.other_host))


async def _remove_from(scope: Scope, record: InstanceRecord) -> bool:
    """True once nothing of the machine is left on the host of `record`, a row or a view of one.

    The host is told by `absent`; it deletes the Guest when the machine and its disks are gone. A Guest
    that went without being seen to go is made once more, as absent: only the host knows what it has.
    """
    if record.host is None:
        return True
    key = (node_namespace(record.host), record.id)
    guest = scope.guest_on(record.host)
    if guest is not None and guest.spec.absent:
        scope.env.removing[key] = record.fencing_epoch
        # A host that is down for good (the admin says so) cannot answer. Should it come back, it finds its
        # Guest absent and removes the machine then.
        return scope.env.is_forced_down(record.host) or _is_fenced(scope, record)
    if guest is None:
        was_told = scope.env.removing.get(key) == record.fencing_epoch
        if was_told and scope.env.guests.saw_deletion(key):
            del scope.env.removing[key]
            return True
        if record.launched_at is None and not record.interfaces and record.request["networks"]:
            return True  # claimed, but the host was never told
    try:
        await _write_guest(scope, record, absent=True)
    except NotFound:
        if guest is None:
            return True  # the host's namespace is gone, and with it the host
        scope.env.guests.remove(guest.to_api())  # deleted by somebody else: it is made anew at the next look
        return False
    scope.env.removing[key] = record.fencing_epoch
    return False


def _is_fenced(scope: Scope, record: InstanceRecord) -> bool:
    """Whether its host is silent, and was found to have powered its guests off when the evacuation was
    accepted (`moving.evacuate`). Once it is heard of again, it has to remove the machine itself."""
    is_evacuated = record.move is not None and record.move.kind is MoveKind.EVACUATION
    return (
        is_evacuated and record.task_state is TaskState.REBUILDING and scope.env.is_silent(record.host or "")
    )


def has_elsewhere(scope: Scope, record: InstanceRecord) -> bool:
    """Whether a host that is no part of its move, and not declared down, has a Guest of it."""
    ends = {node_namespace(host) for host in (record.host, record.other_host) if host}
    return any(
        key[0] not in ends and not scope.env.is_forced_down(node_of(key))
        for key in scope.env.guests.named(record.id)
    )


async def remove_guests(scope: Scope) -> bool:
    """True once no host has anything of it."""
    record = scope.record
    if record is None:
        return True
    others_gone = await _remove_others(scope, record, {record.host})
    return await remove_guest(scope) and others_gone


async def take_outcome(scope: Scope) -> bool:
    """What the host reports becomes what is recorded."""
    record, guest = scope.record, scope.guest
    if record is None or scope.is_deleting or record.task_state in FLOWS:
        return True
    failure = scope.retreat
    if failure is not None:
        if _overdue(scope, record):
            message = (
                f"{failure.message} Host {record.host} did not clear what it had made: is its agent running?"
            )
            failure = BuildFailed("Timeout", message, elsewhere=False)
        await _retreat(scope, record, failure)
        return True
    if guest is None:
        return True
    outcome = judge(record, guest, overdue=_overdue(scope, record))
    match outcome:
        case Nothing():
            pass
        case Finished():
            await _finish(scope, record, outcome)
        case Drifted():
            await _take_drift(scope, record, outcome)
        case BuildFailed():
            scope.begin_retreat(outcome)
            _warn(scope, outcome.reason, f"Host {record.host}: {outcome.message}")
            await _retreat(scope, record, outcome)
        case TaskFailed():
            await _give_up_task(scope, record, outcome)
        case Vanished(message):
            scope.record = await failures.fail(
                scope.env.db, record.id, record.version, code=500, message=message, keep_host=True
            )
            _warn(scope, "MachineVanished", message)
    return True


def _overdue(scope: Scope, record: InstanceRecord) -> bool:
    if record.task_state is None:
        return False
    settings = scope.env.settings
    building = record.vm_state is VmState.BUILDING
    limit = settings.build_timeout_seconds if building else settings.task_timeout_seconds
    left = limit - (scope.now - record.updated_at).total_seconds()
    if left > 0:
        scope.after(left)
    return left <= 0


async def _finish(scope: Scope, record: InstanceRecord, outcome: Finished) -> None:
    task = record.task_state
    request = None
    if outcome.vm_state is not _wanted_state(record, outcome):
        request = with_power(record, outcome.vm_state)
    scope.record = await tasks.finish_task(
        scope.env.db,
        record.id,
        record.version,
        expected_task_state=task,
        vm_state=outcome.vm_state,
        power_state=outcome.power_state,
        launched=outcome.launched,
        reboot_generation=outcome.reboot_generation,
        request=request,
    )
    metrics.TASKS.labels(str(task), "done").inc()
    log.info("task.done", instance_id=record.id, task=task, vm_state=outcome.vm_state, host=record.host)
    if scope.instance is None:
        return
    seconds = (scope.now - record.created_at).total_seconds()
    if outcome.launched:
        metrics.BOOT_PHASE_SECONDS.labels("total").observe(seconds)
        metrics.BOOT_PHASE_SECONDS.labels("spawn").observe((scope.now - record.updated_at).total_seconds())
        addresses = ", ".join(interface.address for interface in record.interfaces)
        where = f" with {addresses}" if addresses else ""
        message = (
            f"{outcome.power_state} on host {record.host}{where}, {seconds:.1f} s after it was asked for."
        )
        scope.env.events.normal(scope.instance, "Launched", message)
    else:
        message = f"Task '{task}' is done: the instance is {outcome.vm_state}."
        scope.env.events.normal(scope.instance, "TaskDone", message)


def _wanted_state(record: InstanceRecord, outcome: Finished) -> VmState:
    """The state that the request asks for, as far as power goes."""
    for vm_state, desired in DESIRED.items():
        if desired == record.request["spec"]["powerState"]:
            return vm_state
    return outcome.vm_state


async def _take_drift(scope: Scope, record: InstanceRecord, outcome: Drifted) -> None:
    scope.record = await tasks.record_power(
        scope.env.db,
        record.id,
        record.version,
        vm_state=outcome.vm_state,
        power_state=outcome.power_state,
        request=with_power(record, outcome.vm_state),
    )
    message = (
        f"The machine is {outcome.power_state} on host {record.host}, changed from outside of Cairn; "
        "spec.powerState follows. Set it to have it otherwise."
    )
    _warn(scope, "PowerChangedOutside", message)
    scope.after(0)


async def _give_up_task(scope: Scope, record: InstanceRecord, outcome: TaskFailed) -> None:
    """The machine is as it was: the row returns to that, and the spec says it again."""
    if record.task_state is None:
        return
    scope.record = await tasks.abandon_task(
        scope.env.db,
        record.id,
        record.version,
        expected_task_state=record.task_state,
        message=outcome.message,
        power_state=outcome.power_state,
        reboot_generation=max(record.reboot_generation, record.request["spec"]["reboot"]["generation"]),
        request=with_power(record, record.vm_state) if record.vm_state in DESIRED else None,
    )
    metrics.TASKS.labels(str(record.task_state), "failed").inc()
    _warn(scope, outcome.reason, f"Task '{record.task_state}' failed: {outcome.message}")
    scope.after(0)


async def _retreat(scope: Scope, record: InstanceRecord, failure: BuildFailed) -> None:
    """A build that failed: nothing may stay on the host before another one is tried."""
    if record.task_state is not TaskState.SPAWNING:
        scope.env.retreats.pop(record.id, None)
        return
    if failure.reason == "Timeout":
        # The host does not answer: what it has of the machine is not known, so it keeps the claim.
        scope.record = await failures.fail(
            scope.env.db, record.id, record.version, code=500, message=failure.message, keep_host=True
        )
        scope.env.retreats.pop(record.id, None)
        return
    if not await remove_guest(scope):
        return
    key = scope.guest_key
    if failure.elsewhere:
        message = f"Host {record.host}: {failure.message}"
        scope.record = await failures.reschedule(
            scope.env.db,
            record.id,
            record.version,
            exclude_host=record.host or "",
            message=message,
            max_attempts=scope.env.settings.max_attempts,
        )
        metrics.RESCHEDULES.inc()
    else:
        scope.record = await failures.fail(
            scope.env.db, record.id, record.version, code=500, message=failure.message, keep_host=False
        )
    scope.env.retreats.pop(record.id, None)
    if key is not None:
        scope.env.guests.forget_deletion(key)
    if scope.record.task_state is TaskState.SCHEDULING:
        scope.env.awaiting[record.id] = scope.key


def _warn(scope: Scope, reason: str, message: str) -> None:
    if scope.instance is not None:
        scope.env.events.warning(scope.instance, reason, message)


def node_of(key: Key) -> str:
    """The host that a Guest is on."""
    return key[0].removeprefix(node_namespace(""))
