"""Instance: a virtual machine that a project asked for (Nova's server)."""

from __future__ import annotations

import enum
from datetime import datetime
from typing import Annotated, Any, ClassVar

from pydantic import Field, StringConstraints

from cairn_crds.base import (
    Column,
    IPv4,
    MacAddress,
    Model,
    ObjectName,
    Resource,
    ResourceKind,
    Rule,
    Scope,
    Text,
    Uuid,
)
from cairn_crds.conditions import Condition

Tag = Annotated[str, StringConstraints(min_length=1, max_length=60, pattern=r"^[^,/]+$")]
UserData = Annotated[str, StringConstraints(max_length=65535)]
PasswordHash = Annotated[
    str,
    StringConstraints(
        max_length=128, pattern=r"^\$6\$(rounds=[0-9]{4,9}\$)?[./0-9A-Za-z]{1,16}\$[./0-9A-Za-z]{86}$"
    ),
]
"""A password as /etc/shadow keeps it: salted SHA-512-crypt (`openssl passwd -6`)."""


class DesiredPower(enum.StrEnum):
    """What the user wants the machine to do."""

    RUNNING = "Running"
    STOPPED = "Stopped"
    PAUSED = "Paused"
    SUSPENDED = "Suspended"
    SHELVED = "Shelved"
    """Kept as an image, on no host (Nova's `shelve`)."""


class PowerState(enum.StrEnum):
    """What the hypervisor says (Nova's `power_state`)."""

    NO_STATE = "NoState"
    RUNNING = "Running"
    PAUSED = "Paused"
    SHUTDOWN = "Shutdown"
    CRASHED = "Crashed"
    SUSPENDED = "Suspended"


class RebootType(enum.StrEnum):
    SOFT = "Soft"
    HARD = "Hard"


class Reboot(Model):
    """A request to reboot: raise `generation` by one and the guest reboots once (Nova's `reboot`)."""

    generation: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0
    type: RebootType = RebootType.SOFT


class Rebuild(Model):
    """A request to build it anew: raise `generation` by one and the disks are made again, from `spec.image`,
    with what the spec says of user data and key pair (Nova's `rebuild`). Id, addresses and volumes stay;
    of a volume that it boots from, the content is replaced."""

    generation: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0


class CrashDump(Model):
    """A request for a crash dump: raise `generation` by one and the guest's kernel gets an NMI once (Nova's
    `trigger_crash_dump`)."""

    generation: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0


class Rescue(Model):
    """While it is there the instance boots from another image, with its own disk as the second one (Nova's
    `rescue`)."""

    image: ObjectName | None = None
    """The Image to boot from; the instance's own image when left out."""


class NetworkRequest(Model):
    """One interface of the instance."""

    network: ObjectName
    """The Network to plug into."""
    address: IPv4 | None = None
    """A fixed address of that network; the next free one when left out."""
    mac: MacAddress | None = None
    """A hardware address; one made from the instance's id when left out."""
    port: Uuid | None = None
    """A port of that network that was made beforehand (`openstack port create`): the interface gets its
    address and hardware address, and it outlives the instance."""
    tag: Tag | None = None
    """What the guest knows the interface by (Nova's device tag)."""


class SchedulerHints(Model):
    """Where the instance should, or must not, be placed (Nova's `os:scheduler_hints`)."""

    group: ObjectName | None = None
    """The ServerGroup, in the same namespace, to join."""
    different_host: Annotated[list[ObjectName], Field(max_length=64)] = []
    """Instances, in the same namespace, whose hosts are not to be used."""
    same_host: Annotated[list[ObjectName], Field(max_length=64)] = []
    """Instances, in the same namespace, one of whose hosts must be used."""
    query: Annotated[str, StringConstraints(max_length=4096)] | None = None
    """A JsonFilter expression, e.g. `[">=", "$free_ram_mb", 1024]`."""


CHANGEABLE = (
    "powerState",
    "flavor",
    "rescue",
    "rebuild",
    "image",
    "keyPair",
    "userData",
    "userDataBase64",
    "hostname",
    "adminPasswordHash",
    "reboot",
    "crashDump",
    "securityGroups",
    "networks",
    "metadata",
    "displayName",
    "description",
    "tags",
    "locked",
    "lockedReason",
)
"""What of the spec may change once the machine has been made, as the API spells it."""


