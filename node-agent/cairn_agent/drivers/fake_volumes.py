"""Volumes of the fake driver: a small file each that says how large it is and what is on it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cairn_agent.drivers.api_operations import VolumeMissing
from cairn_agent.drivers.settings import VolumeSettings
from cairn_crds.guest import GuestSpec, GuestVolume
from cairn_crds.host_volume import HostVolumeSpec
from cairn_crds.volume import VolumeBackend

SHARED = ""
"""The node of volumes that all nodes see."""


@dataclass
class FakeVolumes:
    """Which volumes there are; with directories they outlive the process."""

    directory: Path | None = None
    """Of local ones."""
    settings: VolumeSettings = field(default_factory=VolumeSettings)
    _known: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)

    def make(self, node: str, volume_id: str, spec: HostVolumeSpec) -> int:
        """As `Volumes.make_volume`."""
        found = self.find(node, volume_id, spec.backend)
        if found is None and spec.made:
            raise VolumeMissing(f"volume {volume_id} is gone from {node}")
        content = {"content": spec.image.name if spec.image else "", "sizeGiB": 0, **(found or {})}
        content["sizeGiB"] = max(content["sizeGiB"], spec.size_gib)
        if content != found:
            self._save(node, volume_id, spec.backend, content)
        return int(content["sizeGiB"])

    def remove(self, node: str, volume_id: str, backend: VolumeBackend) -> None:
        """It is not there afterwards."""
        self._known.pop(self._key(node, volume_id, backend), None)
        if (path := self._path(volume_id, backend)) is not None:
            path.unlink(missing_ok=True)

    def find(self, node: str, volume_id: str, backend: VolumeBackend) -> dict[str, Any] | None:
        """What there is of it."""
        path = self._path(volume_id, backend)
        if path is None:
            return self._known.get(self._key(node, volume_id, backend))
        try:
            found: dict[str, Any] = json.loads(path.read_text())
        except FileNotFoundError:
            return None
        return found

    def plugged(self, node: str, spec: GuestSpec) -> list[dict[str, Any]]:
        """The volumes of a machine as its shape has them; grown where the spec says. Raises VolumeMissing."""
        return [self.shape(node, volume) for volume in spec.volumes]

    def shape(self, node: str, volume: GuestVolume) -> dict[str, Any]:
        """One of them. Raises VolumeMissing."""
        found = self._require(node, volume)
        if found["sizeGiB"] < volume.size_gib:
            found = {**found, "sizeGiB": volume.size_gib}
            self._save(node, volume.id, volume.backend, found)
        return {"id": volume.id, "sizeGiB": found["sizeGiB"], "readOnly": volume.read_only}

    def copy(self, node: str, old: GuestVolume, new: GuestVolume) -> None:
        """What is on `old` is on `new` afterwards. Raises VolumeMissing."""
        self.fill(node, new, self.content(node, old))

    def content(self, node: str, volume: GuestVolume) -> str:
        """What is on it. Raises VolumeMissing."""
        return str(self._require(node, volume)["content"])

    def fill(self, node: str, volume: GuestVolume, content: str) -> None:
        """That is on it afterwards, and nothing else. Raises VolumeMissing."""
        self._save(node, volume.id, volume.backend, {**self._require(node, volume), "content": content})

    def write(self, node: str, volume_id: str, backend: VolumeBackend, text: str) -> None:
        """A guest writes something to it."""
        found = self.find(node, volume_id, backend) or {}
        self._save(node, volume_id, backend, {**found, "content": f"{found.get('content', '')} {text}"})

    def _require(self, node: str, volume: GuestVolume) -> dict[str, Any]:
        found = self.find(node, volume.id, volume.backend)
        if found is None:
            raise VolumeMissing(f"volume {volume.id} is not on {node}")
        return found

    def _save(self, node: str, volume_id: str, backend: VolumeBackend, content: dict[str, Any]) -> None:
        path = self._path(volume_id, backend)
        if path is None:
            self._known[self._key(node, volume_id, backend)] = content
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = path.with_suffix(".tmp")
        scratch.write_text(json.dumps(content))
        scratch.replace(path)

    def _path(self, volume_id: str, backend: VolumeBackend) -> Path | None:
        shared = backend is VolumeBackend.SHARED
        directory = self.settings.shared_directory if shared else self.directory
        return None if directory is None else directory / "volumes" / f"{volume_id}.volume"

    @staticmethod
    def _key(node: str, volume_id: str, backend: VolumeBackend) -> tuple[str, str]:
        return (SHARED if backend is VolumeBackend.SHARED else node, volume_id)
