"""Room in a quota while something is made whose authority is a resource, not a row.

A subnet and a rule are written to the API server first and to SQL after it. The room for them is taken
before, in the transaction that asks the quota, so that requests at once never pass it together. It is given
back when the row is there (from then on that counts), or when it came to nothing; where the process died in
between, by itself after SECONDS.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import sqlalchemy as sa
import structlog

from cairn_database.engine import Database
from cairn_database.errors import DatabaseUnavailable
from cairn_database.networking.limits import check_quota
from cairn_database.networking.tables import network_reservations
from cairn_database.rows import now

log = structlog.get_logger()
SECONDS = 60
"""Longer than any request takes."""


@asynccontextmanager
async def reserved(db: Database, project: str, resource: str, key: str) -> AsyncIterator[None]:
    """Room for one more `resource` (see `limits.RESERVED`) while the block runs; `key`: the id that its row
    will have. Raises NetworkQuotaExceeded."""
    own = {"project": project, "resource": resource, "key": key}
    mine = sa.and_(*(network_reservations.c[name] == value for name, value in own.items()))

    def take(conn: sa.Connection) -> None:
        moment = now()
        check_quota(conn, project, resource, 1)  # locks the project's row
        over = sa.and_(network_reservations.c.project == project, network_reservations.c.until < moment)
        conn.execute(sa.delete(network_reservations).where(sa.or_(mine, over)))
        until = moment + timedelta(seconds=SECONDS)
        conn.execute(sa.insert(network_reservations), {**own, "until": until})

    await db.run(take)
    try:
        yield
    finally:
        try:
            await db.run(lambda conn: conn.execute(sa.delete(network_reservations).where(mine)).rowcount)
        except DatabaseUnavailable as error:
            log.warning("network.reservation_left", resource=resource, key=key, error=str(error))
