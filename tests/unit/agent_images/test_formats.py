"""An image must be what it says and stand alone."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from cairn_agent.drivers.api import ImageCorrupt
from cairn_agent.images import ImageCache
from cairn_crds.image_source import GuestImage

ImageOf = Callable[..., GuestImage]


def make(path: Path, *options: str) -> bytes:
    subprocess.run(["qemu-img", "create", "-q", *options, path, "1M"], check=True)
    return path.read_bytes()


async def test_a_backing_file_is_refused(cache: ImageCache, image_of: ImageOf, tmp_path: Path) -> None:
    make(tmp_path / "base.raw", "-f", "raw")
    content = make(tmp_path / "image", "-f", "qcow2", "-b", str(tmp_path / "base.raw"), "-F", "raw")
    with pytest.raises(ImageCorrupt, match="has a backing file"):
        await cache.fetch(image_of(content=content))


async def test_an_external_data_file_is_refused(cache: ImageCache, image_of: ImageOf, tmp_path: Path) -> None:
    content = make(tmp_path / "image", "-f", "qcow2", "-o", f"data_file={tmp_path}/data.raw")
    with pytest.raises(ImageCorrupt, match="has an external data file"):
        await cache.fetch(image_of(content=content))


async def test_an_encrypted_image_is_refused(cache: ImageCache, image_of: ImageOf, qcow2: bytes) -> None:
    encryption_method = 32  # the header field's offset; 2 is LUKS
    content = qcow2[:encryption_method] + (2).to_bytes(4) + qcow2[encryption_method + 4 :]
    with pytest.raises(ImageCorrupt, match="is encrypted"):
        await cache.fetch(image_of(content=content))


@pytest.mark.parametrize("disk_format", ["qcow2", "vmdk", "vdi", "qed", "vpc"])
async def test_another_format_is_not_taken_for_raw(
    cache: ImageCache, image_of: ImageOf, tmp_path: Path, disk_format: str
) -> None:
    content = make(tmp_path / "image", "-f", disk_format)
    with pytest.raises(ImageCorrupt, match="is said to be raw and is"):
        await cache.fetch(image_of(content=content, disk_format="raw"))


@pytest.mark.parametrize("content", [b"QFI\xfb" + bytes(8), b"not an image" * 100, b"{}"])
async def test_anything_else_is_not_taken_for_qcow2(
    cache: ImageCache, image_of: ImageOf, content: bytes
) -> None:
    with pytest.raises(ImageCorrupt):
        await cache.fetch(image_of(content=content))


async def test_an_empty_image_is_refused(cache: ImageCache, image_of: ImageOf) -> None:
    with pytest.raises(ImageCorrupt, match="is empty"):
        await cache.fetch(image_of(content=b"", disk_format="raw"))


async def test_a_broken_qcow2_is_refused_by_qemu_itself(
    cache: ImageCache, image_of: ImageOf, qcow2: bytes
) -> None:
    cluster_bits = 20
    content = qcow2[:cluster_bits] + b"\xff\xff\xff\xff" + qcow2[cluster_bits + 4 :]
    with pytest.raises(ImageCorrupt, match="qemu-img refuses it"):
        await cache.fetch(image_of(content=content))
