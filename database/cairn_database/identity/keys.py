"""The keys that tokens and credentials are encrypted with."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import sqlalchemy as sa

from cairn_database.engine import Database
from cairn_database.identity import revision
from cairn_database.identity.tables import credentials, identity_keys
from cairn_database.rows import now

TOKENS: Final = "token"
CREDENTIALS: Final = "credential"


@dataclass(frozen=True)
class Key:
    """One of the keys that tokens or credentials are encrypted with."""

    number: int
    secret: str = field(repr=False)


async def list_keys(db: Database, purpose: str) -> list[Key]:
    """Newest first: the first one encrypts, all decrypt."""
    return await db.read(lambda conn: _keys(conn, purpose))


async def ensure_key(db: Database, purpose: str, secret: str) -> list[Key]:
    """The keys; `secret` becomes the first one where there is none."""

    def transaction(conn: sa.Connection) -> list[Key]:
        if not _keys(conn, purpose):
            _insert(conn, purpose, 1, secret)
        return _keys(conn, purpose)

    return await db.run(transaction)


async def rotate(db: Database, purpose: str, secret: str, keep: int) -> list[Key]:
    """`secret` encrypts from now on; the newest `keep` keys, with it, still decrypt."""

    def transaction(conn: sa.Connection) -> list[Key]:
        found = _keys(conn, purpose)
        _insert(conn, purpose, found[0].number + 1 if found else 1, secret)
        _keep_newest(conn, purpose, keep)
        revision.bump(conn)
        return _keys(conn, purpose)

    return await db.run(transaction)


async def keep_newest(db: Database, purpose: str, keep: int) -> None:
    """Drop all keys but the newest `keep`."""
    await db.run(lambda conn: _keep_newest(conn, purpose, keep))


async def rewrite_credentials(db: Database, blobs: dict[str, tuple[str, str]]) -> int:
    """Credentials encrypted anew: id to (old blob, new blob). One that changed meanwhile is left alone.
    Returns how many were written."""

    def transaction(conn: sa.Connection) -> int:
        written = 0
        for key, (old, new) in sorted(blobs.items()):
            same = sa.and_(credentials.c.id == key, credentials.c.blob == old)
            written += conn.execute(sa.update(credentials).where(same), {"blob": new}).rowcount
        return written

    return await db.run(transaction)


def _keys(conn: sa.Connection, purpose: str) -> list[Key]:
    columns = identity_keys.c
    statement = sa.select(columns.number, columns.secret).where(columns.purpose == purpose)
    return [Key(row.number, row.secret) for row in conn.execute(statement.order_by(columns.number.desc()))]


def _keep_newest(conn: sa.Connection, purpose: str, keep: int) -> None:
    columns = identity_keys.c
    for old in _keys(conn, purpose)[keep:]:
        conn.execute(sa.delete(identity_keys).where(columns.purpose == purpose, columns.number == old.number))


def _insert(conn: sa.Connection, purpose: str, number: int, secret: str) -> None:
    row = {"purpose": purpose, "number": number, "secret": secret, "created_at": now()}
    conn.execute(sa.insert(identity_keys), row)
