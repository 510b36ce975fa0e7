"""What is in an image file: it must be what it says, and refer to no other file.

A qcow2 file can name a backing file or an external data file, which QEMU would open with its own rights
(CVE-2015-5162, CVE-2024-32498), and a file called raw can be a qcow2 that somebody later probes. So the
header is read here first, by us, and only what passes is given to `qemu-img`, told its format and held in
narrow limits (as Nova does).
"""

from __future__ import annotations

import asyncio
import json
import shutil
import struct
from dataclasses import dataclass, replace
from pathlib import Path

from cairn_agent.drivers.api import ImageCorrupt, ImageUnavailable

FORMATS = frozenset({"qcow2", "raw"})

CHECK_ADDRESS_SPACE = 1024**3
"""Bytes of address space that `qemu-img` may take (Nova: QEMU_IMG_LIMITS)."""
CHECK_CPU_SECONDS = 30
CHECK_SECONDS = 60.0
"""Wall-clock limit of one `qemu-img`."""

_QCOW2_MAGIC = b"QFI\xfb"
_QCOW2_HEADER = struct.Struct(">4sIQIIQII")
"""Magic, version, backing file's offset and length, cluster bits, virtual size, encryption, L1 size."""
_QCOW2_FEATURES_OFFSET = 72
_EXTERNAL_DATA_FILE = 1 << 2

_OTHER_FORMATS: tuple[tuple[int, bytes, str], ...] = (
    (0, _QCOW2_MAGIC, "qcow2"),
    (0, b"QED\0", "qed"),
    (0, b"KDMV", "vmdk"),
    (0, b"COWD", "vmdk"),
    (0, b"# Disk DescriptorFile", "vmdk"),
    (0, b"vhdxfile", "vhdx"),
    (0, b"conectix", "vhd"),
    (0x40, b"\x7f\x10\xda\xbe", "vdi"),
    (0, b"WithoutFreeSpace", "parallels"),
    (0, b"WithouFreSpacExt", "parallels"),
    (0, b"LUKS\xba\xbe", "luks"),
)
"""Offset, bytes, format: what a raw image must not begin with."""


@dataclass(frozen=True)
class _Qcow2Header:
    version: int
    backing_file_offset: int
    virtual_size: int
    encryption: int
    features: int


def virtual_size(path: Path) -> int:
    """The size in bytes of the disk that a cached image (`….qcow2` or `….raw`) is; reads its header only.

    Raises ImageCorrupt where a qcow2 file has no qcow2 header, OSError where there is no file.
    """
    if path.suffix == ".qcow2":
        return _qcow2_header(_head(path), path.name).virtual_size
    return path.stat().st_size


def check_overlay(path: Path) -> None:
    """Pass where `path` is a qcow2 disk that can be opened without fear, but for its backing file.

    Whoever opens it puts another backing file in place of the one that it names before anything reads it.
    Raises ImageCorrupt. Blocking.
    """
    header = _qcow2_header(_head(path), path.name)
    _check_qcow2(replace(header, backing_file_offset=0), path.name)


async def check_format(path: Path, disk_format: str, name: str) -> None:
    """Pass where `path` is a whole image of `disk_format`, one of FORMATS, that stands alone.

    `path` is absolute; `name` is for messages. Raises ImageCorrupt, or ImageUnavailable where it could not
    be checked.
    """
    head = await asyncio.to_thread(_head, path)
    if disk_format == "raw":
        _check_raw(head, name)
    else:
        _check_qcow2(_qcow2_header(head, name), name)
        await _check_with_qemu_img(path, name)


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(512)


def _check_raw(head: bytes, name: str) -> None:
    if not head:
        raise ImageCorrupt(f"image {name} is empty")
    for offset, magic, found in _OTHER_FORMATS:
        if head.startswith(magic, offset):
            raise ImageCorrupt(
                f"image {name} is said to be raw and is {found}: correct the Image's diskFormat"
            )


def _qcow2_header(head: bytes, name: str) -> _Qcow2Header:
    if len(head) < _QCOW2_FEATURES_OFFSET + 8 or not head.startswith(_QCOW2_MAGIC):
        raise ImageCorrupt(f"image {name} is not qcow2: correct the Image's diskFormat or its file")
    _, version, backing, _, _, size, encryption, _ = _QCOW2_HEADER.unpack_from(head)
    features = (
        int.from_bytes(head[_QCOW2_FEATURES_OFFSET : _QCOW2_FEATURES_OFFSET + 8]) if version >= 3 else 0
    )
    return _Qcow2Header(version, backing, size, encryption, features)


def _check_qcow2(header: _Qcow2Header, name: str) -> None:
    if header.version not in (2, 3):
        raise ImageCorrupt(f"image {name} is qcow2 version {header.version}, which is unknown")
    if header.backing_file_offset:
        raise ImageCorrupt(f"image {name} has a backing file: flatten it with `qemu-img convert`")
    if header.features & _EXTERNAL_DATA_FILE:
        raise ImageCorrupt(f"image {name} has an external data file: flatten it with `qemu-img convert`")
    if header.encryption:
        raise ImageCorrupt(f"image {name} is encrypted, and no guest could read it")


async def _check_with_qemu_img(path: Path, name: str) -> None:
    if shutil.which("qemu-img") is None or shutil.which("prlimit") is None:
        raise ImageUnavailable(f"image {name} cannot be checked: this host lacks qemu-img or prlimit")
    process = await asyncio.create_subprocess_exec(
        *("prlimit", f"--as={CHECK_ADDRESS_SPACE}", f"--cpu={CHECK_CPU_SECONDS}", "--core=0", "--"),
        *("qemu-img", "info", "--output=json", "-f", "qcow2", str(path)),
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        output, complaint = await asyncio.wait_for(process.communicate(), CHECK_SECONDS)
    except TimeoutError:
        raise ImageCorrupt(
            f"image {name}: qemu-img did not understand it within {CHECK_SECONDS:.0f} s"
        ) from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        lines = complaint.decode(errors="replace").replace(str(path), "the file").strip().splitlines()
        raise ImageCorrupt(f"image {name}: qemu-img refuses it: {lines[-1] if lines else 'it was killed'}")
    _check_info(json.loads(output), name)


def _check_info(info: dict[str, object], name: str) -> None:
    """What the header check above said, in QEMU's own reading of the file."""
    specific = info.get("format-specific")
    data = specific.get("data") if isinstance(specific, dict) else None
    details = data if isinstance(data, dict) else {}
    if info.get("format") != "qcow2":
        raise ImageCorrupt(f"image {name} is {info.get('format')}, not qcow2")
    if any(key in info for key in ("backing-filename", "full-backing-filename")) or "data-file" in details:
        raise ImageCorrupt(f"image {name} refers to another file: flatten it with `qemu-img convert`")
    if details.get("corrupt") is True:
        raise ImageCorrupt(f"image {name} is marked as corrupt: repair it with `qemu-img check -r`")
