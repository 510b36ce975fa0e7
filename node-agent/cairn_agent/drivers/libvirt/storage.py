"""A machine's files, and making its disks: an overlay on its image, ephemeral and swap disks.

The image is hard-linked from the cache into the machine's directory, so the cache may drop it at any time.
Every file is made under another name and renamed, so one that is there is whole.
"""

from __future__ import annotations

import asyncio
import errno
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from cairn_agent.drivers.api import DiskTooSmall, DriverError, NoSpace
from cairn_agent.drivers.libvirt.threads import run_program
from cairn_agent.images import virtual_size
from cairn_crds.guest import GuestSpec
from cairn_crds.image_source import GuestImage

GIB = 1024**3
MIB = 1024**2
SECTOR = 512
KEPT = ".resize"
CLOSING_SECONDS = 60.0
"""For QEMU to write the rest of a file that it closes."""
CLOSING_LOOK_SECONDS = 0.05


class ImageSource(Protocol):
    """Where base images come from (`cairn_agent.images`)."""

    async def fetch(self, image: GuestImage) -> Path:
        """The verified file: whole, of the promised format, referring to no other file.

        Raises ImageUnavailable, ImageCorrupt, NoSpace or Unsupported.
        """

    async def prune(self, keep: set[str]) -> object:
        """Drop images (by checksum) that nobody has used for long and that are not in `keep`."""


ConfigDriveBuilder = Callable[[Path, str, GuestSpec], None]
"""Writes the config drive's ISO image to a path, in one step (`cairn_agent.config_drive`)."""


@dataclass(frozen=True)
class MachineFiles:
    """The paths of one machine; disks are named as Nova names them."""

    directory: Path
    run_directory: Path

    def base(self, disk_format: str) -> Path:
        """The image; its suffix is its format."""
        return self.directory / f"base.{disk_format}"

    @property
    def root(self) -> Path:
        return self.directory / "disk"

    @property
    def ephemeral(self) -> Path:
        return self.directory / "disk.eph0"

    @property
    def swap(self) -> Path:
        return self.directory / "disk.swap"

    @property
    def config_drive(self) -> Path:
        return self.directory / "disk.config"

    @property
    def rescue(self) -> Path:
        """The disk that a rescued machine boots from."""
        return self.directory / "disk.rescue"

    def rescue_base(self, disk_format: str) -> Path:
        """Its image."""
        return self.directory / f"base.rescue.{disk_format}"

    @property
    def rescue_config_drive(self) -> Path:
        return self.directory / "disk.config.rescue"

    def kept(self, name: str) -> Path:
        """What a resize keeps of the disk of that name."""
        return self.directory / f"{name}{KEPT}"

    def snapshot(self, operation_id: str) -> Path:
        """The image that a snapshot makes."""
        return self.directory / f"snapshot.{operation_id}.qcow2"

    @property
    def disks(self) -> tuple[Path, ...]:
        """What may be there of the machine's own disks, config drive included."""
        return (self.root, self.ephemeral, self.swap, self.config_drive)

    @property
    def console_log(self) -> Path:
        return self.directory / "console.log"

    @property
    def serial_socket(self) -> Path:
        return self.run_directory / f"{self.directory.name}.serial"

    @property
    def vnc_socket(self) -> Path:
        return self.run_directory / f"{self.directory.name}.vnc"


def disks_missing(files: MachineFiles, spec: GuestSpec) -> bool:
    """Whether `make_disks` has work to do; blocking."""
    wanted = [] if spec.boots_from_volume else [files.root]
    if spec.ephemeral_disk_gib:
        wanted.append(files.ephemeral)
    if spec.swap_mib:
        wanted.append(files.swap)
    return not all(path.exists() for path in wanted)


def keep_image(cached: Path, base: Path) -> None:
    """Link the cached image into the machine's directory (copy it from another file system); blocking."""
    try:
        os.link(cached, base)
    except FileExistsError:
        return
    except OSError as error:
        if error.errno not in {errno.EXDEV, errno.EMLINK, errno.EPERM}:
            raise
        scratch = base.with_name(f"{base.name}.new")
        shutil.copyfile(cached, scratch)
        scratch.replace(base)


