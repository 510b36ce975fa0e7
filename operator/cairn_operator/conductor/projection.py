"""What the user is shown: Instance.status, a pure function of the row, the verdict on the spec, and the
host's last word."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from cairn_crds import Condition, ConditionStatus, Guest, Instance, InstanceStatus
from cairn_crds.conditions import merge_conditions
from cairn_crds.instance import Fault, InstanceAddress, InstancePhase
from cairn_database import InstanceRecord, TaskState, VmState
from cairn_database.admission import Refusal
from cairn_operator.conductor.outcome import current_fault

PHASES: dict[VmState, InstancePhase] = {
    VmState.BUILDING: InstancePhase.BUILDING,
    VmState.ACTIVE: InstancePhase.ACTIVE,
    VmState.STOPPED: InstancePhase.STOPPED,
    VmState.PAUSED: InstancePhase.PAUSED,
    VmState.SUSPENDED: InstancePhase.SUSPENDED,
    VmState.RESCUED: InstancePhase.RESCUED,
    VmState.RESIZED: InstancePhase.RESIZED,
    VmState.SHELVED: InstancePhase.SHELVED,
    VmState.SHELVED_OFFLOADED: InstancePhase.SHELVED,
    VmState.SOFT_DELETED: InstancePhase.SOFT_DELETED,
    VmState.ERROR: InstancePhase.ERROR,
}
LONGEST_MESSAGE = 4096
"""What a condition and a fault hold."""
T, F, U = ConditionStatus.TRUE, ConditionStatus.FALSE, ConditionStatus.UNKNOWN


@dataclass(frozen=True)
class View:
    """All that the status is made from."""

    instance: Instance
    record: InstanceRecord | None
    guest: Guest | None
    refusal: Refusal | None
    """Why the spec cannot be built, or cannot be followed."""


def project(view: View, now: datetime) -> InstanceStatus:
    """The status that `view` should show."""
    generation = view.instance.metadata.generation
    conditions = [
        condition.model_copy(update={"observed_generation": None}) for condition in _conditions(view)
    ]
    conditions = merge_conditions(view.instance.status.conditions, conditions, now)
    record = view.record
    if record is None:
        phase = InstancePhase.DELETING if view.instance.metadata.deletion_timestamp else InstancePhase.PENDING
        return InstanceStatus(phase=phase, observed_generation=generation, conditions=conditions)
    addresses = [
        InstanceAddress(network=interface.network, address=interface.address, mac=interface.mac)
        for interface in record.interfaces
    ]
    return InstanceStatus(
        phase=_phase(record),
        instance_id=record.id,
        vm_state=record.vm_state,
        task_state=record.task_state,
        power_state=record.power_state,
        host=record.host,
        addresses=addresses,
        address_list=",".join(address.address for address in addresses) or None,
        reboot_generation=record.reboot_generation,
        launched_at=record.launched_at,
        fault=_fault(record),
        observed_generation=generation,
        conditions=conditions,
    )


def is_passing(record: InstanceRecord) -> bool:
    """Whether the state is on its way to another one, and may be over before anybody looks."""
    return record.task_state is not None


def _phase(record: InstanceRecord) -> InstancePhase:
    if record.task_state is TaskState.DELETING:
        return InstancePhase.DELETING
    if record.vm_state is VmState.BUILDING and record.host is None:
        return InstancePhase.PENDING
    return PHASES.get(record.vm_state, InstancePhase.ERROR)


def _fault(record: InstanceRecord) -> Fault | None:
    if record.vm_state is not VmState.ERROR or record.fault_message is None:
        return None
    message = record.fault_message[:LONGEST_MESSAGE]
    return Fault(code=record.fault_code or 500, message=message, created=record.fault_at)


def _conditions(view: View) -> list[Condition]:
    record, refusal = view.record, view.refusal
    if record is None:
        if refusal is None:
            return []
        return [
            Condition(
                type="Accepted", status=F, reason=refusal.reason, message=refusal.message[:LONGEST_MESSAGE]
            ),
            Condition(type="Ready", status=F, reason="NotAccepted", message="See condition Accepted."),
        ]
    conditions = [
        Condition(type="Accepted", status=T, reason="Registered", message=f"Recorded as {record.id}."),
        _scheduled(record),
        _ready(record, view.guest),
    ]
    if refusal is not None:
        conditions.append(
            Condition(
                type="SpecApplied", status=F, reason=refusal.reason, message=refusal.message[:LONGEST_MESSAGE]
            )
        )
    return conditions


def _scheduled(record: InstanceRecord) -> Condition:
    if record.host is not None:
        return Condition(type="Scheduled", status=T, reason="Placed", message=f"On host {record.host}.")
    if record.placement_message:
        return Condition(
            type="Scheduled",
            status=F,
            reason="NoValidHost",
            message=record.placement_message[:LONGEST_MESSAGE],
        )
    return Condition(type="Scheduled", status=U, reason="Waiting", message="Waiting for the scheduler.")


def _ready(record: InstanceRecord, guest: Guest | None) -> Condition:
    fault = current_fault(guest) if guest is not None else None
    if record.vm_state is VmState.ERROR:
        reason, message = "Error", record.fault_message or "The instance is in error."
    elif record.task_state is not None:
        reason = "".join(part.capitalize() for part in record.task_state.replace("-", "_").split("_"))
        message = _doing(record, guest)
        if fault is not None:
            reason, message = fault.reason, f"{fault.message} (trying again)"
    elif record.vm_state is VmState.ACTIVE:
        where = f" at {', '.join(i.address for i in record.interfaces)}" if record.interfaces else ""
        return Condition(
            type="Ready", status=T, reason="Running", message=f"Running on host {record.host}{where}."
        )
    else:
        reason, message = record.vm_state.capitalize(), f"The instance is {record.vm_state}."
    return Condition(type="Ready", status=F, reason=reason[:128], message=message[:LONGEST_MESSAGE])


def _doing(record: InstanceRecord, guest: Guest | None) -> str:
    step = f" (step: {guest.status.step})" if guest is not None and guest.status.step else ""
    where = f" on host {record.host}" if record.host else ""
    return f"Task '{record.task_state}' is under way{where}{step}."
