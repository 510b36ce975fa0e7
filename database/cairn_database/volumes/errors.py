"""What can go wrong with volumes, as types.

DatabaseError
├── VolumeNotFound, VolumeNotAttached
├── VolumeInUse, VolumeGoing
├── VolumeElsewhere, VolumesStay   (the latter an ActionRefused) local volumes and hosts that do not agree
│   └── VolumeStaysBehind    (a VolumeElsewhere)
├── RootVolume, VolumeNotBootable
├── VolumeSwapping, VolumeTooSmall, VolumeNotSwappable
├── VolumeBacked             (an ActionRefused)
│   └── RescueNotStable
└── TooManyVolumes
"""

from __future__ import annotations

from cairn_database.errors import DatabaseError
from cairn_database.legality import ActionRefused

RESCUE_PROPERTIES = ("hw_rescue_bus", "hw_rescue_device")
"""Of images, by Nova's names: how the rescue disk of a server that boots from a volume is put beside the
server's own."""


class VolumeNotFound(DatabaseError):
    """There is no such volume, or not in that project."""

    def __init__(self, volume: str) -> None:
        super().__init__(f"Volume {volume} could not be found.")


class VolumeNotAttached(DatabaseError):
    """The instance does not have it."""

    def __init__(self, volume: str, instance_id: str) -> None:
        super().__init__(f"Volume {volume} is not attached to instance {instance_id}.")


class VolumeInUse(DatabaseError):
    """An instance has it already."""

    def __init__(self, volume: str, instance_ids: list[str]) -> None:
        self.instance_ids = instance_ids
        super().__init__(
            f"Volume {volume} is attached to {', '.join(instance_ids)}. Detach it there first; only a volume "
            "with multiAttach goes to several instances, and to each read-only."
        )


class VolumeGoing(DatabaseError):
    """It is being deleted, or cannot be had."""

    def __init__(self, volume: str, why: str) -> None:
        super().__init__(f"Volume {volume} cannot be used: {why}")


class VolumeSwapping(DatabaseError):
    """Something is being done to the attachment."""

    def __init__(self, volume: str, change: str) -> None:
        super().__init__(f"Volume {volume} is {change}: wait until its host has done that.")


class VolumeTooSmall(DatabaseError):
    """What is on the old one does not fit."""

    def __init__(self, volume: str, size_gib: int, needed_gib: int) -> None:
        super().__init__(
            f"New volume must be the same size or larger: {volume} has {size_gib} GiB, and the old one "
            f"{needed_gib} GiB."
        )


class VolumeNotSwappable(DatabaseError):
    """One of the two is of a kind that is not copied."""


class VolumeElsewhere(DatabaseError):
    """A local volume is on another host than the instance."""

    def __init__(self, volume: str, host: str, instance_host: str) -> None:
        super().__init__(
            f"Volume {volume} is on the disk of host {host}, and the instance is on {instance_host}: attach "
            "a volume with backend Shared, or one that is on that host."
        )


class VolumeStaysBehind(VolumeElsewhere):
    """A local volume is wanted by an instance that may yet go back to the host that it was resized from."""

    def __init__(self, volume: str, instance_id: str, host: str, other: str) -> None:
        DatabaseError.__init__(
            self,
            f"Instance {instance_id} has moved to host {host} and may go back to {other}: volume {volume}, "
            "on that host's own disk, would stay behind. Confirm or revert first, or attach a volume with "
            "backend Shared.",
        )


class VolumesStay(ActionRefused):
    """An instance cannot leave its host, because a local volume of it is there."""

    def __init__(self, instance_id: str, volumes: list[str], host: str) -> None:
        super().__init__("leave", instance_id, "host", host)
        DatabaseError.__init__(
            self,
            f"Instance {instance_id} cannot leave host {host}: its volumes {', '.join(volumes)} are on that "
            "host's own disk. Detach them first; volumes with backend Shared move along.",
        )


class RootVolume(DatabaseError):
    """The machine boots from it."""

    def __init__(self, volume: str) -> None:
        super().__init__(f"Cannot detach a root device volume: instance boots from volume {volume}.")


class VolumeBacked(ActionRefused):
    """The instance boots from a volume, and the action is about a root disk of its own."""

    def __init__(self, action: str, instance_id: str) -> None:
        super().__init__(action, instance_id, "root device", "a volume")


class RescueNotStable(VolumeBacked):
    """It boots from a volume, and the image is not one to rescue such with."""

    def __init__(self, instance_id: str) -> None:
        super().__init__("rescue", instance_id)
        DatabaseError.__init__(
            self,
            f"Cannot rescue instance {instance_id}, which boots from a volume, with that image: choose one "
            f"with the properties {' and '.join(RESCUE_PROPERTIES)}.",
        )


class VolumeNotBootable(DatabaseError):
    """Nothing to boot from is on it."""

    def __init__(self, volume: str) -> None:
        super().__init__(f"Block Device {volume} is not bootable.")


class TooManyVolumes(DatabaseError):
    """A machine has room for so many."""

    def __init__(self, instance_id: str, most: int) -> None:
        super().__init__(f"Instance {instance_id} has {most} volumes, and no machine takes more.")
