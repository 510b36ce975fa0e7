"""Files of images in a directory."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cairn_gateway.image.blobs import (
    BLOCK_BYTES,
    BlobMissing,
    BlobStoreFull,
    BlobStoreUnavailable,
    BlobWriter,
)


class DirectoryStore:
    """`directory/incoming/<blob>` while it is written, `directory/blobs/<xx>/<blob>` afterwards."""

    def __init__(self, directory: Path) -> None:
        self._incoming = directory / "incoming"
        self._blobs = directory / "blobs"

    def path(self, blob: str) -> Path:
        """Where the whole file is."""
        return self._blobs / blob[:2] / blob

    def writer(self, blob: str) -> BlobWriter:
        """A new file."""
        return _DirectoryWriter(self._incoming / blob, self.path(blob))

    async def read(self, blob: str, start: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        """Blocks of the file."""
        descriptor = await asyncio.to_thread(_open, self.path(blob))
        try:
            offset, left = start, length
            while left is None or left > 0:
                wanted = BLOCK_BYTES if left is None else min(BLOCK_BYTES, left)
                block = await asyncio.to_thread(os.pread, descriptor, wanted, offset)
                if not block:
                    return
                offset += len(block)
                left = None if left is None else left - len(block)
                yield block
        finally:
            os.close(descriptor)

    async def delete(self, blob: str) -> None:
        """Remove what there is of it."""
        await asyncio.to_thread(_remove, [self._incoming / blob, self.path(blob)])

    async def close(self) -> None:
        """Nothing is open."""


class _DirectoryWriter:
    def __init__(self, part: Path, final: Path) -> None:
        self._part = part
        self._final = final
        with _disk_errors():
            part.parent.mkdir(parents=True, exist_ok=True)
            final.parent.mkdir(parents=True, exist_ok=True)
            self._file = part.open("xb", buffering=0)

    def write(self, block: bytes) -> None:
        view = memoryview(block)
        with _disk_errors():
            while view:
                view = view[self._file.write(view) :]

    def commit(self) -> None:
        with _disk_errors():
            os.fsync(self._file.fileno())
            self._file.close()
            self._part.rename(self._final)
            for directory in (self._final.parent, self._final.parent.parent):
                _sync(directory)

    def abort(self) -> None:
        with suppress(OSError):
            self._file.close()
        with suppress(OSError):
            self._part.unlink(missing_ok=True)


def _open(path: Path) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise BlobMissing(path.name) from error
    except OSError as error:
        raise BlobStoreUnavailable(f"the image store cannot be read: {error.strerror}") from error


def _remove(paths: list[Path]) -> None:
    with _disk_errors():
        for path in paths:
            path.unlink(missing_ok=True)


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _disk_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise BlobStoreFull("there is no room left in the image store") from error
        raise BlobStoreUnavailable(f"the image store cannot be written: {error.strerror}") from error
