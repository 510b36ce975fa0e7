"""What a drain does next, and what it shows."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from cairn_database import InstanceRecord, TaskState, VmState
from cairn_database.moves import Failures
from cairn_database.records import Move, MoveKind
from cairn_operator.conductor.drain.planning import LIVE_MIGRATION, Plan, Way, plan, way_of
from unit.conductor.records import NOW, record

LIVE = frozenset({LIVE_MIGRATION})


def on_way(source: str, destination: str, **changes: Any) -> Move:
    values = {"id": "m", "kind": MoveKind.MIGRATION, "vm_state": VmState.ACTIVE}
    return Move(**(values | {"source": source, "destination": destination} | changes))


@pytest.mark.parametrize(
    ("row", "traits", "way"),
    [
        (record(), LIVE, Way.LIVE),
        (record(), (), Way.COLD),
        (record(vm_state=VmState.PAUSED), LIVE, Way.LIVE),
        (record(vm_state=VmState.PAUSED), (), "resume it"),
        (record(vm_state=VmState.STOPPED), LIVE, Way.COLD),
        (record(vm_state=VmState.SHELVED), LIVE, Way.OFFLOAD),
        (record(vm_state=VmState.SUSPENDED), LIVE, "suspended"),
        (record(vm_state=VmState.RESCUED), LIVE, "rescued"),
        (record(vm_state=VmState.ERROR), LIVE, "in error"),
        (record(vm_state=VmState.SOFT_DELETED), LIVE, "restored"),
        (record(vm_state=VmState.RESIZED, move=on_way("h0", "h1")), LIVE, "confirmed or reverted"),
        (record(vm_state=VmState.RESIZED, host="h2", move=on_way("h1", "h2")), LIVE, "confirmed or reverted"),
        (
            record(vm_state=VmState.RESIZED, host="h2", move=on_way("h1", "h2", confirms=True)),
            LIVE,
            Way.UNDER_WAY,
        ),
        (record(task_state=TaskState.MIGRATING, move=on_way("h1", "h2")), LIVE, Way.UNDER_WAY),
        (record(task_state=TaskState.MIGRATING, host="h2", move=on_way("h2", "h1")), LIVE, Way.LATER),
        (record(task_state=TaskState.RESIZE_REVERTING, move=on_way("h1", "h2")), LIVE, Way.LATER),
        (record(task_state=TaskState.SHELVING_OFFLOADING), LIVE, Way.UNDER_WAY),
        (record(task_state=TaskState.DELETING), LIVE, Way.UNDER_WAY),
        (record(task_state=TaskState.REBOOTING), LIVE, Way.LATER),
    ],
)
def test_each_state_leaves_in_its_own_way(row: InstanceRecord, traits: Any, way: Way | str) -> None:
    found = way_of(row, "h1", traits)
    assert way in found if isinstance(way, str) and isinstance(found, str) else found is way


def drained(
    rows: list[InstanceRecord], failures: dict[str, Failures] | None = None, parallel: int = 2
) -> Plan:
    return plan("h1", rows, LIVE, failures or {}, parallel=parallel, now=NOW)


def test_only_so_many_move_at_the_same_time() -> None:
    moving = record(id="a", task_state=TaskState.MIGRATING, move=on_way("h1", "h2"))
    stopped = [record(id=name, vm_state=VmState.STOPPED) for name in "bcd"]
    planned = drained([moving, *stopped], parallel=3)
    assert [row.id for row, _way in planned.begin] == ["b", "c"]
    assert (planned.status.instances, planned.status.moving, planned.status.done) == (4, 3, False)


def test_as_many_again_get_ready_to_leave_live() -> None:
    moving = record(id="a", task_state=TaskState.MIGRATING, move=on_way("h1", "h2"))
    planned = drained([moving, *(record(id=name) for name in "bcdefg")], parallel=3)
    assert [row.id for row, _way in planned.begin] == ["b", "c", "d", "e", "f"]
    assert planned.status.moving == 6


def test_a_failure_is_shown_and_tried_again_later_and_later() -> None:
    row = record()

    def begins(count: int, ago: float) -> bool:
        failure = Failures(count, NOW - timedelta(seconds=ago), "No valid host was found.")
        planned = drained([row], {row.id: failure})
        assert planned.status.failed == {row.id: "No valid host was found."}
        return bool(planned.begin)

    assert not begins(1, 10)
    assert begins(1, 16)
    assert not begins(3, 50)
    assert begins(3, 61)
    assert begins(30, 601)


def test_an_empty_host_is_done() -> None:
    planned = drained([])
    assert (planned.begin, planned.status.done, planned.status.instances) == ((), True, 0)


def test_what_is_stuck_takes_no_place() -> None:
    stuck = record(id="a", vm_state=VmState.SUSPENDED)
    planned = drained([stuck, record(id="b")], parallel=1)
    assert [row.id for row, _way in planned.begin] == ["b"]
    assert list(planned.status.failed) == ["a"]
