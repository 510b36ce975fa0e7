"""A hypervisor driver: all the protocols together, and its own life."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from cairn_agent.drivers.api import Capability, Console, Diagnostics, EventSink, Inventory, Lifecycle, Power
from cairn_agent.drivers.api_operations import (
    Devices,
    GuestAccess,
    Moving,
    Reshaping,
    Snapshots,
    Volumes,
)


class Driver(
    Lifecycle,
    Power,
    Console,
    Diagnostics,
    Reshaping,
    Snapshots,
    Moving,
    Devices,
    Volumes,
    GuestAccess,
    Protocol,
):
    """A hypervisor."""

    name: str
    """As in `--agent.driver`: `libvirt`, `fake` …"""
    capabilities: frozenset[Capability]
    """What it can do; complete once `open` has returned."""

    async def open(self, sink: EventSink) -> None:
        """Connect, and call `sink` (from the event loop's thread) for every change of a machine.

        A lost connection is made again by itself; calls in between raise DriverError, and once it is back
        `sink` is called for every machine, as changes may have been missed.
        """

    async def close(self) -> None:
        """Disconnect. Machines run on."""

    async def healthy(self) -> bool:
        """Whether the hypervisor answers now."""

    async def inventory(self, node: str) -> Inventory:
        """What the node has in all (used or not)."""

    async def sweep(self, node: str, keep: Collection[str]) -> None:
        """Remove what earlier crashes left and nothing refers to (half-made files, unused cached images).

        `keep`: the instance ids whose files are never touched. Machines are never removed.
        """
