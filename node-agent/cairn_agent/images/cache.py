"""The host's cache of images: each one fetched once, checked, and then only read.

Drivers call `ImageCache.fetch` at the start of a spawn and put an overlay on (or copy) the file they get.
An image is in the cache under its checksum, so whatever name, address or project it is used by, the bytes
are those that the Image resource promises. `sources` brings the bytes, `formats` looks into them.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import hashlib
import os
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import structlog

from cairn_agent.drivers.api import DriverError, ImageCorrupt, ImageUnavailable, NoSpace, Unsupported
from cairn_agent.images.formats import FORMATS, check_format
from cairn_agent.images.sources import Limits, Source, file_blocks, open_source, public_url
from cairn_crds.image_source import GuestImage

_log = structlog.get_logger(__name__)

GIB = 1024**3
_ZEROS = bytes(1024**2)
_LOCK_POLL_SECONDS = (0.05, 1.0)
"""First and last interval of looking whether another process has finished the same download."""


@dataclass(frozen=True)
class Pruned:
    """What `ImageCache.prune` removed."""

    images: int
    bytes: int


@dataclass
class _Download:
    """A fetch under way and how many callers wait for it."""

    task: asyncio.Task[Path]
    waiters: int = 0


class ImageCache:
    """Images in `directory`, named `<sha256>.<format>`. Any number of processes may share the directory.

    The time of a file is when it was last fetched, which is what `prune` goes by.
    """

    def __init__(
        self,
        directory: Path,
        *,
        max_bytes: int | None = None,
        max_download_bytes: int = 64 * GIB,
        unused_seconds: float = 24 * 3600,
        grace_seconds: float = 600,
        file_roots: Sequence[Path] = (),
        limits: Limits | None = None,
    ) -> None:
        """Nothing is read or made before the first call of a method.

        max_bytes: what `prune` brings the cache down to, as far as unused images allow (None: no bound).
        max_download_bytes: a larger image is refused.
        unused_seconds: how long `prune` keeps an image that no machine uses
            (Nova: `remove_unused_original_minimum_age_seconds`).
        grace_seconds: an image fetched within this time is never pruned: its overlay may be on its way.
        file_roots: the folders from which file: images may come; none by default.
        """
        self.directory = directory.absolute()
        self._max_bytes = max_bytes
        self._max_download_bytes = max_download_bytes
        self._unused_seconds = unused_seconds
        self._grace_seconds = grace_seconds
        self._file_roots = tuple(file_roots)
        self._limits = limits or Limits()
        self._downloads: dict[tuple[str, str], _Download] = {}

    async def fetch(self, image: GuestImage) -> Path:
        """The path of the image's file, which is complete, has the checksum and is of the format promised.

        Concurrent calls for one image, in this and in other processes, make one download. Cancelling a
        call stops the download only when nobody else waits for it.
        Raises ImageUnavailable (worth another try), ImageCorrupt, NoSpace or Unsupported.
        """
        if image.disk_format not in FORMATS:
            raise Unsupported(f"image {image.name}: disk format {image.disk_format!r}: use qcow2 or raw")
        key = (image.sha256, image.disk_format)
        download = self._downloads.get(key)
        if download is None:
            download = self._downloads[key] = _Download(asyncio.create_task(self._fetch(image)))
            download.task.add_done_callback(lambda task: self._forget(key, task))
        download.waiters += 1
        try:
            return await asyncio.shield(download.task)
        finally:
            download.waiters -= 1
            if download.waiters == 0 and not download.task.done():
                self._downloads.pop(key, None)
                download.task.cancel()

    def _forget(self, key: tuple[str, str], task: asyncio.Task[Path]) -> None:
        if (download := self._downloads.get(key)) is not None and download.task is task:
            del self._downloads[key]
        if not task.cancelled():
            task.exception()  # every waiter may have been cancelled: then nobody else looks at it

    async def _fetch(self, image: GuestImage) -> Path:
        final = self.directory / f"{image.sha256}.{image.disk_format}"
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            if _touch(final):
                return final
            path = final.with_name(f".{final.name}.part")
            async with _locked(path) as part:
                # Who has just published it, or is pruning it, lets go of it in a moment.
                while (there := _touch(final)) is None:  # noqa: ASYNC110 - another process tells nobody
                    await asyncio.sleep(_LOCK_POLL_SECONDS[0])
                if not there:
                    await self._download(image, part)
                    await check_format(path, image.disk_format, image.name)
                    await asyncio.to_thread(_publish, part, path, final)
        except OSError as error:
            raise _disk_error(image, error) from None
        return final

    async def _download(self, image: GuestImage, part: BinaryIO) -> None:
        """Fill `part`. Raises as `fetch`; an OSError is one of the cache's own disk."""
        started = time.monotonic()
        digest = hashlib.sha256()
        size = 0
        async with open_source(image, self._limits, self._file_roots) as source:
            self._check_room(image, source)
            reflinked = source.descriptor is not None and _reflink(source.descriptor, part)
            blocks = file_blocks(part.fileno(), str(self.directory)) if reflinked else source.blocks
            async for block in blocks:
                size += len(block)
                if size > self._max_download_bytes:
                    raise self._too_large(image)
                await asyncio.to_thread(_take, digest, None if reflinked else part, block)
        part.flush()
        part.truncate(size)
        if digest.hexdigest() != image.sha256:
            raise ImageCorrupt(
                f"image {image.name}: {public_url(image.url)} has SHA-256 {digest.hexdigest()} "
                f"({size} bytes), not {image.sha256}: correct the Image's sha256 or what its server has"
            )
        _log.info("image fetched", image=image.name, url=public_url(image.url), bytes=size,
                  seconds=round(time.monotonic() - started, 3), reflinked=reflinked)  # fmt: skip

    def _check_room(self, image: GuestImage, source: Source) -> None:
        if source.size is None:
            return
        if source.size > self._max_download_bytes:
            raise self._too_large(image)
        disk = os.statvfs(self.directory)
        if source.size > disk.f_bavail * disk.f_frsize:
            raise NoSpace(
                f"image {image.name} has {source.size} bytes, {self.directory} has room "
                f"for {disk.f_bavail * disk.f_frsize}"
            )

    def _too_large(self, image: GuestImage) -> NoSpace:
        return NoSpace(
            f"image {image.name} is larger than the {self._max_download_bytes} bytes this host takes"
        )

    async def prune(self, keep: set[str]) -> Pruned:
        """Remove images that are not in `keep` (checksums) and what crashed downloads left.

        Removed is what nobody fetched for `unused_seconds`, and then, least recently fetched first, as
        much as `max_bytes` asks for. Images fetched within `grace_seconds` stay.
        """
        return await asyncio.to_thread(self._prune, frozenset(keep))

    def _prune(self, keep: frozenset[str]) -> Pruned:
        if not self.directory.is_dir():
            return Pruned(0, 0)
        for part in self.directory.glob(".*.part"):
            with _exclusive(part) as abandoned:
                if abandoned is not None:
                    part.unlink(missing_ok=True)
        images = sorted(self._images(), key=lambda item: item[1].st_mtime)
        total = sum(_allocated(status) for _, status in images)
        now, removed, freed = time.time(), 0, 0
        for path, status in images:
            over = self._max_bytes is not None and total - freed > self._max_bytes
            age = now - status.st_mtime
            unused = path.stem not in keep and age > self._grace_seconds
            if unused and (over or age > self._unused_seconds) and self._remove(path, status):
                removed, freed = removed + 1, freed + _allocated(status)
        return Pruned(removed, freed)

    def _images(self) -> Iterator[tuple[Path, os.stat_result]]:
        for path in self.directory.iterdir():
            if path.suffix.removeprefix(".") in FORMATS and not path.name.startswith("."):
                with suppress(FileNotFoundError):
                    yield path, path.stat()

    def _remove(self, path: Path, seen: os.stat_result) -> bool:
        """Remove an image unless a fetch has taken it since it was looked at."""
        with _exclusive(path) as file:
            if file is None or os.fstat(file.fileno()).st_mtime_ns != seen.st_mtime_ns:
                return False
            path.unlink(missing_ok=True)
        _log.info("image pruned", sha256=path.stem, bytes=_allocated(seen))
        return True


