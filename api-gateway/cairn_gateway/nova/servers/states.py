"""The one word that the Compute API says of a server, from its vm_state and task_state.

Source: Nova's `nova/api/openstack/common.py` (_STATE_MAP).
"""

from __future__ import annotations

from collections.abc import Iterable

from cairn_crds.instance import PowerState
from cairn_database import TaskState, VmState

_REBUILD = dict.fromkeys(
    (TaskState.REBUILDING, TaskState.REBUILD_BLOCK_DEVICE_MAPPING, TaskState.REBUILD_SPAWNING), "REBUILD"
)
_RESIZE = dict.fromkeys(
    (
        TaskState.RESIZE_PREP,
        TaskState.RESIZE_MIGRATING,
        TaskState.RESIZE_MIGRATED,
        TaskState.RESIZE_FINISH,
    ),
    "RESIZE",
)
_REBOOT = dict.fromkeys((TaskState.REBOOTING, TaskState.REBOOT_PENDING, TaskState.REBOOT_STARTED), "REBOOT")
_HARD_REBOOT = dict.fromkeys(
    (TaskState.REBOOTING_HARD, TaskState.REBOOT_PENDING_HARD, TaskState.REBOOT_STARTED_HARD), "HARD_REBOOT"
)
_MIGRATING = {TaskState.MIGRATING: "MIGRATING"}

DEFAULTS: dict[VmState, str] = {
    VmState.ACTIVE: "ACTIVE",
    VmState.BUILDING: "BUILD",
    VmState.STOPPED: "SHUTOFF",
    VmState.RESIZED: "VERIFY_RESIZE",
    VmState.PAUSED: "PAUSED",
    VmState.SUSPENDED: "SUSPENDED",
    VmState.RESCUED: "RESCUE",
    VmState.ERROR: "ERROR",
    VmState.DELETED: "DELETED",
    VmState.SOFT_DELETED: "SOFT_DELETED",
    VmState.SHELVED: "SHELVED",
    VmState.SHELVED_OFFLOADED: "SHELVED_OFFLOADED",
}
IN_TASK: dict[VmState, dict[TaskState, str]] = {
    VmState.ACTIVE: {
        **_REBOOT,
        **_HARD_REBOOT,
        TaskState.UPDATING_PASSWORD: "PASSWORD",
        **_REBUILD,
        **_MIGRATING,
        **_RESIZE,
    },
    VmState.STOPPED: {**_RESIZE, **_REBUILD},
    VmState.RESIZED: {TaskState.RESIZE_REVERTING: "REVERT_RESIZE"},
    VmState.PAUSED: _MIGRATING,
    VmState.ERROR: _REBUILD,
}

POWER_STATES: dict[PowerState, int] = {
    PowerState.NO_STATE: 0,
    PowerState.RUNNING: 1,
    PowerState.PAUSED: 3,
    PowerState.SHUTDOWN: 4,
    PowerState.CRASHED: 6,
    PowerState.SUSPENDED: 7,
}
"""Nova's numbers (`nova/compute/power_state.py`)."""

WITH_FAULT = frozenset({"ERROR", "DELETED"})
WITH_PROGRESS = frozenset({"ACTIVE", "BUILD", "REBUILD", "RESIZE", "VERIFY_RESIZE", "MIGRATING"})


def status_of(vm_state: VmState, task_state: TaskState | None) -> str:
    """Nova's `status`."""
    if task_state is not None and vm_state in IN_TASK:
        return IN_TASK[vm_state].get(task_state, DEFAULTS[vm_state])
    return DEFAULTS[vm_state]


def states_of(statuses: Iterable[str]) -> tuple[list[VmState], list[TaskState] | None]:
    """What to look for to find servers of these statuses: vm_states, and task_states (None: any)."""
    wanted = {status.upper() for status in statuses}
    vm_states = {state for state, word in DEFAULTS.items() if word in wanted}
    whole = bool(vm_states)
    task_states: set[TaskState] = set()
    for state, tasks in IN_TASK.items():
        for task, word in tasks.items():
            if word in wanted:
                vm_states.add(state)
                task_states.add(task)
    return sorted(vm_states), None if whole else sorted(task_states)
