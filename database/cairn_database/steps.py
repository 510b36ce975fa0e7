"""One step of a task that takes several: what the row says next, all of it in one transaction.

The conductor decides (`cairn_operator.conductor.flows`), this writes: the row by compare-and-set, what the
instance holds of hosts and of its project's quota, the migration, the history.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from cairn_crds.instance import PowerState
from cairn_database import allocations, history, moves, quotas
from cairn_database.engine import Database
from cairn_database.records import (
    InstanceRecord,
    Json,
    Move,
    MoveKind,
    Operation,
    TaskState,
    VmState,
)
from cairn_database.rows import compare_and_set, load_in_task, now


class Holding(enum.Enum):
    """What becomes of what the instance holds of hosts."""

    KEEP = enum.auto()
    SWAP = enum.auto()
    """The other end's becomes its own: together with `Step.host`."""
    DROP_OTHER = enum.auto()
    """Only its own is left."""
    MOVE_ON = enum.auto()
    """SWAP, then DROP_OTHER: nothing of it stays where it was."""
    DROP_ALL = enum.auto()
    """It is on no host any more."""


class _Unchanged(enum.Enum):
    UNCHANGED = enum.auto()


UNCHANGED = _Unchanged.UNCHANGED


@dataclass(frozen=True, kw_only=True)
class Step:
    """The next state. `task_state` None ends the task and its action."""

    task_state: TaskState | None
    operation: Operation | None = None
    """What a host is told to do now; None: nothing."""
    move: Move | _Unchanged | None = UNCHANGED
    host: str | _Unchanged | None = UNCHANGED
    """Another host: the fencing epoch rises with it."""
    fences: bool = False
    """The epoch rises although the host stays: what another host was ordered for the next is late."""
    holding: Holding = Holding.KEEP
    vm_state: VmState | None = None
    power_state: PowerState | None = None
    flavor: Json | None = None
    image: Json | None = None
    request: Json | None = None
    details: Json | None = None
    reboot_generation: int | None = None
    launched: bool = False
    awaiting_host: bool = False
    migration: str | None = None
    """The migration's next status."""
    error: str | None = None
    """It could not be done: what the action, and the migration, say."""
    fault: bool = False
    """With `error`: the instance itself shows it (Nova's fault), whatever its vm_state."""


async def advance(
    db: Database, instance_id: str, version: int, expected_task_state: TaskState | None, step: Step
) -> InstanceRecord:
    """Write `step`. Raises InstanceNotFound, ConcurrentUpdate."""

    def transaction(conn: sa.Connection) -> InstanceRecord:
        record = load_in_task(conn, instance_id, version, expected_task_state)
        return take(conn, record, step)

    return await db.run(transaction)


def take(conn: sa.Connection, record: InstanceRecord, step: Step) -> InstanceRecord:
    """Inside a transaction: write `step`. Raises ConcurrentUpdate."""
    moment = now()
    after = compare_and_set(conn, record, moment=moment, **_changes(record, step, moment))
    _hold(conn, record.id, step.holding)
    less = quotas.Demand(
        0,
        after.counted_vcpus - record.counted_vcpus,
        after.counted_memory_mib - record.counted_memory_mib,
    )
    if less.cores or less.memory_mib:
        quotas.give_back(conn, record.project, -less)
    if step.migration is not None and record.move is not None:
        moves.update(conn, record.move.id, step.migration, message=step.error)
    if step.task_state is not None:
        if step.task_state is not record.task_state:
            history.add_events(conn, history.event_of(record, moment))
    elif step.error is not None:
        history.end_in_error(conn, record, moment, step.error)
    else:
        history.add_events(conn, history.event_of(record, moment))
        history.finish_action(conn, record.action_id, moment)
    return after


def _changes(record: InstanceRecord, step: Step, moment: datetime) -> dict[str, Any]:
    changes: dict[str, Any] = {
        "task_state": step.task_state,
        "operation": step.operation,
        "awaiting_host": step.awaiting_host,
    }
    optional = ("vm_state", "power_state", "flavor", "image", "request", "details", "reboot_generation")
    for name in optional:
        if getattr(step, name) is not None:
            changes[name] = getattr(step, name)
    if step.move is not UNCHANGED:
        changes["move"] = step.move
    if step.host is not UNCHANGED:
        changes["host"] = step.host
    if step.host is not UNCHANGED or step.fences:
        changes["fencing_epoch"] = record.fencing_epoch + 1
    if step.launched:
        changes["launched_at"] = moment
    if step.task_state is None:
        changes["action_id"] = None
        changes |= _fault(record, step, moment)
    return changes


def _fault(record: InstanceRecord, step: Step, moment: datetime) -> dict[str, Any]:
    if step.fault:
        return {"fault_code": 500, "fault_message": step.error, "fault_at": moment}
    vm_state = step.vm_state or record.vm_state
    if step.error is None and vm_state is not VmState.ERROR and record.fault_message is not None:
        return {"fault_code": None, "fault_message": None, "fault_at": None}
    return {}


def _hold(conn: sa.Connection, instance_id: str, holding: Holding) -> None:
    if holding in (Holding.SWAP, Holding.MOVE_ON):
        allocations.swap(conn, instance_id)
    if holding in (Holding.DROP_OTHER, Holding.MOVE_ON):
        allocations.release(conn, instance_id, allocations.MOVE)
    if holding is Holding.DROP_ALL:
        allocations.release(conn, instance_id)


def take_host(conn: sa.Connection, record: InstanceRecord, host: str, moment: datetime) -> InstanceRecord:
    """Inside the claim: the scheduler has found `host` for the instance's move."""
    assert record.move is not None  # noqa: S101 - the claim has looked
    move = replace(record.move, destination=host)
    changes: dict[str, Any] = {"move": move, "awaiting_host": False, "placement_message": None}
    if move.kind is MoveKind.UNSHELVE:
        changes |= {
            "host": host,
            "fencing_epoch": record.fencing_epoch + 1,
            "attempts": record.attempts + 1,
        }
    else:
        preparing = "preparing" if move.kind is MoveKind.LIVE else "pre-migrating"
        moves.update(conn, move.id, preparing, destination=host)
    return compare_and_set(conn, record, moment=moment, **changes)


def give_up(
    conn: sa.Connection, record: InstanceRecord, message: str, migration: str = "error"
) -> InstanceRecord:
    """Inside a transaction: the move has come to nothing before anything was touched. The instance is what
    it was, on the flavor that it has."""
    spec = {**record.spec, "flavor": record.flavor["name"]}
    step = Step(
        task_state=None,
        move=None,
        holding=Holding.DROP_OTHER,
        request={**record.request, "spec": spec},
        migration=migration,
        error=message,
        fault=migration == "error",
    )
    return take(conn, record, step)
