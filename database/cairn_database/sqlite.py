"""SQLite behind a thread: one writer with group commit, a few readers.

SQLite has one writer at a time, whatever one does, and every commit is a disk flush. So a process has one
writer thread, which runs whole transactions (not single statements: a hop between threads costs more than
most statements do) and commits those that have queued up meanwhile together, each inside its own savepoint:
one that fails takes nothing back of the others. Processes take turns through SQLite's own lock
(`BEGIN IMMEDIATE`).
"""

from __future__ import annotations

import asyncio
import queue
import random
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import sqlalchemy as sa

T = TypeVar("T")
Transaction = Callable[[sa.Connection], T]


@dataclass(frozen=True)
class _Job:
    run: Transaction[Any]
    future: asyncio.Future[Any]


@dataclass(frozen=True)
class _Outcome:
    job: _Job
    result: Any = None
    error: BaseException | None = None


def _engine(
    url: sa.URL, begin: Callable[[sqlite3.Connection], object], busy_timeout: float, threads: int
) -> sa.Engine:
    """An engine whose transactions start with `begin`."""
    engine = sa.create_engine(
        url.set(drivername="sqlite+pysqlite"),
        poolclass=sa.QueuePool,
        pool_size=threads,
        max_overflow=0,
        connect_args={"check_same_thread": False, "timeout": busy_timeout},
        hide_parameters=True,  # errors are logged, and values may be secret
    )

    def connect(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # transactions are begun below, not by the sqlite3 module
        for pragma in (
            "journal_mode = WAL",
            "synchronous = FULL",
            "foreign_keys = ON",
            "temp_store = MEMORY",
            # In KiB, per connection: the kernel caches the file anyway, and SQLite's usual 2 MB would fill up
            # in each of them as the database grows.
            "cache_size = -512",
        ):
            connection.execute(f"PRAGMA {pragma}").close()

    def on_begin(connection: sa.Connection) -> None:
        begin(cast(sqlite3.Connection, connection.connection.driver_connection))

    sa.event.listen(engine, "connect", connect)
    sa.event.listen(engine, "begin", on_begin)
    return engine


def _begin_reading(connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN")


@dataclass(frozen=True)
class _BeginWriting:
    """Waits for other processes' transactions, asking about once a millisecond.

    SQLite's own busy handler sleeps up to 100 ms between two tries: with three busy processes one of them
    waited for a second, where a transaction takes a millisecond.
    """

    patience: float

    def __call__(self, connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA busy_timeout = 0").close()
        deadline = time.monotonic() + self.patience
        while True:
            try:
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                    raise
            else:
                return
            time.sleep(random.uniform(0.0003, 0.0015))  # noqa: S311


class SqliteBackend:
    """Runs transactions on an SQLite file. See the module's docstring; `engine.Database` is the caller."""

    def __init__(self, url: sa.URL, *, busy_timeout: float, readers: int, batch: int) -> None:
        if not url.database or url.database == ":memory:":
            raise ValueError("Cairn needs an SQLite file, e.g. sqlite+aiosqlite:////var/lib/cairn/cairn.db")
        self._batch = batch
        self._write_engine = _engine(url, _BeginWriting(busy_timeout), busy_timeout, 1)
        self._read_engine = _engine(url, _begin_reading, busy_timeout, readers)
        self._readers = ThreadPoolExecutor(readers, thread_name_prefix="cairn-sql-reader")
        self._reading: dict[int, sa.Connection] = {}
        """By the reader's thread."""
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._writer = threading.Thread(target=self._serve, name="cairn-sql-writer", daemon=True)
        self._writer.start()

    @property
    def dialect(self) -> str:
        return "sqlite"

    async def write(self, transaction: Transaction[T]) -> T:
        """Run it, commit it, give its result back. Not run when cancelled before its turn."""
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._jobs.put(_Job(transaction, future))
        return await future

    async def read(self, query: Transaction[T]) -> T:
        """Run it against one snapshot, beside the writer.

        A reader keeps its connection: to take one from the pool and to give it back takes 30 µs, half of a
        short query. After an error it gives it back, and the pool sees whether it is whole.
        """

        def run() -> T:
            reader = threading.get_ident()
            connection = self._reading.get(reader)
            if connection is None:
                connection = self._reading[reader] = self._read_engine.connect()
            try:
                with connection.begin():
                    return query(connection)
            except BaseException:
                del self._reading[reader]
                connection.close()
                raise

        return await asyncio.get_running_loop().run_in_executor(self._readers, run)

    async def close(self) -> None:
        """Finish what is queued, then let go of the file."""
        self._jobs.put(None)
        await asyncio.to_thread(self._writer.join)
        await asyncio.to_thread(self._readers.shutdown)
        for connection in self._reading.values():
            connection.close()
        self._write_engine.dispose()
        self._read_engine.dispose()

    def _serve(self) -> None:
        closing = False
        while not closing:
            jobs: list[_Job] = []
            job = self._jobs.get()
            while job is not None:
                jobs.append(job)
                if len(jobs) >= self._batch or self._jobs.empty():
                    break
                job = self._jobs.get()
            closing = job is None
            if jobs := [job for job in jobs if not job.future.cancelled()]:
                _report(self._commit(jobs))

    def _commit(self, jobs: list[_Job]) -> list[_Outcome]:
        """All of `jobs` in one commit. When the commit itself fails, all of them have."""
        try:
            with self._write_engine.connect() as connection, connection.begin():
                if len(jobs) == 1:
                    return [_Outcome(jobs[0], jobs[0].run(connection))]
                raw = cast(Any, connection.connection.driver_connection)
                return [_in_savepoint(raw, connection, job) for job in jobs]
        except Exception as error:  # noqa: BLE001 - handed to the callers
            return [_Outcome(job, error=error) for job in jobs]


def _in_savepoint(raw: Any, connection: sa.Connection, job: _Job) -> _Outcome:
    raw.execute("SAVEPOINT job")
    try:
        outcome = _Outcome(job, job.run(connection))
    except Exception as error:  # noqa: BLE001 - handed to the caller
        raw.execute("ROLLBACK TO job")
        outcome = _Outcome(job, error=error)
    raw.execute("RELEASE job")
    return outcome


def _report(outcomes: list[_Outcome]) -> None:
    """Wake the callers, each in its own event loop."""
    by_loop: dict[asyncio.AbstractEventLoop, list[_Outcome]] = {}
    for outcome in outcomes:
        by_loop.setdefault(outcome.job.future.get_loop(), []).append(outcome)
    for loop, mine in by_loop.items():
        if not loop.is_closed():  # else nobody is left to tell
            loop.call_soon_threadsafe(_resolve, mine)


def _resolve(outcomes: list[_Outcome]) -> None:
    for outcome in outcomes:
        future = outcome.job.future
        if future.done():
            continue
        if outcome.error is None:
            future.set_result(outcome.result)
        else:
            future.set_exception(outcome.error)
