"""A machine of the fake driver, and how it is kept in a file."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from cairn_agent.drivers.api import MachineState, Step
from cairn_agent.drivers.fake_store import StoredMachine
from cairn_crds.guest import GuestSpec
from cairn_crds.instance import PowerState
from cairn_runtime.diagnostics import CpuDiagnostics, DiskDiagnostics, MachineDiagnostics, NicDiagnostics

LOG_MAX_BYTES = 64 * 1024


@dataclass
class FakeMachine:
    """What is there of one machine."""

    node: str
    instance_id: str
    fencing_epoch: int
    steps: set[Step] = field(default_factory=set)
    power_state: PowerState = PowerState.NO_STATE
    boots: int = 0
    deaf: bool = False
    """Does not hear when it is asked to shut down."""
    log: bytearray = field(default_factory=bytearray)
    disk: str = ""
    """What is on its root disk: the image's name, and whatever was written since."""
    shape: dict[str, Any] = field(default_factory=dict)
    """vcpus, memory_mib, root_disk_gib, macs, volumes."""
    kept: dict[str, Any] | None = None
    """Disk and shape from before a resize that may be reverted."""
    rescue_disk: str | None = None
    password_hash: str | None = None
    crash_dumps: int = 0
    copying: str | None = None
    """The swap of volumes whose copy is under way; a process that ends takes that along."""
    done: list[str] = field(default_factory=list)
    """The ids of operations that have been done to it, the last ones."""

    @property
    def complete(self) -> bool:
        return Step.DEFINE in self.steps

    def state(self) -> MachineState:
        """What the driver tells of it."""
        return MachineState(self.instance_id, self.power_state, self.fencing_epoch, self.complete)

    def write(self, line: str) -> None:
        """Onto its console."""
        self.log += line.encode() + b"\r\n"
        del self.log[:-LOG_MAX_BYTES]

    def boot(self) -> None:
        self.boots += 1
        self.power_state = PowerState.RUNNING
        self.write(f"boot {self.boots} of {self.instance_id}")
        self.write(f"{self.shape.get('vcpus', 0)} CPUs, {self.shape.get('memory_mib', 0)} MiB of memory")
        self.write(f"{len(self.shape.get('macs', ()))} network cards")

    def take_shape(self, spec: GuestSpec, volumes: list[dict[str, Any]]) -> None:
        """Be as `spec` says, with these volumes."""
        self.shape = {
            "vcpus": spec.vcpus,
            "memory_mib": spec.memory_mib,
            "root_disk_gib": spec.root_disk_gib,
            "macs": [network.mac for network in spec.networks],
            "volumes": volumes,
        }

    def diagnostics(self) -> MachineDiagnostics:
        """It is made of what its shape says, and has used nothing."""
        memory_kib = self.shape.get("memory_mib", 0) * 1024
        return MachineDiagnostics(
            state=self.power_state,
            driver="libvirt",  # as Nova's fake driver says, because the API knows only a few names
            hypervisor="fake",
            memory_maximum_kib=memory_kib,
            memory_used_kib=memory_kib,
            cpus=tuple(CpuDiagnostics(id=n, time_ns=0) for n in range(self.shape.get("vcpus", 1))),
            nics=tuple(
                NicDiagnostics(device=f"vnet{n}", mac_address=mac)
                for n, mac in enumerate(self.shape.get("macs", []))
            ),
            disks=(DiskDiagnostics(device="vda"),),
        )

    def finish(self, operation_id: str) -> None:
        """That operation has been done."""
        self.done = [*self.done[-7:], operation_id]

    def stored(self) -> StoredMachine:
        """As its file says it."""
        return StoredMachine(
            node=self.node,
            instance_id=self.instance_id,
            fencing_epoch=self.fencing_epoch,
            steps=sorted(self.steps),
            power_state=self.power_state,
            boots=self.boots,
            log=self.log.decode(errors="replace"),
            disk=self.disk,
            shape=self.shape,
            kept=self.kept,
            rescue_disk=self.rescue_disk,
            password_hash=self.password_hash,
            crash_dumps=self.crash_dumps,
            done=self.done,
        )

    @classmethod
    def of(cls, stored: StoredMachine) -> FakeMachine:
        """From its file."""
        return cls(
            node=stored.node,
            instance_id=stored.instance_id,
            fencing_epoch=stored.fencing_epoch,
            steps={Step(step) for step in stored.steps},
            power_state=PowerState(stored.power_state),
            boots=stored.boots,
            log=bytearray(stored.log.encode()),
            disk=stored.disk,
            shape=stored.shape,
            kept=stored.kept,
            rescue_disk=stored.rescue_disk,
            password_hash=stored.password_hash,
            crash_dumps=stored.crash_dumps,
            done=stored.done,
        )
