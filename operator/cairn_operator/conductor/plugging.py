"""Interfaces that are being attached or detached: what the host has done of it becomes what is recorded.

The Guest has an interface from the moment it is asked for until it is to go (`guest_spec`). A host that
cannot do it says so by a permanent fault of that Guest: then the row goes back, and the action says Error.
"""

from __future__ import annotations

import structlog

from cairn_crds import Guest
from cairn_crds.guest import GuestPhase
from cairn_database import InstanceRecord, InterfaceRecord
from cairn_database.networking import plugging
from cairn_operator.conductor.guest_spec import BEFORE_GUEST
from cairn_operator.conductor.outcome import current_fault
from cairn_operator.conductor.patience import late, seconds_left
from cairn_operator.conductor.scope import Scope

log = structlog.get_logger()


async def settle_interfaces(scope: Scope) -> bool:
    """Write down which changes of interfaces are over."""
    record = scope.record
    if record is None or scope.is_deleting or record.task_state in BEFORE_GUEST:
        return True
    changing = [one for one in record.interfaces if one.change is not None]
    if not changing:
        return True
    guest = scope.guest
    done = [one for one in changing if is_done(record, guest, one)]
    failed = {}
    for one in changing:
        failure = None if one in done else _failure(scope, record, guest, one)
        if failure is not None:
            failed[one.port_id] = failure
    if not done and not failed:
        return True
    scope.record = await plugging.settle(
        scope.env.db, record.id, record.version, done=[one.port_id for one in done], failed=failed
    )
    log.info("interfaces.settled", instance_id=record.id, done=len(done), failed=len(failed))
    _tell(scope, done, failed, changing)
    scope.after(0)  # the Guest, and the spec, follow the row
    return True


def is_done(record: InstanceRecord, guest: Guest | None, interface: InterfaceRecord) -> bool:
    """Whether the machine is as the interface's change wants it; one that is on no host has no machine."""
    if record.host is None:
        return True
    if guest is None or guest.status.phase is not GuestPhase.READY:
        return False
    if guest.status.spec_generation < guest.metadata.generation or current_fault(guest) is not None:
        return False
    plugged = interface.mac in {network.mac for network in guest.spec.networks}
    return plugged == (interface.change == plugging.ATTACHING)


def _failure(
    scope: Scope, record: InstanceRecord, guest: Guest | None, interface: InterfaceRecord
) -> str | None:
    fault = current_fault(guest) if guest is not None else None
    if fault is not None and fault.permanent:
        return fault.message
    left = seconds_left(scope, record, interface.since)
    if left > 0:
        scope.after(left)
        return None
    return late(record, fault)


def _tell(
    scope: Scope, done: list[InterfaceRecord], failed: dict[str | None, str], changing: list[InterfaceRecord]
) -> None:
    if scope.instance is None:
        return
    for one in changing:
        word = "attached to" if one.change == plugging.ATTACHING else "detached from"
        if one.port_id in failed:
            message = f"{one.address} on {one.network} was not {word} the machine: {failed[one.port_id]}"
            scope.env.events.warning(scope.instance, "InterfaceFailed", message)
        elif one in done and one.action_id is not None:
            reason = "InterfaceAttached" if one.change == plugging.ATTACHING else "InterfaceDetached"
            message = f"{one.address} on {one.network} was {word} the machine."
            scope.env.events.normal(scope.instance, reason, message)
