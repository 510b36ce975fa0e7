"""The libvirt driver as the contract is tried on it: over libvirt's test hypervisor, and over QEMU."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import tempfile
import uuid
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, fromstring

import libvirt

from cairn_agent.config_drive import build_config_drive
from cairn_agent.drivers.api import DriverError
from cairn_agent.drivers.api_operations import MachineImage
from cairn_agent.drivers.libvirt.driver import LibvirtDriver
from cairn_agent.drivers.libvirt.storage import MachineFiles
from cairn_agent.drivers.settings import LibvirtSettings, VolumeSettings
from cairn_crds.guest import GuestSpec
from contract.backends import COUNTED, PATIENCE, Backend, Shape
from contract.disks import SCRIBBLES, SECTOR, disk_content, run, text_of
from contract.guests import LocalImages
from contract.room import Room


class LibvirtBackend(Backend):
    """Either kind of libvirt connection; `connection` is the test's own."""

    driver: LibvirtDriver

    def __init__(self, directory: Path, uri: str, **settings: Any) -> None:
        super().__init__(directory)
        self.uri = uri
        self.images = LocalImages()
        # Unix sockets have short paths, which pytest's own directories are not.
        self._run_directory = Path(tempfile.mkdtemp(prefix="cairn-"))
        values: dict[str, Any] = {
            "uri": uri,
            "instances_directory": directory / "instances",
            "images_directory": directory / "images",
            "run_directory": self._run_directory,
            "soft_reboot_seconds": PATIENCE,
            "keepalive_seconds": 1,
            "reconnect_max_seconds": 0.2,
        }
        self.settings = LibvirtSettings(**(values | settings))
        self.volume_settings = VolumeSettings(
            local_directory=directory / "volumes", shared_directory=directory / "shared"
        )
        self.connection = libvirt.open(uri)

    def _new_driver(self) -> LibvirtDriver:
        return LibvirtDriver(self.settings, self.images, build_config_drive, self.volume_settings)

    async def close(self) -> None:
        await super().close()
        self.connection.close()
        shutil.rmtree(self._run_directory)

    def break_images(self, error: DriverError | None) -> None:
        self.images.error = error

    def stop(self, instance_id: str) -> None:
        self.connection.lookupByUUIDString(instance_id).destroy()

    def undefine(self, instance_id: str) -> None:
        self.connection.lookupByUUIDString(instance_id).undefine()

    def reconnect(self) -> None:
        """After libvirtd was started anew."""
        with contextlib.suppress(libvirt.libvirtError):
            self.connection.close()
        self.connection = libvirt.open(self.uri)

    def files(self, instance_id: str) -> MachineFiles:
        """Of a machine."""
        return MachineFiles(self.settings.instances_directory / instance_id, self._run_directory)

    def scribble(self, instance_id: str, text: str) -> None:
        disk = self.files(instance_id).root
        place = SCRIBBLES + SECTOR * len(disk_content(disk, "qcow2")[SCRIBBLES:].rstrip(b"\0")[::SECTOR])
        pattern = self._run_directory / "scribble"
        pattern.write_bytes(f" {text}".encode().ljust(SECTOR, b"\0"))
        run("qemu-io", "-f", "qcow2", "-c", f"write -s {pattern} {place} {SECTOR}", disk)
        pattern.unlink()

    def disk_text(self, instance_id: str) -> str:
        return text_of(disk_content(self.files(instance_id).root, "qcow2"))

    def image_text(self, image: MachineImage) -> str:
        return text_of(disk_content(image.path, image.disk_format, alone=True))

    def shape(self, instance_id: str) -> Shape:
        definition = self.definition(instance_id)
        info = json.loads(run("qemu-img", "info", "-U", "--output=json", self.files(instance_id).root))
        return Shape(
            vcpus=int(definition.findtext("vcpu") or 0),
            memory_mib=int(definition.findtext("memory") or 0) // 1024,
            root_disk_gib=info["virtual-size"] // 1024**3,
        )

    def macs(self, instance_id: str, *, live: bool = False) -> list[str]:
        found = self.definition(instance_id, live=live).iterfind("devices/interface/mac")
        return [mac.get("address", "") for mac in found]

    def volumes(self, instance_id: str, *, live: bool = False) -> dict[str, bool]:
        found = self._volume_disks(instance_id, live=live)
        return {volume_id: disk.find("readonly") is not None for volume_id, disk in found.items()}

    def _volume_disks(self, instance_id: str, *, live: bool) -> dict[str, Element]:
        disks = self.definition(instance_id, live=live).iterfind("devices/disk[serial]")
        files = ((disk.find("source"), disk) for disk in disks)
        return {Path(file.get("file", "")).stem: disk for file, disk in files if file is not None}

    def write_volume(self, volume_id: str, text: str) -> None:
        pattern = self._run_directory / "written"
        pattern.write_bytes(text.encode().ljust(SECTOR, b"\0"))
        run("qemu-io", "-f", "qcow2", "-c", f"write -s {pattern} 0 {SECTOR}", self._volume(volume_id))
        pattern.unlink()

    def volume_text(self, volume_id: str) -> str:
        return disk_content(self._volume(volume_id), "qcow2")[:SECTOR].rstrip(b"\0").decode()

    def _volume(self, volume_id: str) -> Path:
        directory = self.volume_settings.local_directory
        return directory / f"{volume_id}.qcow2"

    def volume_gib(self, instance_id: str, volume_id: str) -> int:
        domain = self.connection.lookupByUUIDString(instance_id)
        mine = self._volume_disks(instance_id, live=bool(domain.isActive()))[volume_id]
        target = mine.find("target")
        assert target is not None
        return int(domain.blockInfo(target.get("dev"))[0]) // 1024**3

    def addresses(self, instance_id: str) -> list[str]:
        live = self.definition(instance_id, live=True)
        return [p.get("value", "") for p in live.iterfind("devices/interface/filterref/parameter")]

    def definition(self, instance_id: str, *, live: bool = False) -> Element:
        """The machine's libvirt XML, as it is or as it will be at its next start."""
        domain = self.connection.lookupByUUIDString(instance_id)
        return fromstring(domain.XMLDesc(0 if live else libvirt.VIR_DOMAIN_XML_INACTIVE))  # noqa: S314

    def leftovers(self, instance_id: str, spec: GuestSpec) -> list[str]:
        places = (self.settings.instances_directory, self.settings.run_directory)
        found = [str(path) for place in places for path in place.glob(f"*{instance_id}*")]
        found += [str(path) for place in places for path in place.glob(f".*{instance_id}*")]
        domains = {domain.UUIDString() for domain in self.connection.listAllDomains()}
        if instance_id in domains:
            found.append("domain")
        for network in self.connection.listAllNetworks():
            found += [f"DHCP entry {n.mac}" for n in spec.networks if n.mac in network.XMLDesc()]
        return found


