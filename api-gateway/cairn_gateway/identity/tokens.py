"""Tokens: what they say, packed and encrypted.

A token is a Fernet message (encrypted and authenticated, so that it tells its bearer nothing and nobody can
make one) around some ninety bytes. It says who and where; which roles that means is looked up when it is
used."""

from __future__ import annotations

import base64
import secrets
import struct
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from cairn_database.identity.access import Claim
from cairn_database.identity.errors import NotAuthentic

FORMAT: Final = 1
METHODS: Final = ("password", "token", "application_credential")
SCOPES: Final = (None, "project", "domain", "system")
NO_AUDIT_ID: Final = bytes(16)
LONGEST: Final = 1024
"""Characters of a token; ours are a quarter of that."""

_HEAD = struct.Struct(">BBBIQQ16s16s")
_HEX_ID: Final = 0x80


@dataclass(frozen=True)
class Token:
    """What a token says."""

    user_id: str
    methods: tuple[str, ...]
    generation: int
    """The user's, when it was issued."""
    issued_at: datetime
    expires_at: datetime
    audit_id: str
    parent_audit_id: str | None = None
    """Of the token at the beginning of the chain that this one was made from."""
    scope: str | None = None
    """project, domain, system, or None."""
    scope_id: str | None = None
    application_credential_id: str | None = field(default=None)

    @property
    def audit_ids(self) -> list[str]:
        """Its own first, as Keystone shows them."""
        return [self.audit_id, *([self.parent_audit_id] if self.parent_audit_id else [])]

    def claim(self) -> Claim:
        """What is to be true for it to count."""
        return Claim(
            user_id=self.user_id,
            project_id=self.scope_id if self.scope == "project" else None,
            domain_id=self.scope_id if self.scope == "domain" else None,
            system=self.scope == "system",
            application_credential_id=self.application_credential_id,
            generation=self.generation,
            audit_id=self.audit_id,
        )


def new_audit_id() -> str:
    """22 characters of the URL-safe alphabet."""
    return _text(secrets.token_bytes(16))


def pack(token: Token) -> bytes:
    """As bytes, for encryption."""
    methods = sum(1 << METHODS.index(method) for method in token.methods)
    head = _HEAD.pack(
        FORMAT,
        SCOPES.index(token.scope),
        methods,
        token.generation,
        _microseconds(token.issued_at),
        _microseconds(token.expires_at),
        _raw(token.audit_id),
        _raw(token.parent_audit_id) if token.parent_audit_id else NO_AUDIT_ID,
    )
    ids = (token.user_id, token.scope_id or "", token.application_credential_id or "")
    return head + b"".join(map(_pack_id, ids))


def unpack(data: bytes) -> Token:
    """The token in decrypted bytes. Raises NotAuthentic for another format's."""
    try:
        version, scope, methods, generation, issued, expires, own, parent = _HEAD.unpack_from(data)
        if version != FORMAT:
            raise NotAuthentic("the token is of another version of Cairn")
        user_id, rest = _unpack_id(data[_HEAD.size :])
        scope_id, rest = _unpack_id(rest)
        credential_id, rest = _unpack_id(rest)
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise NotAuthentic("the token is of another format") from error
    return Token(
        user_id=user_id,
        methods=tuple(name for bit, name in enumerate(METHODS) if methods & (1 << bit)),
        generation=generation,
        issued_at=_moment(issued),
        expires_at=_moment(expires),
        audit_id=_text(own),
        parent_audit_id=None if parent == NO_AUDIT_ID else _text(parent),
        scope=SCOPES[scope],
        scope_id=scope_id or None,
        application_credential_id=credential_id or None,
    )


def _pack_id(value: str) -> bytes:
    if len(value) == 32 and all(character in "0123456789abcdef" for character in value):
        return bytes([_HEX_ID]) + bytes.fromhex(value)
    raw = value.encode()
    if len(raw) >= _HEX_ID:
        raise ValueError(f"an id of {len(raw)} bytes is too long for a token")
    return bytes([len(raw)]) + raw


def _unpack_id(data: bytes) -> tuple[str, bytes]:
    length = data[0]
    if length == _HEX_ID:
        return data[1:17].hex(), data[17:]
    return data[1 : 1 + length].decode(), data[1 + length :]


def _microseconds(moment: datetime) -> int:
    return round(moment.timestamp() * 1_000_000)


def _moment(microseconds: int) -> datetime:
    seconds, rest = divmod(microseconds, 1_000_000)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest)


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _raw(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "==")
