"""Write an initramfs: a cpio archive (`newc`), made without root because devices are only entries in it."""

from __future__ import annotations

import gzip
import stat
from pathlib import PurePosixPath


class Initramfs:
    """Files for the kernel's first root file system; everything belongs to root and has no date."""

    def __init__(self) -> None:
        self._entries: dict[str, bytes] = {}
        self._inode = 0

    def file(self, path: str, content: bytes | str, mode: int = 0o644) -> None:
        self._add(path, stat.S_IFREG | mode, content.encode() if isinstance(content, str) else content)

    def link(self, path: str, target: str) -> None:
        """A symbolic link."""
        self._add(path, stat.S_IFLNK | 0o777, target.encode())

    def directory(self, path: str, mode: int = 0o755) -> None:
        self._add(path, stat.S_IFDIR | mode, b"")

    def character_device(self, path: str, major: int, minor: int, mode: int = 0o600) -> None:
        self._add(path, stat.S_IFCHR | mode, b"", (major, minor))

    def archive(self) -> bytes:
        """All of it, compressed."""
        return gzip.compress(b"".join([*self._entries.values(), _entry(0, "TRAILER!!!", 0, b"")]), mtime=0)

    def _add(self, path: str, mode: int, content: bytes, device: tuple[int, int] = (0, 0)) -> None:
        for parent in reversed(PurePosixPath(path).parents):
            if str(parent) not in (".", *self._entries):
                self.directory(str(parent))
        self._inode += 1
        self._entries[path] = _entry(self._inode, path, mode, content, device)


def _entry(inode: int, name: str, mode: int, content: bytes, device: tuple[int, int] = (0, 0)) -> bytes:
    path = name.encode() + b"\0"
    links, owner, group, date, check = 1, 0, 0, 0, 0
    fields = (inode, mode, owner, group, links, date, len(content), 0, 0, *device, len(path), check)
    header = b"070701" + b"".join(b"%08X" % field for field in fields) + path
    return header + bytes(-len(header) % 4) + content + bytes(-len(content) % 4)
