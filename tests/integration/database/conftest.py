"""The same tests on SQLite, PostgreSQL and MariaDB: `db` is an open, empty database of each in turn."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass

import pytest
import pytest_asyncio
import sqlalchemy as sa

from cairn_database import Database, migrations
from cairn_database.tables import metadata
from integration.database.servers import MariadbServer, PostgresqlServer, Server

sqlite_only = pytest.mark.parametrize("place", ["sqlite"], indirect=True)
servers_only = pytest.mark.parametrize("place", ["postgresql", "mariadb"], indirect=True)


@dataclass
class Place:
    """Where databases of one kind are made."""

    kind: str
    server: Server | None
    new: Callable[[], str]
    """The URL of a database without tables."""
    template: str
    """The URL of one with tables."""


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def place(request: pytest.FixtureRequest) -> Place:
    """One kind of database."""
    found: Place = request.getfixturevalue(f"{request.param}_place")
    return found


@pytest.fixture(scope="package")
def sqlite_place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """Files of one folder."""
    directory = tmp_path_factory.mktemp("sqlite")
    numbers = iter(range(10**6))

    def new() -> str:
        return f"sqlite+aiosqlite:///{directory}/{next(numbers)}.db"

    template = new()
    asyncio.run(migrations.upgrade(template))
    return Place("sqlite", None, new, template)


@pytest.fixture(scope="package")
def postgresql_place() -> Iterator[Place]:
    """A server that runs as long as the tests of this folder."""
    yield from _place_on("postgresql", PostgresqlServer())


@pytest.fixture(scope="package")
def mariadb_place() -> Iterator[Place]:
    """A server that runs as long as the tests of this folder."""
    yield from _place_on("mariadb", MariadbServer())


def _place_on(kind: str, server: Server) -> Iterator[Place]:
    try:
        server.start()
        template = server.new_database()
        asyncio.run(migrations.upgrade(template))
        yield Place(kind, server, server.new_database, template)
    finally:
        server.remove()


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