def disk_size(base: Path) -> int:
    """Of a disk on that image, in whole sectors, in bytes; blocking."""
    return -(-virtual_size(base) // SECTOR) * SECTOR


def wanted_size(spec: GuestSpec, base: Path) -> int:
    """Of the root disk on its image, in bytes. Raises DiskTooSmall where the image does not fit; blocking."""
    image_size = disk_size(base)
    size = spec.root_disk_gib * GIB or image_size
    if size < image_size:
        raise DiskTooSmall(
            f"the flavor's root disk has {spec.root_disk_gib} GiB, but image {spec.image.name} needs "
            f"{-(-image_size // GIB)} GiB; choose a larger flavor"
        )
    return size


async def make_disks(files: MachineFiles, spec: GuestSpec) -> None:
    """Make the disks that are missing.

    Raises DiskTooSmall where the image does not fit, NoSpace where the host is full.
    """
    if not spec.boots_from_volume and not files.root.exists():
        base = files.base(spec.image.disk_format)
        await make_overlay(files.root, base, wanted_size(spec, base))
    await make_other_disks(files, spec)


async def make_other_disks(files: MachineFiles, spec: GuestSpec) -> None:
    """Make the ephemeral and swap disks that are missing. Raises NoSpace."""
    if spec.ephemeral_disk_gib and not files.ephemeral.exists():
        size = spec.ephemeral_disk_gib * GIB
        await _make_formatted(files.ephemeral, size, "mkfs.ext4", "-q", "-F", "-L", "ephemeral0")
    if spec.swap_mib and not files.swap.exists():
        await _make_formatted(files.swap, spec.swap_mib * MIB, "mkswap", "-L", "swap0")


async def make_overlay(path: Path, base: Path, size: int) -> None:
    """A qcow2 disk of `size` bytes on an image beside it, whose suffix is its format."""
    scratch = path.with_name(f"{path.name}.new")
    overlay = ("-f", "qcow2", "-F", base.suffix[1:], "-b", base.name)
    await checked("qemu-img", "create", "-q", *overlay, str(scratch), str(size))
    publish(scratch, path)


async def _make_formatted(path: Path, size: int, *formatter: str) -> None:
    scratch = path.with_name(f"{path.name}.new")
    scratch.unlink(missing_ok=True)
    scratch.touch(mode=0o600)
    os.truncate(scratch, size)
    await checked(*formatter, str(scratch))
    publish(scratch, path)


async def virtual_disk_size(path: Path, disk_format: str) -> int:
    """Of a disk that there is, running or not, in bytes."""
    info = await checked("qemu-img", "info", "--output=json", "-U", "-f", disk_format, str(path))
    return int(json.loads(info)["virtual-size"])


def publish(scratch: Path, path: Path) -> None:
    """Give a file that is whole its own name."""
    scratch.chmod(0o600)
    scratch.replace(path)


async def checked(*command: str) -> bytes:
    """The output of a program. Raises NoSpace where it says that the host is full, else DriverError."""
    code, out, err = await run_program(*command)
    if code:
        message = _last_line(err)
        kind = NoSpace if "no space left" in message.lower() else DriverError
        raise kind(f"{command[0]} failed: {message}")
    return out


async def until_closed(path: Path) -> None:
    """Until no QEMU writes to that qcow2 file any more. Raises DriverError where that lasts.

    The last of it, all of a small one, is written when it is closed, after libvirt has said that a copy is
    through.
    """
    with_lock = ("qemu-img", "info", "-f", "qcow2", str(path))  # refused while somebody else writes
    try:
        async with asyncio.timeout(CLOSING_SECONDS):
            while True:
                code, _out, err = await run_program(*with_lock)
                if code == 0:
                    return
                if b"Failed to get shared" not in err:
                    raise DriverError(f"qemu-img failed: {_last_line(err)}")
                await asyncio.sleep(CLOSING_LOOK_SECONDS)
    except TimeoutError:
        raise DriverError(f"{path.name} is still being written") from None


def _last_line(output: bytes) -> str:
    lines = output.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else "no message"
