"""Where the bytes of images are kept. A store knows files by name only; SQL knows what they are of."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

BLOCK_BYTES = 1024**2


class BlobMissing(Exception):
    """The store has no such file."""


class BlobStoreFull(Exception):
    """No room is left."""


class BlobStoreUnavailable(Exception):
    """The store does not answer, or refuses."""


class BlobWriter(Protocol):
    """One file on its way in. Its methods block, and are called in a thread, one at a time.

    They raise BlobStoreFull, BlobStoreUnavailable.
    """

    def write(self, block: bytes) -> None: ...

    def commit(self) -> None:
        """All of it is there, and stays there through a loss of power."""

    def abort(self) -> None:
        """Leave nothing behind; raises nothing."""


class BlobStore(Protocol):
    """A place for files."""

    def writer(self, blob: str) -> BlobWriter:
        """A new file. Blocks."""

    def read(self, blob: str, start: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        """The bytes from `start`, `length` of them or all. Raises BlobMissing before the first."""

    async def delete(self, blob: str) -> None:
        """Remove a file, whole or half written; none is fine. Raises BlobStoreUnavailable."""

    async def close(self) -> None: ...
