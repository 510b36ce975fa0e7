"""Whether a host has plugged a device in or out, and why not: the same for interfaces and for volumes.

Nova API: a device that cannot be attached is not attached, one that cannot be detached stays; what was in a
machine that is gone is detached.
"""

from __future__ import annotations

from dataclasses import dataclass

from cairn_crds import Guest
from cairn_crds.guest import GuestPhase
from cairn_database import InstanceRecord
from cairn_operator.conductor.flows import FLOWS
from cairn_operator.conductor.outcome import current_fault
from cairn_operator.conductor.patience import late, seconds_left
from cairn_operator.conductor.scope import Scope


@dataclass(frozen=True)
class Plugging:
    """A device that is being attached to the machine, or detached from it."""

    attaches: bool
    is_told: bool
    """Whether the Guest says it: has the device that is to be attached, has not the one that is to go."""
    since: str | None
    """When it was asked for (ISO 8601)."""


def is_done(record: InstanceRecord, guest: Guest | None, device: Plugging) -> bool:
    """Whether the machine is as it should be; one that is on no host, or gone from it, has nothing."""
    if record.host is None:
        return True
    if guest is None:
        return False
    if is_gone(record, guest):
        return not device.attaches
    if guest.status.phase is not GuestPhase.READY:
        return False
    if guest.status.spec_generation < guest.metadata.generation or current_fault(guest) is not None:
        return False
    return device.is_told


def failure(scope: Scope, record: InstanceRecord, guest: Guest | None, device: Plugging) -> str | None:
    """Why it will not be done; None: it may be still, and the scope looks again when its time is up."""
    if guest is not None and is_gone(record, guest):
        return gone(record)
    fault = current_fault(guest) if guest is not None else None
    if fault is not None and fault.permanent and device.is_told:
        return fault.message
    left = seconds_left(scope, record, device.since)
    if left > 0:
        scope.after(left)
        return None
    return late(record, fault)


def is_gone(record: InstanceRecord, guest: Guest) -> bool:
    """Whether the machine has vanished from its host, where no flow is to bring it there."""
    return guest.status.phase is GuestPhase.MISSING and record.task_state not in FLOWS


def gone(record: InstanceRecord) -> str:
    """What is said then."""
    return f"The machine is gone from host {record.host}."
