"""What the database knows of an instance, as immutable values, and the words for its states."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from cairn_crds.guest_operation import OperationKind
from cairn_crds.instance import PowerState
from cairn_crds.volume import VolumeBackend
from cairn_database.volumes.wants import VolumeWant

Json = dict[str, Any]


class VmState(enum.StrEnum):
    """What the instance is (Nova: `nova/compute/vm_states.py`)."""

    BUILDING = "building"
    ACTIVE = "active"
    PAUSED = "paused"
    SUSPENDED = "suspended"
    STOPPED = "stopped"
    RESCUED = "rescued"
    RESIZED = "resized"
    SOFT_DELETED = "soft-delete"
    DELETED = "deleted"
    ERROR = "error"
    SHELVED = "shelved"
    SHELVED_OFFLOADED = "shelved_offloaded"


class TaskState(enum.StrEnum):
    """What is being done to it now (Nova: `nova/compute/task_states.py`); None when nothing is."""

    SCHEDULING = "scheduling"
    BLOCK_DEVICE_MAPPING = "block_device_mapping"
    NETWORKING = "networking"
    SPAWNING = "spawning"
    IMAGE_SNAPSHOT = "image_snapshot"
    IMAGE_SNAPSHOT_PENDING = "image_snapshot_pending"
    IMAGE_PENDING_UPLOAD = "image_pending_upload"
    IMAGE_UPLOADING = "image_uploading"
    IMAGE_BACKUP = "image_backup"
    UPDATING_PASSWORD = "updating_password"  # noqa: S105 - Nova's word for a task
    RESIZE_PREP = "resize_prep"
    RESIZE_MIGRATING = "resize_migrating"
    RESIZE_MIGRATED = "resize_migrated"
    RESIZE_FINISH = "resize_finish"
    RESIZE_REVERTING = "resize_reverting"
    RESIZE_CONFIRMING = "resize_confirming"
    REBOOTING = "rebooting"
    REBOOT_PENDING = "reboot_pending"
    REBOOT_STARTED = "reboot_started"
    REBOOTING_HARD = "rebooting_hard"
    REBOOT_PENDING_HARD = "reboot_pending_hard"
    REBOOT_STARTED_HARD = "reboot_started_hard"
    PAUSING = "pausing"
    UNPAUSING = "unpausing"
    SUSPENDING = "suspending"
    RESUMING = "resuming"
    POWERING_OFF = "powering-off"
    POWERING_ON = "powering-on"
    RESCUING = "rescuing"
    UNRESCUING = "unrescuing"
    REBUILDING = "rebuilding"
    REBUILD_BLOCK_DEVICE_MAPPING = "rebuild_block_device_mapping"
    REBUILD_SPAWNING = "rebuild_spawning"
    MIGRATING = "migrating"
    DELETING = "deleting"
    SOFT_DELETING = "soft-deleting"
    RESTORING = "restoring"
    SHELVING = "shelving"
    SHELVING_IMAGE_PENDING_UPLOAD = "shelving_image_pending_upload"
    SHELVING_IMAGE_UPLOADING = "shelving_image_uploading"
    SHELVING_OFFLOADING = "shelving_offloading"
    UNSHELVING = "unshelving"


MAY_SEEK_HOST = frozenset(
    {TaskState.RESIZE_PREP, TaskState.MIGRATING, TaskState.REBUILDING, TaskState.UNSHELVING}
)
"""Tasks in the course of which an instance goes to a host that the scheduler chooses."""


@dataclass(frozen=True)
class InterfaceRecord:
    """One network interface that the instance has."""

    network: str
    address: str
    mac: str
    ordinal: int
    port_id: str | None = None
    """The port that it is; None in rows that are older than ports."""
    tag: str | None = None
    """What the guest knows it by (Nova's device tag)."""
    change: str | None = None
    """`attaching` or `detaching`, until the host has done it (`networking.plugging`)."""
    since: str | None = None
    """When the change began, as ISO 8601."""
    action_id: int | None = None
    """The entry of the change in the history; None once that has ended."""


@dataclass(frozen=True)
class Successor:
    """The volume that is to take an attached one's place (`volumes.swapping`)."""

    volume_id: str
    swap_id: str
    """Of the swap; meanwhile it is the new volume's attachment, too."""
    backend: VolumeBackend
    size_gib: int
    host: str | None = None
    """As `AttachedVolume.host`."""
    made: bool = False
    cancel: bool = False
    """The host is to give up, if it has not swapped them yet."""


@dataclass(frozen=True)
class AttachedVolume:
    """One volume that the instance has."""

    volume_id: str
    attachment_id: str
    backend: VolumeBackend
    size_gib: int
    device: str
    """What the guest is told to call it, `/dev/vdb`."""
    host: str | None = None
    """Of a local one: the host that has it, once that is known."""
    boot_index: int | None = None
    """0: the machine boots from it."""
    read_only: bool = False
    delete_on_termination: bool = False
    tag: str | None = None
    bus: str | None = None
    made: bool = False
    """Whether its file is there: only then the host is told of it."""
    change: str | None = None
    """`attaching`, `detaching` or `swapping`, until the host has done it (`volumes.attaching`)."""
    since: str | None = None
    """When the change began, as ISO 8601."""
    action_id: int | None = None
    """The entry of the change in the history; None once that has ended."""
    successor: Successor | None = None
    """While it is swapped: for what."""


class MoveKind(enum.StrEnum):
    """Why an instance goes to another host or flavor; Nova's words for `migration_type`, where it has one."""

    RESIZE = "resize"
    MIGRATION = "migration"
    """Cold: shut down, to be confirmed as a resize is."""
    LIVE = "live-migration"
    EVACUATION = "evacuation"
    UNSHELVE = "unshelve"
    """From no host to one; it has no entry among the migrations."""


@dataclass(frozen=True)
class Move:
    """A move that is under way, or waits to be confirmed. Part of the instance's row: whoever reads one knows
    the other."""

    id: str
    """Of the migration (`migrations`)."""
    kind: MoveKind
    source: str | None
    """The host that it leaves; None for one that was on none."""
    vm_state: VmState
    """What it was before, and is again when it comes to nothing."""
    destination: str | None = None
    """The host that it goes to, once the scheduler has claimed it."""
    wanted_host: str | None = None
    """The only host that will do; None: any."""
    old_flavor: Json | None = None
    new_flavor: Json | None = None
    """Of a resize."""
    copy_disks: bool | None = None
    """Of a live migration; None: found out."""
    abort: bool = False
    force_complete: bool = False
    address: str | None = None
    """Where the destination awaits a live migration."""
    failure: str | None = None
    """Why it is on its way back."""
    confirms: bool = False
    """Whether it is confirmed by itself as soon as it has arrived (of a drain)."""

    @property
    def stays(self) -> bool:
        """Whether it is a resize on the same host."""
        return self.destination is not None and self.destination == self.source


@dataclass(frozen=True)
class Operation:
    """What a host is told to do once to the machine (`GuestOperation`)."""

    id: str
    kind: OperationKind
    host: str
    given: Json = field(default_factory=dict)
    """What the operation needs besides, as the row remembers it: `image` of a rescue, `imageId` and `url` of
    a snapshot, `user` and `hash` of a password, `gracefulSeconds`."""


@dataclass(frozen=True)
class KeyPairRecord:
    """The public key that the guest is given, as it was when the instance was asked for."""

    name: str
    public_key: str


@dataclass(frozen=True)
class InstanceKey:
    """Which instance, and where: enough to see whether its resources are there."""

    id: str
    namespace: str
    name: str
    host: str | None
    task_state: TaskState | None
    version: int


@dataclass(frozen=True, kw_only=True)
class NewInstance:
    """What `instances.register` takes."""

    id: str
    """A UUID: the machine's one id everywhere."""
    project: str
    namespace: str
    name: str
    request: Json
    """InstanceSpec in API form: what the conductor builds the Guest from."""
    flavor: Json
    """FlavorSpec in API form plus `name`; `vcpus` and `memoryMiB` are what the quota counts."""
    image: Json
    """ImageSpec in API form plus `name`."""
    resource_uid: str | None = None
    """The uid of the Instance resource; None while the gateway has not created it yet."""
    key_pair: KeyPairRecord | None = None
    group_id: str | None = None
    """The ServerGroup's id (`tenants.ServerGroupRecord.id`)."""
    availability_zone: str | None = None
    hints: Json = field(default_factory=dict)
    reboot_generation: int = 0
    request_id: str | None = None
    user_id: str | None = None
    """Who asked for it; None for one that came by kubectl."""
    details: Json = field(default_factory=dict)
    """See `InstanceRecord.details`."""
    volumes: tuple[VolumeWant, ...] = ()
    """What it is to have from the beginning."""


@dataclass(frozen=True, kw_only=True)
class InstanceRecord:
    """One row of `instances`: the authority on what the instance is."""

    id: str
    project: str
    namespace: str
    name: str
    resource_uid: str | None
    vm_state: VmState
    task_state: TaskState | None
    power_state: PowerState
    host: str | None
    fencing_epoch: int
    """Raised by every claim; a host may run the machine under the newest epoch only."""
    version: int
    """Raised by every change; what compare-and-set compares."""
    request: Json
    flavor: Json
    image: Json
    key_pair: KeyPairRecord | None
    group_id: str | None
    availability_zone: str | None
    hints: Json
    interfaces: tuple[InterfaceRecord, ...]
    reboot_generation: int
    attempts: int
    """How many hosts it has been claimed on since it was asked for (or retried)."""
    excluded_hosts: tuple[str, ...]
    """Hosts on which building it failed."""
    fault_code: int | None
    fault_message: str | None
    fault_at: datetime | None
    placement_message: str | None
    """Why no host was found the last time; None once one was."""
    created_at: datetime
    updated_at: datetime
    launched_at: datetime | None
    terminated_at: datetime | None
    deleted_at: datetime | None
    request_id: str | None
    """Of the request that the current or last action came from."""
    action_id: int | None = None
    """The history entry that the running task belongs to."""
    user_id: str | None = None
    """Who asked for it; None for one that came by kubectl."""
    move: Move | None = None
    """To another host or flavor, while it is under way or unconfirmed."""
    operation: Operation | None = None
    """What its host is doing, or has last been told to do, for the task that is running."""
    volumes: tuple[AttachedVolume, ...] = ()
    awaiting_host: bool = False
    """Whether the scheduler is to find a host: for a new one, or for `move`."""
    details: Json = field(default_factory=dict)
    """What only the Compute API says and asks of it, each where there is one: `reservationId`,
    `launchIndex`, `diskConfig`, `lockedBy` (owner or admin), `accessIPv4`, `accessIPv6`, `rootDeviceName`,
    `trustedImageCertificates`, `schedulerHints` (as they were given), `hostname` (where it was changed),
    `heldInError` (an administrator has said that it is in error), `softDeletedAt`, `shelvedImage` (the
    image, as in `image`, that a shelved one is made from again), `shelvedAt`, `rescueImage`,
    `previousPower`."""

    @property
    def is_deleted(self) -> bool:
        return self.deleted_at is not None

    @property
    def spec(self) -> Json:
        """What is asked of it: the InstanceSpec in API form."""
        spec: Json = self.request["spec"]
        return spec

    @property
    def display_name(self) -> str:
        """The server's name in the Compute API."""
        return str(self.spec.get("displayName") or self.name)

    @property
    def locked(self) -> bool:
        """Whether it may be changed by administrators only."""
        return bool(self.spec.get("locked"))

    @property
    def counted_vcpus(self) -> int:
        """What its project's quota counts: of two flavors, while it may still become either, the larger."""
        return max(int(flavor["vcpus"]) for flavor in self._flavors)

    @property
    def counted_memory_mib(self) -> int:
        """As `counted_vcpus`."""
        return max(int(flavor["memoryMiB"]) for flavor in self._flavors)

    @property
    def pinned_host(self) -> str | None:
        """The host whose own disk has a volume of it: it cannot be anywhere else."""
        return next((volume.host for volume in self.volumes if volume.host is not None), None)

    @property
    def boots_from_volume(self) -> bool:
        """Whether it has no root disk of its own."""
        return any(volume.boot_index == 0 for volume in self.volumes)

    @property
    def root_volume(self) -> AttachedVolume | None:
        """What it boots from, where that is a volume."""
        return next((volume for volume in self.volumes if volume.boot_index == 0), None)

    @property
    def root_gib(self) -> int:
        """How large its root disk is, volume or not; 0: as large as its image."""
        root = self.root_volume
        return int(self.flavor.get("diskGiB", 0)) if root is None else root.size_gib

    @property
    def is_swapping(self) -> bool:
        """Whether a volume of it is being replaced by another."""
        return any(volume.successor is not None for volume in self.volumes)

    @property
    def _flavors(self) -> list[Json]:
        move = self.move
        others = [move.old_flavor, move.new_flavor] if move else []
        return [self.flavor, *(flavor for flavor in others if flavor)]

    @property
    def other_host(self) -> str | None:
        """The host that has, or is to have, something of it besides its own: the other end of a move."""
        move = self.move
        if move is None or move.kind is MoveKind.UNSHELVE:
            return None
        ends = {move.source, move.destination} - {self.host, None}
        return ends.pop() if ends else None
