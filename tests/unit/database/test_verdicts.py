"""What an error of a driver means for the transaction that met it."""

from __future__ import annotations

import sqlite3

import pytest
import sqlalchemy as sa

from cairn_database.engine import Database, DatabaseSettings, RunAgain, Verdict, _verdict


class PostgresError(Exception):
    def __init__(self, sqlstate: str) -> None:
        self.sqlstate = sqlstate


class SqliteError(sqlite3.OperationalError):
    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.sqlite_errorname = name


def _wrapped(error: Exception) -> sa.exc.DBAPIError:
    return sa.exc.OperationalError("SELECT 1", {}, error)


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (RunAgain(), Verdict.CONTENDED),
        (_wrapped(PostgresError("40001")), Verdict.CONTENDED),
        (_wrapped(PostgresError("40P01")), Verdict.CONTENDED),
        (_wrapped(PostgresError("57P01")), Verdict.LOST),
        (PostgresError("57P03"), Verdict.LOST),
        (PostgresError("53300"), Verdict.LOST),
        (_wrapped(PostgresError("42P01")), Verdict.WRONG),
        (_wrapped(Exception(1213, "Deadlock found")), Verdict.CONTENDED),
        (_wrapped(Exception(1205, "Lock wait timeout")), Verdict.CONTENDED),
        (_wrapped(Exception(2003, "Can't connect")), Verdict.LOST),
        (_wrapped(Exception(1146, "no such table")), Verdict.WRONG),
        (_wrapped(SqliteError("SQLITE_BUSY")), Verdict.CONTENDED),
        (SqliteError("SQLITE_BUSY_SNAPSHOT"), Verdict.CONTENDED),
        (_wrapped(SqliteError("SQLITE_FULL")), Verdict.LOST),
        (_wrapped(SqliteError("SQLITE_CANTOPEN")), Verdict.LOST),
        (_wrapped(SqliteError("SQLITE_ERROR")), Verdict.WRONG),
        (sa.exc.IntegrityError("INSERT", {}, Exception()), Verdict.DUPLICATE),
        (sa.exc.TimeoutError("pool"), Verdict.LOST),
        (ConnectionRefusedError(111, "refused"), Verdict.LOST),
        (TimeoutError(), Verdict.LOST),
        (KeyError("vcpus"), Verdict.WRONG),
        (sa.exc.NoSuchTableError("x"), Verdict.WRONG),
    ],
    ids=lambda value: repr(value)[:60],
)
def test_verdict(error: Exception, verdict: Verdict) -> None:
    assert _verdict(error) is verdict


def test_a_broken_connection_is_tried_again_on_a_new_one() -> None:
    error = _wrapped(PostgresError("57P01"))
    error.connection_invalidated = True
    assert _verdict(error) is Verdict.STALE


def test_waiting_grows_and_ends() -> None:
    db = Database("sqlite+aiosqlite:///x", DatabaseSettings(attempts=5, backoff=0.01))
    waits = [db._delay_before_next(RunAgain(), attempt) for attempt in range(1, 6)]
    assert waits[-1] is None
    for attempt, wait in enumerate(waits[:-1]):
        assert wait is not None
        assert 0.1 * 0.01 * 2**attempt <= wait <= 0.01 * 2**attempt
    assert db._delay_before_next(KeyError("bug"), 1) is None
