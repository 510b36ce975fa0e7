"""Addresses that carry their own right: whoever has one may fetch that one image, and nothing else.

The Image resource holds the plain address, because everybody may read it. The signature is put on where the
address goes to a host, in its Guest, which that host alone may read.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from urllib.parse import urlsplit

import sqlalchemy as sa

from cairn_database.engine import Database
from cairn_database.images.tables import image_keys
from cairn_database.rows import now

PATH = "/image/internal/blobs/"
"""Below the gateway's root; the image's id comes after it."""


@dataclass(frozen=True)
class SigningKeys:
    """All keys that there are, the one that signs first. Empty: nothing can be signed."""

    secrets: tuple[bytes, ...]

    def sign(self, image_id: str) -> str:
        """The signature of an image's address."""
        return _signature(self.secrets[0], image_id)

    def valid(self, image_id: str, signature: str) -> bool:
        """Whether one of the keys has made it; takes as long whichever it was."""
        given = signature.encode("utf-8", "replace")
        matches = [
            hmac.compare_digest(_signature(secret, image_id).encode(), given) for secret in self.secrets
        ]
        return any(matches)

    def signed(self, url: str) -> str:
        """`url` with its signature, if it is the address of an image in the gateway; else as it is."""
        if PATH not in url or not self.secrets:
            return url
        path = urlsplit(url).path
        _, marker, image_id = path.partition(PATH)
        if not marker or not image_id or "/" in image_id or urlsplit(url).query:
            return url
        return f"{url}?signature={self.sign(image_id)}"


def _signature(secret: bytes, image_id: str) -> str:
    return hmac.new(secret, b"image blob " + image_id.encode(), hashlib.sha256).hexdigest()


async def load_keys(db: Database) -> SigningKeys:
    """The keys; the first caller of all makes one."""
    found = await db.read(_load)
    if not found.secrets:
        await db.run(_make_first)
        found = await db.read(_load)
    return found


def _load(conn: sa.Connection) -> SigningKeys:
    query = sa.select(image_keys.c.secret).order_by(image_keys.c.id.desc())
    return SigningKeys(tuple(bytes.fromhex(row.secret) for row in conn.execute(query)))


def _make_first(conn: sa.Connection) -> None:
    if conn.scalar(sa.select(sa.func.count()).select_from(image_keys)) == 0:
        _insert(conn, 1)


def _insert(conn: sa.Connection, number: int) -> None:
    conn.execute(sa.insert(image_keys), {"id": number, "secret": secrets.token_hex(32), "created_at": now()})
