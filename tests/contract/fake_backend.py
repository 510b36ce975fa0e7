"""The fake driver as the contract is tried on it."""

from __future__ import annotations

import json
from pathlib import Path

from cairn_agent.drivers.api import DriverError
from cairn_agent.drivers.api_operations import MachineImage
from cairn_agent.drivers.fake import FakeDriver
from cairn_agent.drivers.fake_store import StoredMachine
from cairn_agent.drivers.fake_wire import SocketWire
from cairn_agent.drivers.settings import FakeSettings, VolumeSettings
from cairn_crds.guest import GuestSpec
from cairn_crds.volume import VolumeBackend
from contract.backends import NODE, Backend, Shape


class FakeBackend(Backend):
    driver: FakeDriver
    greeting = b"boot "

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self._directory = directory / "machines"

    def _new_driver(self) -> FakeDriver:
        volumes = VolumeSettings(shared_directory=self._directory / "shared")
        return FakeDriver(FakeSettings(directory=self._directory), volumes=volumes)

    def break_images(self, error: DriverError | None) -> None:
        for call in ("spawn.image", "rebuild.image"):
            if error is None:
                self.driver.faults.heals(call)
            else:
                self.driver.faults.fails(call, error)

    def stop(self, instance_id: str) -> None:
        self.driver.stop(instance_id)

    def undefine(self, instance_id: str) -> None:
        self.driver.undefine(instance_id)

    def crash(self, instance_id: str) -> None:
        self.driver.crash(instance_id)

    def scribble(self, instance_id: str, text: str) -> None:
        self.driver.scribble(instance_id, text)

    def disk_text(self, instance_id: str) -> str:
        return self._stored(instance_id).disk

    def image_text(self, image: MachineImage) -> str:
        return image.path.read_bytes().rstrip(b"\0").decode()

    def slow_down(self, instance_id: str) -> None:
        assert isinstance(self.driver.wire, SocketWire)
        self.driver.wire.hold(instance_id)

    async def started(self, instance_id: str) -> None:
        """It counts nothing."""

    def silence_agent(self, instance_id: str) -> None:
        self.driver.deafen(instance_id)

    def macs(self, instance_id: str, *, live: bool = False) -> list[str]:
        return list(self._stored(instance_id).shape["macs"])

    def volumes(self, instance_id: str, *, live: bool = False) -> dict[str, bool]:
        return {one["id"]: one["readOnly"] for one in self._stored(instance_id).shape["volumes"]}

    def volume_gib(self, instance_id: str, volume_id: str) -> int:
        [mine] = [one for one in self._stored(instance_id).shape["volumes"] if one["id"] == volume_id]
        return int(mine["sizeGiB"])

    def write_volume(self, volume_id: str, text: str) -> None:
        self.driver.volumes.write(NODE, volume_id, VolumeBackend.LOCAL, text)

    def volume_text(self, volume_id: str) -> str:
        found = self.driver.volumes.find(NODE, volume_id, VolumeBackend.LOCAL)
        return "" if found is None else str(found["content"]).strip()

    def addresses(self, instance_id: str) -> list[str]:
        return []

    def shape(self, instance_id: str) -> Shape:
        shape = self._stored(instance_id).shape
        return Shape(shape["vcpus"], shape["memory_mib"], shape["root_disk_gib"])

    def _stored(self, instance_id: str) -> StoredMachine:
        return StoredMachine(**json.loads((self._directory / f"{instance_id}.json").read_text()))

    def leftovers(self, instance_id: str, spec: GuestSpec) -> list[str]:
        return [str(path) for path in self._directory.glob(f"*{instance_id}*")]
