"""What a hypervisor driver promises.

A driver serves one or more *nodes* (a libvirt host is one node; a vCenter driver serves one per cluster).
It finds machines by instance id, never by name, so that a crash between "made" and "reported" cannot
lead to a second one. Every call that changes something is idempotent: called again after a crash at any
point it finishes what is missing and touches nothing that is already so. A driver never decides that a
machine should go: only `destroy`, called for a Guest that is being deleted, removes one.

The caller makes one call at a time for one instance; calls for different instances come all at once. A
cancelled call has stopped changing things by the time the cancellation is through.

The fake driver (`drivers/fake.py`) is the written-down meaning of these protocols; it and every real
driver pass the same contract tests (`tests/contract/`).

Mirrors the parts of Nova's `nova/virt/driver.py` that a boot, power changes and a delete need; what changes,
copies and moves machines is in `api_operations.py`, and all of it together is `driver.Driver`.
"""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from cairn_crds.guest import GuestSpec
from cairn_crds.instance import PowerState, RebootType
from cairn_runtime.diagnostics import MachineDiagnostics


class Capability(enum.StrEnum):
    """What a driver can do; the names are Nova's traits, which the scheduler compares."""

    PAUSE = "COMPUTE_CAIRN_PAUSE"
    SUSPEND = "COMPUTE_CAIRN_SUSPEND"
    SOFT_REBOOT = "COMPUTE_CAIRN_SOFT_REBOOT"
    CONFIG_DRIVE = "COMPUTE_CONFIG_DRIVE"
    CONSOLE_LOG = "COMPUTE_CAIRN_CONSOLE_LOG"
    SERIAL_CONSOLE = "COMPUTE_CAIRN_SERIAL_CONSOLE"
    IMAGE_QCOW2 = "COMPUTE_IMAGE_TYPE_QCOW2"
    IMAGE_RAW = "COMPUTE_IMAGE_TYPE_RAW"
    REBUILD = "COMPUTE_CAIRN_REBUILD"
    RESCUE = "COMPUTE_CAIRN_RESCUE"
    RESIZE = "COMPUTE_CAIRN_RESIZE"
    """Resize and cold migration."""
    SNAPSHOT = "COMPUTE_CAIRN_SNAPSHOT"
    LIVE_MIGRATION = "COMPUTE_CAIRN_LIVE_MIGRATION"
    ATTACH_INTERFACE = "COMPUTE_NET_ATTACH_INTERFACE"
    ATTACH_VOLUME = "COMPUTE_VOLUME_ATTACH"
    EXTEND_VOLUME = "COMPUTE_VOLUME_EXTEND"
    SET_PASSWORD = "COMPUTE_CAIRN_SET_PASSWORD"  # noqa: S105 - the name of a trait
    CRASH_DUMP = "COMPUTE_CAIRN_CRASH_DUMP"


class Step(enum.StrEnum):
    """The steps of `spawn`, in order; a crash may come between any two."""

    IMAGE = "image"
    NETWORK = "network"
    CONFIG_DRIVE = "config-drive"
    DISK = "disk"
    DEFINE = "define"


@dataclass(frozen=True)
class MachineState:
    """What the hypervisor says of one machine."""

    instance_id: str
    power_state: PowerState
    fencing_epoch: int
    """The epoch it was made with, kept with the machine by the hypervisor."""
    complete: bool = True
    """False where `spawn` was cut short, or somebody removed a part of the machine behind Cairn's back.

    Its power state is then NO_STATE; `spawn` makes it whole again with the disks that are left.
    """


@dataclass(frozen=True)
class MachineEvent:
    """Something happened to a machine, by whomever; `MachineState` has to be read anew."""

    node: str
    instance_id: str


@dataclass(frozen=True)
class Inventory:
    """What a node has and can do."""

    hypervisor_type: str
    hypervisor_version: str
    hostname: str
    architecture: str
    vcpus: int
    memory_mib: int
    disk_gib: int
    cpu_model: str = ""
    traits: frozenset[str] = frozenset()
    capabilities: Mapping[str, str] = field(default_factory=dict)
    """Further facts for ComputeCapabilitiesFilter."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """Named as Nova's monitors name them, e.g. `cpu.percent` (0 to 1)."""
    address: str | None = None
    """The host's own IP address, where the driver knows it."""
    boot_time: datetime | None = None
    """When the host was started; the same in every report until it is started anew."""


