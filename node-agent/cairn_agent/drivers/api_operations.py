"""What a driver promises beyond making, powering and removing machines: what `GuestOperation`s need.

Everything that `api.py` says of calls holds here. A call of an operation is idempotent for its id: called
again, after a crash at any point, it finishes what is missing; once it has succeeded, it does nothing. What
a driver cannot do it leaves out of its capabilities, and the call raises Unsupported (`unsupported.py`).

Mirrors the parts of Nova's `nova/virt/driver.py` that change, copy and move machines.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from cairn_agent.drivers.api import DriverError, StepReporter
from cairn_crds.guest import GuestSpec, GuestVolume
from cairn_crds.guest_operation import LiveDestination, OperationProgress
from cairn_crds.host_volume import HostVolumeSpec
from cairn_crds.image_source import GuestImage
from cairn_crds.volume import VolumeBackend


class OperationFailed(DriverError):
    """It cannot be done, and the machine is as it was; trying again would not help."""

    reason = "OperationFailed"
    permanent = True


class VolumeMissing(DriverError):
    """The file of a volume is not there."""

    reason = "VolumeMissing"


class MigrationFailed(OperationFailed):
    """The machine runs on where it was."""

    reason = "MigrationFailed"


class Aborted(OperationFailed):
    """Somebody asked to give up; the machine is as it was."""

    reason = "Aborted"


class GuestAgentMissing(OperationFailed):
    """The guest runs no agent that could do it."""

    reason = "GuestAgentMissing"


@dataclass(frozen=True)
class MachineOperation:
    """Which operation, on which machine."""

    node: str
    instance_id: str
    id: str
    """Of the operation (`GuestOperation.id`)."""
    spec: GuestSpec
    """What the machine is to be, once it is done."""


@dataclass(frozen=True)
class MachineDisk:
    """A disk as another host may fetch it."""

    name: str
    """A plain file name: `disk`, `disk.eph0` …"""
    path: Path
    size: int
    """Of the file, in bytes."""


@dataclass(frozen=True)
class MachineImage:
    """An image of a root disk, in a file that `drop_snapshot` removes."""

    path: Path
    disk_format: str
    """qcow2 or raw; refers to no other file."""


@dataclass(frozen=True)
class LiveResult:
    """How a live migration went."""

    downtime_ms: int | None
    """How long the guest stood still, as far as the hypervisor knows."""


@dataclass(frozen=True)
class DiskSource:
    """Disks that another host has."""

    names: Sequence[str]
    fetch: Callable[[str, Path], Awaitable[None]]
    """Brings the disk of that name into that path; again after a crash: goes on."""


ProgressReporter = Callable[[OperationProgress], Awaitable[None]]


class Reshaping(Protocol):
    """Changing what a machine is made of. Each raises MachineNotFound where there is no complete machine."""

    async def rebuild(self, operation: MachineOperation, report: StepReporter) -> None:
        """SHUTDOWN afterwards, with root, ephemeral and swap disks and config drive made anew from the spec.

        Stops the machine at once. Addresses, saved console log and volumes stay, but for one that it boots
        from: that has what the image has afterwards, and is as large as it was. Where it fails the old disks
        may be gone: called again it goes on.
        """

    async def rescue(self, operation: MachineOperation, image: GuestImage) -> None:
        """RUNNING afterwards, from a disk made from `image`; its own root disk is the second disk. Where it
        boots from a volume, all disks are what they were, and that one is the last.

        `operation.spec.operation.password`, where there is one, is what the rescue system is told. Stops it
        first.
        """

    async def unrescue(self, operation: MachineOperation) -> None:
        """SHUTDOWN afterwards, on its own root disk; the rescue disk is gone. Stops it at once."""

    async def resize(self, operation: MachineOperation) -> None:
        """From SHUTDOWN, else WrongPowerState: as large as the spec says; what it was is kept.

        Raises DiskTooSmall where a disk would have to shrink. Where it fails, all is as before.
        """

    async def confirm_resize(self, operation: MachineOperation) -> None:
        """What `resize` kept is dropped; the machine is not touched, running or not."""

    async def revert_resize(self, operation: MachineOperation) -> None:
        """SHUTDOWN afterwards, and as it was before `resize` (the spec says the same). Stops it at once."""


class Snapshots(Protocol):
    """Images of machines."""

    async def snapshot(self, operation: MachineOperation) -> MachineImage:
        """An image of the root disk, or of the volume that it boots from, as it is at one moment; a running
        machine runs on.

        The same file again for the same operation id. Raises NoSpace.
        """

    async def drop_snapshot(self, operation: MachineOperation) -> None:
        """Remove the file that `snapshot` made, and whatever of it is half made."""


class Moving(Protocol):
    """Taking machines to other hosts."""

    async def export_disks(self, node: str, instance_id: str, operation_id: str) -> Sequence[MachineDisk]:
        """The disks of a machine that is SHUTDOWN, else WrongPowerState. They do not change while it is."""

    async def import_disks(
        self, operation: MachineOperation, source: DiskSource, report: StepReporter
    ) -> None:
        """As `spawn`, with the disks of `source` instead of new ones; made larger where the spec says.

        Raises DiskTooSmall where one would have to shrink. On a machine that is complete it does nothing.
        """

    async def prepare_incoming(self, operation: MachineOperation, report: StepReporter) -> str:
        """Make what a machine needs to arrive here while it runs; the address for `LiveDestination.address`.

        `get` finds an incomplete machine until it has arrived as a whole; `destroy` removes all of it.
        """

    async def live_migrate(
        self, operation: MachineOperation, destination: LiveDestination, report: ProgressReporter
    ) -> LiveResult:
        """Move it to `destination`, RUNNING or PAUSED as it was. `get` finds an incomplete machine here
        afterwards, whose files `destroy` removes.

        Called again while it is under way (the agent was restarted) it waits for the same migration; called
        after it has arrived it returns. With `destination.abort` none is begun, and one that is under way
        gives up where it still can. Raises MigrationFailed or Aborted where it runs on here.
        """

    async def abort_live_migration(self, node: str, instance_id: str) -> None:
        """`live_migrate` gives up where it still can; nothing where none is under way."""

    async def force_live_migration(self, node: str, instance_id: str) -> None:
        """`live_migrate` finishes soon, by post-copy or by pausing the machine; nothing where none is under
        way."""


class Devices(Protocol):
    """Interfaces and volumes of machines that there are."""

    async def reconfigure(self, node: str, instance_id: str, spec: GuestSpec) -> None:
        """The interfaces and volumes that `spec` says, no others: plugged in and out, of a running machine at
        once. Nothing where they are so. Raises NetworkFailed, OperationFailed (a guest that does not let go).
        """


class Volumes(Protocol):
    """The files of volumes; `reconfigure` and `spawn` plug them in."""

    async def make_volume(self, node: str, volume_id: str, spec: HostVolumeSpec) -> int:
        """A volume as large as the spec says afterwards, or larger; its size in GiB.

        A new one is made from `spec.image`, or empty; one that `spec.made` says was there and is not raises
        VolumeMissing. One that a machine of this node has open grows there. Raises NoSpace, ImageUnavailable,
        ImageCorrupt, DiskTooSmall (smaller than its image), Unsupported (no shared directory).
        """

    async def remove_volume(self, node: str, volume_id: str, backend: VolumeBackend) -> None:
        """The file is gone afterwards. Does nothing where there is none."""

    async def swap_volume(self, node: str, instance_id: str, volume: GuestVolume) -> int:
        """Bring a volume that the machine has, with what is on it, to `volume.successor`, and that into its
        place; how much has been copied, in percent. To be called again until it is 100: done.

        The machine may run, start and stop meanwhile. It has one of the two at any time, and which one is
        decided at one moment. What was on the new one is lost at the first call. Raises OperationFailed or
        Aborted (`cancel`) where the machine has the old one for good; VolumeMissing, NoSpace.
        """


class GuestAccess(Protocol):
    """Reaching into a guest."""

    async def set_password(self, node: str, instance_id: str, user: str, password_hash: str) -> None:
        """From RUNNING, else WrongPowerState. Raises GuestAgentMissing."""

    async def crash_dump(self, node: str, instance_id: str) -> None:
        """Send the guest's kernel an NMI. From RUNNING or PAUSED, else WrongPowerState."""
