"""The migrations make the tables that the code works with, from nothing, however many run them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from cairn_database import Database, SchemaOutdated, migrations
from cairn_database.schema import metadata
from integration.database.conftest import Place


async def test_upgrading_from_nothing_makes_the_tables(place: Place) -> None:
    url = place.new()
    if place.kind != "sqlite":
        async with Database(url) as db:
            assert not await db.schema_is_current()
            with pytest.raises(SchemaOutdated, match="cairn db upgrade"):
                await db.require_schema()
    await migrations.upgrade(url)
    async with Database(url) as db:
        assert await db.schema_is_current()
        await db.require_schema()

        def differences(conn: sa.Connection) -> list[Any]:
            context = MigrationContext.configure(conn, opts={"compare_type": True})
            return list(compare_metadata(context, metadata))

        assert await db.read(differences) == []
    await migrations.upgrade(url)


async def test_several_upgrades_at_once_are_one(place: Place) -> None:
    url = place.new()
    await asyncio.gather(*(migrations.upgrade(url) for _ in range(3)))
    async with Database(url) as db:
        assert await db.schema_is_current()


def test_the_newest_step_is_the_one_asked_for() -> None:
    assert ScriptDirectory.from_config(migrations.config()).get_current_head() == migrations.HEAD