class InstanceSpec(Model):
    """What the user wants."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule("!has(self.userData) || !has(self.userDataBase64)", "give userData or userDataBase64, not both"),
    )

    flavor: ObjectName
    """The Flavor: vCPUs, memory and disk. Another one resizes the instance (Nova's `resize`), which a
    Migration confirms; the old one again reverts it."""
    image: ObjectName
    """The Image that the root disk is made from; another one counts from the next `rebuild.generation` on."""
    power_state: DesiredPower = DesiredPower.RUNNING
    """Start, stop, pause, suspend: say what it should be."""
    reboot: Reboot = Reboot()
    rebuild: Rebuild = Rebuild()
    rescue: Rescue | None = None
    """There: it runs from a rescue image. Gone again: it runs from its own disk."""
    crash_dump: CrashDump = CrashDump()
    key_pair: ObjectName | None = None
    """The KeyPair, in the same namespace, whose public key the guest is given."""
    networks: Annotated[list[NetworkRequest], Field(max_length=16)] | None = None
    """The interfaces, in order. Left out: one on the project's default network. Empty: none at all. An entry
    more or less attaches or detaches one, of a running machine too."""
    security_groups: Annotated[list[ObjectName], Field(max_length=64)] | None = None
    """The SecurityGroups, in the same namespace, of the interfaces made for it; `default` when left out, none
    where it is empty. `openstack server add security group` changes it, too."""
    hostname: (
        Annotated[
            str,
            StringConstraints(
                min_length=1, max_length=255, pattern=r"^[A-Za-z0-9]([-A-Za-z0-9._]*[A-Za-z0-9])?$"
            ),
        ]
        | None
    ) = None
    """The guest's own name, with or without its domain; the resource's name when left out. Another one counts
    from the next `rebuild.generation` on."""
    user_data: UserData | None = None
    """cloud-init user data, as text."""
    user_data_base64: (
        Annotated[str, StringConstraints(max_length=87384, pattern=r"^[A-Za-z0-9+/]*={0,2}$")] | None
    ) = None
    """cloud-init user data, base64, for what is not text."""
    admin_password_hash: PasswordHash | None = None
    """The password of the guest's administrator as a salted SHA-512-crypt hash (`openssl passwd -6`), never
    in clear. Who may read this resource reads the hash, and can try passwords against it: take a long random
    one, or a key pair. Another one counts from the next `rebuild.generation` on."""
    metadata: Annotated[dict[str, Text], Field(max_length=128)] = {}
    """Key and value pairs that the guest can read."""
    config_drive: bool = True
    """Attach a config drive (OpenStack's layout, version 2)."""
    availability_zone: Text | None = None
    host: ObjectName | None = None
    """Only this ComputeNode will do (Nova's forced host); it is filtered as any other."""
    scheduler_hints: SchedulerHints = SchedulerHints()
    display_name: Annotated[str, StringConstraints(min_length=1, max_length=255)] | None = None
    """The server's name in the Compute API, which need not be unique; the resource's name when left out."""
    description: Text | None = None
    tags: Annotated[list[Tag], Field(max_length=50)] = []
    """Words to find instances by (Nova's server tags); each once."""
    locked: bool = False
    """True: the Compute API lets only administrators change it (Nova's `lock`)."""
    locked_reason: Text | None = None

    def changeable(self) -> dict[str, Any]:
        """What of it may change once the machine has been made, in API form."""
        values = self.to_api()
        return {name: values[name] for name in CHANGEABLE if name in values}


class InstancePhase(enum.StrEnum):
    """The one word a person reads first."""

    PENDING = "Pending"
    BUILDING = "Building"
    ACTIVE = "Active"
    STOPPED = "Stopped"
    PAUSED = "Paused"
    SUSPENDED = "Suspended"
    RESCUED = "Rescued"
    RESIZED = "Resized"
    """On its new flavor or host, and waiting to be confirmed or reverted."""
    SHELVED = "Shelved"
    SOFT_DELETED = "SoftDeleted"
    """Deleted through the Compute API, stopped, and to be restored until it is reclaimed."""
    DELETING = "Deleting"
    ERROR = "Error"


class InstanceAddress(Model):
    """One address that the instance has."""

    network: str
    address: str
    mac: str


class Fault(Model):
    """Why the instance is in Error (Nova's `fault`)."""

    code: int = 500
    message: Annotated[str, StringConstraints(max_length=4096)]
    created: datetime | None = None


class InstanceStatus(Model):
    """What Cairn recorded of it: a projection of the SQL row."""

    phase: InstancePhase = InstancePhase.PENDING
    instance_id: Uuid | None = None
    """The one id of the machine: server id, libvirt domain UUID, row key."""
    vm_state: Text | None = None
    """Nova's `vm_state`."""
    task_state: Text | None = None
    """Nova's `task_state`: what is being done to it now; absent when nothing is."""
    power_state: PowerState = PowerState.NO_STATE
    host: Text | None = None
    """The ComputeNode it is on."""
    addresses: Annotated[list[InstanceAddress], Field(max_length=64)] = []
    address_list: Annotated[str, StringConstraints(max_length=1024)] | None = None
    """The addresses again, joined by commas, for `kubectl get`."""
    reboot_generation: int = 0
    """The `spec.reboot.generation` that has been reached."""
    launched_at: datetime | None = None
    fault: Fault | None = None
    observed_generation: int = 0
    conditions: Annotated[list[Condition], Field(max_length=16)] = []


class Instance(Resource):
    """A virtual machine."""

    kind_info: ClassVar[ResourceKind] = ResourceKind(
        kind="Instance",
        plural="instances",
        scope=Scope.NAMESPACED,
        short_names=("inst", "vm"),
        categories=("all", "cairn"),
        columns=(
            Column("Phase", ".status.phase"),
            Column("Task", ".status.taskState"),
            Column("Power", ".status.powerState"),
            Column("Host", ".status.host"),
            Column("Addresses", ".status.addressList"),
            Column("Flavor", ".spec.flavor", wide=True),
            Column("Image", ".spec.image", wide=True),
            Column("Server name", ".spec.displayName", wide=True),
            Column("Id", ".status.instanceId", wide=True),
            Column("Reason", ".status.conditions[?(@.type=='Ready')].reason", wide=True),
            Column("Age", ".metadata.creationTimestamp", type="date"),
        ),
    )

    spec: InstanceSpec
    status: InstanceStatus = InstanceStatus()
