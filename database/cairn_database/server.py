"""PostgreSQL and MariaDB/MySQL: the same transactions over asyncio drivers and a pool of connections."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

T = TypeVar("T")

CONNECT_SECONDS = 5


def _connect_arguments(dialect: str, idle_timeout: int) -> dict[str, Any]:
    """What a driver is to be told; `idle_timeout` as in `DatabaseSettings`."""
    if dialect == "postgresql":
        return {
            "timeout": CONNECT_SECONDS,
            "server_settings": {"idle_in_transaction_session_timeout": f"{idle_timeout}s"},
        }
    # MySQL has no such limit, and takes what is for MariaDB alone as a comment.
    limit = f"SET @cairn = 1 /*M!100300 , SESSION idle_transaction_timeout = {idle_timeout} */"
    return {"connect_timeout": CONNECT_SECONDS, "init_command": limit}


class ServerBackend:
    """Runs transactions on a database server. `engine.Database` is the caller.

    A transaction is an ordinary function; SQLAlchemy switches to the event loop wherever it waits.
    """

    def __init__(self, url: sa.URL, *, connections: int, timeout: float, idle_timeout: int) -> None:
        self._timeout = timeout
        self._dialect = url.get_backend_name()
        self._connect_arguments = _connect_arguments(self._dialect, idle_timeout)
        self._write_engine = self._engine(url, "READ COMMITTED", connections)
        # Reads are single statements, or do not need one snapshot: no BEGIN and ROLLBACK round trips.
        self._read_engine = self._engine(url, "AUTOCOMMIT", connections)

    def _engine(self, url: sa.URL, isolation: Any, connections: int) -> AsyncEngine:
        return create_async_engine(
            url,
            isolation_level=isolation,
            pool_size=connections,
            max_overflow=0,
            pool_timeout=self._timeout,
            hide_parameters=True,  # errors are logged, and values may be secret
            connect_args=self._connect_arguments,
        )

    @property
    def dialect(self) -> str:
        return self._dialect

    async def write(self, transaction: Callable[[sa.Connection], T]) -> T:
        async with asyncio.timeout(self._timeout), self._write_engine.begin() as connection:
            return await connection.run_sync(transaction)

    async def read(self, query: Callable[[sa.Connection], T]) -> T:
        async with asyncio.timeout(self._timeout), self._read_engine.connect() as connection:
            return await connection.run_sync(query)

    async def close(self) -> None:
        await self._write_engine.dispose()
        await self._read_engine.dispose()
