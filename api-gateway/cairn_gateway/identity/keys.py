"""The rings of Fernet keys that tokens and credentials are encrypted with.

The keys are rows, so that all gateways have the same ones; the newest encrypts, every one that is kept
decrypts. With `identity.key_secret` the rows themselves are encrypted."""

from __future__ import annotations

import base64

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from cairn_database import Database
from cairn_database.identity import credentials, keys
from cairn_database.identity.errors import NotAuthentic
from cairn_database.identity.revision import Revision


class KeySecretWrong(ValueError):
    """The keys in the database were encrypted with another `identity.key_secret`."""


class KeyWrap:
    """Encrypts the keys themselves, with a secret that the database does not have; does nothing without."""

    def __init__(self, secret: str) -> None:
        self._fernet: Fernet | None = None
        if secret:
            derive = HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=b"cairn identity keys")
            self._fernet = Fernet(base64.urlsafe_b64encode(derive.derive(secret.encode())))

    def new_key(self) -> str:
        """A new key, as the row holds it."""
        key = Fernet.generate_key()
        return (key if self._fernet is None else self._fernet.encrypt(key)).decode()

    def unwrap(self, secret: str) -> Fernet:
        """The key of a row. Raises KeySecretWrong."""
        try:
            key = secret.encode() if self._fernet is None else self._fernet.decrypt(secret.encode())
            return Fernet(key)
        except (InvalidToken, ValueError) as error:
            raise KeySecretWrong(
                "The identity's keys in the database cannot be used: they were made with another "
                "identity.key_secret. Give every gateway, and 'cairn identity', the one of the beginning."
            ) from error


class KeyRing:
    """The keys of one purpose."""

    def __init__(self, db: Database, purpose: str, wrap: KeyWrap, revision: Revision) -> None:
        """A rotation changes the `revision`; as long as that is the same, the keys are."""
        self._db = db
        self._revision = revision
        self._purpose = purpose
        self._wrap = wrap
        self._fernet: MultiFernet | None = None
        self._loaded_at = -1

    async def encrypt(self, message: bytes) -> str:
        """With the newest key, without padding. Makes the first key."""
        return (await self._ring()).encrypt(message).decode().rstrip("=")

    async def decrypt(self, message: str) -> bytes:
        """Raises NotAuthentic for what none of the keys has encrypted."""
        padded = (message + "=" * (-len(message) % 4)).encode()
        try:
            return (await self._ring()).decrypt(padded)
        except InvalidToken as error:
            raise NotAuthentic("no key fits") from error

    async def rotate(self, keep: int) -> int:
        """A new key encrypts from now on; returns its number. The newest `keep` still decrypt."""
        found = await keys.rotate(self._db, self._purpose, self._wrap.new_key(), keep)
        return found[0].number

    async def _ring(self) -> MultiFernet:
        """The keys as they are now: a dropped one counts at no gateway."""
        at = await self._revision.now()  # before the keys, which are then at least as new
        if self._fernet is None or at != self._loaded_at:
            found = await keys.list_keys(self._db, self._purpose)
            if not found:
                found = await keys.ensure_key(self._db, self._purpose, self._wrap.new_key())
            self._fernet = MultiFernet([self._wrap.unwrap(key.secret) for key in found])
            self._loaded_at = at
        return self._fernet


async def rotate_credential_keys(db: Database, wrap: KeyWrap) -> int:
    """A new key for credentials, and every credential encrypted with it. Returns how many there were.

    The key before it stays: a gateway may be writing with it at this moment.
    """
    ring = KeyRing(db, keys.CREDENTIALS, wrap, Revision(db))
    await ring.rotate(keep=len(await keys.list_keys(db, keys.CREDENTIALS)) + 1)
    again = {}
    for credential in await credentials.list_credentials(db):
        fresh = await ring.encrypt(await ring.decrypt(credential.blob))
        again[credential.id] = (credential.blob, fresh)
    written = await keys.rewrite_credentials(db, again)
    await keys.keep_newest(db, keys.CREDENTIALS, 2)
    return written
