"""What to do next about a host that is being drained: a pure function of what is there."""

from __future__ import annotations

import enum
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from cairn_crds.compute_node import DrainStatus
from cairn_database import InstanceRecord, TaskState, VmState
from cairn_database.moves import Failures

LIVE_MIGRATION = "COMPUTE_CAIRN_LIVE_MIGRATION"
"""The trait of hosts whose driver moves running machines."""
FIRST_PAUSE_SECONDS = 15.0
LONGEST_PAUSE_SECONDS = 600.0
MOST_SHOWN = 100
LONGEST_SHOWN = 1000


class Way(enum.Enum):
    """How an instance leaves the host."""

    LIVE = enum.auto()
    COLD = enum.auto()
    """Confirmed by itself when it has arrived."""
    OFFLOAD = enum.auto()
    """It is shelved: nothing but the image of it is needed."""
    UNDER_WAY = enum.auto()
    LATER = enum.auto()
    """Something else is being done to it first."""


@dataclass(frozen=True)
class Plan:
    """What to begin now, and what the host shows."""

    begin: tuple[tuple[InstanceRecord, Way], ...]
    status: DrainStatus
    stuck: bool
    """Whether some cannot be moved, as far as anybody can tell."""


def plan(
    node: str,
    remaining: Sequence[InstanceRecord],
    traits: Collection[str],
    failures: Mapping[str, Failures],
    *,
    parallel: int,
    now: datetime,
) -> Plan:
    """`remaining`: all that the host has, or holds room for; `failures`: of moves away from it, by instance;
    `parallel`: how many may be under way; live migrations may be twice as many, so that the next ones are
    ready when their host, which limits how many leave it at once, has room."""
    ways = [(record, way_of(record, node, traits)) for record in remaining]
    moving = sum(way is Way.UNDER_WAY for _record, way in ways)
    failed: dict[str, str] = {}
    begin: list[tuple[InstanceRecord, Way]] = []
    for record, way in ways:
        if isinstance(way, str):
            failed[record.id] = way
            continue
        failure = failures.get(record.id)
        if failure is not None and way is not Way.UNDER_WAY:
            failed[record.id] = failure.message or "The move failed."
        if way not in (Way.LIVE, Way.COLD, Way.OFFLOAD):
            continue
        most = 2 * parallel if way is Way.LIVE else parallel
        if _is_due(failure, now) and moving + len(begin) < most:
            begin.append((record, way))
    shown = {name: message[:LONGEST_SHOWN] for name, message in list(failed.items())[:MOST_SHOWN]}
    status = DrainStatus(
        instances=len(remaining), moving=moving + len(begin), failed=shown, done=not remaining
    )
    return Plan(tuple(begin), status, stuck=bool(failed))


def way_of(record: InstanceRecord, node: str, traits: Collection[str]) -> Way | str:
    """How it leaves the host `node`; a text: it cannot, and why."""
    move = record.move
    if record.task_state is not None:
        comes_back = record.task_state is TaskState.RESIZE_REVERTING
        leaves = move is not None and move.source == node and not comes_back
        offloads = record.task_state in (TaskState.SHELVING, TaskState.SHELVING_OFFLOADING)
        is_going = leaves or offloads or record.task_state is TaskState.DELETING
        return Way.UNDER_WAY if is_going else Way.LATER
    if record.vm_state is VmState.RESIZED:
        if move is not None and move.confirms and move.source == node:
            return Way.UNDER_WAY
        return (
            "It has been resized or migrated, and both hosts hold it until that is confirmed or reverted "
            "(spec.decision of its Migration)."
        )
    if record.vm_state in (VmState.ACTIVE, VmState.PAUSED) and LIVE_MIGRATION in traits:
        return Way.LIVE
    stays = _STAYS.get(record.vm_state, f"It is {record.vm_state}, and cannot be moved while it is.")
    return _WAYS.get(record.vm_state, stays)


_WAYS = {VmState.ACTIVE: Way.COLD, VmState.STOPPED: Way.COLD, VmState.SHELVED: Way.OFFLOAD}
_STAYS = {
    VmState.PAUSED: "It is paused, and the host's driver has no live migration: resume it, or stop it.",
    VmState.SUSPENDED: "It is suspended, and its memory is a file on this host: resume it, or stop it.",
    VmState.RESCUED: "It is rescued: end the rescue (spec.rescue), then it is moved.",
    VmState.ERROR: "It is in error: repair it (reboot, rebuild), evacuate it, or delete it.",
    VmState.SOFT_DELETED: "It has been deleted and may still be restored; it goes when its time has come.",
}


def _is_due(failure: Failures | None, now: datetime) -> bool:
    if failure is None:
        return True
    pause: float = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2 ** (failure.count - 1))
    return (now - failure.last_at).total_seconds() >= pause
