"""SQL for the world: Cairn's transactions on SQLite in memory, one at a time, in the loop's own thread.

The schema is made by Cairn's migrations once, and copied.
"""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

import sqlalchemy as sa

from cairn_database import Database, migrations
from cairn_database.engine import Backend, RunAgain
from faults.world.mishaps import Faults, Gates

T = TypeVar("T")
COMMIT_SECONDS = 0.003
READ_SECONDS = 0.001
URL = "sqlite+aiosqlite:////nowhere/cairn.db"


@cache
def empty_database() -> bytes:
    """A database with all tables and nothing in them. First called where no loop runs, as it needs one."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "cairn.db")
        asyncio.run(migrations.upgrade(f"sqlite+aiosqlite:///{path}"))
        source = sqlite3.connect(path)
        source.execute("PRAGMA journal_mode = DELETE")
        source.close()
        return path.read_bytes()


class Sql:
    """The one database, and whether it answers."""

    def __init__(self, gates: Gates, faults: Faults) -> None:
        self.gates = gates
        self.faults = faults
        self.is_up = True
        self.read_seconds = READ_SECONDS
        self.after_commit: Callable[[], None] = lambda: None
        raw = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
        raw.deserialize(empty_database())
        raw.execute("PRAGMA foreign_keys = ON")
        engine = sa.create_engine("sqlite://", creator=lambda: raw, poolclass=sa.StaticPool)
        sa.event.listen(engine, "begin", lambda connection: raw.execute("BEGIN") and None)
        self.raw = raw
        self._connection = engine.connect()

    def perform(self, transaction: Callable[[sa.Connection], T], *, commit: bool) -> T:
        """Run it whole, now."""
        with self._connection.begin() as scope:
            result = transaction(self._connection)
            if not commit:
                scope.rollback()
        if commit:
            self.after_commit()
        return result

    def database(self) -> Database:
        """A process' road to it."""
        return MemoryDatabase(self)

    def stop(self) -> None:
        """The database is down."""
        self.is_up = False

    def start(self) -> None:
        """It is back."""
        self.is_up = True


class MemoryBackend:
    """`cairn_database.engine.Backend`."""

    dialect = "sqlite"

    def __init__(self, sql: Sql) -> None:
        self._sql = sql

    async def write(self, transaction: Callable[[sa.Connection], T]) -> T:
        """Run it and commit; now and then a first time for nothing, as after a deadlock."""
        sql = self._sql

        async def act() -> T:
            self._require_up()
            weather = sql.faults.weather
            if weather.refused and sql.faults.rng.random() < weather.refused * 3:
                sql.faults.counts["transaction run again"] += 1
                sql.perform(transaction, commit=False)
                raise RunAgain
            return sql.perform(transaction, commit=True)

        return await sql.gates.cross("sql.commit", act, _down, COMMIT_SECONDS, _name(transaction))

    async def read(self, query: Callable[[sa.Connection], T]) -> T:
        """Run it."""

        async def act() -> T:
            self._require_up()
            return self._sql.perform(query, commit=False)

        return await self._sql.gates.cross("sql.read", act, _down, self._sql.read_seconds, _name(query))

    def _require_up(self) -> None:
        if not self._sql.is_up:
            raise _down()

    async def close(self) -> None:
        """Nothing is held."""


class MemoryDatabase(Database):
    """Cairn's `Database` on the world's backend."""

    def __init__(self, sql: Sql) -> None:
        super().__init__(URL)
        self._sql = sql

    async def open(self) -> None:
        self._backend = cast(Backend, MemoryBackend(self._sql))
        await self.ping()


def _down() -> Exception:
    return OSError("the database does not answer")


def _name(transaction: Callable[..., Any]) -> str:
    return transaction.__qualname__.split(".<locals>")[0]