def _allocated(status: os.stat_result) -> int:
    return status.st_blocks * 512


def _touch(path: Path) -> bool | None:
    """Whether the image is there; None where somebody else has it locked. Marks it as fetched now.

    A shared lock keeps `prune` off meanwhile.
    """
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            if not _is_at(file, path):
                return False
            os.utime(file.fileno())
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return None
    return True


def _is_at(file: BinaryIO, path: Path) -> bool:
    """Whether an open file is still the one at `path`."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


@contextmanager
def _exclusive(path: Path) -> Iterator[BinaryIO | None]:
    """The file, locked; None when it is gone or another process has it."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        yield None
        return
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
            return
        yield file if _is_at(file, path) else None


@asynccontextmanager
async def _locked(path: Path) -> AsyncIterator[BinaryIO]:
    """The file at `path`, empty and locked against every other fetch; gone afterwards unless renamed.

    The file is its own lock, so nothing is left of it, and a process that dies frees it.
    """
    interval, longest = _LOCK_POLL_SECONDS
    while True:
        with _open_for_update(path) as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                await asyncio.sleep(interval)
                interval = min(longest, interval * 2)
                continue
            if not _is_at(file, path):
                continue
            file.truncate(0)
            try:
                yield file
            finally:
                _unlink(file, path)
            return


def _unlink(file: BinaryIO, path: Path) -> None:
    """Remove `path` if the open file is still there and was not renamed."""
    if _is_at(file, path):
        path.unlink(missing_ok=True)


def _open_for_update(path: Path) -> BinaryIO:
    return open(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600), "r+b")


def _take(digest: hashlib._Hash, file: BinaryIO | None, block: bytes) -> None:
    """Hash a block and write it; runs of zeros become holes."""
    digest.update(block)
    if file is None:
        return
    if block == _ZEROS[: len(block)]:
        file.seek(len(block), os.SEEK_CUR)
    else:
        file.write(block)


def _reflink(source: int, target: BinaryIO) -> bool:
    """Share the source's blocks where the file system can (Btrfs, XFS)."""
    ficlone = 0x40049409
    try:
        fcntl.ioctl(target.fileno(), ficlone, source)
    except OSError:
        return False
    return True


def _publish(part: BinaryIO, path: Path, final: Path) -> None:
    os.fchmod(part.fileno(), 0o444)
    os.utime(part.fileno())
    os.fsync(part.fileno())
    path.rename(final)
    directory = os.open(final.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _disk_error(image: GuestImage, error: OSError) -> DriverError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return NoSpace(f"image {image.name}: no room in the image cache: {error.strerror}")
    return ImageUnavailable(f"image {image.name}: the image cache cannot be used: {error.strerror or error}")
