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
        return _signature(self.secrets[0], image_id, DOWNLOAD)

    def valid(self, image_id: str, signature: str) -> bool:
        """Whether one of the keys has made it; takes as long whichever it was."""
        return self._matches(image_id, signature, DOWNLOAD)

    def sign_upload(self, image_id: str) -> str:
        """The signature of the address that an image's data may be put at, once."""
        return _signature(self.secrets[0], image_id, UPLOAD)

    def valid_upload(self, image_id: str, signature: str) -> bool:
        """As `valid`, for `sign_upload`."""
        return self._matches(image_id, signature, UPLOAD)

    def signed(self, url: str) -> str:
        """`url` with its signature, if it is the address of an image in the gateway; else as it is."""
        image_id = image_in(url)
        return f"{url}?signature={self.sign(image_id)}" if image_id and self.secrets else url

    def signed_upload(self, url: str) -> str:
        """As `signed`, for putting the image there."""
        image_id = image_in(url)
        return f"{url}?signature={self.sign_upload(image_id)}" if image_id and self.secrets else url

    def _matches(self, image_id: str, signature: str, purpose: bytes) -> bool:
        given = signature.encode("utf-8", "replace")
        matches = [
            hmac.compare_digest(_signature(secret, image_id, purpose).encode(), given)
            for secret in self.secrets
        ]
        return any(matches)


DOWNLOAD, UPLOAD = b"image blob ", b"image upload "


def image_in(url: str) -> str | None:
    """The id of the image whose plain address in a gateway `url` is; None where it is something else."""
    parts = urlsplit(url)
    _, marker, image_id = parts.path.partition(PATH)
    return image_id if marker and image_id and "/" not in image_id and not parts.query else None


def _signature(secret: bytes, image_id: str, purpose: bytes) -> str:
    return hmac.new(secret, purpose + image_id.encode(), hashlib.sha256).hexdigest()


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
