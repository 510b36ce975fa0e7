"""A guest in one boot sector, and image sources that serve it."""

from __future__ import annotations

import hashlib
from pathlib import Path

from cairn_agent.drivers.api import DriverError
from cairn_crds.image_source import GuestImage

GREETING = b"hello from the guest\r\n"

# Greets on the first serial port, writes back what it reads there, and shuts down when the power button is
# pressed (it polls the ACPI power management block at 0x600, where SeaBIOS puts it). 16-bit, at 0x7c00.
_CODE = bytes.fromhex(
    "fa31c08ed88ed0bc007cfc"  # cli; segments and stack at 0; cld
    "ba0206b80001ef"  # out 0x602, 0x0100: enable the power button
    "be517c"  # mov si, greeting
    "ac84c07405e82500ebf6"  # write until a zero byte
    "fb"  # sti
    "f4"  # loop: hlt until the next timer tick
    "ba0006edf6c4017407"  # was the power button pressed?
    "ba0406b80020ef"  # then out 0x604, 0x2000: power off
    "bafd03eca80174e7"  # is there input? else loop
    "baf803ece80200ebef"  # read it, write it, look for more
    "50bafd03eca82074fb58baf803eec3"  # write: wait until the port is ready, out
)
BOOT_SECTOR = (_CODE + GREETING + b"\0").ljust(510, b"\0") + b"\x55\xaa"
IMAGE_BYTES = 1024**2


def write_image(path: Path, boot_sector: bytes = BOOT_SECTOR) -> GuestImage:
    """A raw image with its name behind the boot sector; without a boot sector the guest hears nobody."""
    content = (boot_sector.ljust(512, b"\0") + path.stem.encode()).ljust(IMAGE_BYTES, b"\0")
    path.write_bytes(content)
    return GuestImage(
        name=path.stem,
        url=path.as_uri(),
        sha256=hashlib.sha256(content).hexdigest(),
        disk_format="raw",
    )


class LocalImages:
    """An image source without a cache: the file at the image's address, or the error that a test ordered."""

    def __init__(self) -> None:
        self.error: DriverError | None = None
        self.kept: set[str] = set()

    async def fetch(self, image: GuestImage) -> Path:
        if self.error is not None:
            raise self.error
        return Path(image.url.removeprefix("file://"))

    async def prune(self, keep: set[str]) -> None:
        self.kept = keep
