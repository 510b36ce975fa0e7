"""Guests of the demo image: real Linux, with a root shell on its serial console."""

from __future__ import annotations

import asyncio
import itertools
from typing import Self

from cairn_crds.guest import GuestSpec
from cairn_crds.image_source import GuestImage
from cairn_local.images import BuiltImage
from cairn_local.images.demo import PROPERTIES
from contract.backends import NODE, PATIENCE
from contract.libvirt_backends import LibvirtQemuBackend

_numbers = itertools.count(1)


def guest_image(built: BuiltImage) -> GuestImage:
    """The image as guests are made from it."""
    return GuestImage(
        name="demo",
        url=built.path.as_uri(),
        sha256=built.sha256,
        disk_format="qcow2",
        properties=PROPERTIES,
    )


async def console_says(backend: LibvirtQemuBackend, instance_id: str, text: str) -> None:
    """Until it is in the console log."""
    async with asyncio.timeout(2 * PATIENCE):
        said = False
        while not said:
            await asyncio.sleep(0.05)
            said = text.encode() in await backend.driver.console_log(NODE, instance_id, 1024**2)


class DemoGuest:
    """One that is up, and somebody at its serial console."""

    def __init__(self, backend: LibvirtQemuBackend, instance_id: str, spec: GuestSpec) -> None:
        self.backend = backend
        self.instance_id = instance_id
        self.spec = spec
        """What it was made with."""

    @classmethod
    async def boot(cls, backend: LibvirtQemuBackend, instance_id: str, built: BuiltImage) -> Self:
        """Make it, start it, and wait for its shell."""
        spec = backend.spec(image=guest_image(built), memory_mib=128)
        await backend.driver.spawn(NODE, instance_id, spec, _silent)
        await backend.driver.power_on(NODE, instance_id)
        await console_says(backend, instance_id, "cairn-demo: ready")
        return cls(backend, instance_id, spec)

    async def run(self, command: str) -> str:
        """What a command writes, typed at the console."""
        end = f"end-{next(_numbers)}"
        reader, writer = await asyncio.open_unix_connection(
            await self.backend.driver.serial_console(NODE, self.instance_id)
        )
        try:
            # What is typed is written back: only what the shell makes of it is the marks themselves.
            writer.write(f"\necho be''gin; {command}; echo {end[0]}''{end[1:]}\n".encode())
            async with asyncio.timeout(PATIENCE):
                text = (await reader.readuntil(f"{end}\r\n".encode())).decode()
        finally:
            writer.close()
            await writer.wait_closed()
        return text.rpartition("begin\r\n")[2].rpartition(end)[0].replace("\r\n", "\n").strip()

    async def disk(self, volume_id: str) -> str:
        """The name that the guest has for a volume, by its serial number; empty where it has none."""
        return await self.run(f"grep -l {volume_id[:20]} /sys/block/*/serial 2>/dev/null | cut -d/ -f4")

    async def until_disk(self, volume_id: str) -> str:
        """The same, once it is there: the guest finds it a moment after it was plugged in."""
        async with asyncio.timeout(PATIENCE):
            name = ""
            while not name:
                await asyncio.sleep(0.1)
                name = await self.disk(volume_id)
            return name


async def _silent(_step: object) -> None:
    """Nobody asks."""
