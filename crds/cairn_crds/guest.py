"""Guest: one instance's machine on one host, fully resolved for that host's agent.

The conductor writes the spec, the agent the status. A Guest is named by the instance's id and lives
in the host's own namespace (`node_namespace`). The agent needs to look up nothing else.
"""

from __future__ import annotations

import enum
from datetime import datetime
from typing import Annotated, ClassVar

from pydantic import Field, StringConstraints

from cairn_crds.base import (
    Cidr,
    Column,
    Count,
    IPv4,
    LongText,
    MacAddress,
    Model,
    Resource,
    ResourceKind,
    Scope,
    Text,
    Uuid,
)
from cairn_crds.guest_operation import GuestOperation, GuestOperationStatus
from cairn_crds.image_source import GuestImage
from cairn_crds.instance import DesiredPower, PasswordHash, PowerState, Reboot
from cairn_crds.volume import SizeGiB, VolumeBackend


def node_namespace(node: str) -> str:
    """The namespace that holds a compute node's Guests."""
    return f"cairn-node-{node}"


class InstanceReference(Model):
    """The Instance that this machine belongs to."""

    namespace: Text
    name: Text
    project: Text


class GuestNetwork(Model):
    """One interface of the machine."""

    network: Text
    """The Network's name, which is the key of the driver's own network."""
    network_id: Text = ""
    cidr: Cidr
    gateway: IPv4 | None = None
    dns: Annotated[list[IPv4], Field(max_length=8)] = []
    mtu: Annotated[int, Field(ge=576, le=9216)] = 1500
    bridge: Text | None = None
    """A bridge of the host to plug into; absent for a NAT network that the driver makes itself."""
    mac: MacAddress
    address: IPv4


class GuestSuccessor(Model):
    """The volume that takes another one's place, with what is on that."""

    id: Uuid
    """Of the swap: what was said of it under this id is said once and for all."""
    volume: Uuid
    backend: VolumeBackend = VolumeBackend.LOCAL
    size_gib: SizeGiB
    cancel: bool = False
    """True: give up, unless it has taken its place already."""


class GuestVolume(Model):
    """One volume of the machine."""

    id: Uuid
    """The volume's, which names its file; the guest sees its first 20 characters as the disk's serial."""
    backend: VolumeBackend = VolumeBackend.LOCAL
    size_gib: SizeGiB
    """The host makes it as large, of a running machine too."""
    device: Text | None = None
    """`/dev/vdc`: the name that libvirt is told. Guests may call it otherwise."""
    bus: Text | None = None
    """virtio, scsi, sata …; as the machine's own disks are when left out."""
    boot_index: Count | None = None
    """0: the machine boots from it, and has no root disk of its own."""
    read_only: bool = False
    tag: Text | None = None
    successor: GuestSuccessor | None = None
    """It is to be replaced, while the machine runs; `status.swaps` says how far that is."""

    @property
    def succeeded(self) -> GuestVolume:
        """What it is once it has been replaced."""
        successor = self.successor
        if successor is None:
            return self
        update = {
            "id": successor.volume,
            "backend": successor.backend,
            "size_gib": successor.size_gib,
            "successor": None,
        }
        return self.model_copy(update=update)


class GuestConfig(Model):
    """What the guest is told about itself, by config drive and (later) metadata service."""

    config_drive: bool = True
    hostname: Text
    availability_zone: Text = "nova"
    public_keys: Annotated[
        dict[str, Annotated[str, StringConstraints(max_length=16384)]], Field(max_length=16)
    ] = {}
    """Key pair name to OpenSSH public key."""
    user_data_base64: Annotated[str, StringConstraints(max_length=87384)] | None = None
    admin_password_hash: PasswordHash | None = None
    """For cloud-init's default user, by vendor data; user data that sets a password wins."""
    metadata: Annotated[dict[str, Text], Field(max_length=128)] = {}


