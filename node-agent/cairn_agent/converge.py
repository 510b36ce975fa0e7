"""What to do next for a Guest. Pure: the Guest and the machine in, one decision out."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from cairn_agent import swaps
from cairn_agent.drivers.api import MachineState
from cairn_crds import Guest
from cairn_crds.guest import GuestPhase
from cairn_crds.guest_operation import OperationKind, OperationPhase
from cairn_crds.instance import DesiredPower, PowerState


class Call(enum.StrEnum):
    """A power call of the driver."""

    POWER_ON = "power_on"
    POWER_OFF = "power_off"
    PAUSE = "pause"
    SUSPEND = "suspend"


_WITHOUT_MACHINE = (
    OperationKind.FETCH_DISKS,
    OperationKind.PREPARE_INCOMING,
    OperationKind.LIVE_MIGRATE,
)
"""Operations for which there need not be a whole machine here: it is to come, or may have left already."""
_OFF = (PowerState.SHUTDOWN, PowerState.CRASHED, PowerState.NO_STATE)
_STEPS: dict[DesiredPower, dict[PowerState, tuple[Call, ...]]] = {
    DesiredPower.RUNNING: {
        PowerState.RUNNING: (),
        PowerState.PAUSED: (Call.POWER_ON,),
        PowerState.SUSPENDED: (Call.POWER_ON,),
        **dict.fromkeys(_OFF, (Call.POWER_ON,)),
    },
    DesiredPower.STOPPED: {
        PowerState.RUNNING: (Call.POWER_OFF,),
        PowerState.PAUSED: (Call.POWER_OFF,),
        PowerState.SUSPENDED: (Call.POWER_OFF,),
        **dict.fromkeys(_OFF, ()),
    },
    DesiredPower.SHELVED: {
        PowerState.RUNNING: (Call.POWER_OFF,),
        PowerState.PAUSED: (Call.POWER_OFF,),
        PowerState.SUSPENDED: (Call.POWER_OFF,),
        **dict.fromkeys(_OFF, ()),
    },
    DesiredPower.PAUSED: {
        PowerState.RUNNING: (Call.PAUSE,),
        PowerState.PAUSED: (),
        PowerState.SUSPENDED: (Call.POWER_ON, Call.PAUSE),
        **dict.fromkeys(_OFF, (Call.POWER_ON, Call.PAUSE)),
    },
    DesiredPower.SUSPENDED: {
        PowerState.RUNNING: (Call.SUSPEND,),
        PowerState.PAUSED: (Call.SUSPEND,),
        PowerState.SUSPENDED: (),
        **dict.fromkeys(_OFF, (Call.POWER_ON, Call.SUSPEND)),
    },
}


def power_calls(observed: PowerState, desired: DesiredPower) -> tuple[Call, ...]:
    """The driver calls that lead from `observed` to `desired`."""
    return _STEPS[desired][observed]


@dataclass(frozen=True)
class Remove:
    """The machine and all of it must go, then the Guest."""


@dataclass(frozen=True)
class Wait:
    """There is nothing to do until the spec changes."""


@dataclass(frozen=True)
class Missing:
    """The machine was made and is not there: say so, make no new one."""


@dataclass(frozen=True)
class Refuse:
    """The machine was made under a newer epoch than this Guest's: leave it alone."""


@dataclass(frozen=True)
class Clear:
    """An earlier claim has left a machine here, which is to be made anew, or to arrive: that goes first."""


@dataclass(frozen=True)
class Spawn:
    """Make the machine, or what is missing of it."""


@dataclass(frozen=True)
class Operate:
    """The operation of the spec has not been done yet."""


@dataclass(frozen=True)
class Enforce:
    """A spec that has not been reached yet: reboot if asked, then bring the power in line."""

    reboot: bool


@dataclass(frozen=True)
class TakeIn:
    """A Guest made again from SQL: the machine's power is right as it is, its devices become what it says."""


@dataclass(frozen=True)
class Swap:
    """The spec has been reached but for volumes that are to be replaced: the next step of that."""


@dataclass(frozen=True)
class Report:
    """The spec has been reached once: from here on the hypervisor is right."""


Decision = Remove | Wait | Missing | Refuse | Clear | Operate | Spawn | Enforce | TakeIn | Swap | Report


def decide(guest: Guest, machine: MachineState | None, boot_id: str | None = None) -> Decision:
    """The next thing to do. `boot_id`: of the host as it runs now; None: what ran before is not started."""
    spec, status = guest.spec, guest.status
    if spec.absent:
        return Remove()
    if machine is not None and machine.fencing_epoch > spec.fencing_epoch:
        return Refuse()
    if machine is not None and _is_left_over(guest, machine):
        return Clear()
    fault = status.fault
    if fault is not None and fault.permanent and fault.spec_generation == guest.metadata.generation:
        return Wait()
    operation = _decide_operation(guest, machine)
    if operation is not None:
        return operation
    made_before = spec.launched or status.spec_generation > 0 or status.phase is GuestPhase.MISSING
    if machine is None and made_before:
        return Missing()
    if machine is None or not machine.complete:
        return Spawn()
    return _decide_power(guest, machine, boot_id)


def _is_left_over(guest: Guest, machine: MachineState) -> bool:
    """Whether the machine was here before the claim that this Guest stands for, which is to bring it here.
    What that makes, or what arrives by it, has its epoch."""
    is_to_come = not guest.spec.launched and guest.status.spec_generation == 0
    return is_to_come and machine.fencing_epoch < guest.spec.fencing_epoch


def _decide_operation(guest: Guest, machine: MachineState | None) -> Decision | None:
    """What the spec's operation asks for; None where it is for the other rules to say."""
    operation, done = guest.spec.operation, guest.status.operation
    if operation is None:
        return None
    is_whole = machine is not None and machine.complete
    if done is None or done.id != operation.id or done.phase is OperationPhase.RUNNING:
        if is_whole or operation.kind in _WITHOUT_MACHINE:
            return Operate()
        return None
    released = operation.kind is OperationKind.RELEASE_DISKS and done.phase is OperationPhase.DONE
    if released and machine is not None and is_whole and machine.power_state is not PowerState.SHUTDOWN:
        return Operate()  # what another host fetches, or has, stays off here, whoever has started it
    arrives = operation.kind is OperationKind.PREPARE_INCOMING
    has_left = operation.kind is OperationKind.LIVE_MIGRATE and done.phase is OperationPhase.DONE
    return Wait() if (arrives or has_left) and not is_whole else None


def _decide_power(guest: Guest, machine: MachineState, boot_id: str | None) -> Decision:
    spec, status = guest.spec, guest.status
    if spec.launched and status.spec_generation == 0:
        return TakeIn()
    if status.phase is GuestPhase.READY and status.spec_generation >= guest.metadata.generation:
        host_went_down = boot_id is not None and status.boot_id not in (None, boot_id)
        if host_went_down and machine.power_state in _OFF:
            return Enforce(reboot=False)
        return Swap() if swaps.are_running(guest) else Report()
    first_boot = status.spec_generation == 0
    return Enforce(reboot=not first_boot and spec.reboot.generation > status.reboot_generation)
