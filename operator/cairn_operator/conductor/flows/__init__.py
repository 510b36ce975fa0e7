"""What comes next in a task that takes several steps: resize, migrate, evacuate, shelve, rebuild, snapshot …

`FLOWS` has a function for each such task: pure, from what is recorded and what the hosts report to the step
to take (`cairn_database.steps.Step`), to a `Demand` (the machine must go from a host first), or to None
(nothing yet). Whoever reads a flow from top to bottom reads a resize from top to bottom. The shell around is
`conductor/flow_running.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from cairn_database import TaskState
from cairn_operator.conductor.flows import live, rebuilding, resizing, shelving, staying
from cairn_operator.conductor.flows.situation import REMOVE, REMOVE_OTHER, Demand, Next, Situation

__all__ = ["FLOWS", "REMOVE", "REMOVE_OTHER", "Demand", "Next", "Situation"]
T = TaskState

FLOWS: Mapping[TaskState, Callable[[Situation], Next]] = {
    T.RESIZE_PREP: resizing.prepare_resize,
    T.RESIZE_MIGRATING: resizing.leave,
    T.RESIZE_FINISH: resizing.arrive,
    T.RESIZE_CONFIRMING: resizing.confirm,
    T.RESIZE_REVERTING: resizing.revert,
    T.MIGRATING: live.live_migrate,
    T.REBUILDING: rebuilding.rebuild,
    T.REBUILD_SPAWNING: rebuilding.spawn_evacuated,
    T.RESCUING: staying.rescue,
    T.UNRESCUING: staying.unrescue,
    T.IMAGE_SNAPSHOT: staying.operate,
    T.IMAGE_BACKUP: staying.operate,
    T.UPDATING_PASSWORD: staying.operate,
    T.SOFT_DELETING: staying.soft_delete,
    T.RESTORING: staying.restore,
    T.SHELVING: shelving.shelve,
    T.SHELVING_OFFLOADING: shelving.offload,
    T.UNSHELVING: shelving.unshelve,
}
"""By task: what comes next."""
