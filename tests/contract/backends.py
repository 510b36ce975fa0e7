"""The hypervisors that the contract is tried on, and what a test may do to them behind the driver's back."""

from __future__ import annotations

import asyncio
import itertools
import shutil
import tempfile
import uuid
from abc import ABC, abstractmethod
from collections import Counter
from pathlib import Path
from typing import Any

import libvirt

from cairn_agent.config_drive import build_config_drive
from cairn_agent.drivers.api import DriverError, MachineEvent
from cairn_agent.drivers.driver import Driver
from cairn_agent.drivers.fake import FakeDriver
from cairn_agent.drivers.libvirt.driver import LibvirtDriver
from cairn_agent.drivers.settings import FakeSettings, LibvirtSettings
from cairn_crds.guest import GuestConfig, GuestNetwork, GuestSpec, InstanceReference
from cairn_crds.image_source import GuestImage
from contract.guests import GREETING, LocalImages, write_image
from contract.room import Room

NODE = "node-1"
PATIENCE = 60
"""Seconds until a test gives up waiting for what must come."""
_numbers = itertools.count(10)


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
    can_crash = True
    """Whether a machine's process can die."""
    greeting: bytes = GREETING
    """What the guest writes to its console, once per boot."""

    def __init__(self, directory: Path) -> None:
        self.events = Events()
        self.listening = write_image(directory / "listening.raw")
        self.deaf = write_image(directory / "deaf.raw", boot_sector=b"")

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
        for machine in await self.driver.machines(NODE):
            await self.driver.destroy(NODE, machine.instance_id)
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
    def leftovers(self, instance_id: str, spec: GuestSpec) -> list[str]:
        """All that is still there of a machine."""


class FakeBackend(Backend):
    driver: FakeDriver
    greeting = b"boot "

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self._directory = directory / "machines"

    def _new_driver(self) -> FakeDriver:
        return FakeDriver(FakeSettings(directory=self._directory))

    def break_images(self, error: DriverError | None) -> None:
        if error is None:
            self.driver.faults.heals("spawn.image")
        else:
            self.driver.faults.fails("spawn.image", error)

    def stop(self, instance_id: str) -> None:
        self.driver.stop(instance_id)

    def undefine(self, instance_id: str) -> None:
        self.driver.undefine(instance_id)

    def crash(self, instance_id: str) -> None:
        self.driver.crash(instance_id)

    def leftovers(self, instance_id: str, spec: GuestSpec) -> list[str]:
        return [str(path) for path in self._directory.glob(f"*{instance_id}*")]


class LibvirtBackend(Backend):
    """Either kind of libvirt connection; `connection` is the test's own."""

    driver: LibvirtDriver

    def __init__(self, directory: Path, uri: str) -> None:
        super().__init__(directory)
        self.uri = uri
        self.images = LocalImages()
        # Unix sockets have short paths, which pytest's own directories are not.
        self._run_directory = Path(tempfile.mkdtemp(prefix="cairn-"))
        self.settings = LibvirtSettings(
            uri=uri,
            instances_directory=directory / "instances",
            images_directory=directory / "images",
            run_directory=self._run_directory,
            soft_reboot_seconds=PATIENCE,
            keepalive_seconds=1,
            reconnect_max_seconds=0.2,
        )
        self.connection = libvirt.open(uri)

    def _new_driver(self) -> LibvirtDriver:
        return LibvirtDriver(self.settings, self.images, build_config_drive)

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


class LibvirtQemuBackend(LibvirtBackend):
    """Real guests, emulated."""

    def __init__(self, room: Room) -> None:
        self.room = room
        self._directory = room.directory / uuid.uuid4().hex[:6]
        self._directory.mkdir()
        super().__init__(self._directory, room.uri)

    async def close(self) -> None:
        await super().close()
        shutil.rmtree(self._directory)

    def crash(self, instance_id: str) -> None:
        self.room.kill_qemu(instance_id)
