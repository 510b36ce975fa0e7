"""Power: which task leads from what an instance is to what its user wants."""

from __future__ import annotations

from cairn_crds.instance import DesiredPower, PowerState, RebootType
from cairn_database import TaskState, VmState

TASKS: dict[tuple[VmState, DesiredPower], TaskState] = {
    (VmState.ACTIVE, DesiredPower.STOPPED): TaskState.POWERING_OFF,
    (VmState.ACTIVE, DesiredPower.PAUSED): TaskState.PAUSING,
    (VmState.ACTIVE, DesiredPower.SUSPENDED): TaskState.SUSPENDING,
    (VmState.STOPPED, DesiredPower.RUNNING): TaskState.POWERING_ON,
    (VmState.STOPPED, DesiredPower.PAUSED): TaskState.PAUSING,
    (VmState.STOPPED, DesiredPower.SUSPENDED): TaskState.SUSPENDING,
    (VmState.PAUSED, DesiredPower.RUNNING): TaskState.UNPAUSING,
    (VmState.PAUSED, DesiredPower.STOPPED): TaskState.POWERING_OFF,
    (VmState.PAUSED, DesiredPower.SUSPENDED): TaskState.SUSPENDING,
    (VmState.SUSPENDED, DesiredPower.RUNNING): TaskState.RESUMING,
    (VmState.SUSPENDED, DesiredPower.STOPPED): TaskState.POWERING_OFF,
    (VmState.SUSPENDED, DesiredPower.PAUSED): TaskState.PAUSING,
}
"""Every way between two states; the host finds the steps in between by itself."""

REBOOTS: dict[RebootType, TaskState] = {
    RebootType.SOFT: TaskState.REBOOTING,
    RebootType.HARD: TaskState.REBOOTING_HARD,
}

ACTIONS: dict[TaskState, str] = {
    TaskState.POWERING_ON: "start",
    TaskState.POWERING_OFF: "stop",
    TaskState.PAUSING: "pause",
    TaskState.UNPAUSING: "unpause",
    TaskState.SUSPENDING: "suspend",
    TaskState.RESUMING: "resume",
    TaskState.REBOOTING: "reboot",
    TaskState.REBOOTING_HARD: "reboot",
}
"""Nova's names for what these tasks do, as the history keeps them."""

FINISHABLE = frozenset({TaskState.SPAWNING, *TASKS.values(), *REBOOTS.values()})
"""Tasks that end when the host reports that it has reached the Guest's spec."""

VM_STATES: dict[PowerState, VmState] = {
    PowerState.RUNNING: VmState.ACTIVE,
    PowerState.PAUSED: VmState.PAUSED,
    PowerState.SUSPENDED: VmState.SUSPENDED,
    PowerState.SHUTDOWN: VmState.STOPPED,
    PowerState.CRASHED: VmState.STOPPED,
}
"""What an instance is when nothing is being done to it and the hypervisor says this."""

SETTLED = frozenset(
    {
        VmState.RESCUED,
        VmState.RESIZED,
        VmState.SOFT_DELETED,
        VmState.SHELVED,
        VmState.SHELVED_OFFLOADED,
    }
)
"""States that an instance keeps whatever its machine does."""

OFF = frozenset({PowerState.SHUTDOWN, PowerState.CRASHED})

DESIRED: dict[VmState, DesiredPower] = {
    VmState.ACTIVE: DesiredPower.RUNNING,
    VmState.PAUSED: DesiredPower.PAUSED,
    VmState.SUSPENDED: DesiredPower.SUSPENDED,
    VmState.STOPPED: DesiredPower.STOPPED,
}
"""What `spec.powerState` says of an instance that somebody else has brought into that state."""


def power_task(vm_state: VmState, wanted: DesiredPower) -> TaskState | None:
    """The task to begin, or None where the state is the wanted one (or has no way to it)."""
    return TASKS.get((vm_state, wanted))


def reboot_task(vm_state: VmState, kind: RebootType) -> TaskState | None:
    """The reboot to begin, or None where it has to wait: only a running guest can be asked to reboot.

    Nova API: POST /servers/{id}/action `reboot`; SOFT is refused outside of `active`.
    """
    allowed = {VmState.ACTIVE}
    if kind is RebootType.HARD:
        allowed |= {VmState.STOPPED, VmState.PAUSED, VmState.SUSPENDED, VmState.ERROR}
    return REBOOTS[kind] if vm_state in allowed else None
