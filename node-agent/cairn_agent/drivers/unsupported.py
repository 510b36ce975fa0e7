"""The refusals of a driver that has no operations (yet): each call raises Unsupported."""

from __future__ import annotations

from collections.abc import Sequence

from cairn_agent.drivers.api import StepReporter, Unsupported
from cairn_agent.drivers.api_operations import (
    DiskSource,
    LiveResult,
    MachineDisk,
    MachineImage,
    MachineOperation,
    ProgressReporter,
)
from cairn_crds.guest import GuestSpec, GuestVolume
from cairn_crds.guest_operation import LiveDestination
from cairn_crds.host_volume import HostVolumeSpec
from cairn_crds.image_source import GuestImage
from cairn_crds.volume import VolumeBackend


class NoOperations:
    """What a driver inherits that leaves the capabilities of `api_operations.py` out."""

    name: str

    def _cannot(self, what: str) -> Unsupported:
        return Unsupported(f"the {self.name} driver cannot {what}")

    async def rebuild(self, operation: MachineOperation, report: StepReporter) -> None:
        raise self._cannot("rebuild machines")

    async def rescue(self, operation: MachineOperation, image: GuestImage) -> None:
        raise self._cannot("rescue machines")

    async def unrescue(self, operation: MachineOperation) -> None:
        raise self._cannot("rescue machines")

    async def resize(self, operation: MachineOperation) -> None:
        raise self._cannot("resize machines")

    async def confirm_resize(self, operation: MachineOperation) -> None:
        raise self._cannot("resize machines")

    async def revert_resize(self, operation: MachineOperation) -> None:
        raise self._cannot("resize machines")

    async def snapshot(self, operation: MachineOperation) -> MachineImage:
        raise self._cannot("make images of machines")

    async def drop_snapshot(self, operation: MachineOperation) -> None:
        return

    async def export_disks(self, node: str, instance_id: str, operation_id: str) -> Sequence[MachineDisk]:
        raise self._cannot("hand disks over")

    async def import_disks(
        self, operation: MachineOperation, source: DiskSource, report: StepReporter
    ) -> None:
        raise self._cannot("take disks over")

    async def prepare_incoming(self, operation: MachineOperation, report: StepReporter) -> str:
        raise self._cannot("migrate running machines")

    async def live_migrate(
        self, operation: MachineOperation, destination: LiveDestination, report: ProgressReporter
    ) -> LiveResult:
        raise self._cannot("migrate running machines")

    async def abort_live_migration(self, node: str, instance_id: str) -> None:
        raise self._cannot("migrate running machines")

    async def force_live_migration(self, node: str, instance_id: str) -> None:
        raise self._cannot("migrate running machines")

    async def reconfigure(self, node: str, instance_id: str, spec: GuestSpec) -> None:
        raise self._cannot("change the devices of machines")

    async def make_volume(self, node: str, volume_id: str, spec: HostVolumeSpec) -> int:
        raise self._cannot("keep volumes")

    async def remove_volume(self, node: str, volume_id: str, backend: VolumeBackend) -> None:
        return

    async def swap_volume(self, node: str, instance_id: str, volume: GuestVolume) -> int:
        raise self._cannot("keep volumes")

    async def set_password(self, node: str, instance_id: str, user: str, password_hash: str) -> None:
        raise self._cannot("set passwords")

    async def crash_dump(self, node: str, instance_id: str) -> None:
        raise self._cannot("send NMIs")
