"""The database as the processes see it: `Database(url)`, `run(transaction)`, `read(query)`.

A transaction is a function that takes an open `sqlalchemy.Connection` and uses it; it may be run more than
once (deadlock, serialization failure, a unique key that somebody else was faster with), so it must keep
nothing outside the database. The same functions run on all three databases: on SQLite in a writer thread
(`sqlite.py`), on PostgreSQL and MariaDB over asyncio (`server.py`).
"""

from __future__ import annotations

import asyncio
import enum
import random
import sqlite3
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self, TypeVar

import sqlalchemy as sa

from cairn_database import migrations
from cairn_database.errors import DatabaseError, DatabaseUnavailable, SchemaOutdated
from cairn_database.sqlite import SqliteBackend

T = TypeVar("T")


@dataclass(frozen=True)
class DatabaseSettings:
    """How patient, and how greedy."""

    connections: int = 8
    """Database servers: how many connections a process keeps for writing, and as many again for reading."""
    timeout: float = 30.0
    """Seconds that one transaction may take before the database counts as gone."""
    attempts: int = 10
    """How often a transaction is run when others keep getting in its way."""
    backoff: float = 0.005
    """Seconds before the second attempt; doubled each time, with jitter, up to half a second."""
    idle_timeout: int = 5
    """PostgreSQL and MariaDB: seconds after which the server ends a transaction whose process sends nothing:
    one that was stopped, or whose machine was lost, would keep its locks for ever."""
    busy_timeout: float = 10.0
    """SQLite: seconds to wait for another process's write transaction."""
    readers: int = 2
    """SQLite: reader threads."""
    batch: int = 32
    """SQLite: how many queued transactions share a commit."""


class RunAgain(Exception):
    """Raised inside a transaction that has seen a race it cannot settle: roll back and start over."""


class Backend(Protocol):
    """Where transactions run."""

    @property
    def dialect(self) -> str: ...
    async def write(self, transaction: Callable[[sa.Connection], T]) -> T: ...
    async def read(self, query: Callable[[sa.Connection], T]) -> T: ...
    async def close(self) -> None: ...


class Database:
    """One process's road to SQL."""

    def __init__(self, url: str, settings: DatabaseSettings | None = None) -> None:
        """`url`: `sqlite+aiosqlite:////path/file`, `postgresql+asyncpg://…` or `mysql+asyncmy://…`."""
        self._url = sa.make_url(url)
        self._settings = settings or DatabaseSettings()
        self._backend: Backend | None = None

    async def open(self) -> None:
        """Make ready. Raises DatabaseUnavailable (later `run`s try again by themselves) and ValueError for a
        URL that Cairn cannot use. Does not look at the schema: see `require_schema`."""
        if self._backend is not None:
            return
        settings = self._settings
        if self._url.get_backend_name() == "sqlite":
            self._backend = SqliteBackend(
                self._url,
                busy_timeout=settings.busy_timeout,
                readers=settings.readers,
                batch=settings.batch,
            )
        else:
            # It needs SQLAlchemy's ORM, 6 MB that a process on SQLite does without.
            from cairn_database.server import ServerBackend

            self._backend = ServerBackend(
                self._url,
                connections=settings.connections,
                timeout=settings.timeout,
                idle_timeout=settings.idle_timeout,
            )
        await self.ping()

    async def close(self) -> None:
        """Finish what has been started, then disconnect."""
        backend, self._backend = self._backend, None
        if backend is not None:
            await backend.close()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def dialect(self) -> str:
        """sqlite, postgresql, mysql or mariadb."""
        return self._url.get_backend_name()

    @property
    def sqlite_file(self) -> str | None:
        """The path of the file; None for a database server."""
        return self._url.database if self.dialect == "sqlite" else None

    async def ping(self) -> None:
        """Raises DatabaseUnavailable unless the database answers."""
        await self.read(_ping)

    async def schema_is_current(self) -> bool:
        """Whether the tables are the ones this version works with."""
        return await self.read(migrations.revision) == migrations.HEAD

    async def require_schema(self) -> None:
        """Raises SchemaOutdated unless `schema_is_current`."""
        found = await self.read(migrations.revision)
        if found != migrations.HEAD:
            raise SchemaOutdated(found, migrations.HEAD)

    async def run(self, transaction: Callable[[sa.Connection], T]) -> T:
        """Run `transaction` and commit it, again when others got in its way (at most `settings.attempts`).

        It may be run more than once and must keep nothing outside the database. Raises what it raises, and
        DatabaseUnavailable: then it may or may not have been committed.
        """
        return await self._repeat(self._open_backend().write, transaction)

    async def read(self, query: Callable[[sa.Connection], T]) -> T:
        """Run `query`, which only reads. Sees everything that was committed before the call."""
        return await self._repeat(self._open_backend().read, query)

    def _open_backend(self) -> Backend:
        if self._backend is None:
            raise DatabaseUnavailable("it has not been opened, or is closed")
        return self._backend

    async def _repeat(
        self,
        perform: Callable[[Callable[[sa.Connection], T]], Awaitable[T]],
        transaction: Callable[[sa.Connection], T],
    ) -> T:
        attempt = 0
        while True:
            attempt += 1
            try:
                return await perform(transaction)
            except DatabaseError:
                raise
            except Exception as error:
                delay = self._delay_before_next(error, attempt)
                if delay is None:
                    if _verdict(error) in (Verdict.LOST, Verdict.STALE, Verdict.CONTENDED):
                        raise DatabaseUnavailable(
                            str(getattr(error, "orig", None) or error or "time is up")
                        ) from error
                    raise
            await asyncio.sleep(delay)

    def _delay_before_next(self, error: Exception, attempt: int) -> float | None:
        """Seconds to wait before another attempt; None when there is to be none."""
        if attempt >= ATTEMPTS.get(_verdict(error), self._settings.attempts):
            return None
        longest: float = min(0.5, self._settings.backoff * 2.0 ** (attempt - 1))
        return random.uniform(0.1, 1.0) * longest  # noqa: S311


