"""What a host has done of an instance's volumes, written into the row and told to the user."""

from __future__ import annotations

import structlog

from cairn_crds import Guest
from cairn_crds.guest import GuestSwap, SwapPhase
from cairn_database import InstanceRecord
from cairn_database.records import AttachedVolume
from cairn_database.volumes import attaching, store, swapping
from cairn_database.volumes.journal import ATTACHING, DETACHING, SWAPPING
from cairn_operator.conductor.devices import Plugging, failure, gone, is_done, is_gone
from cairn_operator.conductor.guest_spec import BEFORE_GUEST
from cairn_operator.conductor.outcome import current_fault
from cairn_operator.conductor.patience import late, seconds_left
from cairn_operator.conductor.scope import Scope

log = structlog.get_logger()
UNMADE_LOOK_AGAIN = 0.3
"""Seconds between two looks at whether a volume has been made."""
_DONE_WORDS = {ATTACHING: "attached to", DETACHING: "detached from", SWAPPING: "replaced in"}
_REASONS = {ATTACHING: "VolumeAttached", DETACHING: "VolumeDetached", SWAPPING: "VolumeSwapped"}


async def settle_volumes(scope: Scope) -> bool:
    """Write down which changes of volumes are over."""
    record = scope.record
    if record is None or scope.is_deleting or record.task_state in BEFORE_GUEST:
        return True
    changing = [one for one in record.volumes if one.change is not None]
    if not changing:
        return True
    guest = scope.guest
    done = [one for one in changing if _is_done(record, guest, one)]
    waiting = [one for one in changing if one not in done]
    failed = await _unmakable(scope, waiting) | {
        one.volume_id: why for one in waiting if (why := _failure(scope, record, guest, one)) is not None
    }
    if not done and not failed:
        return await _give_up_late(scope, record, changing)
    scope.record = await attaching.settle(
        scope.env.db, record.id, record.version, done=[one.volume_id for one in done], failed=failed
    )
    log.info("volumes.settled", instance_id=record.id, done=len(done), failed=len(failed))
    _tell(scope, changing, done, failed)
    scope.after(0)  # the Guest follows the row
    return True


async def _unmakable(scope: Scope, waiting: list[AttachedVolume]) -> dict[str, str]:
    """The volumes whose change waits for one that its host has given up making, and why it has."""
    awaited = {
        one.volume_id: one.successor.volume_id if one.successor else one.volume_id
        for one in waiting
        if one.change != DETACHING and not (one.successor.made if one.successor else one.made)
    }
    if not awaited:
        return {}
    known = await store.get_many(scope.env.db, list(awaited.values()))
    failed = {volume.id: volume.message or "" for volume in known.values() if volume.has_failed}
    return {volume_id: failed[other] for volume_id, other in awaited.items() if other in failed}


def _is_done(record: InstanceRecord, guest: Guest | None, volume: AttachedVolume) -> bool:
    if volume.successor is not None:
        swap = swap_of(guest, volume)
        return swap is not None and swap.phase is SwapPhase.DONE
    return is_done(record, guest, _plugging(guest, volume))


def swap_of(guest: Guest | None, volume: AttachedVolume) -> GuestSwap | None:
    """What the host has said of the swap."""
    if guest is None or volume.successor is None:
        return None
    swap_id = volume.successor.swap_id
    return next((swap for swap in guest.status.swaps if swap.id == swap_id), None)


def _plugging(guest: Guest | None, volume: AttachedVolume) -> Plugging:
    """An unmade one is no part of the Guest."""
    attaches = volume.change == ATTACHING
    plugged = guest is not None and volume.volume_id in {one.id for one in guest.spec.volumes}
    return Plugging(attaches, is_told=guest is not None and plugged == attaches, since=volume.since)


def _failure(scope: Scope, record: InstanceRecord, guest: Guest | None, volume: AttachedVolume) -> str | None:
    if volume.successor is not None:
        return _swap_failure(record, guest, volume)
    why = failure(scope, record, guest, _plugging(guest, volume))
    if why is None and not volume.made:
        scope.after(UNMADE_LOOK_AGAIN)
    return why


def _swap_failure(record: InstanceRecord, guest: Guest | None, volume: AttachedVolume) -> str | None:
    """What the host has said of it; of a machine that is gone it says nothing any more."""
    swap = swap_of(guest, volume)
    if swap is not None and swap.phase is SwapPhase.FAILED:
        return swap.message or "Its host could not do it."
    return gone(record) if guest is not None and is_gone(record, guest) else None


async def _give_up_late(scope: Scope, record: InstanceRecord, changing: list[AttachedVolume]) -> bool:
    """Ask the host to give up swaps that it has not begun in time; one that copies takes as long as that
    takes, while the host is heard of. Which volume is attached is for the host to say, however late."""
    for one in changing:
        if one.successor is None or one.successor.cancel:
            continue
        swap = swap_of(scope.guest, one)
        if swap is not None and not scope.env.is_silent(record.host or ""):
            continue
        left = seconds_left(scope, record, one.since)
        if left > 0:
            scope.after(left if one.successor.made else min(left, UNMADE_LOOK_AGAIN))
            continue
        message = late(record, current_fault(scope.guest) if scope.guest is not None else None)
        scope.record = await swapping.cancel(scope.env.db, record.id, record.version, one.volume_id, message)
        _tell(scope, changing, [], {one.volume_id: message})
        scope.after(0)
        return True
    return True


def _tell(
    scope: Scope, changing: list[AttachedVolume], done: list[AttachedVolume], failed: dict[str, str]
) -> None:
    if scope.instance is None:
        return
    for one in changing:
        change = one.change or ATTACHING
        word = _DONE_WORDS[change]
        if one.volume_id in failed:
            message = f"Volume {one.volume_id} was not {word} the machine: {failed[one.volume_id]}"
            scope.env.events.warning(scope.instance, "VolumeFailed", message)
        elif one in done and one.action_id is not None:
            by = f" by {one.successor.volume_id}" if one.successor is not None else ""
            message = f"Volume {one.volume_id} was {word} the machine{by}, as {one.device}."
            scope.env.events.normal(scope.instance, _REASONS[change], message)