class LibvirtTestBackend(LibvirtBackend):
    """libvirt's in-memory hypervisor; it forgets all when its last connection is closed."""

    can_crash = False

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, "test:///default")

    def crash(self, instance_id: str) -> None:
        raise NotImplementedError

    async def started(self, instance_id: str) -> None:
        """Its guests do nothing."""


class SecretTestBackend(LibvirtTestBackend):
    """One that no other connection of the process sees: another host."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        self.survives_restart = False
        definition = directory / "host.xml"
        definition.write_text("<node/>")
        LibvirtBackend.__init__(self, directory, f"test://{definition}")

    async def open(self) -> None:
        await super().open()
        self.connection.close()
        self.connection = self.driver.workshop().connection.libvirt

    async def close(self) -> None:
        self.connection = libvirt.open("test:///default")  # its own goes with the driver
        await super().close()


class LibvirtQemuBackend(LibvirtBackend):
    """Real guests, emulated."""

    can_hold_on = True

    def __init__(self, room: Room, **settings: Any) -> None:
        self.room = room
        self._directory = room.directory / uuid.uuid4().hex[:6]
        self._directory.mkdir()
        if room.address is not None:
            settings["migration_uri"] = f"qemu+tcp://{room.address}/system"
        super().__init__(self._directory, room.uri, **settings)

    async def close(self) -> None:
        await super().close()
        shutil.rmtree(self._directory)

    def crash(self, instance_id: str) -> None:
        self.room.kill_qemu(instance_id)

    def lose_patience(self) -> None:
        self.driver._settings = self.settings.model_copy(
            update={"detach_seconds": 1, "guest_agent_seconds": 1}
        )

    def slow_down(self, instance_id: str) -> None:
        """With a megabyte a second it cannot keep up with what the counting guest writes to its memory."""
        self.settings = self.settings.model_copy(update={"migration_bandwidth_mib": 1})
        self.driver._settings = self.settings

    async def started(self, instance_id: str) -> None:
        async with asyncio.timeout(PATIENCE):
            counted = False
            while not counted:
                await asyncio.sleep(0.05)
                counted = len(await self.driver.console_log(self.node, instance_id, 1024)) >= COUNTED
