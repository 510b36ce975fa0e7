"""The hypervisors that the contract is tried on, and what a test may do to them behind the driver's back."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import shutil
import tempfile
import uuid
from abc import ABC, abstractmethod
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, fromstring

import libvirt

from cairn_agent.config_drive import build_config_drive
from cairn_agent.drivers.api import Capability, DriverError, MachineEvent
from cairn_agent.drivers.api_operations import MachineImage
from cairn_agent.drivers.driver import Driver
from cairn_agent.drivers.fake import FakeDriver
from cairn_agent.drivers.fake_store import StoredMachine
from cairn_agent.drivers.fake_wire import SocketWire
from cairn_agent.drivers.libvirt.driver import LibvirtDriver
from cairn_agent.drivers.libvirt.storage import MachineFiles
from cairn_agent.drivers.settings import FakeSettings, LibvirtSettings, VolumeSettings
from cairn_crds.guest import GuestConfig, GuestNetwork, GuestSpec, InstanceReference
from cairn_crds.image_source import GuestImage
from cairn_crds.volume import VolumeBackend
from contract.disks import SCRIBBLES, SECTOR, disk_content, run, text_of
from contract.guests import COUNTING, GREETING, LocalImages, write_image
from contract.room import Room

NODE = "node-1"
COUNTED = 100
"""How much a machine has written that counts, in bytes."""
PATIENCE = 60
"""Seconds until a test gives up waiting for what must come."""
_numbers = itertools.count(10)


@dataclass(frozen=True)
class Shape:
    """How large a machine is."""

    vcpus: int
    memory_mib: int
    root_disk_gib: int


class Events:
    """What a driver told."""

    def __init__(self) -> None:
        self._seen: Counter[MachineEvent] = Counter()
        self._news = asyncio.Event()

    def __call__(self, event: MachineEvent) -> None:
        self._seen[event] += 1
        self._news.set()

    def clear(self) -> None:
        self._seen.clear()

    async def wait_for(self, instance_id: str, node: str = NODE) -> None:
        """Until there was an event of that machine since `clear`."""
        async with asyncio.timeout(PATIENCE):
            while not self._seen[MachineEvent(node, instance_id)]:
                self._news.clear()
                await self._news.wait()


class Backend(ABC):
    """One hypervisor, for one test. `restart` gives the driver that the next agent process would have."""

    driver: Driver
    node = NODE
    can_crash = True
    """Whether a machine's process can die."""
    can_hold_on = False
    """Whether a guest can refuse to let go of a device."""
    survives_restart = True
    """Whether machines are still there when the driver is opened again."""
    greeting: bytes = GREETING
    """What the guest writes to its console, once per boot."""

    def __init__(self, directory: Path) -> None:
        self.events = Events()
        self.listening = write_image(directory / "listening.raw")
        self.deaf = write_image(directory / "deaf.raw", boot_sector=b"")
        self.counting = write_image(directory / "counting.raw", boot_sector=COUNTING)

    async def restart(self) -> Driver:
        """Close the driver and open another on the same hypervisor."""
        await self.driver.close()
        self.driver = self._new_driver()
        await self.driver.open(self.events)
        return self.driver

    async def open(self) -> None:
        self.driver = self._new_driver()
        await self.driver.open(self.events)

    async def close(self) -> None:
        for machine in await self.driver.machines(self.node):
            await self.driver.destroy(self.node, machine.instance_id)
        await self.driver.close()

    def spec(self, image: GuestImage | None = None, **changes: Any) -> GuestSpec:
        """A small machine with one interface of its own address."""
        number = next(_numbers)
        network = GuestNetwork(
            network="contract",
            cidr="10.77.0.0/16",
            gateway="10.77.0.1",
            mac=f"52:54:00:77:{number // 256:02x}:{number % 256:02x}",
            address=f"10.77.{number // 256}.{number % 256}",
        )
        values: dict[str, Any] = {
            "instance": InstanceReference(namespace="team-a", name=f"machine-{number}", project="a"),
            "fencing_epoch": 3,
            "vcpus": 1,
            "memory_mib": 32,
            "image": image or self.listening,
            "networks": [network],
            "config": GuestConfig(hostname=f"machine-{number}"),
        }
        return GuestSpec(**(values | changes))

    @abstractmethod
    def _new_driver(self) -> Driver: ...

    @abstractmethod
    def break_images(self, error: DriverError | None) -> None:
        """Make fetching images fail, or (None) work again."""

    @abstractmethod
    def stop(self, instance_id: str) -> None:
        """As `virsh destroy`."""

    @abstractmethod
    def undefine(self, instance_id: str) -> None:
        """As `virsh undefine`; the machine is off."""

    @abstractmethod
    def crash(self, instance_id: str) -> None:
        """The machine's process is killed."""

    @abstractmethod
    def scribble(self, instance_id: str, text: str) -> None:
        """Write to the root disk of a machine that is off, as its guest would."""

    @abstractmethod
    def disk_text(self, instance_id: str) -> str:
        """What is on the root disk of a machine that is off: its image's name, and what was scribbled."""

    @abstractmethod
    def image_text(self, image: MachineImage) -> str:
        """The same of an image."""

    @abstractmethod
    def shape(self, instance_id: str) -> Shape:
        """How large the machine is, once it is started anew."""

    async def greeted(self, instance_id: str) -> None:
        """Until a guest of the listening image has come up, where that can be seen."""
        if Capability.CONSOLE_LOG not in self.driver.capabilities:
            return
        async with asyncio.timeout(PATIENCE):
            log = b""
            while self.greeting not in log:
                await asyncio.sleep(0.02)
                log = await self.driver.console_log(self.node, instance_id, 1024**2)

    def lose_patience(self) -> None:  # noqa: B027 - most wait for nobody
        """Let the driver wait for guests no longer than a second."""

    def silence_agent(self, instance_id: str) -> None:  # noqa: B027 - most guests of the tests have none
        """The guest agent answers no more; the machine runs."""

    @abstractmethod
    def macs(self, instance_id: str, *, live: bool = False) -> list[str]:
        """Of the machine's interfaces, at its next start or now."""

    @abstractmethod
    def volumes(self, instance_id: str, *, live: bool = False) -> dict[str, bool]:
        """The ids of the machine's volumes, at its next start or now, and whether it only reads them."""

    @abstractmethod
    def volume_gib(self, instance_id: str, volume_id: str) -> int:
        """How large the machine sees a volume."""

    @abstractmethod
    def write_volume(self, volume_id: str, text: str) -> None:
        """Write to a local volume that no running machine has."""

    @abstractmethod
    def volume_text(self, volume_id: str) -> str:
        """What `write_volume` wrote to a local volume that no running machine has."""

    @abstractmethod
    def addresses(self, instance_id: str) -> list[str]:
        """That a running machine may send from."""

    def slow_down(self, instance_id: str) -> None:
        """Let the machine's next live migration not end by itself; it is off."""
        raise NotImplementedError

    @abstractmethod
    async def started(self, instance_id: str) -> None:
        """Until a machine that counts has begun to, where that can be seen."""

    @abstractmethod
    def leftovers(self, instance_id: str, spec: GuestSpec) -> list[str]:
        """All that is still there of a machine."""


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
        return text_of(disk_content(image.path, image.disk_format))

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
