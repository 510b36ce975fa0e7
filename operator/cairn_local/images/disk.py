"""Make bootable disk images with files alone: no mount, no loop device, no root.

The layout is the plainest that a BIOS boots: an MBR, and a FAT partition with syslinux, a kernel and an
initramfs; a root partition behind it where there is one.
"""

from __future__ import annotations

import os
import struct
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cairn_local.images.store import BuildError

MIB = 1024**2
SECTOR = 512
BOOT_START = MIB
"""Where the boot partition begins; the sectors between the MBR and it are unused."""

_FAT16_LBA, _LINUX = 0x0E, 0x83
_ACTIVE = 0x80
_MBR_CODE = ("/usr/lib/syslinux/mbr/mbr.bin", "/usr/share/syslinux/mbr.bin")

PROGRAMS = (
    ("mformat", "mtools"),
    ("mcopy", "mtools"),
    ("syslinux", "syslinux"),
    ("qemu-img", "qemu-utils"),
)
"""What this needs, with the Debian packages (and syslinux-common for the MBR's code)."""


@dataclass(frozen=True)
class Partition:
    """An entry of the MBR; start and size in bytes, multiples of a sector."""

    start: int
    size: int
    kind: int
    active: bool = False


def write_boot_disk(
    disk: Path, boot_files: Mapping[str, bytes], boot_size: int, root: Path | None = None
) -> None:
    """Write a raw disk that boots with `boot_files` (`syslinux.cfg` among them).

    root: a file system image that becomes the second partition. Raises BuildError.
    """
    partitions = [Partition(BOOT_START, boot_size, _FAT16_LBA, active=True)]
    end = BOOT_START + boot_size
    if root is not None:
        partitions.append(Partition(end, root.stat().st_size, _LINUX))
        end += root.stat().st_size
    with disk.open("wb") as file:
        file.write(_mbr_code())
        file.seek(440)
        file.write(struct.pack("<IH", 0x6E726163, 0))  # a disk signature that is the same in every build
        for partition in partitions:
            file.write(_entry(partition))
        file.seek(510)
        file.write(b"\x55\xaa")
        file.truncate(end)
    _fill_boot_partition(disk, boot_files, boot_size)
    if root is not None:
        run("dd", f"if={root}", f"of={disk}", "bs=1M", f"seek={partitions[1].start // MIB}",
            "conv=notrunc,sparse", "status=none")  # fmt: skip


def to_qcow2(disk: Path, image: Path, *, compressed: bool = False) -> None:
    """Convert a raw disk. Raises BuildError."""
    run(
        "qemu-img",
        "convert",
        "-f",
        "raw",
        "-O",
        "qcow2",
        *(["-c"] if compressed else []),
        str(disk),
        str(image),
    )


def _mbr_code() -> bytes:
    for place in _MBR_CODE:
        if Path(place).exists():
            return Path(place).read_bytes()[:440]
    raise BuildError("syslinux's mbr.bin is missing: apt-get install --no-install-recommends syslinux-common")


def _entry(partition: Partition) -> bytes:
    """Addressed by sector number; the old cylinder addresses say "beyond what fits here"."""
    beyond = b"\xfe\xff\xff"
    flags = _ACTIVE if partition.active else 0
    place = struct.pack("<II", partition.start // SECTOR, partition.size // SECTOR)
    return bytes([flags]) + beyond + bytes([partition.kind]) + beyond + place


def _fill_boot_partition(disk: Path, files: Mapping[str, bytes], size: int) -> None:
    target = f"{disk}@@{BOOT_START}"
    geometry = ("-h", "64", "-s", "32", "-T", str(size // SECTOR), "-H", str(BOOT_START // SECTOR))
    run("mformat", "-i", target, *geometry, "-N", "0x6e726163", "-v", "BOOT", "::")
    # syslinux first: its loader then lies in one piece at the beginning.
    run("syslinux", "--install", "--offset", str(BOOT_START), str(disk))
    for name, content in files.items():
        source = disk.with_name(f"{disk.name}.{name}")
        source.write_bytes(content)
        run("mcopy", "-i", target, str(source), f"::/{name}")
        source.unlink()


def run(*command: str) -> str:
    """Run a program, return what it prints. Raises BuildError with the end of its complaint."""
    # The same files make the same image: whatever is stamped with a time gets this one (1980, FAT's first).
    environment = os.environ | {"LC_ALL": "C", "TZ": "UTC", "SOURCE_DATE_EPOCH": "315532800"}
    result = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if result.returncode != 0:
        raise BuildError(f"{' '.join(command[:3])} … failed: {result.stderr.strip()[-2000:]}")
    return result.stdout