class GuestSpec(Model):
    """The machine that should be."""

    instance: InstanceReference
    absent: bool = False
    """True: the machine, its disks and its addresses must go; the agent deletes the Guest when they have.

    Deleting the Guest itself never touches the machine: the conductor makes the Guest again.
    """
    launched: bool = False
    """The machine had been made already when this Guest was written: it is taken as it is, never made
    anew over a disk that is gone."""
    fencing_epoch: Count = 0
    """Rises each time the instance is given to a host; a lower one must not run."""
    power_state: DesiredPower = DesiredPower.RUNNING
    reboot: Reboot = Reboot()
    vcpus: Annotated[int, Field(ge=1, le=1024)]
    memory_mib: Annotated[int, Field(ge=1)]
    root_disk_gib: Count = 0
    """0: as large as the image."""
    ephemeral_disk_gib: Count = 0
    swap_mib: Count = 0
    image: GuestImage
    networks: Annotated[list[GuestNetwork], Field(max_length=16)] = []
    volumes: Annotated[list[GuestVolume], Field(max_length=26)] = []
    config: GuestConfig
    operation: GuestOperation | None = None
    """What is to be done once, before the power is brought in line."""
    crash_dump: Count = 0
    """Raised by one: the guest's kernel is sent an NMI once (Nova's `trigger_crash_dump`)."""
    request_id: Text | None = None
    """The request that the spec comes from, for the agent's log."""
    extra_specs: Annotated[dict[str, Text], Field(max_length=128)] = {}

    @property
    def boots_from_volume(self) -> bool:
        """Whether it has no root disk of its own."""
        return self.root_volume is not None

    @property
    def root_volume(self) -> GuestVolume | None:
        """What it boots from, where that is a volume."""
        return next((volume for volume in self.volumes if volume.boot_index == 0), None)


class GuestPhase(enum.StrEnum):
    """How far the agent is."""

    PENDING = "Pending"
    SPAWNING = "Spawning"
    READY = "Ready"
    """The machine exists and was started once; `powerState` says what it does."""
    FAILED = "Failed"
    """The last step failed; `fault` says why, and whether it is tried again."""
    MISSING = "Missing"
    """The machine was there and is gone: somebody undefined it on the host."""
    PREPARED = "Prepared"
    """Everything is there for a machine that is to arrive from another host; no machine yet."""
    MOVED = "Moved"
    """The machine has left for another host; its files are still here."""


class GuestFault(Model):
    """Why the last step failed."""

    reason: Text
    """One word: ImageUnavailable, ImageCorrupt, NoSpace, NetworkFailed, HypervisorFailed, Unsupported …"""
    message: LongText
    spec_generation: int = 0
    """The `metadata.generation` of the spec that it is about."""
    permanent: bool = False
    """True where trying again on this host cannot help."""


class SwapPhase(enum.StrEnum):
    """How far a swap of two volumes is."""

    RUNNING = "Running"
    DONE = "Done"
    """The machine has the new volume, and all that was on the old one is on it."""
    FAILED = "Failed"
    """The machine has the old volume, as before."""


class GuestSwap(Model):
    """What became of a swap (`GuestSuccessor`)."""

    id: Uuid
    phase: SwapPhase
    message: LongText | None = None
    """Why it failed."""
    copied_percent: Annotated[int, Field(ge=0, le=100)] = 0


class GuestStatus(Model):
    """The machine that is."""

    phase: GuestPhase = GuestPhase.PENDING
    step: Text | None = None
    """What spawn is doing: image, network, config-drive, domain, start."""
    power_state: PowerState = PowerState.NO_STATE
    reboot_generation: int = 0
    spec_generation: int = 0
    """The `metadata.generation` of the spec that has been reached."""
    operation: GuestOperationStatus | None = None
    crash_dump: int = 0
    """The `spec.crashDump` that has been reached."""
    swaps: Annotated[list[GuestSwap], Field(max_length=26)] = []
    """Of the volumes that the spec wants replaced."""
    started_at: datetime | None = None
    boot_id: Text | None = None
    """Which boot of the host the power state was last brought about in."""
    fault: GuestFault | None = None


class Guest(Resource):
    """An instance's machine on one host."""

    kind_info: ClassVar[ResourceKind] = ResourceKind(
        kind="Guest",
        plural="guests",
        scope=Scope.NAMESPACED,
        columns=(
            Column("Phase", ".status.phase"),
            Column("Power", ".status.powerState"),
            Column("Instance", ".spec.instance.name"),
            Column("Namespace", ".spec.instance.namespace"),
            Column("Reason", ".status.fault.reason"),
            Column("Age", ".metadata.creationTimestamp", type="date"),
        ),
    )

    spec: GuestSpec
    status: GuestStatus = GuestStatus()

    @property
    def instance_id(self) -> Uuid:
        return self.metadata.name
