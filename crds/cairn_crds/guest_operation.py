"""GuestOperation: something to be done once to a machine, on top of the state that the Guest's spec says.

A state (power, interfaces, volumes) is enforced again and again; an operation has an id and is done once. The
conductor writes one into `Guest.spec.operation` and keeps it there; the agent does it, however often it is
restarted meanwhile, and says in `Guest.status.operation`, under the same id, how far it is. One at a time.
"""

from __future__ import annotations

import enum
from typing import Annotated

from pydantic import Field, StringConstraints

from cairn_crds.base import LongText, Model, Text, Uuid
from cairn_crds.image_source import GuestImage
from cairn_crds.peer import Peer


class OperationKind(enum.StrEnum):
    """What is done."""

    REBUILD = "Rebuild"
    """The disks are made anew, from `spec.image`; interfaces and volumes stay."""
    RESCUE = "Rescue"
    """It boots from `image`, its own root disk is the second one."""
    UNRESCUE = "Unrescue"
    """It boots from its own root disk again."""
    SNAPSHOT = "Snapshot"
    """An image of the root disk goes to `upload`; a running machine runs on."""
    SET_PASSWORD = "SetPassword"  # noqa: S105 - the name of an operation
    """The guest agent inside the guest sets a password."""
    RESIZE = "Resize"
    """On the same host: it is shut down and made as large as the spec says; what it was is kept."""
    CONFIRM_RESIZE = "ConfirmResize"
    """What Resize kept is dropped."""
    REVERT_RESIZE = "RevertResize"
    """What Resize kept is put back."""
    RELEASE_DISKS = "ReleaseDisks"
    """Before a cold migration: it is shut down, stays so, and its disks may be fetched from this host."""
    FETCH_DISKS = "FetchDisks"
    """A cold migration arrives: the machine is made with the disks that `peer` has."""
    PREPARE_INCOMING = "PrepareIncoming"
    """A live migration is to arrive: disks and networks are made, nothing runs yet."""
    LIVE_MIGRATE = "LiveMigrate"
    """It is moved to `destination` while it runs. Once it is done there is no machine here any more."""


class Upload(Model):
    """Where an image goes."""

    url: Annotated[str, StringConstraints(max_length=2048)]
    """http: or https:, signed: the agent puts the image there."""
    disk_format: Text = "qcow2"


class GuestPassword(Model):
    """A password for a user of the guest."""

    user: Text = "root"
    hash: Annotated[str, StringConstraints(max_length=256, pattern=r"^\$6\$[./A-Za-z0-9$=]+$")]
    """SHA-512-crypt; nobody keeps the password itself."""


class LiveDestination(Model):
    """Where a live migration goes, and how."""

    host: Text
    """The ComputeNode's name."""
    address: Annotated[str, StringConstraints(max_length=1024)]
    """What the destination's driver said when it was prepared (`status.operation.result.address`)."""
    copy_disks: bool = True
    """False where both hosts see the same disks."""
    abort: bool = False
    """True: give up, and let it run on here."""
    force_complete: bool = False
    """True: finish now, by post-copy or by pausing the guest."""


class GuestOperation(Model):
    """What is to be done, and with what."""

    id: Uuid
    kind: OperationKind
    image: GuestImage | None = None
    """Of Rescue."""
    upload: Upload | None = None
    """Of Snapshot."""
    password: GuestPassword | None = None
    """Of SetPassword, Rescue."""
    peer: Peer | None = None
    """Of FetchDisks: the host that has the disks, and the right to read these alone."""
    destination: LiveDestination | None = None
    """Of LiveMigrate."""
    shut_down: bool = False
    """Of Snapshot: shut it down first."""
    graceful_seconds: Annotated[float, Field(ge=0, le=86400)] | None = None
    """How long the guest may take to shut down, where it has to; the agent's own setting when left out."""


class OperationPhase(enum.StrEnum):
    """How far an operation is."""

    RUNNING = "Running"
    DONE = "Done"
    FAILED = "Failed"
    """It could not be done; the machine is as it was before."""


Bytes = Annotated[int, Field(ge=0, le=2**62)]


class OperationProgress(Model):
    """How far a copy is."""

    memory_total_bytes: Bytes = 0
    memory_processed_bytes: Bytes = 0
    memory_remaining_bytes: Bytes = 0
    disk_total_bytes: Bytes = 0
    disk_processed_bytes: Bytes = 0
    disk_remaining_bytes: Bytes = 0


class GuestOperationStatus(Model):
    """What became of an operation."""

    id: Uuid
    phase: OperationPhase
    reason: Text | None = None
    """Of a failed one, one word: Unsupported, NoSpace, GuestAgentMissing, Aborted, MigrationFailed …"""
    message: LongText | None = None
    progress: OperationProgress | None = None
    result: Annotated[
        dict[str, Annotated[str, StringConstraints(max_length=1024)]], Field(max_length=16)
    ] = {}
    """Of a done one: Snapshot has `sha256` and `sizeBytes`, PrepareIncoming `address`, LiveMigrate
    `downtimeMs`."""
