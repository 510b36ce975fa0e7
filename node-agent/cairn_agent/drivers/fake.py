"""The fake driver: the written-down meaning of `drivers/api.py`, in memory.

It serves any number of nodes, costs next to nothing, and does what tests need besides: failures and delays
to order (`faults`), and things that happen behind Cairn's back (`crash`, `undefine`). With a directory it
keeps one small file per machine, so that the next process finds the machines as if they had run on.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import Collection, Sequence
from pathlib import Path

from cairn_agent.drivers import this_host
from cairn_agent.drivers.api import (
    Capability,
    EventSink,
    Inventory,
    MachineEvent,
    MachineNotFound,
    MachineState,
    Step,
    StepReporter,
    WrongPowerState,
)
from cairn_agent.drivers.fake_machine import LOG_MAX_BYTES, FakeMachine
from cairn_agent.drivers.fake_operations import FakeOperations, steps_of
from cairn_agent.drivers.fake_store import FakeStore
from cairn_agent.drivers.fake_volumes import FakeVolumes
from cairn_agent.drivers.fake_wire import SocketWire, Wire
from cairn_agent.drivers.faults import Faults
from cairn_agent.drivers.settings import FakeSettings, VolumeSettings
from cairn_crds.guest import GuestSpec
from cairn_crds.instance import PowerState, RebootType
from cairn_runtime.diagnostics import MachineDiagnostics

TRAITS = frozenset(capability.value for capability in Capability) | {"HW_CPU_X86_SSE42", "HW_CPU_X86_AVX2"}


class FakeDriver(FakeOperations):
    """A hypervisor that is a dictionary."""

    name = "fake"
    capabilities = frozenset(Capability)

    def __init__(
        self,
        settings: FakeSettings | None = None,
        wire: Wire | None = None,
        volumes: VolumeSettings | None = None,
    ) -> None:
        """`wire`: how machines get from one fake hypervisor to another while they run."""
        self.settings = settings or FakeSettings()
        self.volumes = FakeVolumes(self.settings.directory, volumes or VolumeSettings())
        self.wire: Wire = wire or SocketWire()
        self.faults = Faults(self.settings.latency_seconds)
        self._nodes: dict[str, dict[str, FakeMachine]] = {}
        self._store = FakeStore(self.settings.directory) if self.settings.directory else None
        self._sink: EventSink | None = None
        self._consoles: dict[str, asyncio.Server] = {}
        self._sockets: Path | None = None

    async def open(self, sink: EventSink) -> None:
        await self.faults.meet("open")
        self._sink = sink
        for stored in self._store.load() if self._store else ():
            machine = FakeMachine.of(stored)
            self._nodes.setdefault(machine.node, {})[machine.instance_id] = machine

    async def close(self) -> None:
        self._sink = None
        await self.wire.close_all()
        for instance_id in list(self._consoles):
            self._hang_up(instance_id)
        if self._sockets is not None:
            shutil.rmtree(self._sockets, ignore_errors=True)
            self._sockets = None

    async def healthy(self) -> bool:
        try:
            await self.faults.meet("healthy")
        except Exception:  # noqa: BLE001 - any ordered failure means "does not answer"
            return False
        return True

    async def inventory(self, node: str) -> Inventory:
        await self.faults.meet("inventory")
        capacity = self.settings.node_capacity.get(node, self.settings.capacity)
        running = sum(m.power_state is PowerState.RUNNING for m in self._nodes.get(node, {}).values())
        return Inventory(
            hypervisor_type="fake",
            hypervisor_version="1.0",
            hostname=node,
            architecture="x86_64",
            vcpus=capacity.vcpus,
            memory_mib=capacity.memory_mib,
            disk_gib=capacity.disk_gib,
            cpu_model="fake",
            traits=TRAITS,
            capabilities={"cpu_info:model": "fake", "cpu_info:vendor": "Cairn"},
            metrics={"cpu.percent": min(1.0, running / capacity.vcpus)},
            address=this_host.address(),
            boot_time=this_host.boot_time(),
        )

    async def sweep(self, node: str, keep: Collection[str]) -> None:
        await self.faults.meet("sweep")
        if self._store:
            self._store.sweep()

    # Lifecycle

    async def spawn(self, node: str, instance_id: str, spec: GuestSpec, report: StepReporter) -> None:
        await self.faults.meet("spawn")
        machine = self._nodes.get(node, {}).get(instance_id)
        if machine is not None and machine.complete:
            return
        for step in steps_of(spec):
            if machine is not None and step in machine.steps:
                continue
            await report(step)
            await self.faults.meet(f"spawn.{step}")
            machine = self._nodes.get(node, {}).get(instance_id)
            if machine is None:
                machine = FakeMachine(node, instance_id, spec.fencing_epoch)
                self._nodes.setdefault(node, {})[instance_id] = machine
            machine.fencing_epoch = spec.fencing_epoch
            machine.steps.add(step)
            if step is Step.DISK and not machine.disk:
                machine.disk = spec.image.name
            if machine.complete:
                machine.take_shape(spec, self.volumes.plugged(node, spec))
                machine.power_state = PowerState.SHUTDOWN
            self._changed(machine, quietly=not machine.complete)

    async def destroy(self, node: str, instance_id: str) -> None:
        await self.faults.meet("destroy")
        await self.wire.close(node, instance_id)
        machine = self._nodes.get(node, {}).pop(instance_id, None)
        self._drop_files(instance_id)
        if machine is None:
            return
        self._hang_up(instance_id)
        if self._store:
            self._store.remove(instance_id)
        self._tell(machine)

    async def get(self, node: str, instance_id: str) -> MachineState | None:
        await self.faults.meet("get")
        machine = self._nodes.get(node, {}).get(instance_id)
        return None if machine is None else machine.state()

    async def machines(self, node: str) -> Sequence[MachineState]:
        await self.faults.meet("machines")
        return [machine.state() for machine in self._nodes.get(node, {}).values()]

    # Power

    async def power_on(self, node: str, instance_id: str) -> None:
        machine = await self._call("power_on", node, instance_id)
        if machine.power_state in {PowerState.PAUSED, PowerState.SUSPENDED}:
            self._set_power(machine, PowerState.RUNNING)
        elif machine.power_state is not PowerState.RUNNING:
            machine.boot()
            self._changed(machine)

    async def power_off(self, node: str, instance_id: str, graceful_seconds: float) -> None:
        machine = await self._call("power_off", node, instance_id)
        if machine.power_state is PowerState.RUNNING and machine.deaf and graceful_seconds:
            await asyncio.sleep(graceful_seconds)
        self._set_power(machine, PowerState.SHUTDOWN)

    async def pause(self, node: str, instance_id: str) -> None:
        machine = await self._call("pause", node, instance_id)
        if machine.power_state not in {PowerState.RUNNING, PowerState.PAUSED}:
            raise WrongPowerState(
                f"machine {instance_id} is {machine.power_state}: only a running one pauses"
            )
        self._set_power(machine, PowerState.PAUSED)

    async def suspend(self, node: str, instance_id: str) -> None:
        machine = await self._call("suspend", node, instance_id)
        if machine.power_state not in {PowerState.RUNNING, PowerState.PAUSED, PowerState.SUSPENDED}:
            raise WrongPowerState(
                f"machine {instance_id} is {machine.power_state}: only a running one suspends"
            )
        self._set_power(machine, PowerState.SUSPENDED)

    async def reboot(self, node: str, instance_id: str, kind: RebootType) -> None:
        machine = await self._call("reboot", node, instance_id)
        machine.boot()
        self._changed(machine)

    # Console

    async def console_log(self, node: str, instance_id: str, max_bytes: int) -> bytes:
        machine = await self._call("console_log", node, instance_id)
        return bytes(machine.log[max(0, len(machine.log) - max_bytes) :])

    async def serial_console(self, node: str, instance_id: str) -> str:
        """The socket writes back what it reads, and the console log takes it too."""
        machine = await self._call("serial_console", node, instance_id)
        if machine.power_state not in {PowerState.RUNNING, PowerState.PAUSED}:
            raise WrongPowerState(f"machine {instance_id} is {machine.power_state}: start it first")
        path = str(self.scratch / instance_id)
        if instance_id not in self._consoles:
            busy = asyncio.Lock()

            async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                with contextlib.closing(writer), contextlib.suppress(ConnectionError):
                    async with busy:
                        while data := await reader.read(4096):
                            machine.log += data
                            del machine.log[:-LOG_MAX_BYTES]
                            writer.write(data)
                            await writer.drain()

            self._consoles[instance_id] = await asyncio.start_unix_server(echo, path)
        return path

    # Diagnostics

    async def diagnostics(self, node: str, instance_id: str) -> MachineDiagnostics:
        machine = await self._call("diagnostics", node, instance_id)
        if machine.power_state is not PowerState.RUNNING:
            raise WrongPowerState(f"machine {instance_id} is {machine.power_state}: it has to run")
        return machine.diagnostics()

    # What happens behind Cairn's back

    def crash(self, instance_id: str) -> None:
        """The machine's process dies."""
        self._set_power(self._anywhere(instance_id), PowerState.CRASHED)

    def stop(self, instance_id: str) -> None:
        """Somebody pulls the plug (`virsh destroy`), or the guest shuts itself down."""
        self._set_power(self._anywhere(instance_id), PowerState.SHUTDOWN)

    def undefine(self, instance_id: str) -> None:
        """Somebody removes the machine and leaves its disks (`virsh undefine`)."""
        machine = self._anywhere(instance_id)
        machine.steps.discard(Step.DEFINE)
        self._set_power(machine, PowerState.NO_STATE)

    def deafen(self, instance_id: str) -> None:
        """The guest no longer reacts when it is asked to shut down."""
        self._anywhere(instance_id).deaf = True

    def scribble(self, instance_id: str, text: str) -> None:
        """The guest writes something to its root disk."""
        machine = self._anywhere(instance_id)
        machine.disk += f" {text}"
        self._changed(machine, quietly=True)

    # Shared

    @property
    def scratch(self) -> Path:
        """A directory for as long as the driver is open."""
        if self._sockets is None:
            self._sockets = Path(tempfile.mkdtemp(prefix="cairn-fake-"))
        return self._sockets

    async def _call(self, call: str, node: str, instance_id: str) -> FakeMachine:
        await self.faults.meet(call)
        machine = self._nodes.get(node, {}).get(instance_id)
        if machine is None or not machine.complete:
            raise MachineNotFound(f"no machine {instance_id} on {node}")
        return machine

    def _anywhere(self, instance_id: str) -> FakeMachine:
        for machines in self._nodes.values():
            if instance_id in machines:
                return machines[instance_id]
        raise MachineNotFound(f"no machine {instance_id}")

    def _set_power(self, machine: FakeMachine, power_state: PowerState) -> None:
        if machine.power_state is not power_state:
            machine.power_state = power_state
            self._changed(machine)

    def _changed(self, machine: FakeMachine, *, quietly: bool = False) -> None:
        if self._store:
            self._store.save(machine.stored())
        if not quietly:
            self._tell(machine)

    def _tell(self, machine: FakeMachine) -> None:
        if self._sink is not None:
            event = MachineEvent(machine.node, machine.instance_id)
            asyncio.get_running_loop().call_soon(self._sink, event)

    def _hang_up(self, instance_id: str) -> None:
        if (server := self._consoles.pop(instance_id, None)) is not None:
            server.close()