class Verdict(enum.Enum):
    """What an error means for the transaction that met it."""

    CONTENDED = "others were in the way"
    DUPLICATE = "a key exists already: another run sees it, and can say what it means"
    STALE = "the connection broke, and others may be whole"
    LOST = "the database does not answer"
    WRONG = "the statement is wrong"


ATTEMPTS = {Verdict.DUPLICATE: 4, Verdict.STALE: 3, Verdict.LOST: 1, Verdict.WRONG: 1}
"""How often a transaction is run at most; where none is given, the settings say."""

POSTGRESQL_CONTENDED = {"40001", "40P01", "55P03"}
POSTGRESQL_LOST_CLASSES = ("08", "53", "57P", "58")
MYSQL_CONTENDED = {1020, 1205, 1213}
MYSQL_LOST = {1040, 1053, 1927, 2002, 2003, 2006, 2013, 2055}
SQLITE_CONTENDED = ("SQLITE_BUSY", "SQLITE_LOCKED")
SQLITE_LOST = (
    "SQLITE_IOERR",
    "SQLITE_FULL",
    "SQLITE_CANTOPEN",
    "SQLITE_READONLY",
    "SQLITE_CORRUPT",
    "SQLITE_NOTADB",
)


def _verdict(error: BaseException) -> Verdict:
    verdict = Verdict.WRONG
    if isinstance(error, RunAgain):
        verdict = Verdict.CONTENDED
    elif isinstance(error, sa.exc.IntegrityError):
        verdict = Verdict.DUPLICATE
    elif isinstance(error, sa.exc.DBAPIError):
        verdict = Verdict.STALE if error.connection_invalidated else _of_driver(error.orig)
    elif isinstance(error, OSError | TimeoutError | sa.exc.TimeoutError):
        verdict = Verdict.LOST
    elif not isinstance(error, sa.exc.SQLAlchemyError):
        verdict = _of_driver(error)  # a driver's own, from connecting
    return verdict


def _of_driver(error: BaseException | None) -> Verdict:
    state = getattr(error, "sqlstate", None)
    code = error.args[0] if error is not None and error.args else None
    if isinstance(error, sqlite3.Error):
        return _of_sqlite(getattr(error, "sqlite_errorname", ""))
    if isinstance(state, str):
        return _of_postgresql(state)
    if isinstance(code, int):
        return Verdict.CONTENDED if code in MYSQL_CONTENDED else _lost_if(code in MYSQL_LOST)
    return _lost_if(isinstance(error, OSError | TimeoutError))


def _lost_if(lost: bool) -> Verdict:
    return Verdict.LOST if lost else Verdict.WRONG


def _of_sqlite(name: str) -> Verdict:
    return Verdict.CONTENDED if name.startswith(SQLITE_CONTENDED) else _lost_if(name.startswith(SQLITE_LOST))


def _of_postgresql(state: str) -> Verdict:
    return (
        Verdict.CONTENDED
        if state in POSTGRESQL_CONTENDED
        else _lost_if(state.startswith(POSTGRESQL_LOST_CLASSES))
    )


def _ping(connection: sa.Connection) -> None:
    connection.execute(sa.select(sa.literal(1)))


_CLOCKS = {
    "sqlite": "SELECT strftime('%s', 'now')",
    "postgresql": "SELECT extract(epoch FROM clock_timestamp())",
    "mysql": "SELECT unix_timestamp()",
    "mariadb": "SELECT unix_timestamp()",
}


def clock(conn: sa.Connection) -> int:
    """Inside a transaction: the database server's time, in seconds since 1970. All replicas have that one."""
    return int(float(conn.exec_driver_sql(_CLOCKS[conn.dialect.name]).scalar_one()))
