"""What is asked for of volumes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cairn_crds.volume import VolumeSpec


@dataclass(frozen=True, kw_only=True)
class NewVolume:
    """A volume to make."""

    id: str
    project: str
    namespace: str
    name: str
    spec: VolumeSpec
    image: dict[str, Any] | None = None
    """The ImageSpec in API form, with `name`, that it is made from."""
    resource_uid: str | None = None


@dataclass(frozen=True, kw_only=True)
class VolumeWant:
    """One volume to give an instance."""

    volume_id: str
    device: str | None = None
    boot_index: int | None = None
    read_only: bool = False
    delete_on_termination: bool = False
    tag: str | None = None
    bus: str | None = None
    attachment_id: str | None = None
    """A new one when None."""
    new: NewVolume | None = None
    """To be made first; only where the instance itself is new."""
