"""A hypervisor that the contract is tried on, and what a test may do to it behind the driver's back."""

from __future__ import annotations

import asyncio
import itertools
from abc import ABC, abstractmethod
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cairn_agent.drivers.api import Capability, DriverError, MachineEvent
from cairn_agent.drivers.api_operations import MachineImage
from cairn_agent.drivers.driver import Driver
from cairn_crds.guest import GuestConfig, GuestNetwork, GuestSpec, InstanceReference
from cairn_crds.image_source import GuestImage
from contract.guests import COUNTING, GREETING, write_image

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

    def bare_spec(self, image: GuestImage | None = None, **changes: Any) -> GuestSpec:
        """A small machine without an interface: for what is not about any, as libvirt runs some two hundred
        firewall programs for each start and end of a machine that has one."""
        return self.spec(image, networks=[], **changes)

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
