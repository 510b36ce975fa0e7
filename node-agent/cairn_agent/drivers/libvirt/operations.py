"""Half of the libvirt driver: the protocols of `drivers/api_operations.py`, each call in its own module."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from cairn_agent.drivers.api import Capability, StepReporter, Unsupported
from cairn_agent.drivers.api_operations import (
    DiskSource,
    LiveResult,
    MachineDisk,
    MachineImage,
    MachineOperation,
    ProgressReporter,
)
from cairn_agent.drivers.libvirt import (
    guest_access,
    incoming,
    live,
    moving,
    rebuilding,
    rescuing,
    resizing,
    snapshots,
    swapping,
    volume_files,
)
from cairn_agent.drivers.libvirt.departures import Departures
from cairn_agent.drivers.libvirt.plugging import reconfigure
from cairn_agent.drivers.libvirt.workshop import Machine, Workshop
from cairn_crds.guest import GuestSpec, GuestVolume
from cairn_crds.guest_operation import LiveDestination
from cairn_crds.host_volume import HostVolumeSpec
from cairn_crds.image_source import GuestImage
from cairn_crds.volume import VolumeBackend


class LibvirtOperations(ABC):
    """What is done to machines that there are."""

    capabilities: frozenset[Capability]

    def __init__(self) -> None:
        self._departures = Departures()

    @abstractmethod
    def workshop(self) -> Workshop:
        """What machines are changed with. Raises Unreachable before the driver is open."""

    def must_have(self, capability: Capability) -> None:
        """Raise Unsupported where this connection lacks it."""
        if capability not in self.capabilities:
            raise Unsupported(f"this libvirt connection has no {capability}")

    async def rebuild(self, operation: MachineOperation, report: StepReporter) -> None:
        await rebuilding.rebuild(self.workshop(), operation, report)

    async def rescue(self, operation: MachineOperation, image: GuestImage) -> None:
        await rescuing.rescue(self.workshop(), operation, image)

    async def unrescue(self, operation: MachineOperation) -> None:
        await rescuing.unrescue(self.workshop(), operation)

    async def resize(self, operation: MachineOperation) -> None:
        await resizing.resize(self.workshop(), operation)

    async def confirm_resize(self, operation: MachineOperation) -> None:
        await resizing.confirm_resize(self.workshop(), operation)

    async def revert_resize(self, operation: MachineOperation) -> None:
        await resizing.revert_resize(self.workshop(), operation)

    async def snapshot(self, operation: MachineOperation) -> MachineImage:
        self.must_have(Capability.SNAPSHOT)
        return await snapshots.snapshot(self.workshop(), operation)

    async def drop_snapshot(self, operation: MachineOperation) -> None:
        await snapshots.drop_snapshot(self.workshop(), operation)

    async def export_disks(self, node: str, instance_id: str, operation_id: str) -> Sequence[MachineDisk]:
        return await moving.export_disks(self.workshop(), node, instance_id)

    async def import_disks(
        self, operation: MachineOperation, source: DiskSource, report: StepReporter
    ) -> None:
        await moving.import_disks(self.workshop(), operation, source, report)

    async def prepare_incoming(self, operation: MachineOperation, report: StepReporter) -> str:
        self.must_have(Capability.LIVE_MIGRATION)
        return await incoming.prepare_incoming(self.workshop(), operation, report)

    async def live_migrate(
        self, operation: MachineOperation, destination: LiveDestination, report: ProgressReporter
    ) -> LiveResult:
        self.must_have(Capability.LIVE_MIGRATION)
        departures = self._departures
        return await live.LiveMigration(self.workshop(), departures, operation, destination, report).run()

    async def abort_live_migration(self, node: str, instance_id: str) -> None:
        if (departure := self._departures.get(instance_id)) is not None:
            departure.abort = True
        elif Capability.LIVE_MIGRATION in self.capabilities:
            await live.abort(self.workshop(), node, instance_id)

    async def force_live_migration(self, node: str, instance_id: str) -> None:
        if (departure := self._departures.get(instance_id)) is not None:
            departure.force = True
        elif Capability.LIVE_MIGRATION in self.capabilities:
            await live.force(self.workshop(), node, instance_id)

    async def reconfigure(self, node: str, instance_id: str, spec: GuestSpec) -> None:
        await reconfigure(Machine(self.workshop(), node, instance_id), spec)

    async def make_volume(self, node: str, volume_id: str, spec: HostVolumeSpec) -> int:
        self.must_have(Capability.ATTACH_VOLUME)
        shop = self.workshop()
        return await volume_files.make(shop.volumes, shop.images, shop.workers, volume_id, spec)

    async def remove_volume(self, node: str, volume_id: str, backend: VolumeBackend) -> None:
        shop = self.workshop()
        await volume_files.remove(shop.volumes, shop.workers, volume_id, backend)

    async def swap_volume(self, node: str, instance_id: str, volume: GuestVolume) -> int:
        self.must_have(Capability.ATTACH_VOLUME)
        return await swapping.swap_volume(self.workshop(), node, instance_id, volume)

    async def set_password(self, node: str, instance_id: str, user: str, password_hash: str) -> None:
        self.must_have(Capability.SET_PASSWORD)
        await guest_access.set_password(Machine(self.workshop(), node, instance_id), user, password_hash)

    async def crash_dump(self, node: str, instance_id: str) -> None:
        self.must_have(Capability.CRASH_DUMP)
        await guest_access.crash_dump(Machine(self.workshop(), node, instance_id))
