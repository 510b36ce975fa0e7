"""What to do next for a Guest. Pure: the Guest and the machine in, one decision out."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from cairn_agent.drivers.api import MachineState
from cairn_crds import Guest
from cairn_crds.guest import GuestPhase
from cairn_crds.instance import DesiredPower, PowerState


class Call(enum.StrEnum):
    """A power call of the driver."""

    POWER_ON = "power_on"
    POWER_OFF = "power_off"
    PAUSE = "pause"
    SUSPEND = "suspend"


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
class Spawn:
    """Make the machine, or what is missing of it."""


@dataclass(frozen=True)
class Enforce:
    """A spec that has not been reached yet: reboot if asked, then bring the power in line."""

    reboot: bool


@dataclass(frozen=True)
class Report:
    """The spec has been reached once: from here on the hypervisor is right."""


Decision = Remove | Wait | Missing | Refuse | Spawn | Enforce | Report


def decide(guest: Guest, machine: MachineState | None, boot_id: str | None = None) -> Decision:
    """The next thing to do. `boot_id`: of the host as it runs now; None: what ran before is not started."""
    spec, status = guest.spec, guest.status
    if spec.absent:
        return Remove()
    if machine is not None and machine.fencing_epoch > spec.fencing_epoch:
        return Refuse()
    fault = status.fault
    if fault is not None and fault.permanent and fault.spec_generation == guest.metadata.generation:
        return Wait()
    made_before = spec.launched or status.spec_generation > 0 or status.phase is GuestPhase.MISSING
    if machine is None and made_before:
        return Missing()
    if machine is None or not machine.complete:
        return Spawn()
    return _decide_power(guest, machine, boot_id)


def _decide_power(guest: Guest, machine: MachineState, boot_id: str | None) -> Decision:
    spec, status = guest.spec, guest.status
    if spec.launched and status.spec_generation == 0:
        return Report()  # a Guest made again from SQL: the machine is taken as it is
    if status.phase is GuestPhase.READY and status.spec_generation >= guest.metadata.generation:
        host_went_down = boot_id is not None and status.boot_id not in (None, boot_id)
        return Enforce(reboot=False) if host_went_down and machine.power_state in _OFF else Report()
    first_boot = status.spec_generation == 0
    return Enforce(reboot=not first_boot and spec.reboot.generation > status.reboot_generation)
