"""What a host's answer means: the Guest's status, judged against the row. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from cairn_crds import Guest
from cairn_crds.guest import GuestFault, GuestPhase
from cairn_crds.instance import PowerState
from cairn_database import InstanceRecord, TaskState, VmState
from cairn_operator.conductor.power import FINISHABLE, SETTLED, VM_STATES

REQUEST_FAULTS = frozenset({"ImageCorrupt", "DiskTooSmall", "UserDataInvalid"})
"""Faults of the request, not of the host: another host would answer the same."""


@dataclass(frozen=True)
class Nothing:
    """There is nothing to record."""


@dataclass(frozen=True)
class Finished:
    """The task has ended as it should."""

    vm_state: VmState
    power_state: PowerState
    launched: bool
    reboot_generation: int


@dataclass(frozen=True)
class Drifted:
    """Somebody changed the machine's power outside of Cairn."""

    vm_state: VmState
    power_state: PowerState


@dataclass(frozen=True)
class BuildFailed:
    """This host cannot build it. `elsewhere`: another one might."""

    reason: str
    message: str
    elsewhere: bool


@dataclass(frozen=True)
class TaskFailed:
    """The task cannot be done; the machine is as it was."""

    reason: str
    message: str
    power_state: PowerState


@dataclass(frozen=True)
class Vanished:
    """The machine is not on its host any more."""

    message: str


Outcome = Nothing | Finished | Drifted | BuildFailed | TaskFailed | Vanished


def judge(record: InstanceRecord, guest: Guest, *, overdue: bool) -> Outcome:
    """What `guest.status` means for `record`. `overdue`: the running task has used up its time."""
    status = guest.status
    task = record.task_state
    fault = current_fault(guest)
    if fault is not None and (fault.permanent or overdue) and task in FINISHABLE:
        return _failed(record, fault.reason, fault.message, status.power_state)
    if overdue and task in FINISHABLE:
        message = f"Host {record.host} did not finish '{task}' in time. Is its agent running?"
        return _failed(record, "Timeout", message, status.power_state)
    # A host that has given up on what the spec asks for still says what the machine does.
    gives_up = task is None and record.vm_state is not VmState.ERROR
    given_up = fault if fault is not None and fault.permanent and gives_up else None
    if status.phase is GuestPhase.MISSING or (given_up and status.power_state is PowerState.NO_STATE):
        return _missing(record, status.power_state, given_up)
    is_behind = status.spec_generation < guest.metadata.generation and given_up is None
    if status.phase is not GuestPhase.READY or is_behind:
        return Nothing()
    vm_state = VM_STATES.get(status.power_state)
    if task is None and vm_state is not None and record.vm_state in SETTLED:
        vm_state = record.vm_state  # not a matter of power: only what the machine does is news
    held = task is None and record.details.get("heldInError")  # an administrator says so, and takes it back
    if vm_state is None or held:
        return Nothing()
    recovered = task is None and record.vm_state is VmState.ERROR
    if task in FINISHABLE or recovered:
        return Finished(
            vm_state,
            status.power_state,
            launched=record.launched_at is None,
            reboot_generation=max(record.reboot_generation, status.reboot_generation),
        )
    drifted = vm_state is not record.vm_state or status.power_state is not record.power_state
    if task is None and drifted and record.vm_state is not VmState.BUILDING:
        return Drifted(vm_state, status.power_state)
    return Nothing()


def _missing(record: InstanceRecord, power: PowerState, given_up: GuestFault | None) -> Outcome:
    if given_up is not None:
        return Vanished(
            f"The machine on host {record.host} is not whole, and cannot be mended: {given_up.message}"
        )
    gone = f"The machine is gone from host {record.host}, with its disks"
    if record.vm_state is not VmState.ERROR:
        return Vanished(f"{gone}: somebody removed it there. Delete the instance and create it again.")
    return TaskFailed("MachineVanished", f"{gone}.", power) if record.task_state in FINISHABLE else Nothing()


def current_fault(guest: Guest) -> GuestFault | None:
    """What the host ran into with the spec as it is now; a fault of an earlier one says nothing any more."""
    fault = guest.status.fault
    return fault if fault is not None and fault.spec_generation >= guest.metadata.generation else None


def _failed(record: InstanceRecord, reason: str, message: str, power: PowerState) -> Outcome:
    if record.task_state is TaskState.SPAWNING:
        return BuildFailed(reason, message, elsewhere=reason not in REQUEST_FAULTS)
    return TaskFailed(reason, message, power)
