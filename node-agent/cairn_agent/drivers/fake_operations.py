"""What the fake driver does to machines that there are: `api_operations.py`, in memory."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from cairn_agent.drivers.api import DiskTooSmall, Step, StepReporter, WrongPowerState
from cairn_agent.drivers.api_operations import (
    Aborted,
    DiskSource,
    GuestAgentMissing,
    LiveResult,
    MachineDisk,
    MachineImage,
    MachineOperation,
    MigrationFailed,
    ProgressReporter,
)
from cairn_agent.drivers.fake_machine import FakeMachine
from cairn_agent.drivers.fake_store import StoredMachine
from cairn_agent.drivers.fake_volumes import FakeVolumes
from cairn_agent.drivers.fake_wire import Wire, WireBroken
from cairn_agent.drivers.faults import Faults
from cairn_crds.guest import GuestSpec, GuestVolume
from cairn_crds.guest_operation import LiveDestination, OperationProgress
from cairn_crds.host_volume import HostVolumeSpec
from cairn_crds.image_source import GuestImage
from cairn_crds.instance import PowerState
from cairn_crds.volume import VolumeBackend

DISK = "disk"
LIVE = (PowerState.RUNNING, PowerState.PAUSED)


class _Hypervisor(Protocol):
    """What the other half of the driver provides."""

    faults: Faults
    wire: Wire
    volumes: FakeVolumes
    _nodes: dict[str, dict[str, FakeMachine]]

    @property
    def scratch(self) -> Path: ...

    async def _call(self, call: str, node: str, instance_id: str) -> FakeMachine: ...

    def _changed(self, machine: FakeMachine, *, quietly: bool = False) -> None: ...


def steps_of(spec: GuestSpec) -> Iterator[Step]:
    """What has to be made for a machine, in order."""
    yield Step.IMAGE
    if any(network.bridge is None for network in spec.networks):
        yield Step.NETWORK
    if spec.config.config_drive:
        yield Step.CONFIG_DRIVE
    yield Step.DISK
    yield Step.DEFINE


class FakeOperations:
    """Half of FakeDriver."""

    # Reshaping

    async def rebuild(self: _Hypervisor, operation: MachineOperation, report: StepReporter) -> None:
        machine = await self._call("rebuild", operation.node, operation.instance_id)
        if operation.id in machine.done:
            return
        machine.power_state = PowerState.SHUTDOWN
        for step in (Step.IMAGE, Step.DISK):
            await report(step)
            await self.faults.meet(f"rebuild.{step}")
        root = operation.spec.root_volume
        if root is None:
            machine.disk = operation.spec.image.name
        else:
            self.volumes.fill(operation.node, root, operation.spec.image.name)
        machine.take_shape(operation.spec, self.volumes.plugged(operation.node, operation.spec))
        machine.finish(operation.id)
        self._changed(machine)

    async def rescue(self: _Hypervisor, operation: MachineOperation, image: GuestImage) -> None:
        machine = await self._call("rescue", operation.node, operation.instance_id)
        if operation.id in machine.done:
            return
        machine.rescue_disk = image.name
        machine.boot()
        machine.finish(operation.id)
        self._changed(machine)

    async def unrescue(self: _Hypervisor, operation: MachineOperation) -> None:
        machine = await self._call("unrescue", operation.node, operation.instance_id)
        if operation.id in machine.done:
            return
        machine.rescue_disk = None
        machine.power_state = PowerState.SHUTDOWN
        machine.finish(operation.id)
        self._changed(machine)

    async def resize(self: _Hypervisor, operation: MachineOperation) -> None:
        machine = await self._call("resize", operation.node, operation.instance_id)
        if operation.id in machine.done:
            return
        if machine.power_state is not PowerState.SHUTDOWN:
            raise WrongPowerState(
                f"machine {operation.instance_id} is {machine.power_state}: shut it down first"
            )
        check_disk(machine.shape.get("root_disk_gib", 0), operation.spec)
        machine.kept = {"disk": machine.disk, "shape": machine.shape}
        machine.take_shape(operation.spec, self.volumes.plugged(operation.node, operation.spec))
        machine.finish(operation.id)
        self._changed(machine)

    async def confirm_resize(self: _Hypervisor, operation: MachineOperation) -> None:
        machine = await self._call("confirm_resize", operation.node, operation.instance_id)
        machine.kept = None
        self._changed(machine, quietly=True)

    async def revert_resize(self: _Hypervisor, operation: MachineOperation) -> None:
        machine = await self._call("revert_resize", operation.node, operation.instance_id)
        if machine.kept is None:
            return
        machine.disk, machine.shape = machine.kept["disk"], machine.kept["shape"]
        machine.kept = None
        machine.power_state = PowerState.SHUTDOWN
        self._changed(machine)

    # Snapshots

    async def snapshot(self: _Hypervisor, operation: MachineOperation) -> MachineImage:
        machine = await self._call("snapshot", operation.node, operation.instance_id)
        path = self.scratch / f"{operation.instance_id}.{operation.id}.image"
        if not path.exists():
            root = operation.spec.root_volume
            text = machine.disk if root is None else self.volumes.content(operation.node, root)
            path.write_bytes(text.encode().ljust(512, b"\0"))
        return MachineImage(path, "raw")

    async def drop_snapshot(self: _Hypervisor, operation: MachineOperation) -> None:
        await self.faults.meet("drop_snapshot")
        (self.scratch / f"{operation.instance_id}.{operation.id}.image").unlink(missing_ok=True)

    # Moving

    async def export_disks(
        self: _Hypervisor, node: str, instance_id: str, operation_id: str
    ) -> Sequence[MachineDisk]:
        machine = await self._call("export_disks", node, instance_id)
        if machine.power_state is not PowerState.SHUTDOWN:
            raise WrongPowerState(f"machine {instance_id} is {machine.power_state}: shut it down first")
        path = self.scratch / f"{instance_id}.disk"
        path.write_text(json.dumps({"disk": machine.disk, "root_disk_gib": machine.shape["root_disk_gib"]}))
        return [MachineDisk(DISK, path, path.stat().st_size)]

    async def import_disks(
        self: _Hypervisor, operation: MachineOperation, source: DiskSource, report: StepReporter
    ) -> None:
        await self.faults.meet("import_disks")
        machine = self._nodes.get(operation.node, {}).get(operation.instance_id)
        if machine is not None and machine.complete:
            return
        path = self.scratch / f"{operation.instance_id}.disk"
        for step in steps_of(operation.spec):
            await report(step)
            await self.faults.meet(f"import_disks.{step}")
            machine = self._nodes.get(operation.node, {}).get(operation.instance_id)
            if machine is None:
                machine = FakeMachine(operation.node, operation.instance_id, operation.spec.fencing_epoch)
                self._nodes.setdefault(operation.node, {})[operation.instance_id] = machine
            machine.fencing_epoch = operation.spec.fencing_epoch
            if step is Step.DISK:
                await source.fetch(DISK, path)
                content = json.loads(path.read_text())
                check_disk(content["root_disk_gib"], operation.spec)
                machine.disk = content["disk"]
            machine.steps.add(step)
            if machine.complete:
                machine.take_shape(operation.spec, self.volumes.plugged(operation.node, operation.spec))
                machine.power_state = PowerState.SHUTDOWN
            self._changed(machine, quietly=not machine.complete)

    async def prepare_incoming(self: _Hypervisor, operation: MachineOperation, report: StepReporter) -> str:
        await self.faults.meet("prepare_incoming")
        machine = self._nodes.get(operation.node, {}).get(operation.instance_id)
        if machine is None:
            await report(Step.DISK)
            machine = FakeMachine(
                operation.node, operation.instance_id, operation.spec.fencing_epoch, {Step.DISK}
            )
            self._nodes.setdefault(operation.node, {})[operation.instance_id] = machine
            self._changed(machine, quietly=True)

        def arrive(stored: StoredMachine) -> None:
            here = self._nodes.get(operation.node, {}).get(operation.instance_id)
            if here is None or here.complete:
                raise WireBroken("nothing is prepared here for it")
            arrived = FakeMachine.of(stored)
            arrived.node = operation.node
            arrived.fencing_epoch = operation.spec.fencing_epoch
            self._nodes[operation.node][operation.instance_id] = arrived
            self._changed(arrived)

        return await self.wire.listen(operation.node, operation.instance_id, arrive)

    async def live_migrate(
        self: _Hypervisor, operation: MachineOperation, destination: LiveDestination, report: ProgressReporter
    ) -> LiveResult:
        await self.faults.meet("live_migrate")
        machine = self._nodes.get(operation.node, {}).get(operation.instance_id)
        if machine is not None and operation.id in machine.done and not machine.complete:
            return LiveResult(downtime_ms=0)
        machine = await self._call("live_migrate.start", operation.node, operation.instance_id)
        if machine.power_state not in LIVE:
            raise WrongPowerState(
                f"machine {operation.instance_id} is {machine.power_state}: only a running one moves"
            )
        if destination.abort:
            raise Aborted(f"the migration of machine {operation.instance_id} was aborted; it runs on here")
        memory = int(machine.shape.get("memory_mib", 0)) * 1024**2
        await report(
            OperationProgress(
                memory_total_bytes=memory,
                memory_processed_bytes=memory // 2,
                memory_remaining_bytes=memory // 2,
            )
        )
        await self.wire.copying(operation.instance_id)
        await self.faults.meet("live_migrate.switchover")
        try:
            await self.wire.send(destination.address, machine.stored())
        except WireBroken as error:
            raise MigrationFailed(f"machine {operation.instance_id} runs on here: {error}") from error
        machine.steps = {Step.DISK}
        machine.power_state = PowerState.NO_STATE
        machine.finish(operation.id)
        self._changed(machine)
        return LiveResult(downtime_ms=0)

    async def abort_live_migration(self: _Hypervisor, node: str, instance_id: str) -> None:
        await self.faults.meet("abort_live_migration")
        self.wire.abort(instance_id)

    async def force_live_migration(self: _Hypervisor, node: str, instance_id: str) -> None:
        await self.faults.meet("force_live_migration")
        self.wire.force(instance_id)

    # Devices and guest access

    async def reconfigure(self: _Hypervisor, node: str, instance_id: str, spec: GuestSpec) -> None:
        machine = await self._call("reconfigure", node, instance_id)
        devices = {
            "macs": [network.mac for network in spec.networks],
            "volumes": self.volumes.plugged(node, spec),
        }
        if {**machine.shape, **devices} != machine.shape:
            machine.shape = {**machine.shape, **devices}
            self._changed(machine, quietly=True)

    async def make_volume(self: _Hypervisor, node: str, volume_id: str, spec: HostVolumeSpec) -> int:
        await self.faults.meet("make_volume")
        return self.volumes.make(node, volume_id, spec)

    async def remove_volume(self: _Hypervisor, node: str, volume_id: str, backend: VolumeBackend) -> None:
        await self.faults.meet("remove_volume")
        self.volumes.remove(node, volume_id, backend)

    async def swap_volume(self: _Hypervisor, node: str, instance_id: str, volume: GuestVolume) -> int:
        machine = await self._call("swap_volume", node, instance_id)
        successor = volume.successor
        assert successor is not None  # noqa: S101 - the caller looked
        attached = machine.shape["volumes"]
        if any(one["id"] == successor.volume for one in attached):
            return 100
        if successor.cancel:
            machine.copying = None
            raise Aborted(f"volume {successor.volume} has not taken the place of {volume.id} in time")
        after = volume.succeeded
        if machine.copying != successor.id:
            await self.faults.meet("swap_volume.copy")
            self.volumes.copy(node, volume, after)
            machine.copying = successor.id
            self._changed(machine, quietly=True)
            return 50
        await self.faults.meet("swap_volume.pivot")
        self.volumes.copy(node, volume, after)
        swapped = [{**one, **self.volumes.shape(node, after)} if one["id"] == volume.id else one
                   for one in attached]  # fmt: skip
        machine.shape = {**machine.shape, "volumes": swapped}
        machine.copying = None
        self._changed(machine, quietly=True)
        return 100

    async def set_password(
        self: _Hypervisor, node: str, instance_id: str, user: str, password_hash: str
    ) -> None:
        machine = await self._call("set_password", node, instance_id)
        if machine.power_state is not PowerState.RUNNING:
            raise WrongPowerState(f"machine {instance_id} is {machine.power_state}: start it first")
        if machine.deaf:
            raise GuestAgentMissing(f"the guest agent of machine {instance_id} does not answer")
        machine.password_hash = password_hash
        self._changed(machine, quietly=True)

    async def crash_dump(self: _Hypervisor, node: str, instance_id: str) -> None:
        machine = await self._call("crash_dump", node, instance_id)
        if machine.power_state not in LIVE:
            raise WrongPowerState(f"machine {instance_id} is {machine.power_state}: start it first")
        machine.crash_dumps += 1
        machine.write("NMI received")
        self._changed(machine, quietly=True)

    def _drop_files(self: _Hypervisor, instance_id: str) -> None:
        for path in self.scratch.glob(f"{instance_id}.*"):
            path.unlink(missing_ok=True)


def check_disk(gib: int, spec: GuestSpec) -> None:
    """Raise DiskTooSmall where a root disk of `gib` would have to shrink."""
    if spec.root_disk_gib and spec.root_disk_gib < gib:
        raise DiskTooSmall(
            f"the root disk has {gib} GiB, and the flavor {spec.root_disk_gib} GiB; disks do not shrink"
        )
