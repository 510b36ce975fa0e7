"""A guest in one boot sector, and image sources that serve it."""

from __future__ import annotations

import hashlib
from pathlib import Path

from cairn_agent.drivers.api import DriverError
from cairn_crds.image_source import GuestImage

GREETING = b"hello from the guest\r\n"

NMI = b"NMI received\r\n"

# Greets on the first serial port, writes back what it reads there, says so when it gets an NMI, lets go of
# PCI cards that are to go, and shuts down when the power button is pressed (it polls the ACPI blocks for
# power at 0x600 and for PCI at 0xcc0, where SeaBIOS and QEMU's q35 put them). 16-bit, at 0x7c00.
_CODE = bytes.fromhex(
    "fa31c08ed88ed0bc007cfc"  # cli; segments and stack at 0; cld
    "c7060800627ca30a00"  # the handler of NMIs
    "ba0206b80001ef"  # out 0x602, 0x0100: enable the power button
    "be947ce84a00fb"  # write the greeting; sti
    "f4"  # loop: hlt until the next timer tick
    "ba0006edf6c4017407"  # was the power button pressed?
    "ba0406b80020ef"  # then out 0x604, 0x2000: power off
    "6631db"  # for ebx from 0
    "bad00c6689d866ef"  # out 0xcd0, ebx: choose that PCI bus
    "b2c466ed6685c07404"  # in 0xcc4: are there cards that are to go?
    "b2c866ef"  # then out 0xcc8: let go of them
    "4380fb2072e5"  # to 31
    "bafd03eca80174c9"  # is there input? else loop
    "baf803ece81600ebef"  # read it, write it, look for more
    "60be857ce8020061cf"  # an NMI: write that
    "ac84c07405e80300ebf6c3"  # write until a zero byte
    "50bafd03eca82074fb58baf803eec3"  # write: wait until the port is ready, out
)
BOOT_SECTOR = (_CODE + NMI + b"\0" + GREETING + b"\0").ljust(510, b"\0") + b"\x55\xaa"

# Counts the timer's ticks on the first serial port, a line of eight hexadecimal digits each. Each tick it
# fills 448 KiB of its memory, and every eighth it writes the count to the disk's sector 64. 16-bit, 0x7c00.
_COUNTING = bytes.fromhex(
    "fa31c08ed88ed0bc007cfc"  # cli; segments and stack at 0; cld
    "8816fc7d6631edfb"  # keep the number of the boot disk; ebp = 0; sti
    "f46645"  # loop: hlt until the next timer tick, count it
    "bb00108ec331ffb900406689e866f3ab80c71080ff8072eb"  # fill segments 0x1000 to 0x7000 with the count
    "bf00801e07b908006689ea"  # its digits go to 0x8000
    "66c1c20488d0240f04303c3976020427aa52e823005ae2e8"  # and to the port, one by one
    "b00de81b00b00ae81600"  # carriage return, line feed
    "f7c5070075b2"  # every eighth time
    "be807c8a16fc7db8004355cd135deba2"  # write 0x8000 to the disk by what the packet says (int 0x13, 0x43)
    "50bafd03eca82074fb58baf803eec3"  # write: wait until the port is ready, out
    "100001000080000040000000"  # packet: one sector, from 0:0x8000, to sector 64
    "00000000"
)
COUNTING = _COUNTING.ljust(510, b"\0") + b"\x55\xaa"
COUNT_PLACE = 64 * 512
"""Where the counting guest's count is on its disk."""
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
