"""One number that tells whether anything has changed that a token's meaning depends on.

Every transaction that can make a token or its roles invalid calls `bump`, last. Whoever keeps what a token
stands for keeps the revision with it, and asks `Revision.now()` before using it again: the same number means
that nothing has happened since, at this process or at another.
"""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import sqlalchemy as sa

from cairn_database.engine import Database
from cairn_database.identity.tables import identity_state

ROW = 1
_BUMP = (
    sa.update(identity_state).where(identity_state.c.id == ROW).values(revision=identity_state.c.revision + 1)
)
_READ = sa.select(identity_state.c.revision).where(identity_state.c.id == ROW)
_READ_TEXT = "SELECT revision FROM identity_state WHERE id = 1"


def bump(conn: sa.Connection) -> None:
    """Tell every process that what it knows of tokens may be wrong once this transaction is committed."""
    if conn.execute(_BUMP).rowcount == 0:
        conn.execute(sa.insert(identity_state), {"id": ROW, "revision": 1})


def read(conn: sa.Connection) -> int:
    """The revision. Read before the rows that it is to vouch for: then they are at least as new."""
    return int(conn.scalar(_READ) or 0)


class Revision:
    """The revision, read once per moment for everybody who asks.

    SQLite: from a connection of its own in the event loop's thread, which takes some ten microseconds and
    waits for no lock (readers of a write-ahead log never do). Servers: all who ask while a read is under way
    share the next one, which begins after they asked.
    """

    def __init__(self, db: Database) -> None:
        self._db = db
        self._sqlite: sqlite3.Connection | None = None
        self._next: asyncio.Task[int] | None = None
        self._running: asyncio.Task[int] | None = None

    async def now(self) -> int:
        """The revision, as it is at some moment after the call. Raises DatabaseUnavailable."""
        if self._db.sqlite_file is not None:
            found = self._read_sqlite()
            if found is not None:
                return found
        return await self._read_shared()

    def close(self) -> None:
        """Let go of the file."""
        if self._sqlite is not None:
            self._sqlite.close()
            self._sqlite = None

    def _read_sqlite(self) -> int | None:
        """None where it takes longer (the file is being recovered, or is not there): then in a thread."""
        try:
            if self._sqlite is None:
                place = Path(self._db.sqlite_file or "").absolute().as_uri()
                self._sqlite = sqlite3.connect(f"{place}?mode=ro", uri=True, isolation_level=None, timeout=0)
            row = self._sqlite.execute(_READ_TEXT).fetchone()
        except sqlite3.Error:
            self.close()
            return None
        return int(row[0]) if row else 0

    async def _read_shared(self) -> int:
        if self._next is None:
            self._next = asyncio.create_task(self._read_after(self._running))
        return await asyncio.shield(self._next)

    async def _read_after(self, earlier: asyncio.Task[int] | None) -> int:
        if earlier is not None:
            await asyncio.wait([earlier])
        self._running, self._next = self._next, None
        return await self._db.read(read)
