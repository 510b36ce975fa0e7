"""What tokens say, packed; and what no one can make them say."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from cryptography.fernet import Fernet

from cairn_database.identity.errors import NotAuthentic
from cairn_gateway.identity.keys import KeySecretWrong, KeyWrap
from cairn_gateway.identity.tokens import Token, new_audit_id, pack, unpack

MOMENT = datetime(2026, 1, 31, 12, 0, 0, 123456, UTC)
TOKEN = Token(
    user_id="0123456789abcdef" * 2,
    methods=("password", "token"),
    generation=7,
    issued_at=MOMENT,
    expires_at=MOMENT.replace(hour=13),
    audit_id=new_audit_id(),
    parent_audit_id=new_audit_id(),
    scope="project",
    scope_id="fedcba9876543210" * 2,
)


@pytest.mark.parametrize(
    "token",
    [
        TOKEN,
        replace(TOKEN, parent_audit_id=None),
        replace(TOKEN, scope="domain", scope_id="default"),
        replace(TOKEN, scope="system", scope_id="all"),
        replace(TOKEN, scope=None, scope_id=None),
        replace(TOKEN, user_id="0123456789ABCDEF" * 2, scope_id="a-project-of-kubectl"),
        replace(TOKEN, methods=("application_credential",), application_credential_id="ab" * 16),
    ],
)
def test_what_is_packed_is_unpacked(token: Token) -> None:
    assert unpack(pack(token)) == token


def test_a_token_is_short() -> None:
    text = Fernet(Fernet.generate_key()).encrypt(pack(TOKEN))
    assert len(text) < 255


@pytest.mark.parametrize(
    "damage",
    [b"", b"\x02", pack(TOKEN)[:40], b"\x09" + pack(TOKEN)[1:]],
    ids=["nothing", "another number", "a part", "another version"],  # what is packed differs by process
)
def test_another_format_is_refused(damage: bytes) -> None:
    with pytest.raises(NotAuthentic):
        unpack(damage)


def test_audit_ids_are_shown_own_first() -> None:
    assert TOKEN.audit_ids == [TOKEN.audit_id, TOKEN.parent_audit_id]
    assert len({new_audit_id() for _ in range(100)}) == 100


def test_a_key_is_opened_by_the_secret_that_closed_it() -> None:
    row = KeyWrap("one").new_key()
    message = KeyWrap("one").unwrap(row).encrypt(b"x")
    assert KeyWrap("one").unwrap(row).decrypt(message) == b"x"
    for other in ("two", ""):
        with pytest.raises(KeySecretWrong, match="key_secret"):
            KeyWrap(other).unwrap(row)
