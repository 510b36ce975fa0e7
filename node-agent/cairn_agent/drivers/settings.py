"""What can be set about each driver."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

UNIX_PATH_MAX = 107
"""The longest path of a unix socket on Linux, in bytes."""
LONGEST_SOCKET_NAME = 36 + len("/.serial")


class VirtType(enum.StrEnum):
    """How libvirt runs guests (Nova's `[libvirt] virt_type`)."""

    AUTO = "auto"
    """KVM where it is proven to work, else emulation."""
    KVM = "kvm"
    QEMU = "qemu"


class MigrationChannel(enum.StrEnum):
    """What a live migration goes over."""

    AUTO = "auto"
    PLAIN = "plain"
    TLS = "tls"
    TUNNELLED = "tunnelled"


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class LibvirtSettings(_Settings):
    """The `libvirt` driver."""

    uri: str = "qemu:///system"
    """Which hypervisor, in libvirt's own notation, e.g. `qemu+unix:///system?socket=/run/room/libvirt-sock`."""
    instances_directory: Path = Path("/var/lib/cairn/instances")
    """Where each machine has a directory of its own, named by instance id."""
    images_directory: Path = Path("/var/lib/cairn/images")
    """The cache of base images; on the same file system as the instances, or every boot copies its image."""
    images_max_gib: Annotated[int, Field(ge=1)] = 50
    """How large the cache may grow, in GiB; images in use stay even then."""
    image_file_roots: tuple[Path, ...] = ()
    """The folders that images with a file: address may come from; none by default."""
    run_directory: Path = Path("/run/cairn/guests")
    """Where the guests' console and VNC sockets are; a short path, as unix sockets allow 107 bytes in all."""
    virt_type: VirtType = VirtType.AUTO
    """`kvm`, `qemu` (emulation, slow, works everywhere), or `auto`: kvm where it is proven to work."""
    soft_reboot_seconds: Annotated[float, Field(ge=0)] = 120
    """How long a guest may take to go down in a soft reboot before it is reset."""
    console_log_max_kib: Annotated[int, Field(ge=16)] = 1024
    """How much of a guest's console log is kept on disk, in KiB; the oldest part goes at the next sweep."""
    migration_uri: str = "qemu+tls://{address}/system"
    """Where other hosts' libvirtds reach this one for live migrations; `{address}` becomes this host's own
    address. `qemu+tcp:` has neither encryption nor a check of who asks."""
    migration_channel: MigrationChannel = MigrationChannel.AUTO
    """What memory and disks of live migrations go over: `plain` (QEMU's own ports, readable on the way),
    `tls` (the same, encrypted, with QEMU's certificates), `tunnelled` (through libvirt's connection, no
    disks), or `auto`: tls where the other host's migration_uri says tls, else plain."""
    migration_bandwidth_mib: Annotated[int, Field(ge=0)] = 0
    """The most that one live migration takes, in MiB a second; 0: as much as there is."""
    migration_post_copy: bool = False
    """Let a forced migration go on at the destination before all of its memory is there: shorter, but a
    network that fails then takes the guest along (Nova: live_migration_permit_post_copy)."""
    detach_seconds: Annotated[float, Field(gt=0)] = 60
    """How long a guest may take to let go of a device (Nova: device_detach_attempts and _timeout)."""
    guest_agent_seconds: Annotated[int, Field(ge=1)] = 10
    """How long a guest agent may take to answer."""
    workers: Annotated[int, Field(ge=1, le=64)] = 4
    """How many hypervisor calls may run at a time."""
    keepalive_seconds: Annotated[int, Field(ge=1)] = 5
    """How often an idle connection is probed; five unanswered probes make it count as lost."""
    reconnect_max_seconds: Annotated[float, Field(gt=0)] = 10
    """The longest pause between two attempts to reach a hypervisor that is gone."""

    @model_validator(mode="after")
    def _sockets_fit(self) -> Self:
        longest = len(str(self.run_directory).encode()) + LONGEST_SOCKET_NAME
        if longest > UNIX_PATH_MAX:
            excess = longest - UNIX_PATH_MAX
            raise ValueError(
                f"run_directory is {excess} bytes too long for unix sockets; choose a shorter path"
            )
        return self


class FakeCapacity(_Settings):
    """What a node of the fake driver claims to have."""

    vcpus: Annotated[int, Field(ge=1)] = 64
    memory_mib: Annotated[int, Field(ge=1)] = 256 * 1024
    disk_gib: Annotated[int, Field(ge=1)] = 4096


class VolumeSettings(_Settings):
    """Where volumes are kept."""

    local_directory: Path = Path("/var/lib/cairn/volumes")
    """On this host's own disk: volumes with backend Local, and instances that have one stay here."""
    shared_directory: Path | None = None
    """One that all hosts see under this path (NFS, CephFS …): volumes with backend Shared; these are refused
    when left out."""


class FakeSettings(_Settings):
    """The `fake` driver: machines in memory, for tests and benchmarks."""

    capacity: FakeCapacity = FakeCapacity()
    """What every node has."""
    node_capacity: dict[str, FakeCapacity] = {}
    """What single nodes have instead, by name."""
    latency_seconds: dict[str, Annotated[float, Field(ge=0)]] = {}
    """How long calls take, by name (`spawn`, `spawn.image`, `power_on` …), in seconds."""
    directory: Path | None = None
    """Where machines are kept, so that the next process finds them; in memory only when left out."""


DriverSettings = LibvirtSettings | FakeSettings
