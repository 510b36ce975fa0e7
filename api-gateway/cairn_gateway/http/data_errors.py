"""What a database says of a value that it cannot keep: too large a number, too long or impossible a text."""

from __future__ import annotations

import sqlalchemy as sa

DATA_EXCEPTION = "22"
"""The class of SQL states that are about data (SQL standard; PostgreSQL: appendix A)."""
MYSQL_DATA = {1264, 1366, 1406}
"""Out of range, incorrect string value, data too long (MariaDB: error codes)."""


def is_of_the_data(error: BaseException) -> bool:
    """Whether `error` is about a value and not about the statement or the server.

    The models bound what they know; this is for what slips through, so that it is the client's error (400).
    """
    if isinstance(error, sa.exc.DataError):
        return True
    if isinstance(error, OverflowError):
        return "SQLite" in str(error)  # the driver's own: an integer of more than 64 bits
    if not isinstance(error, sa.exc.StatementError) or error.orig is None:
        return False
    if isinstance(error.orig, OverflowError):
        return True  # what our own types cannot bring into the database's form: a date out of range
    cause = error.orig.__cause__ or error.orig
    state = getattr(cause, "sqlstate", None) or getattr(error.orig, "sqlstate", None)
    if isinstance(state, str):
        return state.startswith(DATA_EXCEPTION)
    code = error.orig.args[0] if error.orig.args else None
    # asyncpg refuses what does not fit a parameter's type before it asks the server.
    return code in MYSQL_DATA or type(cause).__name__ == "DataError"
