"""Interfaces that are being attached or detached: what the host has done of it becomes what is recorded.

The Guest has an interface from the moment it is asked for until it is to go (`guest_spec`). A host that
cannot do it says so by a permanent fault of that Guest: then the row goes back, and the action says Error.
"""

from __future__ import annotations

import structlog

from cairn_crds import Guest
from cairn_database import InterfaceRecord
from cairn_database.networking import plugging
from cairn_operator.conductor.devices import Plugging, failure, is_done
from cairn_operator.conductor.guest_spec import BEFORE_GUEST
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
    asked = [(one, _plugging(guest, one)) for one in changing]
    done = [one for one, device in asked if is_done(record, guest, device)]
    failed = {
        one.port_id: why
        for one, device in asked
        if one not in done and (why := failure(scope, record, guest, device)) is not None
    }
    if not done and not failed:
        return True
    scope.record = await plugging.settle(
        scope.env.db, record.id, record.version, done=[one.port_id for one in done], failed=failed
    )
    log.info("interfaces.settled", instance_id=record.id, done=len(done), failed=len(failed))
    _tell(scope, done, failed, changing)
    scope.after(0)  # the Guest, and the spec, follow the row
    return True


def _plugging(guest: Guest | None, interface: InterfaceRecord) -> Plugging:
    attaches = interface.change == plugging.ATTACHING
    plugged = guest is not None and interface.mac in {network.mac for network in guest.spec.networks}
    return Plugging(attaches, is_told=guest is not None and plugged == attaches, since=interface.since)


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
