"""Shelving: kept as an image and on no host, until it is wanted again."""

from __future__ import annotations

from dataclasses import replace

from cairn_crds.guest_operation import OperationKind
from cairn_crds.instance import DesiredPower, PowerState
from cairn_database import TaskState, VmState
from cairn_database.steps import Holding, Step
from cairn_operator.conductor.flows.endings import give_up
from cairn_operator.conductor.flows.situation import REMOVE, Next, Situation

T, K = TaskState, OperationKind


def shelve(s: Situation) -> Next:
    """It is off, and there is an image of it."""
    if s.failure is not None:
        return give_up(s, s.failure)
    if s.record.boots_from_volume:
        return _leave_volume(s)
    if not s.has_reached or s.operation is None or s.record.operation is None:
        return None
    given, result = s.record.operation.given, s.operation.result
    image = {
        "id": given["imageId"],
        "name": given["imageId"],
        "url": given["url"],
        "sha256": result.get("sha256", ""),
        "diskFormat": result.get("diskFormat", "qcow2"),
        "properties": s.record.image.get("properties", {}),
    }
    return Step(
        task_state=T.SHELVING_OFFLOADING if s.offloads_at_once else None,
        vm_state=VmState.SHELVED,
        power_state=s.power,
        details=s.detail(shelvedImage=image),
    )


def _leave_volume(s: Situation) -> Next:
    """It is off, and all that it wrote is on the volume that it boots from: its host is not needed."""
    if not s.has_reached or s.power is not PowerState.SHUTDOWN:
        return None
    return Step(task_state=T.SHELVING_OFFLOADING, vm_state=VmState.SHELVED, power_state=s.power)


def offload(s: Situation) -> Next:
    """Nothing of it stays on the host."""
    if not s.is_removed:
        return REMOVE
    return Step(
        task_state=None,
        vm_state=VmState.SHELVED_OFFLOADED,
        power_state=PowerState.NO_STATE,
        host=None,
        holding=Holding.DROP_ALL,
        details=s.detail(baseImage=s.record.details.get("shelvedImage")),
    )


def unshelve(s: Situation) -> Next:
    """It is on a host again, made from the image of itself."""
    record = s.record
    if record.awaiting_host:
        return None
    move = record.move
    if move is not None and (s.failure is not None or move.failure is not None):
        failure = move.failure or s.failure
        if move.failure is None:
            return Step(task_state=T.UNSHELVING, move=replace(move, failure=failure))
        if not s.is_removed:
            return REMOVE
        return Step(
            task_state=None,
            vm_state=VmState.SHELVED_OFFLOADED,
            power_state=PowerState.NO_STATE,
            host=None,
            move=None,
            holding=Holding.DROP_ALL,
            request=s.spec(powerState=DesiredPower.SHELVED.value),
            error=failure,
            fault=True,
        )
    if s.failure is not None:
        return replace(give_up(s, s.failure, powerState=DesiredPower.SHELVED.value), vm_state=VmState.SHELVED)
    if not s.has_reached:
        return None
    return Step(
        task_state=None,
        vm_state=s.vm_state,
        power_state=s.power,
        move=None,
        details=s.detail(shelvedImage=None),
        launched=move is not None,
    )