EventSink = Callable[[MachineEvent], None]
StepReporter = Callable[[Step], Awaitable[None]]
"""Called before each step of `spawn` that has work to do; what it raises ends the spawn there."""


class DriverError(Exception):
    """A call failed. `reason` is one word for programs, the message is for people.

    `permanent` says that trying again on this host cannot help (the conductor then tries another host);
    otherwise the agent tries again with back-off.
    """

    reason = "HypervisorFailed"
    permanent = False


class ImageUnavailable(DriverError):
    """The image's server does not answer, or answers with an error."""

    reason = "ImageUnavailable"


class ImageCorrupt(DriverError):
    """What was fetched has another checksum, or is not an image of the given format."""

    reason = "ImageCorrupt"
    permanent = True


class NoSpace(DriverError):
    """The host's disk or memory is full."""

    reason = "NoSpace"
    permanent = True


class NetworkFailed(DriverError):
    """The guest network could not be made."""

    reason = "NetworkFailed"


class Unsupported(DriverError):
    """The driver has no such capability."""

    reason = "Unsupported"
    permanent = True


class MachineNotFound(DriverError):
    """There is no machine with that instance id on that node."""

    reason = "MachineNotFound"


class DiskTooSmall(DriverError):
    """The root disk is smaller than the image (Nova's FlavorDiskSmallerThanImage)."""

    reason = "DiskTooSmall"
    permanent = True


class WrongPowerState(DriverError):
    """What was asked does not go from the machine's power state, e.g. to pause one that is shut down."""

    reason = "WrongPowerState"


class Lifecycle(Protocol):
    """Making, finding and removing machines."""

    async def spawn(self, node: str, instance_id: str, spec: GuestSpec, report: StepReporter) -> None:
        """Make the machine of `spec`, complete and shut down; `power_on` starts it.

        After it returns, `get` finds the machine with `complete=True` and power state SHUTDOWN. On a
        machine that is complete already (running or not) it does nothing.
        Raises DriverError; what was made until then stays for the next try or for `destroy`.
        """

    async def destroy(self, node: str, instance_id: str) -> None:
        """Stop the machine at once and remove all of it: disks, config drive, addresses, saved state.

        Does nothing where there is nothing. Images in the host's cache stay.
        """

    async def get(self, node: str, instance_id: str) -> MachineState | None:
        """The machine, or None where neither it nor a part of it is there."""

    async def machines(self, node: str) -> Sequence[MachineState]:
        """All of Cairn's machines on the node, incomplete ones too; other people's machines are left out."""


class Power(Protocol):
    """Power changes. Each raises MachineNotFound where there is no complete machine.

    A call that finds the machine where it should be does nothing.
    """

    async def power_on(self, node: str, instance_id: str) -> None:
        """RUNNING afterwards, from SHUTDOWN, CRASHED, PAUSED or SUSPENDED (whose saved state is restored)."""

    async def power_off(self, node: str, instance_id: str, graceful_seconds: float) -> None:
        """SHUTDOWN afterwards: asks the guest, and after `graceful_seconds` (0: at once) pulls the plug.

        A SUSPENDED machine loses its saved state; a PAUSED one cannot hear and goes off at once.
        """

    async def pause(self, node: str, instance_id: str) -> None:
        """PAUSED afterwards: memory kept, CPUs stopped. From RUNNING, else WrongPowerState."""

    async def suspend(self, node: str, instance_id: str) -> None:
        """SUSPENDED afterwards: memory saved to disk, nothing runs.

        From RUNNING or PAUSED, else WrongPowerState.
        """

    async def reboot(self, node: str, instance_id: str, kind: RebootType) -> None:
        """RUNNING afterwards. SOFT asks the guest and falls back to HARD; HARD resets (or starts) it.

        A reset machine has lost its memory, a saved one too.
        """


class Console(Protocol):
    """Looking at and typing into a machine."""

    async def console_log(self, node: str, instance_id: str, max_bytes: int) -> bytes:
        """The last `max_bytes` of what the machine wrote to its serial console since it was made."""

    async def serial_console(self, node: str, instance_id: str) -> str:
        """The path of a unix socket that is the machine's serial console, for one client at a time.

        From RUNNING or PAUSED, else WrongPowerState.
        """


class Diagnostics(Protocol):
    """What machines use."""

    async def diagnostics(self, node: str, instance_id: str) -> MachineDiagnostics:
        """What the machine has used since it was started. From RUNNING, else WrongPowerState.

        Every CPU, card and disk of it is told; what the hypervisor does not count is None.
        """
