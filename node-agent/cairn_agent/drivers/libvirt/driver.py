"""The libvirt driver: the protocols of `drivers/api.py`, put together from the modules beside it."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Sequence
from typing import Any, TypeVar

from cairn_agent.drivers.api import (
    Capability,
    EventSink,
    Inventory,
    MachineState,
    StepReporter,
    WrongPowerState,
)
from cairn_agent.drivers.libvirt import anti_spoof, console, domains, power
from cairn_agent.drivers.libvirt.connection import Connection
from cairn_agent.drivers.libvirt.diagnostics import read_diagnostics
from cairn_agent.drivers.libvirt.errors import Unreachable
from cairn_agent.drivers.libvirt.events import Changes
from cairn_agent.drivers.libvirt.host import Host, read_host
from cairn_agent.drivers.libvirt.inventory import Metrics, read_inventory
from cairn_agent.drivers.libvirt.network import Networks
from cairn_agent.drivers.libvirt.operations import LibvirtOperations
from cairn_agent.drivers.libvirt.records import MachineRecord, Records
from cairn_agent.drivers.libvirt.spawning import Spawn
from cairn_agent.drivers.libvirt.storage import ConfigDriveBuilder, ImageSource, MachineFiles
from cairn_agent.drivers.libvirt.threads import Workers
from cairn_agent.drivers.libvirt.volume_xml import VolumeFiles
from cairn_agent.drivers.libvirt.workshop import Machine, Workshop
from cairn_agent.drivers.settings import LibvirtSettings, VolumeSettings
from cairn_crds.guest import GuestSpec
from cairn_crds.instance import PowerState, RebootType
from cairn_runtime.diagnostics import MachineDiagnostics

T = TypeVar("T")
KIB = 1024


class LibvirtDriver(LibvirtOperations):
    """Machines on one libvirt connection; usually one node, several on `test:///`."""

    name = "libvirt"

    def __init__(
        self,
        settings: LibvirtSettings,
        images: ImageSource,
        build_config_drive: ConfigDriveBuilder,
        volumes: VolumeSettings | None = None,
    ) -> None:
        super().__init__()
        self.capabilities: frozenset[Capability] = frozenset()
        self._settings = settings
        self._images = images
        self._build_config_drive = build_config_drive
        self._volumes = VolumeFiles(volumes or VolumeSettings())
        self._workers = Workers(settings.workers)
        self._changes = Changes(self._find_node)
        changes = self._changes
        self._connection = Connection(settings, self._workers, changes.changed, changes.everything_changed)
        self._networks = Networks(self._connection)
        self._records = Records(settings.instances_directory.absolute())
        self._graceful = power.GracefulPower(self._connection, self._changes)
        self._metrics = Metrics()
        self._host: Host | None = None

    async def open(self, sink: EventSink) -> None:
        await self._connection.open()
        self._host = await self._connection.run(self._prepare_host)
        self.capabilities = self._host.capabilities
        await self._workers.run(self._make_directories)
        self._changes.open(sink)
        await self._learn_nodes()

    async def close(self) -> None:
        self._changes.close()
        await self._connection.close()
        self._workers.close()

    async def healthy(self) -> bool:
        return await self._connection.healthy()

    async def inventory(self, node: str) -> Inventory:
        host, metrics, instances = self._opened(), self._metrics, self._records.directory
        return await self._connection.run(lambda c: read_inventory(c, host, metrics, instances))

    async def sweep(self, node: str, keep: Collection[str]) -> None:
        kept = frozenset(keep)
        records = await self._workers.run(lambda: [record for _, record in self._records.all()])
        await self._workers.run(lambda: self._sweep_files(node, kept))
        await self._networks.sweep({n.network for record in records for n in record.networks})
        await self._images.prune({image for record in records for image in record.images})

    # Lifecycle

    async def spawn(self, node: str, instance_id: str, spec: GuestSpec, report: StepReporter) -> None:
        found = await self._connection.run(lambda c: domains.machine_state(c, node, instance_id))
        if found is not None and found.complete:
            return
        self._changes.know(instance_id, node)
        await Spawn(self.workshop(), node, instance_id, spec, report).run()

    async def destroy(self, node: str, instance_id: str) -> None:
        await self._connection.run(lambda c: domains.remove(c, node, instance_id))
        record = await self._record(node, instance_id)
        if record is not None:
            await self._networks.unplug(record.networks)
            await self._workers.run(lambda: self._remove_files(node, instance_id))
        self._changes.forget(instance_id)

    async def get(self, node: str, instance_id: str) -> MachineState | None:
        state = await self._connection.run(lambda c: domains.machine_state(c, node, instance_id))
        if state is not None:
            return state
        record = await self._record(node, instance_id)
        return None if record is None else _incomplete(instance_id, record)

    async def machines(self, node: str) -> Sequence[MachineState]:
        # Directories first: the other way round, a machine that is finished meanwhile would look incomplete.
        records = await self._workers.run(lambda: list(self._records.all()))
        states = await self._connection.run(lambda c: domains.machine_states(c, node))
        defined = {state.instance_id for state in states}
        return states + [
            _incomplete(instance_id, record)
            for instance_id, record in records
            if record.node == node and instance_id not in defined
        ]

    # Power

    async def power_on(self, node: str, instance_id: str) -> None:
        machine = Machine(self.workshop(), node, instance_id)
        await machine.require()
        await machine.start()

    async def power_off(self, node: str, instance_id: str, graceful_seconds: float) -> None:
        if graceful_seconds > 0:
            await self._graceful.shut_down(node, instance_id, graceful_seconds)
        await self._change(power.pull_plug, node, instance_id)

    async def pause(self, node: str, instance_id: str) -> None:
        await self._change(power.pause, node, instance_id)

    async def suspend(self, node: str, instance_id: str) -> None:
        await self._change(power.suspend, node, instance_id)

    async def reboot(self, node: str, instance_id: str, kind: RebootType) -> None:
        if kind is RebootType.SOFT:
            await self._graceful.shut_down(node, instance_id, self._settings.soft_reboot_seconds)
        await self._change(power.reset, node, instance_id)

    # Console

    async def console_log(self, node: str, instance_id: str, max_bytes: int) -> bytes:
        self.must_have(Capability.CONSOLE_LOG)
        await self._connection.run(lambda c: domains.require(c, node, instance_id))
        log = self._files(instance_id).console_log
        return await self._workers.run(lambda: console.read_tail(log, max_bytes))

    async def serial_console(self, node: str, instance_id: str) -> str:
        self.must_have(Capability.SERIAL_CONSOLE)
        state = await self._connection.run(
            lambda c: domains.power_state(domains.require(c, node, instance_id))
        )
        if state not in {PowerState.RUNNING, PowerState.PAUSED}:
            raise WrongPowerState(f"machine {instance_id} is {state}: start it first")
        return str(self._files(instance_id).serial_socket)

    # Diagnostics

    async def diagnostics(self, node: str, instance_id: str) -> MachineDiagnostics:
        virt_type = self._opened().virt_type
        return await self._connection.run(lambda c: read_diagnostics(c, node, instance_id, virt_type))

    # Shared

    def _opened(self) -> Host:
        if self._host is None:
            raise Unreachable("the libvirt driver is not open")
        return self._host

    def workshop(self) -> Workshop:
        return Workshop(
            connection=self._connection,
            workers=self._workers,
            host=self._opened(),
            networks=self._networks,
            records=self._records,
            images=self._images,
            build_config_drive=self._build_config_drive,
            settings=self._settings,
            volumes=self._volumes,
        )

    def _files(self, instance_id: str) -> MachineFiles:
        return MachineFiles(self._records.path(instance_id), self._settings.run_directory.absolute())

    async def _record(self, node: str, instance_id: str) -> MachineRecord | None:
        return await self._workers.run(lambda: self._records.read(node, instance_id))

    async def _change(self, change: Callable[[Any, str, str], None], node: str, instance_id: str) -> None:
        await self._connection.run(lambda c: change(c, node, instance_id))

    def _prepare_host(self, connection: Any) -> Host:
        return read_host(connection, self._settings.virt_type, anti_spoof=anti_spoof.install(connection))

    # Events

    async def _find_node(self, instance_id: str) -> str | None:
        """Whose machine it is, from its domain or, where that is gone, from its directory."""
        domain_owner = await self._connection.run(
            lambda c: domains.ownership(domain) if (domain := domains.find(c, instance_id)) else None
        )
        if domain_owner is not None:
            return domain_owner.node
        records = await self._workers.run(lambda: self._records.of_machine(instance_id))
        return records[0].node if records else None

    async def _learn_nodes(self) -> None:
        for instance_id, node in (await self._connection.run(domains.owners)).items():
            self._changes.know(instance_id, node)

    # Files, in a worker thread

    def _make_directories(self) -> None:
        self._records.directory.mkdir(mode=0o711, parents=True, exist_ok=True)
        self._records.adopt()
        run_directory = self._settings.run_directory
        run_directory.mkdir(mode=0o770, parents=True, exist_ok=True)
        owner = self._opened().hypervisor_owner
        if owner is not None and os.geteuid() == 0:
            os.chown(run_directory, 0, owner[1])  # guests' processes make their sockets there
            run_directory.chmod(0o770)

    def _remove_files(self, node: str, instance_id: str) -> None:
        files = self._files(instance_id)
        files.serial_socket.unlink(missing_ok=True)
        files.vnc_socket.unlink(missing_ok=True)
        self._records.remove(node, instance_id)

    def _sweep_files(self, node: str, keep: frozenset[str]) -> None:
        self._records.sweep(node, keep)
        known = keep | set(self._records.instance_ids())
        for socket in self._settings.run_directory.iterdir():
            if socket.suffix in {".serial", ".vnc"} and socket.stem not in known:
                socket.unlink(missing_ok=True)
        for instance_id in known:
            console.trim(self._files(instance_id).console_log, self._settings.console_log_max_kib * KIB)


def _incomplete(instance_id: str, record: MachineRecord) -> MachineState:
    return MachineState(instance_id, PowerState.NO_STATE, record.fencing_epoch, complete=False)
