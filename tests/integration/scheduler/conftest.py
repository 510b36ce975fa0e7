"""SQLite on disk, once and four times over (as four processes would have it)."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from cairn_database import Database, migrations


@pytest.fixture(scope="package")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with tables and no rows."""
    path = tmp_path_factory.mktemp("scheduler") / "template.db"
    asyncio.run(migrations.upgrade(f"sqlite+aiosqlite:///{path}"))
    return path


@pytest.fixture
def url(template: Path, tmp_path: Path) -> str:
    """A database of the test's own."""
    shutil.copy(template, tmp_path / "cairn.db")
    return f"sqlite+aiosqlite:///{tmp_path / 'cairn.db'}"


@pytest_asyncio.fixture
async def db(url: str) -> AsyncIterator[Database]:
    async with Database(url) as database:
        yield database


@pytest_asyncio.fixture
async def databases(url: str) -> AsyncIterator[list[Database]]:
    """The same database, opened by four."""
    opened = [Database(url) for _ in range(4)]
    for database in opened:
        await database.open()
    yield opened
    for database in opened:
        await database.close()
