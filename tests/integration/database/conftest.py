"""The same tests on SQLite, PostgreSQL and MariaDB: `db` is an open, empty database of each in turn."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio
import sqlalchemy as sa

from cairn_database import Database, migrations
from cairn_database.tables import metadata
from integration.database.servers import MariadbServer, PostgresqlServer, Server

sqlite_only = pytest.mark.parametrize("place", ["sqlite"], indirect=True, scope="package")
servers_only = pytest.mark.parametrize("place", ["postgresql", "mariadb"], indirect=True, scope="package")
SERVERS: dict[str, type[Server]] = {"postgresql": PostgresqlServer, "mariadb": MariadbServer}


@dataclass
class Place:
    """Where databases of one kind are made."""

    kind: str
    server: Server | None
    new: Callable[[], str]
    """The URL of a database without tables."""
    template: str
    """The URL of one with tables."""


@pytest.fixture(scope="package", params=["sqlite", "postgresql", "mariadb"])
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """One kind of database; its server runs for the session (one per xdist worker)."""
    kind: str = request.param
    if kind == "sqlite":
        yield from _sqlite_place(tmp_path_factory.mktemp("sqlite"))
        return
    server = SERVERS[kind]()
    try:
        server.start()
        template = server.new_database()
        asyncio.run(migrations.upgrade(template))
        yield Place(kind, server, server.new_database, template)
    finally:
        server.remove()


def _sqlite_place(directory: Path) -> Iterator[Place]:
    numbers = iter(range(10**6))

    def new() -> str:
        return f"sqlite+aiosqlite:///{directory}/{next(numbers)}.db"

    template = new()
    asyncio.run(migrations.upgrade(template))
    yield Place("sqlite", None, new, template)


@pytest_asyncio.fixture
async def url(place: Place) -> str:
    """The URL of a database with tables and no rows."""
    if place.kind == "sqlite":
        fresh = place.new()
        shutil.copy(sa.make_url(place.template).database or "", sa.make_url(fresh).database or "")
        return fresh
    async with Database(place.template) as db:
        await db.run(_empty)
    return place.template


def _empty(conn: sa.Connection) -> None:
    for table in metadata.sorted_tables:
        conn.execute(sa.delete(table))


@pytest_asyncio.fixture
async def db(url: str) -> AsyncIterator[Database]:
    """An open database with tables and no rows."""
    async with Database(url) as database:
        yield database


@pytest_asyncio.fixture
async def databases(url: str) -> AsyncIterator[list[Database]]:
    """The same database four times over, as four processes would have it."""
    opened = [Database(url) for _ in range(4)]
    for database in opened:
        await database.open()
    yield opened
    for database in opened:
        await database.close()
