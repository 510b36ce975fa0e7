"""Bringing a database's tables to this version's shape (`cairn db upgrade`).

One file per step in `versions/`, in Alembic's form. A step that has been released is never edited.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import sqlalchemy as sa

HEAD = "0012"
"""The newest revision: what the processes ask for at start, without loading Alembic."""

LOCK = 0x0CA1
"""Of the advisory lock that keeps two upgrades apart."""


async def upgrade(url: str, revision: str = "head") -> None:
    """Bring the database at `url` up to `revision`, step by step; nothing when it is there already.

    Any number of processes may call it at once. Raises whatever the driver raises when it cannot connect.
    """
    from sqlalchemy.ext.asyncio import create_async_engine  # a process on SQLite does not load it: engine.py

    parsed = sa.make_url(url)
    if parsed.get_backend_name() == "sqlite" and parsed.database:
        Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
    engine = create_async_engine(url, poolclass=sa.NullPool)
    try:
        async with engine.connect() as connection:
            await connection.run_sync(_upgrade, revision)
    finally:
        await engine.dispose()


def revision(connection: sa.Connection) -> str | None:
    """The revision that the database is at; None for an empty one."""
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    found = connection.scalar(sa.text("SELECT version_num FROM alembic_version"))
    return None if found is None else str(found)


def config(connection: sa.Connection | None = None) -> Any:
    """Alembic's configuration for this package's scripts."""
    from alembic.config import Config

    settings = Config()
    settings.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    settings.attributes["connection"] = connection
    return settings


def _upgrade(connection: sa.Connection, target: str) -> None:
    from alembic import command

    if target == "head" and revision(connection) == HEAD:
        return  # without waiting for whoever is writing
    connection.rollback()
    dialect = connection.dialect.name
    if dialect == "sqlite":
        connection.exec_driver_sql("PRAGMA busy_timeout = 30000")
        connection.exec_driver_sql("PRAGMA journal_mode = WAL")
        connection.rollback()
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    elif dialect == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(LOCK)))
    else:
        connection.execute(sa.select(sa.func.get_lock(f"cairn-upgrade-{LOCK}", 60)))
    command.upgrade(config(connection), target)
    connection.commit()
