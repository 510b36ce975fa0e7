"""Swaps of volumes: brought on step by step beside everything else that a Guest's spec says.

A swap ends once: what the Guest's status says of it, done or failed, is not tried again.
"""

from __future__ import annotations

from collections.abc import Iterable

import structlog

from cairn_agent.drivers.api import DriverError
from cairn_agent.drivers.driver import Driver
from cairn_agent.metrics import timed
from cairn_crds import Guest
from cairn_crds.guest import GuestSpec, GuestSwap, GuestVolume, SwapPhase

log = structlog.get_logger()
SWAP_LOOK_AGAIN = 0.5
"""Seconds between two steps of a swap."""
_DONE = 100


async def advance(driver: Driver, guest: Guest, node: str) -> list[GuestSwap]:
    """The next step of each swap of the spec; how far they are. Raises DriverError where it may be tried
    again."""
    said = {swap.id: swap for swap in guest.status.swaps}
    return [await _step(driver, guest, node, volume, said) for volume in _swapping(guest.spec.volumes)]


async def _step(
    driver: Driver, guest: Guest, node: str, volume: GuestVolume, said: dict[str, GuestSwap]
) -> GuestSwap:
    assert volume.successor is not None  # noqa: S101 - _swapping() has looked
    before = said.get(volume.successor.id)
    if before is not None and before.phase is not SwapPhase.RUNNING:
        return before
    swap = GuestSwap(id=volume.successor.id, phase=SwapPhase.RUNNING)
    try:
        with timed("swap_volume"):
            percent = await driver.swap_volume(node, guest.instance_id, volume)
    except DriverError as error:
        if not error.permanent:
            raise
        log.warning("volume.not_swapped", volume=volume.id, error=str(error))
        return swap.model_copy(update={"phase": SwapPhase.FAILED, "message": str(error)[:1024]})
    if percent < _DONE:
        return swap.model_copy(update={"copied_percent": percent})
    log.info("volume.swapped", old=volume.id, new=volume.successor.volume)
    return swap.model_copy(update={"phase": SwapPhase.DONE, "copied_percent": _DONE})


def are_wanted(guest: Guest) -> bool:
    """Whether volumes are to be replaced, or have been."""
    return any(volume.successor is not None for volume in guest.spec.volumes)


def are_running(guest: Guest) -> bool:
    """Whether there is something left to do."""
    ended = {swap.id for swap in guest.status.swaps if swap.phase is not SwapPhase.RUNNING}
    return any(v.successor is not None and v.successor.id not in ended for v in guest.spec.volumes)


def as_attached(spec: GuestSpec, swaps: Iterable[GuestSwap]) -> GuestSpec:
    """The spec with the volumes that the machine has now, and no swaps."""
    done = {swap.id for swap in swaps if swap.phase is SwapPhase.DONE}
    volumes = [
        volume.succeeded
        if volume.successor is not None and volume.successor.id in done
        else volume.model_copy(update={"successor": None})
        for volume in spec.volumes
    ]
    return spec.model_copy(update={"volumes": volumes})


def _swapping(volumes: Iterable[GuestVolume]) -> list[GuestVolume]:
    return [volume for volume in volumes if volume.successor is not None]
